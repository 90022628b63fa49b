"""A rolling window of requests, which the processes of a machine can share.

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
from collections.abc import Awaitable, Callable

from pipelines.hubspot.places import (
    BOUND,
    BOUND_UNTIL,
    GIVEN_UP,
    MAX_PLACES,
    OTHERS,
    OTHERS_BEFORE,
    OTHERS_UNTIL,
    PERIOD_S,
    SENT,
    SLOWED_AT,
    STATED,
    Places,
)

# Timers and clocks on both sides are good to about a millisecond.
MARGIN_S = 0.005
# Others are seen only after they have sent; they may send a little more next time.
OTHERS_GROWTH = 1.1
# A request is given up after 110 s. What is not given back by then was a killed process's.
LEASE_S = 120.0
# Places given up for each refused request, and the share of the limit taken back in a period.
COST_OF_REFUSAL = 2
TAKEN_BACK = 0.05
# What other processes change is seen after this time at the latest.
NAP_S = 1.0

# Answers are written down after this time at the latest.
SETTLE_S = 0.05

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[object]]


class Slot:
    """One place in a window, for one request. Use as `async with`."""

    __slots__ = ("_window", "at", "place", "seen", "until")

    def __init__(self, window: RollingWindow) -> None:
        self._window = window
        self.place = self.seen = 0
        self.at = self.until = 0.0

    async def __aenter__(self) -> Slot:
        await self._window.acquire(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._window.release(self)


class RollingWindow:
    """At most `limit` requests in any `period_s`, as the server counts them.

    Within a process first come, first served. Only the first in line waits for time; the
    others wait for it, so the cost of a request does not grow with their number.

    Args:
        limit: Until answers state another.
        period_s: Likewise.
        cap: Never more than this, whatever answers state.
        reserve: Places that are always left to others.
        places: Shared with other windows, of this process or of others, which then keep
            the limit together, the lowest of theirs; of this window alone when left out.
        clock: The same for all who share the places.
        sleep: Seconds.
    """

    def __init__(
        self,
        limit: int,
        period_s: float,
        *,
        cap: int | None = None,
        reserve: int = 0,
        places: Places | None = None,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._places = places or Places()
        self._cap = min(cap or MAX_PLACES, MAX_PLACES)
        self._reserve = reserve
        self._clock = clock
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._alarm: asyncio.Future[object] | None = None
        self._answered: list[tuple[Slot, float]] = []
        self._settling: asyncio.TimerHandle | None = None
        self._sent = 0
        self._under_way = 0
        self._started_at: float | None = None
        self._allowed = 0.0  # requests allowed before the present limit held
        self._allowed_until = 0.0
        self._stated = limit
        self.limit = min(limit, self._cap)
        self.period_s = period_s
        with self._places:
            self._places.taken(clock())  # looks whether the file can be believed
            self._learn()

    @property
    def is_shared(self) -> bool:
        """Whether other processes of this machine keep the limit together with this one."""
        return self._places.is_shared

    def slot(self) -> Slot:
        """A place for one request: `async with window.slot(): send()`."""
        return Slot(self)

    async def acquire(self, slot: Slot | None = None) -> None:
        """Wait for a place. Each `acquire` needs one `release` of its slot."""
        slot = slot or Slot(self)
        async with self._turn:
            while (wait_s := self._take(slot)) > 0:
                await self._doze(wait_s)
            self._sent += 1
            self._under_way += 1
            if self._started_at is None:
                self._started_at = self._allowed_until = slot.at

    def release(self, slot: Slot) -> None:
        """The answer is here, or will never come: the place is free a period from now."""
        self._answered.append((slot, self._clock() + self.period_s + MARGIN_S))
        self._under_way -= 1
        if not self._under_way:  # perhaps the last one of all: nobody may come to write it later
            self._settle_soon()
        elif self._settling is None:
            self._settling = asyncio.get_running_loop().call_later(SETTLE_S, self._settle_soon)

    def _settle_soon(self) -> None:
        with self._places:
            self._settle()

    def _settle(self) -> None:
        """Write down what was answered; inside the lock.

        With the next request, or soon: each time the lock is taken, a busy process waits for
        its other threads.
        """
        for slot, free_at in self._answered:
            self._places.give_back(slot.place, slot.until, free_at)
        self._answered.clear()
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None

    def resize(self, limit: int, period_s: float) -> None:
        """Another limit from now on, for all who share the places."""
        if (limit, period_s) == (self._stated, self.period_s):
            return
        with self._places as cells:
            cells[STATED], cells[PERIOD_S] = limit, period_s
            cells[BOUND_UNTIL] = 0.0
            self._learn()

    def observe_remaining(self, remaining: int, slot: Slot) -> None:
        """Hold places back for others who use the same limit, for one to two periods.

        `slot.seen` plus all sent since is the most of *our* requests (those of all who
        share the places) that the server can have counted when it wrote `remaining`;
        whatever else is gone, others took. Never too many, so we alone are never slowed
        down.
        """
        others = self._stated - remaining - (slot.seen + int(self._places.cells[SENT]))
        if others > 0:
            with self._places as cells:
                self._held(self._clock())
                cells[OTHERS] = max(cells[OTHERS], math.ceil(others * OTHERS_GROWTH))

    def slow_down(self) -> None:
        """A request was refused: one too many, for others may use the limit unseen.

        It gives up two places, all refusals together no more than half of the limit, and
        they are taken back little by little, a twentieth of the limit in a period. So many
        refusals cost many places, and a single one next to nothing.
        """
        with self._places as cells:
            now = self._clock()
            cells[GIVEN_UP] = self._given_up(now) + COST_OF_REFUSAL
            cells[SLOWED_AT] = now

    def used_share(self) -> float:
        """Requests this window sent, as a share of those allowed since the first one.

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

    def _take(self, slot: Slot) -> float:
        """Take a place for `slot`; or else the seconds until one may be free."""
        with self._places as cells:
            self._settle()
            now = self._clock()
            taken = self._places.taken(now)
            self._learn()
            if taken < self._most(now):
                place = self._places.lease(now + self.period_s + LEASE_S)
                if place is not None:
                    slot.place, slot.at, slot.until = place, now, cells[place]
                    slot.seen = taken + 1 - int(cells[SENT])
                    return 0.0
            # Nothing is to be had sooner; a request under way frees its place a period from now.
            return min(self._places.first_free_at(), cells[OTHERS_UNTIL], now + NAP_S) - now

    def _learn(self) -> None:
        """Go by what any of those who share the places was told last."""
        cells = self._places.cells
        stated = int(cells[STATED]) or self._stated
        limit, period_s = min(stated, self._cap), cells[PERIOD_S] or self.period_s
        self._stated = stated
        if (limit, period_s) == (self.limit, self.period_s):
            return
        self._allowed = self._allowance()
        self._allowed_until = self._clock()
        self.limit, self.period_s = limit, period_s
        if self._alarm is not None:
            self._alarm.cancel()

    def _most(self, now: float) -> int:
        """Places that we may take together at this moment."""
        given_up = math.ceil(self._given_up(now))
        most = min(self._bound(now) - given_up, self._stated - self._held(now))
        # One place stays ours, or nothing would ever tell that the others are gone.
        return max(most, 1)

    def _bound(self, now: float) -> int:
        """The lowest limit that any of us keeps; else one who keeps a lower one would starve."""
        cells = self._places.cells
        own = max(self.limit - self._reserve, 1)
        if now < cells[BOUND_UNTIL] and cells[BOUND] < own:
            return int(cells[BOUND])
        cells[BOUND], cells[BOUND_UNTIL] = own, now + 2 * self.period_s
        return own

    def _held(self, now: float) -> int:
        """Places held back for others at this moment."""
        cells = self._places.cells
        if now >= cells[OTHERS_UNTIL]:
            fresh = now < cells[OTHERS_UNTIL] + self.period_s
            cells[OTHERS_BEFORE] = cells[OTHERS] if fresh else 0
            cells[OTHERS], cells[OTHERS_UNTIL] = 0, now + self.period_s
        return int(max(cells[OTHERS], cells[OTHERS_BEFORE]))

    def _given_up(self, now: float) -> float:
        """Places still given up for refused requests at this moment."""
        cells = self._places.cells
        bound = self._bound(now)
        taken_back = (now - cells[SLOWED_AT]) / self.period_s * self.limit * TAKEN_BACK
        # Half of the limit that holds now: there may have been a higher one.
        return max(min(cells[GIVEN_UP], bound - max(bound // 2, 1)) - taken_back, 0.0)

    async def _doze(self, wait_s: float) -> None:
        """Sleep, or less when a raised limit makes room."""
        self._alarm = asyncio.ensure_future(self._sleep(wait_s))
        try:
            await asyncio.wait((self._alarm,))
        finally:
            self._alarm.cancel()
            self._alarm = None
