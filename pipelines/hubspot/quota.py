"""The day's quota: how much of it is left, where to stop, and when to go on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from pipelines.hubspot.decode import moment

if TYPE_CHECKING:
    from pipelines.hubspot.wire import AccountDetails, DailyUsage

RESERVE_SETTING = "sources.hubspot.daily_reserve_pct"
# The numbers of the usage endpoint are some five minutes old, so asking sooner tells nothing.
REFRESH = timedelta(minutes=5)
UNDATED_AGE = timedelta(minutes=10)
# Kept beside the reserve, to ask for the account's time zone when it is reached.
SPARE = 1
# Left may seem to grow by what was lost on the way and never counted; by more, on a new day.
NEW_DAY_GROWTH = 100
# No account may send more in a day; a number beyond it is none.
GREATEST_QUOTA = 10**15


class ReserveReachedError(Exception):
    """The request would cross the reserve; it was not sent."""


class DailyQuota:
    """What is left of the day's quota by the last numbers known, less what was sent since.

    Args:
        reserve_pct: Per cent of the quota that are not used; 0: HubSpot says when to stop.
        now: Wall clock, aware.
    """

    def __init__(
        self, reserve_pct: int = 0, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.reserve_pct = reserve_pct
        self.limit: int | None = None
        self.left: int | None = None
        self._now = now
        self._sent = 0
        self._under_way = 0
        self._is_in_answers = False
        self._marks = [(now(), 0)]  # requests sent, by moment
        self._next_at: datetime | None = None if reserve_pct else datetime.max.replace(tzinfo=UTC)

    @property
    def reserve(self) -> int:
        """Requests of the day that are not used; 0 while the quota is not known."""
        return math.ceil((self.limit or 0) * self.reserve_pct / 100)

    def count(self, *, is_spare: bool = False) -> None:
        """Count a request that is sent now; tell of its answer later.

        Args:
            is_spare: It may be the last one before the reserve, or even touch it: so a run
                that begins when the reserve is reached can say until when.

        Raises:
            ReserveReachedError: It must not be sent.
        """
        if self.left is not None:
            least = 0 if is_spare else self.reserve + SPARE
            if self.reserve and self.left <= least:
                raise ReserveReachedError
            self.left -= 1
        self._sent += 1
        self._under_way += 1

    def uncount(self) -> None:
        """A request that was counted is answered, or will never be."""
        self._under_way -= 1

    def observe(self, limit: int, remaining: int | None) -> None:
        """Learn from the headers of an answer, which HubSpot wrote before it counted later ones."""
        self._is_in_answers = True
        self.limit = limit
        if remaining is None:
            return
        left = remaining - self._under_way
        # Answers may overtake each other: the lowest is the latest, but for a new day.
        is_new_day = self.left is not None and left > self.left + self._under_way + NEW_DAY_GROWTH
        if self.left is None or left < self.left or is_new_day:
            self.left = left

    def is_due(self) -> bool:
        """Whether to ask the usage endpoint, for answers do not tell the numbers."""
        if self._is_in_answers:
            return False
        return self._next_at is None or self._now() >= self._next_at

    def asked(self, usages: Sequence[DailyUsage] | None) -> None:
        """Learn from the usage endpoint; None when it does not answer this token at all."""
        now = self._now()
        self._marks.append((now, self._sent))
        self._next_at = datetime.max.replace(tzinfo=UTC) if usages is None else now + REFRESH
        lefts = [
            (usage.usage_limit - usage.current_usage - self._sent_since(usage), usage.usage_limit)
            for usage in usages or ()
            if usage.usage_limit is not None and 0 < usage.usage_limit <= GREATEST_QUOTA
            if usage.current_usage is not None and 0 <= usage.current_usage <= GREATEST_QUOTA
        ]
        if lefts and not self._is_in_answers:
            self.left, self.limit = min(lefts)

    def _sent_since(self, usage: DailyUsage) -> int:
        """Requests that are not in these numbers yet, or may not be."""
        at = moment(usage.collected_at) or self._now() - UNDATED_AGE
        before = [sent for sent_at, sent in self._marks if sent_at <= at]
        return self._sent - (before[-1] if before else 0)

    def is_short(self, requests: int) -> bool:
        """Whether so many more requests would touch the reserve; False while it is not known."""
        return (
            bool(self.reserve)
            and self.left is not None
            and (self.left - requests < self.reserve + SPARE)
        )

    def reached(self, account: AccountDetails | None, what: str = "the next request") -> str:
        """One line: how much is used, what is kept, and when to go on.

        Args:
            account: For its time zone; None when it is not known.
            what: That which would touch the reserve.
        """
        limit = self.limit or 0
        return (
            f"{what} would touch the reserve of HubSpot's quota for the day: "
            f"{limit - (self.left or 0):,} of {limit:,} requests are used and {self.reserve:,} "
            f"kept for other apps ({RESERVE_SETTING} = {self.reserve_pct}): "
            f"run the same command again after {next_midnight(account, self._now())}"
        )


def next_midnight(account: AccountDetails | None, now: datetime) -> str:
    """When the next day of an account begins, in words: date, time, offset from UTC, and zone."""
    zone, name = _zone_of(account)
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    at = datetime.combine(tomorrow, time(), zone)
    return f"midnight in {name}: {at:%Y-%m-%d %H:%M} UTC{at.isoformat()[-6:]}"


def _zone_of(account: AccountDetails | None) -> tuple[tzinfo, str]:
    if account is not None and account.time_zone:
        try:
            zone = ZoneInfo(account.time_zone)
        except (ValueError, OSError, KeyError):  # unknown here: not every system has all names
            pass
        else:
            return zone, f"the account's time zone {account.time_zone}"
    offset_ms = account.utc_offset_milliseconds if account is not None else None
    if offset_ms is not None and abs(offset_ms) < 86_400_000:
        return timezone(timedelta(milliseconds=offset_ms)), "the account's time zone"
    return UTC, "UTC, assumed because the account's time zone is not known"
