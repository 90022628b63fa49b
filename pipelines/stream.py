"""Fetching in a thread of its own, so that it goes on while a chunk is typed and landed."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Sequence,
)
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Generic, TypeVar

from pipelines.errors import Interrupted
from pipelines.hydrate import Batch
from pipelines.landing import Chunk, Typed

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
    """How large slices and chunks become, and how far reading may be ahead of the disk."""

    at_risk_records: int = AT_RISK_RECORDS
    chunk_records: int = CHUNK_RECORDS
    chunk_seconds: float = CHUNK_SECONDS
    slice_records: int = SLICE_RECORDS


class Room:
    """For how many more records may be asked, until some of those before are on disk."""

    def __init__(self, records: int) -> None:
        self._free = records
        self._turn = asyncio.Lock()
        self._given = asyncio.Event()

    async def take(self, records: int) -> None:
        """Wait for room, first come first served: a chunk is made of the first pages."""
        async with self._turn:
            while self._free < records:
                self._given.clear()
                await self._given.wait()
            self._free -= records

    def give(self, records: int) -> None:
        """So many are on disk. Call it in the thread of the event loop."""
        self._free += records
        self._given.set()


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
            parts.append(await typing.popleft())

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
    except Exception:
        await close_slice(wait=True)
        if parts:
            yield Chunk(tuple(parts))
        raise
    await close_slice(wait=True)
    if parts:
        yield Chunk(tuple(parts))


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Ended:
    failure: BaseException | None = None


class Fetch(Generic[T]):
    """Items of an async stream that runs in a thread of its own; iterate inside `with`.

    The stream goes on by itself for as long as there is room: `taken()` gives back
    what the stream took for items that are safe on disk.

    Args:
        stream: Makes the async stream; called once, inside the thread's event loop.
        room: What the stream may take before something is given back.
    """

    def __init__(self, stream: Callable[[Room], AsyncGenerator[T]], *, room: int) -> None:
        self._stream = stream
        self._room = Room(room)
        self._ready: queue.Queue[T | _Ended] = queue.Queue()
        self._next: T | _Ended | None = None
        self._loop = asyncio.new_event_loop()
        self._pumping: asyncio.Task[None] | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="fetch", daemon=True)

    def __enter__(self) -> Fetch[T]:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._soon(self._close)
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while not isinstance(item := self._get(), _Ended):
            yield item
        if item.failure is not None:
            raise item.failure

    def _get(self) -> T | _Ended:
        item, self._next = self._next, None
        return self._ready.get() if item is None else item

    def taken(self, records: int) -> None:
        """So many records are safe: as many more may be read."""
        self._soon(self._room.give, records)

    def is_next_within(self, seconds: float) -> bool:
        """Whether the next item comes within this time; waits until it does."""
        if self._next is None:
            with contextlib.suppress(queue.Empty):
                self._next = self._ready.get(timeout=seconds)
        return self._next is not None

    def _soon(self, call: Callable[..., None], *arguments: int) -> None:
        with contextlib.suppress(RuntimeError):  # the stream has ended, and its loop is closed
            self._loop.call_soon_threadsafe(call, *arguments)

    def _close(self) -> None:
        self._is_closed = True
        if self._pumping is not None:
            self._pumping.cancel()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._pump())
            self._ready.put(_Ended())
        except BaseException as exc:  # noqa: BLE001  (raised again where the items are used)
            self._ready.put(_Ended(exc))

    async def _pump(self) -> None:
        if self._is_closed:
            return
        self._pumping = asyncio.current_task()
        async with contextlib.aclosing(self._stream(self._room)) as items:
            async for item in items:
                self._ready.put(item)
