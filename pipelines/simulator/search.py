"""Answers to search: limits, matching, sorting, and pages by offset up to 10,000."""

from __future__ import annotations

import math
from bisect import bisect_left
from operator import neg
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pipelines.simulator import filters
from pipelines.simulator.objects import answers
from pipelines.simulator.values import epoch_ms
from pipelines.simulator.wire import Answer, Call, decoded, invalid

if TYPE_CHECKING:
    from pipelines.simulator.definitions import Json
    from pipelines.simulator.record import Record
    from pipelines.simulator.records import Records

MAX_PAGE: Final = 200
DEFAULT_PAGE: Final = 10
CAP: Final = 10_000
MAX_GROUPS: Final = 5
MAX_FILTERS_IN_GROUP: Final = 6
MAX_FILTERS: Final = 18
MAX_QUERY: Final = 3_000
_REMEMBERED: Final = 8


class _Group(msgspec.Struct):
    filters: list[filters.Filter] = []


class _Search(msgspec.Struct, rename="camel"):
    filter_groups: list[_Group] | None = None
    filters: list[filters.Filter] | None = None
    sorts: list[str | dict[str, str]] | None = None
    properties: list[str] | None = None
    query: str | None = None
    limit: int | None = None
    after: str | int | None = None


class Search:
    """The search endpoint; remembers the ids of the latest searches, for their next pages."""

    def __init__(self) -> None:
        self._found: dict[tuple[Any, ...], list[int]] = {}

    def __call__(self, call: Call) -> Answer:
        """A page of live records that match."""
        longest = call.variants.search_body_limit
        if longest is not None and len(call.body) > longest:
            raise invalid(f"the body must not be longer than {longest} characters")
        request = decoded(call.body or b"{}", _Search)
        groups = _groups(request)
        limit, offset = _page(request)
        ids = self._ids(call, groups, request)
        records = call.records
        page = [records.by_id[record_id] for record_id in ids[offset : offset + limit]]
        body: Json = {"total": len(ids), "results": answers(call, page, request.properties or ())}
        if offset + limit < len(ids):
            body["paging"] = {"next": {"after": str(offset + limit)}}
        return Answer(body)

    def _ids(self, call: Call, groups: list[list[filters.Filter]], request: _Search) -> list[int]:
        """All matching ids in order.

        Bounds of ids are cut from the remembered result: so paging by key costs one pass over
        the records, not one for each page.
        """
        records = call.records
        low, high, rest = _span(groups)
        name, is_descending = _sort(records, request)
        key = (
            records.object_type,
            records.revision,
            call.portal.now,
            msgspec.json.encode((rest, name, is_descending, request.query)),
        )
        if key not in self._found:
            while len(self._found) >= _REMEMBERED:
                del self._found[next(iter(self._found))]
            matching = _matching(call, rest, request.query)
            self._found[key] = _sorted(records, matching, name, is_descending=is_descending)
        ids = self._found[key]
        if (low, high) == (0, math.inf):
            return ids
        if name == "hs_object_id" and not is_descending:
            return ids[bisect_left(ids, low) : bisect_left(ids, high)]
        if name == "hs_object_id":
            first, last = bisect_left(ids, 1 - high, key=neg), bisect_left(ids, 1 - low, key=neg)
            return ids[first:last]
        return [record_id for record_id in ids if low <= record_id < high]


def _groups(request: _Search) -> list[list[filters.Filter]]:
    groups = [group.filters for group in request.filter_groups or ()]
    if request.filters:
        groups.append(request.filters)
    counts = [len(group) for group in groups]
    if len(groups) > MAX_GROUPS:
        raise invalid(f"filterGroups must not be more than {MAX_GROUPS}, were {len(groups)}")
    if max(counts, default=0) > MAX_FILTERS_IN_GROUP:
        raise invalid(f"a filter group must not have more than {MAX_FILTERS_IN_GROUP} filters")
    if sum(counts) > MAX_FILTERS:
        raise invalid(f"filters must not be more than {MAX_FILTERS} in total, were {sum(counts)}")
    return groups


def _page(request: _Search) -> tuple[int, int]:
    """Limit and offset."""
    limit = DEFAULT_PAGE if request.limit is None else request.limit
    after = str(request.after or "0")
    if not 1 <= limit <= MAX_PAGE:
        raise invalid(f"limit must be from 1 to {MAX_PAGE}, was {limit}")
    if not after.isdigit():
        raise invalid(f"after must be an offset, was '{after}'")
    if int(after) + limit > CAP:
        raise invalid(f"a search gives at most {CAP} records: after + limit went beyond")
    return limit, int(after)


def _sort(records: Records, request: _Search) -> tuple[str, bool]:
    """The property to sort by, and whether the greatest comes first."""
    sorts = request.sorts or [records.always[0]]
    if len(sorts) > 1:
        raise invalid("only one sort is allowed")
    one = sorts[0]
    if isinstance(one, str):
        name, is_descending = one.removeprefix("-"), one.startswith("-")
    else:
        name, is_descending = one.get("propertyName", ""), one.get("direction") == "DESCENDING"
    filters.check_property(records, name)
    return name, is_descending


def _span(
    groups: list[list[filters.Filter]],
) -> tuple[int, float, list[list[filters.Filter]]]:
    """From where up to which id a single group lets records through, and its other filters."""
    if len(groups) != 1:
        return 0, math.inf, groups
    spans = {one: span for one, filter_ in enumerate(groups[0]) if (span := filter_.span())}
    rest = [filter_ for one, filter_ in enumerate(groups[0]) if one not in spans]
    low = max((span[0] for span in spans.values()), default=0)
    high = min((span[1] for span in spans.values()), default=math.inf)
    return low, high, [rest]


def _matching(call: Call, groups: list[list[filters.Filter]], query: str | None) -> list[int]:
    records = call.records
    found = _visible(call)
    if any(groups):
        tests = [[filters.test(records, one, call.variants) for one in group] for group in groups]
        found = [r for r in found if any(all(test(r) for test in group) for group in tests)]
    if query:
        if len(query) > MAX_QUERY:
            raise invalid(f"query must not be longer than {MAX_QUERY} characters")
        found = [record for record in found if _mentions(records, record, query.lower())]
    return [record.id for record in found]


def _visible(call: Call) -> list[Record]:
    records = call.records
    found = [records.by_id[record_id] for record_id in records.live]
    lag_s = call.variants.search_index_lag_s
    if not lag_s:
        return found
    latest = epoch_ms(call.portal.now) - lag_s * 1000
    return [record for record in found if record.updated_ms <= latest]


def _mentions(records: Records, record: Record, query: str) -> bool:
    values = (records.value(record, name) for name in records.kind.searched)
    return any(query in value.lower() for value in values if value)


def _sorted(records: Records, ids: list[int], name: str, *, is_descending: bool) -> list[int]:
    """By a property, then by id; records without a value come last."""
    if name == "hs_object_id":
        return ids[::-1] if is_descending else ids
    read = filters.reader(records, name)
    keys = {record_id: read(records.by_id[record_id]) for record_id in ids}
    valued = [record_id for record_id in ids if keys[record_id] is not None]
    valued.sort(key=keys.__getitem__, reverse=is_descending)
    return valued + [record_id for record_id in ids if keys[record_id] is None]
