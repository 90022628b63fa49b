"""Async streams of ids: which records a run will read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from pipelines.errors import TerminalError
from pipelines.hubspot.client import MAX_BATCH_READ, HubSpotClient


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
    """
    greatest, asked = -1, {after}
    while True:
        page = await client.list_page(
            object_type, after=after, archived=archived, properties=("hs_object_id",)
        )
        ids = tuple(dict.fromkeys(page.ids))
        numbers = [int(record_id) if record_id.isdecimal() else -1 for record_id in ids]
        ascending = all(a < b for a, b in zip([greatest, *numbers], numbers, strict=False))
        greatest = max(greatest, *numbers, -1)
        if ids or page.after is None:
            yield IdPage(ids, page.after, ascending)
        if page.after is None:
            return
        if page.after in asked:
            raise TerminalError(
                f"HubSpot's list of {object_type} goes round in circles at {page.after}: "
                "what was read has landed; run the same command again later"
            )
        asked.add(page.after)
        after = page.after


async def given(ids: Sequence[str]) -> AsyncIterator[IdPage]:
    """Known ids as a stream, without repeats, in the order given."""
    distinct = tuple(dict.fromkeys(ids))
    for start in range(0, len(distinct), MAX_BATCH_READ):
        end = start + MAX_BATCH_READ
        yield IdPage(distinct[start:end], str(end) if end < len(distinct) else None, is_fresh=True)
