"""How long to wait before a repeat, and when to stop."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from hubspot_server import Clock
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import TransientError
from pipelines.hubspot.retry import RetryPolicy, repeat, retry_after_s


def failing(error, clock, *, seconds=0.0, **bounds):
    """Repeat what always fails after `seconds`; gives the number of attempts."""
    policy = RetryPolicy(clock=clock, sleep=clock.sleep, **bounds)
    attempts = 0

    async def send():
        nonlocal attempts
        attempts += 1
        clock.now += seconds
        raise error

    async def main():
        await repeat(send, policy, bounds=lambda _: policy, on_wait=lambda _: None)

    with pytest.raises(TransientError) as caught:
        asyncio.run(main())
    assert caught.value is error
    return attempts


def test_waits_grow_up_to_the_cap():
    """Full jitter: anything from nothing to the whole of it."""
    clock = Clock()
    attempts = failing(
        TransientError("no"), clock, attempts=6, base_s=1, cap_s=5, random=lambda: 1.0
    )

    assert attempts == 6
    assert clock.sleeps == [1, 2, 4, 5, 5]


def test_jitter_is_full():
    clock = Clock()
    failing(TransientError("no"), clock, attempts=4, random=lambda: 0.0)

    assert clock.sleeps == [0, 0, 0]


@pytest.mark.parametrize(("status", "least"), [(423, 2.0), (429, 1.0), (503, 0.0)])
def test_least_wait_by_status(status, least):
    clock = Clock()
    failing(TransientError("no", http_status=status), clock, attempts=2, random=lambda: 0.0)

    assert clock.sleeps == [least]


def test_retry_after_replaces_the_backoff():
    clock, error = Clock(), TransientError("no", http_status=429)
    error.retry_after = 17.0
    failing(error, clock, attempts=3)

    assert clock.sleeps == [17, 17]


def test_a_wait_beyond_the_total_is_not_begun():
    """An account on the move may ask for 24 h: give up at once, and say so by the attribute."""
    clock, error = Clock(), TransientError("moving", http_status=477)
    error.retry_after = 86400.0

    assert failing(error, clock) == 1
    assert clock.sleeps == []


@given(
    seconds=st.floats(0, 110),
    total_s=st.floats(0, 300),
    attempts=st.integers(1, 20),
    jitter=st.floats(0, 1),
)
def test_no_attempt_starts_after_the_total(seconds, total_s, attempts, jitter):
    clock = Clock()
    made = failing(
        TransientError("no"),
        clock,
        seconds=seconds,
        total_s=total_s,
        attempts=attempts,
        random=lambda: jitter,
    )

    assert made <= attempts
    assert clock.now - seconds <= total_s + 1e-6


def test_other_errors_are_not_repeated():
    async def send():
        raise KeyError

    async def main():
        policy = RetryPolicy()
        await repeat(send, policy, bounds=lambda _: policy, on_wait=lambda _: None)

    with pytest.raises(KeyError):
        asyncio.run(main())


NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "10"}, 10.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Sun, 01 Mar 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Sun, 01 Mar 2026 11:00:00 GMT"}, 0.0),
        (
            {
                "retry-after": "Sun, 01 Mar 2026 18:00:30 GMT",
                "date": "Sun, 01 Mar 2026 18:00:00 GMT",
            },
            30.0,
        ),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "²"}, None),
        ({"retry-after": "."}, None),
        ({"retry-after": "Sun, 01 Mar 99999999999999999999 12:00:30 GMT"}, None),
        ({"retry-after": "Sun, 01 Mar 2026 12:00:30 +99999999999999999999"}, None),
    ],
)
def test_retry_after_in_both_forms(headers, seconds):
    assert retry_after_s(headers, now=NOW) == seconds


DATE_PARTS = st.sampled_from(["Sun,", "01", "Mar", "2026", "9999", "12:00:30", "GMT", "-2359"])
DATES = st.lists(DATE_PARTS | st.integers().map(str) | st.text(max_size=5)).map(" ".join)


@given(st.text() | DATES)
def test_retry_after_never_raises(text):
    seconds = retry_after_s({"retry-after": text, "date": text}, now=NOW)

    assert seconds is None or seconds >= 0
