"""The limiter against a server's true rolling window, in virtual time."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import RollingServer, drive, run, window

from pipelines.hubspot.limits import Limits


@settings(max_examples=60, deadline=None)
@given(
    limit=st.integers(1, 25),
    workers=st.integers(1, 40),
    seed=st.integers(0, 2**32),
    slowest=st.sampled_from([0.0, 0.01, 0.5, 3.0, 30.0]),
)
def test_never_more_than_the_limit_in_any_window(limit, workers, seed, slowest):
    """Whatever the latency of each way: a limiter that counts at sending fails this."""
    rng = random.Random(seed)

    async def main():
        server = RollingServer(
            limit, 10.0, lambda: (rng.random() * slowest, rng.random() * slowest)
        )
        await drive(window(limit), server, requests=4 * limit + 3, workers=workers)
        return server.most

    assert run(main()) <= limit


@pytest.mark.parametrize("jitter_s", [0.0, 0.1], ids=["steady", "jitter"])
def test_pace_in_steady_state(jitter_s):
    """190 in 10 s at 120 ms: at least 97 % of what the limit allows, no refusal."""
    rng = random.Random(7)

    async def main():
        limits = Limits(clock=asyncio.get_running_loop().time)
        server = RollingServer(190, 10.0, lambda: (0.06 + rng.random() * jitter_s, 0.06))
        await drive(limits.main, server, requests=380, workers=24, observe=limits.observe)
        seconds = await drive(
            limits.main, server, requests=190 * 60, workers=24, observe=limits.observe
        )
        return server.refused, 190 * 60 / seconds / 19, limits.used_share()

    refused, share, reported = run(main())

    assert refused == 0
    assert share >= 0.97
    assert 0.96 <= reported <= 1


def test_first_come_first_served():
    async def main():
        limiter, order = window(2), []

        async def one(name):
            async with limiter.slot():
                order.append(name)

        await asyncio.gather(*(one(name) for name in range(20)))
        return order

    assert run(main()) == list(range(20))


def test_a_cancelled_waiter_takes_no_place():
    """Also the first in line, who is the one that waits for time."""

    async def main():
        limiter, loop = window(1), asyncio.get_running_loop()
        async with limiter.slot():
            pass
        waiting = [asyncio.ensure_future(limiter.acquire()) for _ in range(3)]
        await asyncio.sleep(1)
        waiting[0].cancel()
        waiting[1].cancel()
        started_at = loop.time()
        await waiting[2]
        return loop.time() - started_at

    assert run(main()) == pytest.approx(9, abs=0.02)


def test_a_request_that_fails_gives_its_place_back():
    async def main():
        limiter = window(1)
        for _ in range(3):
            with pytest.raises(RuntimeError):
                async with limiter.slot():
                    raise RuntimeError
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(1020, abs=0.1)


def test_a_raised_limit_wakes_those_who_wait():
    """The first answer says 190 where we began with 100: nobody waits out the 10 s."""

    async def main():
        limits = Limits(clock=asyncio.get_running_loop().time)
        server = RollingServer(190, 10.0, lambda: (0.06, 0.06))
        return await drive(limits.main, server, requests=190, workers=190, observe=limits.observe)

    assert run(main()) < 1


@pytest.mark.parametrize(
    ("configured", "stated", "limit"),
    [(None, "190", 190), (None, "50", 50), (150, "190", 150), (150, "110", 110)],
)
def test_limit_follows_the_headers_up_to_the_setting(configured, stated, limit):
    limits = Limits(requests_per_10s=configured)
    limits.observe({"x-hubspot-ratelimit-max": stated}, limits.main.slot())

    assert limits.main.limit == limit
    assert limits.main.period_s == 10


def test_interval_and_daily_headers_are_remembered():
    limits = Limits()
    limits.observe(
        {
            "x-hubspot-ratelimit-max": "110",
            "x-hubspot-ratelimit-interval-milliseconds": "5000",
            "x-hubspot-ratelimit-daily": "625000",
            "x-hubspot-ratelimit-daily-remaining": "624000",
        },
        limits.main.slot(),
    )

    assert (limits.main.limit, limits.main.period_s) == (110, 5)
    assert (limits.day.limit, limits.day.left) == (625000, 624000)


@pytest.mark.parametrize("text", ["", "-1", "many", "1.5", "²", "0", "9" * 400, "9" * 5000])
def test_odd_headers_change_nothing(text):
    limits = Limits()
    limits.observe(
        {
            "x-hubspot-ratelimit-max": text,
            "x-hubspot-ratelimit-interval-milliseconds": text,
            "x-hubspot-ratelimit-daily": text,
        },
        limits.main.slot(),
    )

    assert (limits.main.limit, limits.main.period_s) == (100, 10)
    assert not limits.day.limit


def test_a_period_of_months_is_none():
    """Nobody would wait for it, and the file that processes share takes it for broken."""
    limits = Limits()
    limits.observe(
        {
            "x-hubspot-ratelimit-max": "100",
            "x-hubspot-ratelimit-interval-milliseconds": "9" * 12,
        },
        limits.main.slot(),
    )

    assert limits.main.period_s == 60


def test_places_are_held_back_for_others_with_the_same_token():
    """Another program takes half: after the first answers the two share without a 429."""

    async def main():
        loop = asyncio.get_running_loop()
        limits = Limits(requests_per_10s=100, clock=loop.time)
        server = RollingServer(100, 10.0, lambda: (0.01, 0.01))

        async def other():
            for _ in range(50 * 12):
                server.count()
                await asyncio.sleep(0.2)

        elsewhere = asyncio.ensure_future(other())
        await asyncio.sleep(20)
        await drive(limits.main, server, requests=60, workers=1, observe=limits.observe)
        server.refused = 0
        await drive(limits.main, server, requests=200, workers=8, observe=limits.observe)
        elsewhere.cancel()
        return server.refused

    assert run(main()) == 0


def test_alone_nothing_is_held_back():
    """Answers that overtake each other must not look like another program."""
    rng = random.Random(3)

    async def main():
        limits = Limits(requests_per_10s=50, clock=asyncio.get_running_loop().time)
        server = RollingServer(50, 10.0, lambda: (rng.random(), rng.random()))
        await drive(limits.main, server, requests=1000, workers=50, observe=limits.observe)
        return limits.main._held(0)

    assert run(main()) == 0


def test_search_has_its_own_window():
    """5 in a second, not counted in the other; its answers say nothing about the main limit."""

    async def main():
        limits = Limits(clock=asyncio.get_running_loop().time)
        server = RollingServer(5, 1.0, lambda: (0.03, 0.03))
        seconds = await drive(limits.search, server, requests=50, workers=8)
        limits.observe({"x-hubspot-ratelimit-max": "5"})
        return server.refused, seconds, limits.main.limit, limits.used_share()

    refused, seconds, limit, share = run(main())

    assert refused == 0
    assert seconds < 10
    assert (limit, share) == (100, 0)


def test_used_share_before_and_within_the_first_window():
    async def main():
        limits = Limits(clock=asyncio.get_running_loop().time)
        before = limits.used_share()
        for _ in range(10):
            async with limits.main.slot():
                pass
        return before, limits.used_share()

    assert run(main()) == (0.0, 0.1)
