"""HubSpot's request limits, counted so that none is ever exceeded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from pipelines.hubspot.places import LONGEST_PERIOD_S, SHORTEST_PERIOD_S, shared_places
from pipelines.hubspot.quota import DailyQuota
from pipelines.hubspot.window import Clock, RollingWindow, Sleep, Slot

__all__ = ["Limits", "RollingWindow", "Slot"]

DEFAULT_REQUESTS_PER_10S = 100
DEFAULT_SEARCH_REQUESTS_PER_S = 5
MAIN_PERIOD_S = 10.0
SEARCH_PERIOD_S = 1.0
MOST_DIGITS = 15  # exact as a float; what has more is no count


class Limits:
    """The limits of an account: all requests over 10 s, search over 1 s, and the day's quota.

    Search has its own limit and is not counted in the other.

    Args:
        requests_per_10s: Never more than this, and less where HubSpot's headers
            say so. None: what the headers say, 100 until the first answer.
        search_requests_per_s: For the whole account, all its apps together.
        reserve_per_10s: Requests of the first limit that are left to others.
        daily_reserve_pct: Per cent of the day's quota that are left to others.
        shared_as: Processes of this machine that give the same name keep the limits
            together; see `places.budget_name`. None: this object keeps its own.
        clock: The machine's, the same for all its processes.
        sleep: Seconds.
    """

    def __init__(
        self,
        *,
        requests_per_10s: int | None = None,
        search_requests_per_s: int = DEFAULT_SEARCH_REQUESTS_PER_S,
        reserve_per_10s: int = 0,
        daily_reserve_pct: int = 0,
        shared_as: str | None = None,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.main = RollingWindow(
            requests_per_10s or DEFAULT_REQUESTS_PER_10S,
            MAIN_PERIOD_S,
            cap=requests_per_10s,
            reserve=reserve_per_10s,
            places=shared_places(f"{shared_as}-main") if shared_as else None,
            clock=clock,
            sleep=sleep,
        )
        self.search = RollingWindow(
            search_requests_per_s,
            SEARCH_PERIOD_S,
            cap=search_requests_per_s,
            places=shared_places(f"{shared_as}-search") if shared_as else None,
            clock=clock,
            sleep=sleep,
        )
        self.day = DailyQuota(daily_reserve_pct)

    def observe(self, headers: Mapping[str, str], slot: Slot | None = None) -> None:
        """Learn from the headers of an answer.

        Args:
            headers: Names in lower case, or a mapping that ignores case.
            slot: The place in the main window of the request that was answered.
        """
        daily = _number(headers, "x-hubspot-ratelimit-daily")
        if daily is not None:
            self.day.observe(daily, _number(headers, "x-hubspot-ratelimit-daily-remaining"))
        if slot is None:
            return
        limit = _number(headers, "x-hubspot-ratelimit-max")
        if limit:
            interval_ms = _number(headers, "x-hubspot-ratelimit-interval-milliseconds")
            period_s = interval_ms / 1000 if interval_ms else self.main.period_s
            self.main.resize(limit, min(max(period_s, SHORTEST_PERIOD_S), LONGEST_PERIOD_S))
            remaining = _number(headers, "x-hubspot-ratelimit-remaining")
            if remaining is not None:
                self.main.observe_remaining(remaining, slot)

    def used_share(self) -> float:
        """Share of the main limit used since the first request."""
        return self.main.used_share()


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "")
    is_count = text.isdecimal() and text.isascii() and len(text) <= MOST_DIGITS
    return int(text) if is_count else None
