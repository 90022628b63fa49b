"""Pages of ids: what discovery hands to whoever reads the records."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from pipelines.hubspot.client import MAX_BATCH_READ

_BIGINT_DIGITS: Final = 19
_GREATEST: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class IdPage:
    """Ids for one batch/read, at most 100 and without repeats.

    `after` is where the stream goes on once these ids have landed; None: it ends here.
    `is_fresh`: none of these ids can have come before in the stream. `created_us` and
    `updated_us`: when each was created and modified, epoch µs, where HubSpot said so.
    """

    ids: tuple[str, ...]
    after: str | None
    is_fresh: bool
    created_us: tuple[int | None, ...] = ()
    updated_us: tuple[int | None, ...] = ()

    def only(self, wanted: Callable[[int], bool]) -> IdPage:
        """The same page with those of its ids whose position is wanted."""
        kept = [position for position in range(len(self.ids)) if wanted(position)]
        if len(kept) == len(self.ids):
            return self
        return replace(
            self,
            ids=tuple(self.ids[position] for position in kept),
            created_us=_at(kept, self.created_us),
            updated_us=_at(kept, self.updated_us),
        )

    def filled(self, following: IdPage) -> tuple[IdPage, IdPage | None]:
        """This page filled up to 100 ids from the one that follows it, and what is left of that.

        Where something is left, the stream goes on where this page ended: what was taken from
        the following one is read again then.
        """
        room = MAX_BATCH_READ - len(self.ids)
        filled = IdPage(
            self.ids + following.ids[:room],
            following.after if len(following.ids) <= room else self.after,
            is_fresh=self.is_fresh and following.is_fresh,
            created_us=self.created_us + following.created_us[:room],
            updated_us=self.updated_us + following.updated_us[:room],
        )
        if len(following.ids) <= room:
            return filled, None
        return filled, replace(
            following,
            ids=following.ids[room:],
            created_us=following.created_us[room:],
            updated_us=following.updated_us[room:],
        )


def _at(positions: Sequence[int], moments: Sequence[int | None]) -> tuple[int | None, ...]:
    return tuple(moments[position] for position in positions) if moments else ()


def number_of(record_id: str) -> int:
    """The id as a number, and -1 if it is none that a BIGINT could hold."""
    if not (record_id.isdecimal() and len(record_id) <= _BIGINT_DIGITS):
        return -1
    number = int(record_id)
    return number if number <= _GREATEST else -1


def microseconds(moment: object) -> int | None:
    """A moment of HubSpot's as epoch µs; None where it is no text, or of no zone."""
    try:
        at = datetime.fromisoformat(moment) if isinstance(moment, str) else None
        return None if at is None or at.tzinfo is None else (at - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return None


class IdSequence:
    """Ids known before, without repeats, in the order given; `after` is a position among them."""

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = tuple(dict.fromkeys(ids))

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._ids)

    async def pages(self, after: str | None = None) -> AsyncGenerator[IdPage]:
        """A page at a time, from a position on."""
        for start in range(int(after or 0), len(self._ids), MAX_BATCH_READ):
            end = start + MAX_BATCH_READ
            following = str(end) if end < len(self._ids) else None
            yield IdPage(self._ids[start:end], following, is_fresh=True)


class SortedIds:
    """Ids of rows, ascending; `after` is the last id of a page, so that rows may come between."""

    def __init__(self, ids: pl.Series) -> None:
        self._ids = ids

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._ids)

    async def pages(self, after: str | None = None) -> AsyncGenerator[IdPage]:
        """A page at a time, from the first id that is greater."""
        begin = 0 if after is None else int(self._ids.search_sorted(int(after), side="right"))
        for start in range(begin, len(self._ids), MAX_BATCH_READ):
            page = [str(number) for number in self._ids[start : start + MAX_BATCH_READ]]
            is_last = start + MAX_BATCH_READ >= len(self._ids)
            yield IdPage(tuple(page), None if is_last else page[-1], is_fresh=True)
