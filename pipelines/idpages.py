"""Pages of ids: what discovery hands to whoever reads the records."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from pipelines.hubspot.client import MAX_BATCH_READ

_BIGINT_DIGITS: Final = 19
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class IdPage:
    """Ids for one batch/read, at most 100 and without repeats.

    `after` is where the stream goes on once these ids have landed; None: it ends here.
    `is_fresh`: none of these ids can have come before in the stream. `updated_us`: when each
    was modified, epoch µs, where HubSpot said so; empty when nobody asked.
    """

    ids: tuple[str, ...]
    after: str | None
    is_fresh: bool
    updated_us: tuple[int | None, ...] = ()


def number_of(record_id: str) -> int:
    """The id as a number, and -1 if it is none that a BIGINT could hold."""
    is_number = record_id.isdecimal() and len(record_id) <= _BIGINT_DIGITS
    return int(record_id) if is_number else -1


def microseconds(moment: object) -> int | None:
    """A moment of HubSpot's as epoch µs; None where it is no text, or of no zone."""
    try:
        at = datetime.fromisoformat(moment) if isinstance(moment, str) else None
        return None if at is None or at.tzinfo is None else (at - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return None


async def given(ids: Sequence[str]) -> AsyncGenerator[IdPage]:
    """Known ids as a stream, without repeats, in the order given."""
    distinct = tuple(dict.fromkeys(ids))
    for start in range(0, len(distinct), MAX_BATCH_READ):
        end = start + MAX_BATCH_READ
        yield IdPage(distinct[start:end], str(end) if end < len(distinct) else None, is_fresh=True)
