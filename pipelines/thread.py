"""Fetching in a thread of its own, so that it goes on while a chunk is landed."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class Room:
    """For how many more records may be asked, until some of those before are on disk."""

    def __init__(self, records: int) -> None:
        self._free = records
        self._turn = asyncio.Lock()
        self._given = asyncio.Event()
        self._told: asyncio.Queue[int] = asyncio.Queue()

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

    async def told(self) -> int:
        """What the other half of the run tells next; waits for it."""
        return await self._told.get()

    def tell(self, count: int) -> None:
        """Tell the stream. Call it in the thread of the event loop."""
        self._told.put_nowait(count)


@dataclass(frozen=True, slots=True)
class _Ended:
    failure: BaseException | None = None


class SharedLoop:
    """An event loop in a thread of its own, for streams that share a limit; gone with this object.

    What waits its turn in asyncio belongs to one event loop, whoever else counts on it.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(
            target=_run_until_stopped, args=(self.loop,), name="shared loop", daemon=True
        ).start()
        weakref.finalize(self, self.loop.call_soon_threadsafe, self.loop.stop)


def _run_until_stopped(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


class Fetch(Generic[T]):
    """Items of an async stream that runs in a thread of its own; iterate inside `with`.

    The stream goes on by itself for as long as there is room: `taken()` gives back
    what the stream took for items that are safe on disk.

    Args:
        stream: Makes the async stream; called once, inside the thread's event loop.
        room: What the stream may take before something is given back.
        shared: Runs the stream; None: an event loop of its own does.
    """

    def __init__(
        self,
        stream: Callable[[Room], AsyncGenerator[T]],
        *,
        room: int,
        shared: SharedLoop | None = None,
    ) -> None:
        self._stream = stream
        self._shared = shared
        self._room = Room(room)
        self._ready: queue.Queue[T | _Ended] = queue.Queue()
        self._next: T | _Ended | None = None
        self._loop = shared.loop if shared else asyncio.new_event_loop()
        self._pumping: asyncio.Task[None] | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="fetch", daemon=True)

    def __enter__(self) -> Fetch[T]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
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

    def tell(self, count: int) -> None:
        """Answer what the stream waits for in `Room.told`."""
        self._soon(self._room.tell, count)

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
            if self._shared is not None:
                asyncio.run_coroutine_threadsafe(self._pump(), self._loop).result()
            else:
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
