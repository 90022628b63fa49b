"""HubSpot's request limits, and what the tests want to know about the requests."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_S: Final = 10.0
SEARCH_WINDOW_S: Final = 1.0


class RollingWindow:
    """At most `limit` admissions in any `window_s` seconds: a true rolling window."""

    def __init__(self, limit: int, window_s: float) -> None:
        self.limit = limit
        self.window_s = window_s
        self._admitted: deque[float] = deque()

    def admit(self, at_s: float) -> bool:
        """Count an arrival if there is room for it; arrivals come in order of time."""
        if self.remaining(at_s) <= 0:
            return False
        self._admitted.append(at_s)
        return True

    def remaining(self, at_s: float) -> int:
        """How many more may arrive at this moment."""
        while self._admitted and self._admitted[0] <= at_s - self.window_s:
            self._admitted.popleft()
        return self.limit - len(self._admitted)


class Limits:
    """The three limits: rolling 10 s, search per second, and the day.

    Args:
        requests_per_10s: For every endpoint but search.
        search_requests_per_s: For search alone.
        requests_per_day: For all together; refused requests do not count.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        *,
        requests_per_10s: int,
        search_requests_per_s: int,
        requests_per_day: int,
        clock: Callable[[], float],
    ) -> None:
        self.ordinary = RollingWindow(requests_per_10s, WINDOW_S)
        self.search = RollingWindow(search_requests_per_s, SEARCH_WINDOW_S)
        self.per_day = requests_per_day
        self.used_today = 0
        self.clock = clock

    def refusal(self, *, is_search: bool, at_s: float) -> str | None:
        """The name of the limit that an arrival breaks; None lets it in and counts it."""
        if self.used_today >= self.per_day:
            return "DAILY"
        if is_search and not self.search.admit(at_s):
            return "SECONDLY"
        if not is_search and not self.ordinary.admit(at_s):
            return "TEN_SECONDLY_ROLLING"
        self.used_today += 1
        return None

    def headers(self, *, is_search: bool, is_oauth: bool = False) -> dict[str, str]:
        """Rate-limit headers of an answer: search has only the daily ones, OAuth all others."""
        daily = {
            "X-HubSpot-RateLimit-Daily": str(self.per_day),
            "X-HubSpot-RateLimit-Daily-Remaining": str(self.per_day - self.used_today),
        }
        if is_oauth:
            daily = {}
        if is_search:
            return daily
        remaining = max(0, self.ordinary.remaining(self.clock()))
        return daily | {
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(WINDOW_S * 1000)),
            "X-HubSpot-RateLimit-Max": str(self.ordinary.limit),
            "X-HubSpot-RateLimit-Remaining": str(remaining),
            "X-HubSpot-RateLimit-Secondly": str(self.ordinary.limit // 10),
            "X-HubSpot-RateLimit-Secondly-Remaining": str(
                min(remaining, self.ordinary.limit // 10)
            ),
        }


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request: when it came in (the app's clock), what it asked for, what it got.

    `status` is 0 where a fault sent nothing at all.
    """

    at_s: float
    endpoint: str
    object_type: str
    status: int


@dataclass(slots=True)
class Statistics:
    """What arrived at the simulator, refused requests included.

    Attributes:
        requests: Count by endpoint: "batch_read", "list", "read", "search", "token", …
        faults: Count of faults that took effect, by name.
        refused: Count of 429 by policy: TEN_SECONDLY_ROLLING, SECONDLY, DAILY.
        greatest_in_10s: Most requests, search and tokens aside, in any rolling 10 seconds.
        greatest_searches_in_1s: Most searches in any rolling second.
        arrivals: Every answered request, in the order of the answers.
    """

    requests: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    greatest_in_10s: int = 0
    greatest_searches_in_1s: int = 0
    arrivals: list[Arrival] = field(default_factory=list)
    _recent: deque[float] = field(default_factory=deque)
    _recent_searches: deque[float] = field(default_factory=deque)

    @property
    def count(self) -> int:
        """All requests."""
        return self.requests.total()

    @property
    def rate_limited(self) -> int:
        """All answers with status 429."""
        return self.refused.total()

    def arrive(self, endpoint: str, at_s: float) -> None:
        """Count a request that came in."""
        self.requests[endpoint] += 1
        if endpoint == "token":
            return
        if endpoint == "search":
            most = _most(self._recent_searches, at_s, SEARCH_WINDOW_S)
            self.greatest_searches_in_1s = max(self.greatest_searches_in_1s, most)
        else:
            most = _most(self._recent, at_s, WINDOW_S)
            self.greatest_in_10s = max(self.greatest_in_10s, most)


def _most(recent: deque[float], at_s: float, window_s: float) -> int:
    recent.append(at_s)
    while recent[0] <= at_s - window_s:
        recent.popleft()
    return len(recent)
