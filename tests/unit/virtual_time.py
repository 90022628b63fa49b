"""Time that jumps to the next timer, and a server that counts a true rolling window in it."""

from __future__ import annotations

import asyncio
import selectors
from collections import deque

from pipelines.hubspot.limits import RollingWindow


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__(selectors.SelectSelector())
        self._selector.select = self._jump  # type: ignore[method-assign]  # no loop takes a clock

    def _jump(self, timeout: float | None = None):
        assert timeout is not None, "nothing will ever happen again"
        self.now += timeout
        return []

    def time(self) -> float:
        return self.now


def run(main):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def window(limit, period_s=10.0, **options):
    return RollingWindow(limit, period_s, clock=asyncio.get_running_loop().time, **options)


class RollingServer:
    """Counts each request when it arrives, over exactly the last `period_s`."""

    def __init__(self, limit, period_s, latency):
        self.limit, self.period_s, self.latency = limit, period_s, latency
        self.seen = deque()
        self.most = 0
        self.refused = 0

    async def request(self):
        there, back = self.latency()
        await asyncio.sleep(there)
        self.count()
        remaining = self.limit - len(self.seen)
        await asyncio.sleep(back)
        return {
            "x-hubspot-ratelimit-max": str(self.limit),
            "x-hubspot-ratelimit-interval-milliseconds": str(round(self.period_s * 1000)),
            "x-hubspot-ratelimit-remaining": str(max(remaining, 0)),
        }

    def count(self):
        now = asyncio.get_running_loop().time()
        self.seen.append(now)
        while self.seen[0] <= now - self.period_s:
            self.seen.popleft()
        self.most = max(self.most, len(self.seen))
        self.refused += len(self.seen) > self.limit


async def drive(limiter, server, *, requests, workers, observe=None):
    """Send `requests` from `workers` tasks; gives the virtual seconds that took."""
    left = iter(range(requests))

    async def worker():
        for _ in left:
            async with limiter.slot() as slot:
                headers = await server.request()
            if observe:
                observe(headers, slot)

    started_at = asyncio.get_running_loop().time()
    await asyncio.gather(*(worker() for _ in range(workers)))
    return asyncio.get_running_loop().time() - started_at
