"""Ranges of ids listed side by side, by workers that share what turns out to be dense."""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_left
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Final

from pipelines.errors import AuthError, DailyLimitError, HubSpotError, TerminalError
from pipelines.hubspot.client import MAX_BATCH_READ
from pipelines.idpages import IdPage, microseconds
from pipelines.keyset import Found, OutOfOrderError, Source
from pipelines.ranges import Ranges, Reader

EMPTY_PAGES: Final = 100
"""So many pages without an id, one after the other, are no list any more."""


async def in_ranges(ranges: Ranges, sources: Sequence[Source]) -> AsyncGenerator[IdPage]:
    """Ids of some ranges, listed side by side; each once, in no order.

    A range that turns out to be dense is shared by whoever has nothing to do. `IdPage.after`
    says what is left of all ranges once this page, and those before it, have landed.

    Raises:
        OutOfOrderError: From a source that is needed.
        HubSpotError: The same.
    """
    search = Search(ranges)
    workers = [
        asyncio.ensure_future(search.work(source))
        for source in sources
        for _ in range(source.workers)
    ]
    try:
        async with contextlib.aclosing(search.pages(workers)) as pages:
            async for page in pages:
                yield page
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def page_of(source: Source, low: int) -> list[IdPage]:
    """What one request finds from an id on."""
    ranges = Ranges(((low, None),))
    search = Search(ranges)
    one = ranges.take()
    if one is not None:
        search.emit(one, await source.find(low, None))
    return list(search.found())


class Search:
    """Workers that take ranges, and the pages they find, in a queue."""

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = ranges
        self._pages: deque[IdPage] = deque()
        self._news = asyncio.Event()  # a page, or the end of a worker
        self._change = asyncio.Event()  # a page taken, or a range changed

    async def work(self, source: Source) -> None:
        """Find ids until there is nothing left to find."""
        try:
            while self._ranges:
                reader = self._ranges.take(is_down=source.is_down)
                if reader is None:
                    await self._changed()
                elif not await self._read(reader, source):
                    return
        finally:
            self._news.set()
            self._change.set()

    async def _read(self, reader: Reader, source: Source) -> bool:
        """List a range to its end; False: this source cannot, and need not."""
        empty, is_open = 0, True
        while is_open:
            while len(self._pages) >= source.ahead:
                await self._changed()
            if reader not in self._ranges:
                break
            try:
                found = await source.find(reader.range.low, reader.range.high)
            except (AuthError, DailyLimitError):
                raise
            except (HubSpotError, OutOfOrderError):
                if source.is_needed:
                    raise
                self._ranges.give_back(reader)
                return False
            empty = 0 if found.records else empty + 1
            if empty == EMPTY_PAGES and found.following is not None:
                raise endless(f"has {empty} empty pages in a row up to {found.following}")
            is_open = self.emit(reader, found)
        return True

    def emit(self, reader: Reader, found: Found) -> bool:
        """Put what was found into the queue; whether the range goes on.

        Since it was asked for the range may have become smaller, or another may have ended it.
        """
        if reader not in self._ranges:
            return False
        one = reader.range
        numbers = [int(record.id) for record in found.records]
        begin = bisect_left(numbers, one.low)
        end = len(numbers) if one.high is None else bisect_left(numbers, one.high)
        left = found.left
        for low, high in _parts(begin, end, is_down=reader.is_down):
            if reader.is_down:
                beyond = None if begin else found.following
                goes_on = numbers[low] if low > begin else beyond
            else:
                goes_on = numbers[high] if high < len(numbers) else found.following
            self._ranges.advance(reader, goes_on, found=high - low, left=left)
            left = None
            records = found.records[low:high]
            self._pages.append(
                IdPage(
                    tuple(str(record.id) for record in records),
                    self._ranges.text(),
                    is_fresh=True,
                    created_us=tuple(microseconds(record.created_at) for record in records),
                    updated_us=tuple(microseconds(record.updated_at) for record in records),
                )
            )
        self._news.set()
        self._change.set()
        return reader in self._ranges

    def found(self) -> Iterator[IdPage]:
        """The pages found so far, as full as they can be: each costs a request."""
        while self._pages:
            page = self._pages.popleft()
            while self._pages and len(page.ids) < MAX_BATCH_READ:
                page, rest = page.filled(self._pages.popleft())
                if rest is not None:
                    self._pages.appendleft(rest)
            yield page
            self._change.set()

    async def pages(self, workers: Sequence[asyncio.Future[None]]) -> AsyncGenerator[IdPage]:
        """Pages as they are found, until all workers have ended; then their first failure."""
        while True:
            self._news.clear()
            for page in self.found():
                yield page
            if all(worker.done() for worker in workers) and not self._pages:
                break
            failed = [worker for worker in workers if worker.done() and worker.exception()]
            if failed and not self._pages:
                break
            await self._news.wait()
        for worker in workers:
            if worker.done():
                worker.result()

    async def _changed(self) -> None:
        self._change.clear()
        await self._change.wait()


def _parts(begin: int, end: int, *, is_down: bool) -> Iterator[tuple[int, int]]:
    """Positions of ids for one request each, in the order in which they are listed."""
    if begin >= end:
        yield begin, begin
    elif is_down:
        for high in range(end, begin, -MAX_BATCH_READ):
            yield max(high - MAX_BATCH_READ, begin), high
    else:
        for low in range(begin, end, MAX_BATCH_READ):
            yield low, min(low + MAX_BATCH_READ, end)


def endless(how: str, object_type: str = "records") -> TerminalError:
    """A list that would never end."""
    return TerminalError(
        f"HubSpot's list of {object_type} {how}: "
        "what was read has landed; run the same command again later"
    )
