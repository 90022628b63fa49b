"""Fetching in a thread of its own, so that it goes on while a chunk is typed and landed."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Generic, TypeVar

from pipelines.errors import Interrupted
from pipelines.hydrate import Batch

CHUNK_RECORDS: Final = 16_000
"""Records in one chunk, which is one load package and one checkpoint. With what is read ahead
it stays below the 20,000 that a killed process may lose."""
CHUNK_SECONDS: Final = 45.0
"""A chunk closes after this time even if it is small, so that a slow portal is saved too."""

READ_AHEAD: Final = 1

_POLL_S = 0.2  # how soon an interrupt is noticed


@dataclass(frozen=True, slots=True)
class Chunk:
    """Batches that land together. `after` is where discovery goes on; None: nothing is left."""

    batches: tuple[Batch, ...]

    @property
    def after(self) -> str | None:
        """The cursor once this chunk has landed."""
        return self.batches[-1].page.after

    @property
    def asked(self) -> int:
        """Ids asked for."""
        return sum(len(batch.page.ids) for batch in self.batches)


async def until(stop: threading.Event, batches: AsyncIterator[Batch]) -> AsyncIterator[Batch]:
    """The same batches, until `stop` is set.

    Raises:
        Interrupted: It was set before the stream ended; what was under way is given up.
    """
    while True:
        step = asyncio.ensure_future(anext(batches, None))
        while not step.done():
            if stop.is_set():
                step.cancel()
                await asyncio.wait((step,))
                raise Interrupted
            await asyncio.wait((step,), timeout=_POLL_S)
        batch = step.result()
        if batch is None:
            return
        yield batch


async def chunked(
    batches: AsyncIterator[Batch],
    *,
    max_records: int = CHUNK_RECORDS,
    max_seconds: float = CHUNK_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncGenerator[Chunk]:
    """Batches in groups of about `max_records` ids, in order.

    What was read before an error still comes out, before the error is raised.
    """
    held: list[Batch] = []
    size, began = 0, clock()
    try:
        async for batch in batches:
            held.append(batch)
            size += len(batch.page.ids)
            if size >= max_records or clock() - began >= max_seconds:
                yield Chunk(tuple(held))
                held, size, began = [], 0, clock()
    except Exception:
        if held:
            yield Chunk(tuple(held))
        raise
    if held:
        yield Chunk(tuple(held))


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Ended:
    failure: BaseException | None = None


class Fetch(Generic[T]):
    """Items of an async stream that runs in a thread of its own; iterate inside `with`.

    One item is made ahead: the one after it is begun when the consumer calls
    `taken()` for the first, that is when it is safe on disk.

    Args:
        stream: Makes the async stream; called once, inside the thread's event loop.
    """

    def __init__(self, stream: Callable[[], AsyncGenerator[T]]) -> None:
        self._stream = stream
        self._ready: queue.Queue[T | _Ended] = queue.Queue()
        self._room = threading.Semaphore(READ_AHEAD)
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
        self._is_closed = True
        self._room.release()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while not isinstance(item := self._ready.get(), _Ended):
            yield item
        if item.failure is not None:
            raise item.failure

    def taken(self) -> None:
        """The item got last is safe: another one may be made ahead."""
        self._room.release()

    @property
    def is_next_ready(self) -> bool:
        """Whether an item is waiting already."""
        return not self._ready.empty()

    def _run(self) -> None:
        try:
            asyncio.run(self._pump())
            self._ready.put(_Ended())
        except BaseException as exc:  # noqa: BLE001  (raised again where the items are used)
            self._ready.put(_Ended(exc))

    async def _pump(self) -> None:
        async with aclosing(self._stream()) as items:
            async for item in items:
                self._ready.put(item)
                await asyncio.to_thread(self._room.acquire)
                if self._is_closed:
                    return
