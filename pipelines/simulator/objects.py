"""Answers about records: batch/read, list, and one by id."""

from __future__ import annotations

from bisect import bisect_left
from random import Random
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import msgspec

from pipelines.simulator.history import history as past_values
from pipelines.simulator.object_kinds import PORTAL_ID
from pipelines.simulator.wire import (
    NEWEST,
    Answer,
    Call,
    Refusal,
    batch,
    decoded,
    invalid,
    now_iso,
    required,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.simulator.definitions import Json
    from pipelines.simulator.record import Record
    from pipelines.simulator.records import Records

MAX_INPUTS: Final = 100
MAX_INPUTS_WITH_HISTORY: Final = 50
MAX_PAGE: Final = 100
MAX_PAGE_WITH_HISTORY: Final = 50
DEFAULT_PAGE: Final = 10


class _Input(msgspec.Struct):
    id: str | int


class _BatchRead(msgspec.Struct, rename="camel"):
    inputs: list[_Input] | None = None
    properties: list[str] | None = None
    properties_with_history: list[str] | None = None
    id_property: str | None = None


def batch_read(call: Call) -> Answer:
    """Records by id or by a unique property: 200, or 207 when some are not there."""
    records, request = call.records, decoded(call.body, _BatchRead)
    started_at = now_iso()
    wanted = _wanted(call, request)
    lookups = {text: _lookup(call, records, text, request.id_property) for text in wanted}
    found = {record.id: record for record in lookups.values() if record}
    ordered = [found[record_id] for record_id in sorted(found)]
    if call.variants.result_order == "shuffled":
        Random(len(call.body)).shuffle(ordered)
    results = answers(
        call, ordered, request.properties or (), request.properties_with_history or ()
    )
    missing = [text for text, record in lookups.items() if record is None]
    return batch(call, started_at, results, [not_found(records, missing)] if missing else ())


def list_page(call: Call) -> Answer:
    """A page of records in ascending order of ids, from the id in `after` on."""
    records = call.records
    ids = _listed(call, records.ids(archived=call.is_archived))
    history = call.names("propertiesWithHistory")
    limit = _page_limit(call, MAX_PAGE_WITH_HISTORY if history else MAX_PAGE)
    start = bisect_left(ids, _after(call))
    page = [records.by_id[record_id] for record_id in ids[start : start + limit]]
    body: Json = {"results": answers(call, page, call.names("properties"), history)}
    if start + limit < len(ids):
        after = str(ids[start + limit])
        body["paging"] = {"next": {"after": after, "link": _link(call, records, after)}}
    return Answer(body)


def read_one(call: Call) -> Answer:
    """One record by id, old ids of merged ones too, or by a unique property."""
    records, text = call.records, call.path["record_id"]
    id_property = call.query.get("idProperty")
    if not id_property:
        _check_positive(text)
    record = _lookup(call, records, text, id_property)
    if record is None:
        raise Refusal(404, "resource not found")
    history = call.names("propertiesWithHistory")
    return Answer(answers(call, [record], call.names("properties"), history)[0])


def _listed(call: Call, ids: list[int]) -> list[int]:
    unlisted = call.deviation.unlisted
    return [record_id for record_id in ids if record_id not in unlisted] if unlisted else ids


def answers(
    call: Call, found: Sequence[Record], properties: Sequence[str], history: Sequence[str] = ()
) -> list[Json]:
    """`found` as HubSpot sends them; no properties asked for gives the default ones."""
    records = call.records
    selection = records.select(properties or records.defaults)
    made = [records.answer(record, selection) for record in found]
    if call.variants.unset_property == "absent":
        for one in made:
            one["properties"] = {k: v for k, v in one["properties"].items() if v is not None}
    if call.variants.warnings and call.version != NEWEST:
        made = [one | {"warnings": [{"message": "…"}]} for one in made]
    if call.deviation.version:
        _deviate(call, made)
    if history:
        is_always = call.variants.unset_history == "empty list"
        for record, one in zip(found, made, strict=True):
            past = past_values(records, record, list(history))
            one["propertiesWithHistory"] = {k: v for k, v in past.items() if v or is_always}
    return made


def _deviate(call: Call, made: list[Json]) -> None:
    for one in made:
        values = call.deviation.values.get(int(one["id"]), {})
        one["properties"] = {
            name: values.get(name, value)
            for name, value in one["properties"].items()
            if name not in call.deviation.undefined
        }


def _wanted(call: Call, request: _BatchRead) -> list[str]:
    """The ids or values asked for, without repeats, in the order of the request."""
    if request.inputs is None:
        raise required(["inputs"])
    ids = [str(one.id) for one in request.inputs]
    if request.properties_with_history:
        maximum, subject = MAX_INPUTS_WITH_HISTORY, "a batch request for property histories"
        return unique(call, ids, maximum, subject)
    return unique(call, ids, MAX_INPUTS)


def unique(call: Call, ids: list[str], maximum: int, subject: str = "a batch") -> list[str]:
    """The inputs of a batch without repeats, if they are not too many."""
    if len(ids) > maximum:
        raise invalid(
            f"The maximum number of inputs supported in {subject} is {maximum}. "
            "Please reduce the number of items and try again"
        )
    if not ids and call.variants.empty_inputs == "400":
        raise invalid("inputs must not be empty")
    found = list(dict.fromkeys(ids))
    if len(found) < len(ids) and call.variants.duplicate_ids == "400":
        twice = sorted({one for one in found if ids.count(one) > 1})
        raise invalid(
            f"Duplicate IDs found in batch input: [{', '.join(twice)}]. IDs must be unique",
            context={"ids": twice},
        )
    return found


def _lookup(call: Call, records: Records, text: str, id_property: str | None) -> Record | None:
    if id_property:
        definition = records.properties.get(id_property)
        if definition is None or not definition.definition["hasUniqueValue"]:
            raise invalid(
                f"Unable to perform read by non-unique {records.type_id} property {id_property} "
                f"in portal ID {PORTAL_ID}"
            )
        return records.find(id_property, text, archived=call.is_archived)
    if not is_numeric(call, text) or int(text) in call.deviation.unknown:
        return None
    return records.get(int(text), archived=call.is_archived)


def is_numeric(call: Call, text: str) -> bool:
    """Whether a text can be an id."""
    if text.isascii() and text.isdigit():
        return True
    if call.variants.not_numeric_id == "400":
        raise invalid(f"{text} is not a valid ID")
    return False


def not_found(records: Records, missing: list[str]) -> Json:
    """The one entry of `errors` for all ids that batch/read did not find."""
    name = records.kind.singular.upper()
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "message": f"Could not get some {name} objects, they may be deleted or not exist. "
        "Check that ids are valid.",
        "context": {"ids": missing},
    }


