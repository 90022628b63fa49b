"""Async streams of ids: which records a run will read."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import replace
from typing import Final, cast

from pipelines.errors import TerminalError
from pipelines.hubspot.client import MAX_BATCH_READ, HubSpotClient
from pipelines.idpages import IdPage, number_of
from pipelines.keyset import Listing, OutOfOrderError, Searching, Source, Window
from pipelines.ranges import WORTH_SPLITTING, Ranges, Reader, ranges_in
from pipelines.side_by_side import EMPTY_PAGES, Search, endless, in_ranges

_BEFORE_THE_FIRST: Final = "0"  # no record has this id


async def discovered(
    client: HubSpotClient,
    object_type: str,
    *,
    archived: bool = False,
    after: str | None = None,
    low: int = 0,
    high: int | None = None,
    greatest: int | None = None,
    expected: int | None = None,
    is_searched: bool = True,
) -> AsyncGenerator[IdPage]:
    """Ids of all records, or of those in a range, by list and search side by side; each once.

    They come in no order. Where the list turns out to be no keyset, it is followed page by page,
    from the beginning.

    Args:
        client: Where to ask.
        object_type: Plural, as in the path.
        archived: The archived records, and only these; search does not know them.
        after: The `after` of an earlier page: go on there.
        low: The first id.
        high: The id after the last; None: there is no last.
        greatest: The greatest id there is, as far as is known.
        expected: How many records there are, as far as is known.
        is_searched: False: by the list alone, which knows at once what search learns later.

    Raises:
        HubSpotError: The list cannot be had.
    """
    begun = ranges_in(after) if after is not None else ((low, high),)
    if begun is not None:
        ranges = Ranges(begun, greatest=greatest, expected=expected)
        sources: list[Source] = [Listing(client, object_type, archived=archived)]
        if is_searched and not archived:
            sources.append(Searching(client, object_type))
        try:
            async with contextlib.aclosing(in_ranges(ranges, sources)) as pages:
                async for page in pages:
                    yield page
        except OutOfOrderError:
            after = None
        else:
            return
    async with contextlib.aclosing(
        listed(client, object_type, archived=archived, after=after)
    ) as pages:
        async for page in pages:
            inside = _within(page, low, high)
            yield inside if begun is None else replace(inside, is_fresh=False)


def _within(page: IdPage, low: int, high: int | None) -> IdPage:
    if not low and high is None:
        return page
    numbers = [number_of(record_id) for record_id in page.ids]
    return page.only(lambda n: numbers[n] >= low and (high is None or numbers[n] < high))


async def changed(
    client: HubSpotClient,
    object_type: str,
    window: Window,
    *,
    after: str | None = None,
    tell_count: Callable[[int], None] = lambda _: None,
) -> AsyncGenerator[IdPage]:
    """Ids of the live records that were modified or created within a window; each once.

    Args:
        client: Where to ask.
        object_type: Plural, as in the path.
        window: From when to when, both inclusive.
        after: The `after` of an earlier page: go on there.
        tell_count: Gets how many there are, as soon as that is known.

    Raises:
        TerminalError: Search does not answer in order of ids.
        HubSpotError: The search cannot be had.
    """
    source = Searching(client, object_type, window.condition(object_type), is_needed=True)
    begun = (ranges_in(after) if after else None) or ((0, None),)
    greatest = expected = None
    try:
        if after is None:
            first = await source.find(0, None)
            tell_count(first.left or 0)
            ranges = Ranges(begun)
            search = Search(ranges)
            search.emit(cast("Reader", ranges.take()), first)
            for page in search.found():
                yield page
            if not ranges:
                return
            begun = ranges_in(ranges.text() or "") or begun
            expected = (first.left or 0) - len(first.records)
            if (first.left or 0) >= WORTH_SPLITTING:
                greatest, _ = await source.greatest()
        async with contextlib.aclosing(
            in_ranges(Ranges(begun, greatest=greatest, expected=expected), [source])
        ) as pages:
            async for page in pages:
                yield page
    except OutOfOrderError as exc:
        raise TerminalError(
            f"HubSpot's search of {object_type} does not keep to the order of ids: "
            "what was read has landed; run the same command again later"
        ) from exc


async def listed(
    client: HubSpotClient, object_type: str, *, archived: bool = False, after: str | None = None
) -> AsyncGenerator[IdPage]:
    """Ids of all records, a page at a time, as HubSpot's list goes on from page to page.

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
            raise endless(f"goes round in circles at {page.after}", object_type)
        if empty == EMPTY_PAGES:
            raise endless(f"has {empty} empty pages in a row up to {page.after}", object_type)
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
