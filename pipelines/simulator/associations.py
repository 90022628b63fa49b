"""Answers about associations: batch/read, and the labels that there are."""

from __future__ import annotations

from base64 import b64decode, b64encode
from random import Random
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

import msgspec

from pipelines.simulator.objects import is_numeric, unique
from pipelines.simulator.wire import Answer, Call, batch, decoded, invalid, now_iso, required

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.simulator.definitions import Json
    from pipelines.simulator.records import Records

MAX_INPUTS: Final = 1_000


class _Input(msgspec.Struct):
    id: str | int
    after: str | None = None


class _BatchRead(msgspec.Struct):
    inputs: list[_Input] | None = None


def batch_read(call: Call) -> Answer:
    """A page of associations for each id; 207 if some have none, one error for each of them.

    An id that does not exist, or was merged into another, is one that has none. The facts are
    silent on a repeated id: it is answered once, from the first cursor on.
    """
    request, started_at = decoded(call.body, _BatchRead), now_iso()
    if request.inputs is None:
        raise required(["inputs"])
    cursors = {str(one.id): one.after for one in reversed(request.inputs)}
    asked = unique(call, [str(one.id) for one in request.inputs], MAX_INPUTS)
    found = {text: result for text in asked if (result := result_of(call, text, cursors[text]))}
    results = [found[text] for text in sorted(found, key=int)]
    if call.variants.result_order == "shuffled":
        Random(len(call.body)).shuffle(results)
    missing = [not_found(call, text) for text in asked if text not in found]
    return batch(call, started_at, results, missing)


def result_of(call: Call, text: str, after: str | None = None) -> Json | None:
    """The page of one id's associations from a cursor on; None if it has none at all."""
    records, to_records = call.records, call.to_records
    if not is_numeric(call, text):
        return None
    _refuse_archived(call, text)
    size = call.variants.association_page_size
    last_id = _id_in(after, to_records) if after else 0
    names = (records.object_type, to_records.object_type)
    found, is_more = call.portal.links.page(*names, int(text), after=last_id, size=size)
    if not found and not (last_id and call.portal.links.page(*names, int(text), size=1)[0]):
        return None
    result: Json = {"from": {"id": text}, "to": found}
    if is_more:
        cursor = _cursor(to_records, found[-1]["toObjectId"])
        link = (
            f"https://api.hubapi.com/crm/v4/objects/{records.kind.singular}/{text}/associations/"
            f"{to_records.kind.singular}?after={cursor}&limit={size}"
        )
        result["paging"] = {"next": {"after": cursor, "link": link}}
    return result


def not_found(call: Call, text: str) -> Json:
    """The entry of `errors` for an id that has no associations."""
    subject, other = call.records.kind.singular, call.to_records.kind.singular
    context: Mapping[str, str] = {
        "fromObjectId": text,
        "fromObjectType": subject,
        "toObjectType": other,
    }
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "message": f"No {other} is associated with {subject} {text}.",
        "context": {key: [value] for key, value in context.items()},
    }


def list_labels(call: Call) -> Answer:
    """Every type of association from the one object type to the other."""
    names = (call.records.object_type, call.to_records.object_type)
    return Answer({"results": call.portal.links.types(*names)})


def _refuse_archived(call: Call, text: str) -> None:
    if call.variants.archived_from == "400":
        record = call.records.by_id.get(int(text))
        if record and record.archived_ms is not None:
            raise invalid(f"{call.records.kind.singular} {text} is archived")


def _cursor(to_records: Records, record_id: int) -> str:
    """Where the next page begins, as opaque as HubSpot's: base64 of type and id, URL-encoded."""
    return quote(b64encode(f"{to_records.type_id}-{record_id}".encode()).decode(), safe="")


def _id_in(cursor: str, to_records: Records) -> int:
    try:
        plain = b64decode(unquote(cursor), validate=True).decode()
    except ValueError:
        plain = ""
    type_id, _, text = plain.rpartition("-")
    if type_id != to_records.type_id or not (text.isascii() and text.isdigit()):
        raise invalid(f"after is no cursor of these associations: '{cursor}'")
    return int(text)
