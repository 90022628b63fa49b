"""When to send a request again, and how long to wait before.

What is worth repeating is decided where an answer is judged: it raises
`TransientError` for 423, 429 (but not the daily limit), 477, 5xx and 52x, a
timeout, a broken connection and a body that was cut off; all else is final.
This module only decides whether there is still time for it.

Not stamina: its waits are exponential plus jitter rather than full jitter, its
total counts only what is past (so it would sleep 60 s in order to give up), and
its clock and sleep are not ours to pass in.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from pipelines.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

LOCKED = 423
TOO_MANY_REQUESTS = 429

# HubSpot: locks of bulk operations last about 2 s. A 429 means that the window
# is full, and asking again at once only counts as one more request.
LEAST_WAIT_S = {LOCKED: 2.0, TOO_MANY_REQUESTS: 1.0}

# A wrong base URL should not take the whole of a policy to be found out.
FIRST_CONTACT_ATTEMPTS = 3
FIRST_CONTACT_TOTAL_S = 5.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Bounds of the repeats of one request, all times in seconds.

    Before attempt n + 1 waits `random(0, min(cap_s, base_s * 2 ** (n - 1)))`, or
    as long as HubSpot asks for in Retry-After. No attempt starts later than
    `total_s` after the first one; a wait that would pass it is not begun. Waiting
    for a place in the limits is no part of it: that says nothing about HubSpot.
    """

    attempts: int = 8
    total_s: float = 120.0
    base_s: float = 0.5
    cap_s: float = 20.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False, compare=False)
    sleep: Callable[[float], Awaitable[object]] = field(
        default=asyncio.sleep, repr=False, compare=False
    )
    random: Callable[[], float] = field(default=random.random, repr=False, compare=False)

    def wait_s(self, error: TransientError, *, attempt: int, elapsed_s: float) -> float | None:
        """Seconds to wait before the next attempt; None to give up.

        Args:
            error: Why this attempt failed.
            attempt: Its number, from 1.
            elapsed_s: Time since the first attempt was sent.
        """
        if attempt >= self.attempts:
            return None
        wait_s = error.retry_after
        if wait_s is None:
            wait_s = self.random() * min(self.cap_s, self.base_s * 2 ** (attempt - 1))
        wait_s = max(wait_s, LEAST_WAIT_S.get(error.http_status or 0, 0.0))
        return wait_s if elapsed_s + wait_s <= self.total_s else None

    def first_contact(self) -> RetryPolicy:
        """The same, with less patience: for a host that has never answered."""
        return replace(
            self,
            attempts=min(self.attempts, FIRST_CONTACT_ATTEMPTS),
            total_s=min(self.total_s, FIRST_CONTACT_TOTAL_S),
        )


async def repeat(
    send: Callable[[], Awaitable[T]],
    policy: RetryPolicy,
    *,
    bounds: Callable[[TransientError], RetryPolicy],
    on_wait: Callable[[float], None],
    queued_s: Callable[[], float] = lambda: 0.0,
) -> tuple[T, int]:
    """What `send` returns in the end, and the number of attempts that took.

    Args:
        send: One attempt.
        policy: Its clock and sleep are used, and its bounds where `bounds` gives them back.
        bounds: The policy that fits an error.
        on_wait: Told the seconds before each wait.
        queued_s: Seconds that all attempts so far have waited for a place in the limits.

    Raises:
        TransientError: The last one, when the bounds are reached.
    """
    started_at = policy.clock()
    attempt = 1
    while True:
        try:
            return await send(), attempt
        except TransientError as error:
            elapsed_s = policy.clock() - started_at - queued_s()
            wait_s = bounds(error).wait_s(error, attempt=attempt, elapsed_s=elapsed_s)
            if wait_s is None:
                raise
        # Outside `except`: an interrupted wait is not a consequence of the error.
        on_wait(wait_s)
        await policy.sleep(wait_s)
        attempt += 1


def retry_after_s(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Seconds that Retry-After asks for, given as such or as an HTTP date; None without.

    A date is read against the answer's own Date, so our clock may be wrong.
    """
    text = headers.get("retry-after", "").strip()
    if text.replace(".", "", 1).isdecimal() and text.isascii():
        return float(text)
    until = _http_date(text)
    if until is None:
        return None
    since = _http_date(headers.get("date", "")) or now or datetime.now(UTC)
    return max((until - since).total_seconds(), 0.0)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # a year or a zone of many digits overflows
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
