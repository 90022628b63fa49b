"""HubSpot's request limits, counted so that none is ever exceeded.

Existing limiters (pyrate-limiter, aiolimiter) count a request when it is sent.
The server counts it when it arrives, so under a latency that varies two
requests can lie closer together there than here, and a 429 gets through. Here
a slot stays taken until a full period after the *answer*, which the server
cannot have counted later than.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

DEFAULT_REQUESTS_PER_10S = 100
DEFAULT_SEARCH_REQUESTS_PER_S = 5
MAIN_PERIOD_S = 10.0
SEARCH_PERIOD_S = 1.0
# Timers and clocks on both sides are good to about a millisecond.
MARGIN_S = 0.005
# Others are seen only after they have sent; they may send a little more next time.
OTHERS_GROWTH = 1.1

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[object]]


class Slot:
    """One place in a window, for one request. Use as `async with`."""

    __slots__ = ("_window", "seen")

    def __init__(self, window: RollingWindow) -> None:
        self._window = window
        self.seen = 0

    async def __aenter__(self) -> Slot:
        await self._window.acquire(self)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._window.release()


class RollingWindow:
    """At most `limit` requests in any `period_s`, as the server counts them.

    First come, first served. Only the first in line waits for time; the others
    wait for it, so the cost of a request does not grow with their number.
    """

    def __init__(
        self,
        limit: int,
        period_s: float,
        *,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.limit = limit
        self.period_s = period_s
        self._clock = clock
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._alarm: asyncio.Future[object] | None = None
        self._in_flight = 0
        self._sent = 0
        self._free_at: deque[float] = deque()  # of answered requests, ascending
        self._others = [0, 0]  # most places seen taken by others: in this period, in the last
        self._others_until = 0.0
        self._started_at: float | None = None
        self._allowed = 0.0  # requests allowed before the present limit held
        self._allowed_until = 0.0

    def slot(self) -> Slot:
        """A place for one request: `async with window.slot(): send()`."""
        return Slot(self)

    async def acquire(self, slot: Slot | None = None) -> None:
        """Wait for a place. Each `acquire` needs one `release`."""
        async with self._turn:
            while (wait_s := self._wait_s()) > 0:
                await self._doze(wait_s)
            self._in_flight += 1
            self._sent += 1
            if slot is not None:
                slot.seen = self._in_flight + len(self._free_at) - self._sent
            if self._started_at is None:
                self._started_at = self._allowed_until = self._clock()

    def release(self) -> None:
        """The answer is here, or will never come: the place is free a period from now."""
        self._in_flight -= 1
        self._free_at.append(self._clock() + self.period_s + MARGIN_S)

    def resize(self, limit: int, period_s: float) -> None:
        """Another limit from now on."""
        if (limit, period_s) == (self.limit, self.period_s):
            return
        self._allowed = self._allowance()
        self._allowed_until = self._clock()
        self.limit = limit
        self.period_s = period_s
        if self._alarm is not None:
            self._alarm.cancel()

    def observe_remaining(self, remaining: int, slot: Slot) -> None:
        """Hold places back for others who use the same limit, for one to two periods.

        `slot.seen` plus all sent since is the most of *our* requests that the
        server can have counted when it wrote `remaining`; whatever else is
        gone, others took. Never too many, so we alone are never slowed down.
        """
        others = self.limit - remaining - (slot.seen + self._sent)
        self._held(self._clock())
        if others > 0:
            self._others[0] = max(self._others[0], math.ceil(others * OTHERS_GROWTH))

    def _held(self, now: float) -> int:
        """Places held back at this moment."""
        if now >= self._others_until:
            fresh = now < self._others_until + self.period_s
            self._others = [0, self._others[0] if fresh else 0]
            self._others_until = now + self.period_s
        return max(self._others)

    def used_share(self) -> float:
        """Requests sent, as a share of those allowed since the first one.

        A window may be used up at its start, so what is over 1 just after that is 1.
        """
        if self._started_at is None:
            return 0.0
        return min(self._sent / max(self._allowance(), self.limit), 1.0)

    def _allowance(self) -> float:
        if self._started_at is None:
            return 0.0
        elapsed = self._clock() - self._allowed_until
        return self._allowed + elapsed * self.limit / self.period_s

    def _wait_s(self) -> float:
        """Seconds until a place may be free; 0 when one is."""
        now = self._clock()
        free_at = self._free_at
        while free_at and free_at[0] <= now:
            free_at.popleft()
        # One place stays ours, or nothing would ever tell that the others are gone.
        if self._in_flight + len(free_at) < max(self.limit - self._held(now), 1):
            return 0.0
        # A request that is still under way frees its place a whole period from now or later.
        until = free_at[0] if free_at else now + self.period_s
        return min(until, self._others_until) - now

    async def _doze(self, wait_s: float) -> None:
        """Sleep, or less when `resize` makes room."""
        self._alarm = asyncio.ensure_future(self._sleep(wait_s))
        try:
            await asyncio.wait((self._alarm,))
        finally:
            self._alarm.cancel()
            self._alarm = None


class Limits:
    """Both limits of an account: all requests over 10 s, and search over 1 s.

    Search has its own limit and is not counted in the other.

    Args:
        requests_per_10s: Never more than this, and less where HubSpot's headers
            say so. None: what the headers say, 100 until the first answer.
        search_requests_per_s: For the whole account, all its apps together.
    """

    def __init__(
        self,
        *,
        requests_per_10s: int | None = None,
        search_requests_per_s: int = DEFAULT_SEARCH_REQUESTS_PER_S,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._cap = requests_per_10s
        start = requests_per_10s or DEFAULT_REQUESTS_PER_10S
        self.main = RollingWindow(start, MAIN_PERIOD_S, clock=clock, sleep=sleep)
        self.search = RollingWindow(
            search_requests_per_s, SEARCH_PERIOD_S, clock=clock, sleep=sleep
        )
        self.daily_limit: int | None = None
        self.daily_remaining: int | None = None

    def observe(self, headers: Mapping[str, str], slot: Slot | None = None) -> None:
        """Learn from the headers of an answer.

        Args:
            headers: Names in lower case, or a mapping that ignores case.
            slot: The place in the main window of the request that was answered.
        """
        daily = _number(headers, "x-hubspot-ratelimit-daily")
        if daily is not None:
            self.daily_limit = daily
            self.daily_remaining = _number(headers, "x-hubspot-ratelimit-daily-remaining")
        if slot is None:
            return
        limit = _number(headers, "x-hubspot-ratelimit-max")
        if limit:
            interval_ms = _number(headers, "x-hubspot-ratelimit-interval-milliseconds")
            period_s = interval_ms / 1000 if interval_ms else self.main.period_s
            self.main.resize(min(limit, self._cap or limit), period_s)
            remaining = _number(headers, "x-hubspot-ratelimit-remaining")
            if remaining is not None:
                self.main.observe_remaining(remaining, slot)

    def used_share(self) -> float:
        """Share of the main limit used since the first request."""
        return self.main.used_share()


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "")
    return int(text) if text.isdecimal() and text.isascii() else None
