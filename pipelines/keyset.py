"""Where ids come from: the list and search, both as keysets on the record id."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from pipelines.hubspot.client import MAX_SEARCH_PAGE, HubSpotClient
from pipelines.hubspot.wire import ListedRecord
from pipelines.idpages import IdPage, number_of

LIST_WORKERS: Final = 3
SEARCH_WORKERS: Final = 3
"""Pages asked for side by side: enough for 5 of each a second, at answers of half a second.
More would share out the ranges more often, and each end of a range costs."""
LIST_AHEAD: Final = 12
SEARCH_AHEAD: Final = 240
"""Pages found and not read yet, at which a worker waits. Listing costs what reading costs, so it
only fills in what search, which has a limit of its own, does not find fast enough."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_MICROSECOND: Final = timedelta(microseconds=1)
_BY_ID: Final = [
    {"propertyName": "hs_object_id", "direction": direction}
    for direction in ("ASCENDING", "DESCENDING")
]
_USUAL_DATES: Final = ("hs_createdate", "hs_lastmodifieddate")
_DATES: Final = {"contacts": ("createdate", "lastmodifieddate")}
"""Properties of creation and modification; contacts define the usual ones too, but leave them
empty."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one request found: records in ascending order of ids.

    `following`: where to go on; going down, the least id that was found. None: there are no
    more. `left`: how many records there were, these and those further on; None: not known.
    """

    records: Sequence[ListedRecord]
    following: int | None
    left: int | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """From when to when, both inclusive, by the modified date or by that of creation."""

    since: datetime
    until: datetime
    is_created: bool = False

    def condition(self, object_type: str) -> dict[str, str]:
        """As a filter of a search; from 1 s after the epoch on, for 0 has failed."""
        value, high = (max((at - _EPOCH) // _MILLISECOND, 1000) for at in (self.since, self.until))
        name = _DATES.get(object_type, _USUAL_DATES)[0 if self.is_created else 1]
        return {
            "propertyName": name, "operator": "BETWEEN",
            "value": str(value), "highValue": str(max(high, value)),
        }  # fmt: skip

    def holds(self, page: IdPage) -> Callable[[int], bool]:
        """Whether the record at a position of a page is in it; one of unknown date is."""
        low, high = ((at - _EPOCH) // _MICROSECOND for at in (self.since, self.until))
        moments = page.created_us if self.is_created else page.updated_us

        def is_inside(position: int) -> bool:
            at = moments[position] if moments else None
            return at is None or low <= at <= high

        return is_inside


class OutOfOrderError(Exception):
    """Ids that are not in order, or not those that were asked for: no keyset."""


class Source(Protocol):
    """Finds ids, a page at a time, from any id on."""

    workers: int
    ahead: int
    is_down: bool
    is_needed: bool

    async def find(self, low: int, high: int | None) -> Found:
        """The first records of ids from `low` up to `high`, which is not among them.

        Of a source that goes down the last ones.
        """


class Listing:
    """HubSpot's list, which is a keyset on the record id: a page can begin at any id."""

    workers = LIST_WORKERS
    ahead = LIST_AHEAD
    is_down = False
    is_needed = True

    def __init__(self, client: HubSpotClient, object_type: str, *, archived: bool = False) -> None:
        self._client = client
        self._object_type = object_type
        self._archived = archived

    async def find(self, low: int, high: int | None) -> Found:
        """A page of the list; ids from `high` on are left out."""
        page = await self._client.list_page(
            self._object_type,
            after=str(low) if low else None,
            archived=self._archived,
            properties=("hs_object_id",),
        )
        following = None if page.after is None else number_of(page.after)
        last = _in_order(page.records, low)
        if following is not None and following <= max(last, low):
            raise OutOfOrderError
        if high is None:
            return Found(page.records, following)
        inside = [record for record in page.records if number_of(str(record.id)) < high]
        return Found(inside, following if len(inside) == len(page.records) else None)


class Searching:
    """Search, by keyset on the record id, so that it finds more than 10,000 records.

    Where it is needed it goes up, as new records have greater ids. Where it helps the list, it
    comes towards it from above.

    Args:
        client: Where to ask.
        object_type: Plural, as in the path.
        filters: What else the records must fulfil, as HubSpot writes it.
        is_needed: Nothing else finds these records.
    """

    workers = SEARCH_WORKERS
    ahead = SEARCH_AHEAD

    def __init__(
        self,
        client: HubSpotClient,
        object_type: str,
        *filters: Mapping[str, str],
        is_needed: bool = False,
    ) -> None:
        self._client = client
        self._object_type = object_type
        self._filters = filters
        self.is_needed = is_needed
        self.is_down = not is_needed

    async def find(self, low: int, high: int | None) -> Found:
        """A page of the search."""
        body = {
            "filterGroups": [{"filters": [*self._filters, *within(low, high)]}],
            "sorts": [_BY_ID[self.is_down]],
            "properties": ["hs_object_id"],
            "limit": MAX_SEARCH_PAGE,
        }
        page = await self._client.search(self._object_type, body)
        records = page.records[::-1] if self.is_down else page.records
        last = _in_order(records, low)
        if high is not None and last >= high:
            raise OutOfOrderError
        # A search that does not show all it counts is not at its end, whatever it says.
        is_all = page.after is None and page.total <= len(page.records)
        if not records and page.total and not self.is_needed:
            raise OutOfOrderError  # then the list has them
        if is_all or not records:
            return Found(records, None, page.total)
        following = number_of(str(records[0].id)) if self.is_down else last + 1
        return Found(records, following, page.total)

    async def greatest(self) -> tuple[int | None, int]:
        """The greatest id there is, and how many records there are."""
        body = {
            "filterGroups": [{"filters": list(self._filters)}] if self._filters else [],
            "sorts": [_BY_ID[True]],
            "properties": ["hs_object_id"],
            "limit": 1,
        }
        page = await self._client.search(self._object_type, body)
        numbers = [number_of(record_id) for record_id in page.ids]
        return max(numbers, default=None), page.total


def within(low: int, high: int | None) -> list[dict[str, str]]:
    """Filters of a search for the ids from `low` up to `high`, which is not among them."""
    found = [_filter("GTE", low)] if low else []
    return found if high is None else [*found, _filter("LT", high)]


def _filter(operator: str, record_id: int) -> dict[str, str]:
    return {"propertyName": "hs_object_id", "operator": operator, "value": str(record_id)}


def _in_order(records: Sequence[ListedRecord], low: int) -> int:
    """The last id.

    Raises:
        OutOfOrderError: They do not ascend, or begin below `low`.
    """
    last = low - 1
    for record in records:
        number = number_of(str(record.id))
        if number <= last:
            raise OutOfOrderError
        last = number
    return last
