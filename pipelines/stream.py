"""Async streams: pages to batches, batches to typed chunks, and how a stop ends them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Sequence,
)
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from pipelines.accounting import Batch
from pipelines.errors import Interrupted
from pipelines.hubspot.client import MAX_BATCH_READ
from pipelines.hubspot.retry import RetryPolicy
from pipelines.hubspot.transport import READ_TIMEOUT_S
from pipelines.idpages import IdPage
from pipelines.landing import Chunk
from pipelines.typed import Typed

AT_RISK_RECORDS: Final = 20_000
"""Records asked for and not on disk yet: what a killed process may lose, and what is in memory."""
CHUNK_RECORDS: Final = 18_200
"""Records in one chunk, which is one load package and one checkpoint; what is left of those at risk
is read while a chunk is on its way to the disk."""
CHUNK_SECONDS: Final = 45.0
"""A chunk closes after this time even if it is small, so that a slow portal is saved too."""
SLICE_RECORDS: Final = 8_750
"""Records that are typed together, as soon as they are there: their bytes can go then."""

_POLL_S = 0.2  # how soon an interrupt is noticed


class _End:
    """After the last batch."""


_END = _End()
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large slices and chunks become, and how far reading may be ahead of the disk.

    `retry`: how long a request is repeated; None: as long as usual. `answer_s`: how long an
    answer may take.
    """

    at_risk_records: int = AT_RISK_RECORDS
    chunk_records: int = CHUNK_RECORDS
    chunk_seconds: float = CHUNK_SECONDS
    slice_records: int = SLICE_RECORDS
    retry: RetryPolicy | None = None
    answer_s: float = READ_TIMEOUT_S

    def of(self, weight: int) -> Bounds:
        """The bounds in records that count for `weight` each, and a page of room to fill them."""
        if weight == 1:
            return self
        room = self.at_risk_records // weight
        chunk = max(min(self.chunk_records // weight, room - MAX_BATCH_READ), 1)
        return replace(
            self,
            at_risk_records=room,
            chunk_records=chunk,
            slice_records=min(max(self.slice_records // weight, 1), chunk),
        )


async def in_order(
    pages: AsyncIterator[IdPage],
    read: Callable[[IdPage], Awaitable[Batch]],
    *,
    concurrency: int,
) -> AsyncIterator[Batch]:
    """What `read` makes of each page, in the order of the pages, `concurrency` at a time.

    What is under way when there are no more pages, for whatever reason, still comes out.
    """
    under_way: deque[asyncio.Future[Batch]] = deque()
    failure: Exception | None = None
    try:
        while True:
            try:
                page = await anext(pages)
            except StopAsyncIteration:
                break
            except Exception as exc:  # noqa: BLE001  (raised below)
                failure = exc
                break
            under_way.append(asyncio.ensure_future(read(page)))
            while under_way and (len(under_way) >= concurrency or under_way[0].done()):
                yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
        if failure is not None:
            raise failure
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def unless(stop: threading.Event, work: Awaitable[R]) -> R:
    """What `work` returns, unless `stop` is set before.

    Raises:
        Interrupted: It was; the work is given up.
    """
    step = asyncio.ensure_future(work)
    while not await _done_soon(stop, step):
        pass
    return step.result()


async def until(
    stop: threading.Event, batches: AsyncIterator[Batch]
) -> AsyncIterator[Batch | None]:
    """The same batches, until `stop` is set, and None whenever none has come for a moment.

    Raises:
        Interrupted: It was set before the stream ended; what was under way is given up.
    """
    while True:
        step = asyncio.ensure_future(anext(batches, _END))
        while not await _done_soon(stop, step):
            yield None
        batch = step.result()
        if isinstance(batch, _End):
            return
        yield batch


async def _done_soon(stop: threading.Event, step: asyncio.Future[Any]) -> bool:
    if stop.is_set():
        step.cancel()
        await asyncio.wait((step,))
        raise Interrupted(
            "stopped on request: what was read has landed, and the same command goes on from there"
        )
    if not step.done():
        await asyncio.wait((step,), timeout=_POLL_S)
    return step.done()


async def chunked(
    batches: AsyncIterator[Batch | None],
    type_: Callable[[Sequence[Batch]], Awaitable[Typed]],
    *,
    bounds: Bounds = Bounds(),
    clock: Callable[[], float] = time.monotonic,
) -> AsyncGenerator[Chunk]:
    """Batches, typed a slice at a time, in chunks that land together; in order.

    A None among them is a moment to look at the clock. What was read before an error
    still comes out, before the error is raised.
    """
    parts: list[Typed] = []
    held: list[Batch] = []
    typing: deque[asyncio.Future[Typed]] = deque()
    size, began = 0, clock()

    async def close_slice(*, wait: bool) -> None:
        """Type what is held, while the next slice is read; `wait` for it at a chunk's end."""
        if held:
            typing.append(asyncio.ensure_future(type_(tuple(held))))
            held.clear()
        while typing and (wait or len(typing) > 1):
            try:
                parts.append(await typing.popleft())
            except Exception:
                # What comes after a slice that is lost may not land: its checkpoint would pass it.
                await asyncio.gather(*typing, return_exceptions=True)
                typing.clear()
                held.clear()
                raise

    try:
        async for batch in batches:
            if batch is not None:
                held.append(batch)
                size += len(batch.page.ids)
            is_late = size > 0 and clock() - began >= bounds.chunk_seconds
            is_full = size >= bounds.chunk_records or is_late
            if is_full or sum(len(b.page.ids) for b in held) >= bounds.slice_records:
                await close_slice(wait=is_full)
            if is_full:
                yield Chunk(tuple(parts))
                parts.clear()
                size, began = 0, clock()
        await close_slice(wait=True)
    except Exception:
        with contextlib.suppress(Exception):  # the first failure is the one to tell
            await close_slice(wait=True)
        if parts:
            yield Chunk(tuple(parts))
        raise
    if parts:
        yield Chunk(tuple(parts))
