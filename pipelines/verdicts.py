"""What an answer of batch/read says of each id: live, archived, merged, gone, or nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from pipelines.accounting import Batch
from pipelines.findings import Answer, State
from pipelines.idpages import microseconds, number_of

_NOT_FOUND: Final = "OBJECT_NOT_FOUND"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Record(msgspec.Struct, rename="camel"):
    id: str | int
    updated_at: Any = None
    archived: Any = None
    archived_at: Any = None


class _Records(msgspec.Struct):
    results: list[_Record]


_DECODER = msgspec.json.Decoder(_Records)


def answers_in(batch: Batch) -> dict[str, Answer]:
    """What HubSpot says of each id of a batch.

    Only its own word that it has no such record counts as that; an id that it does not
    answer, or not yet, is `UNKNOWN`.
    """
    found = {
        str(record.id): _answer(record)
        for body in batch.answers
        for record in _DECODER.decode(body).results
    }
    said = {record_id: found[record_id] for record_id in batch.loaded}
    for old_id, current_id in batch.aliases.items():
        said[old_id] = Answer(State.MERGED, current_id=number_of(current_id))
    for row in batch.errors:
        is_gone = row.category == _NOT_FOUND and not row.is_retryable
        said[row.object_id or ""] = Answer(State.GONE if is_gone else State.UNKNOWN)
    return said


def _answer(record: _Record) -> Answer:
    updated, archived = moment(record.updated_at), moment(record.archived_at)
    return Answer(
        State.ARCHIVED if record.archived is True else State.LIVE,
        updated_at=updated,
        changed_at=max((one for one in (updated, archived) if one is not None), default=None),
    )


def moment(text: object) -> datetime | None:
    """A moment of HubSpot's in UTC; None where it is none."""
    value = microseconds(text)
    return None if value is None else _EPOCH + timedelta(microseconds=value)