def _page_limit(call: Call, maximum: int) -> int:
    text = call.query.get("limit", str(DEFAULT_PAGE))
    if not text.isdigit() or int(text) < 1:
        raise invalid(f"limit must be a positive number, was '{text}'")
    if int(text) > maximum and call.variants.list_limit_above_maximum == "400":
        raise invalid(f"limit must be at most {maximum}, was {text}")
    return min(int(text), maximum)


def _after(call: Call) -> int:
    text = call.query.get("after", "0")
    if text.isdigit():
        return int(text)
    if call.variants.list_after_not_numeric == "400":
        raise invalid(f"after must be the id of a record, was '{text}'")
    return 0


def _link(call: Call, records: Records, after: str) -> str:
    """The next page as HubSpot links it: its own host and v3, whatever was called."""
    kept = [(key, value) for key, value in call.query.multi_items() if key != "after"]
    query = urlencode([*kept, ("after", after)])
    return f"https://api.hubapi.com/crm/v3/objects/{records.object_type}?{query}"


def _check_positive(text: str) -> None:
    if not (text.isascii() and text.isdigit()):
        raise Refusal(
            404,
            "Object not found.  objectId are usually numeric.",
            context={"id": [text]},
            category="OBJECT_NOT_FOUND",
        )
    if int(text) == 0:
        raise Refusal(
            404,
            "Object not found. objectId is usually positive.",
            category="OBJECT_NOT_FOUND",
        )
