"""Async streams of ids: which records a run will read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pipelines.errors import TerminalError
from pipelines.hubspot.client import MAX_BATCH_READ, HubSpotClient

EMPTY_PAGES: Final = 100
"""So many pages without an id, one after the other, are no list any more."""

_BEFORE_THE_FIRST: Final = "0"  # no record has this id
_BIGINT_DIGITS: Final = 19


@dataclass(frozen=True, slots=True)
class IdPage:
    """Ids for one batch/read, at most 100 and without repeats.

    `after` is where the stream goes on once these ids have landed; None: it ends here.
    `is_fresh`: none of these ids can have come before in the stream.
    """

    ids: tuple[str, ...]
    after: str | None
    is_fresh: bool


async def listed(
    client: HubSpotClient, object_type: str, *, archived: bool = False, after: str | None = None
) -> AsyncIterator[IdPage]:
    """Ids of all records, a page at a time.

    HubSpot's list is a keyset on the record id: `after` is the first id of a page,
    so a stream can begin at any id and is stable while records change.

    Args:
        client: Where to ask.
        object_type: Plural, as in the path.
        archived: List the archived records, and only these.
        after: Begin at this id; None begins at the first.

    Raises:
        TerminalError: The list has no end.
    """
    greatest, asked, empty = -1, {after}, 0
    while True:
        page = await client.list_page(
            object_type, after=after, archived=archived, properties=("hs_object_id",)
        )
        ids = tuple(dict.fromkeys(page.ids))
        numbers = [number_of(record_id) for record_id in ids]
        ascending = all(a < b for a, b in zip([greatest, *numbers], numbers, strict=False))
        greatest = max(greatest, *numbers, -1)
        if ids or page.after is None:
            for part in _parts(IdPage(ids, page.after, ascending), begun_at=after):
                yield part
        if page.after is None:
            return
        empty = 0 if ids else empty + 1
        if page.after in asked:
            raise _endless(object_type, f"goes round in circles at {page.after}")
        if empty == EMPTY_PAGES:
            raise _endless(object_type, f"has {empty} empty pages in a row up to {page.after}")
        asked.add(page.after)
        after = page.after


def _parts(page: IdPage, *, begun_at: str | None) -> Iterator[IdPage]:
    """A page as pages of at most 100 ids, for HubSpot may give more than it was asked for.

    After a part the stream goes on at the first id of the next part. Where ids are not in
    order that might pass some by, so there it goes on at the beginning of the page.
    """
    again = begun_at or _BEFORE_THE_FIRST
    for start in range(0, len(page.ids) or 1, MAX_BATCH_READ):
        ids, rest = page.ids[start : start + MAX_BATCH_READ], page.ids[start + MAX_BATCH_READ :]
        following = rest[0] if page.is_fresh and rest else again
        yield IdPage(ids, following if rest else page.after, page.is_fresh)


def number_of(record_id: str) -> int:
    """The id as a number, and -1 if it is none that a BIGINT could hold."""
    is_number = record_id.isdecimal() and len(record_id) <= _BIGINT_DIGITS
    return int(record_id) if is_number else -1


def _endless(object_type: str, how: str) -> TerminalError:
    return TerminalError(
        f"HubSpot's list of {object_type} {how}: "
        "what was read has landed; run the same command again later"
    )


async def given(ids: Sequence[str]) -> AsyncIterator[IdPage]:
    """Known ids as a stream, without repeats, in the order given."""
    distinct = tuple(dict.fromkeys(ids))
    for start in range(0, len(distinct), MAX_BATCH_READ):
        end = start + MAX_BATCH_READ
        yield IdPage(distinct[start:end], str(end) if end < len(distinct) else None, is_fresh=True)
