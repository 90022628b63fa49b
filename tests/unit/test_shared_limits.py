"""Several windows on one file, as processes with the same token have them; and what a 429 does."""

from __future__ import annotations

import asyncio
import math
import os
import random
import stat
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from virtual_time import RollingServer, drive, run, window

from pipelines.hubspot import places
from pipelines.hubspot.limits import Limits
from pipelines.hubspot.places import Places, budget_name, shared_places
from pipelines.hubspot.window import LEASE_S


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "budgets"


def on_one_file(folder, limit, *, processes, name="main", **options):
    return [window(limit, places=shared_places(name, folder), **options) for _ in range(processes)]


async def process(limiter, server, *, requests, workers, killed_at=None):
    """Requests from one process; it is killed when that moment comes, and gives nothing back."""
    left = iter(range(requests))

    async def worker():
        for _ in left:
            slot = limiter.slot()
            await limiter.acquire(slot)
            await server.request()
            limiter.release(slot)

    tasks = [asyncio.ensure_future(worker()) for _ in range(workers)]
    wait_s = None if killed_at is None else killed_at
    _, running = await asyncio.wait(tasks, timeout=wait_s)
    for task in running:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@settings(max_examples=60, deadline=None)
@given(
    limit=st.integers(1, 20),
    workers=st.lists(st.integers(1, 12), min_size=2, max_size=3),
    killed_at=st.lists(st.none() | st.floats(0, 60), min_size=3, max_size=3),
    seed=st.integers(0, 2**32),
    slowest=st.sampled_from([0.0, 0.01, 0.5, 3.0, 30.0]),
)
def test_never_more_than_the_limit_together(limit, workers, killed_at, seed, slowest):
    """However the requests of two or three processes interleave, and whoever is killed when."""
    rng = random.Random(seed)

    async def main(folder):
        server = RollingServer(
            limit, 10.0, lambda: (rng.random() * slowest, rng.random() * slowest)
        )
        limiters = on_one_file(folder, limit, processes=len(workers))
        await asyncio.gather(
            *(
                process(limiter, server, requests=2 * limit + 3, workers=count, killed_at=at)
                for limiter, count, at in zip(limiters, workers, killed_at, strict=False)
            )
        )
        return server.most

    with tempfile.TemporaryDirectory() as made:
        assert run(main(Path(made))) <= limit


@pytest.mark.parametrize("busy", [1, 2, 3])
def test_nothing_is_wasted_when_others_are_idle(busy, folder):
    """Of three processes one, two or all are at work: together they use the whole limit."""

    async def main():
        server = RollingServer(190, 10.0, lambda: (0.06, 0.06))
        limiters = on_one_file(folder, 190, processes=3)[:busy]
        seconds = await asyncio.gather(
            *(drive(one, server, requests=190 * 30 // busy, workers=24) for one in limiters)
        )
        return server.refused, 190 * 29 / max(seconds) / 19

    refused, share = run(main())

    assert refused == 0
    assert share >= 0.97


def test_what_a_killed_process_had_taken_comes_back_by_itself(folder):
    async def main():
        killed, other = on_one_file(folder, 2, processes=2)
        await killed.acquire()
        await killed.acquire()
        async with other.slot():
            return asyncio.get_running_loop().time() - 1000

    assert run(main()) == pytest.approx(LEASE_S + 10, abs=2)


def test_a_process_that_ends_with_its_last_answer_leaves_no_place_taken(folder):
    """`crm doctor` is such a one: else a few of them would leave nothing for two minutes."""

    async def ended():
        (one,) = on_one_file(folder, 2, processes=1)
        async with one.slot():
            pass

    async def main():
        (other,) = on_one_file(folder, 2, processes=1)
        async with other.slot():
            return asyncio.get_running_loop().time() - 1000

    for _ in range(2):
        run(ended())  # its loop ends at once, and nothing that it had put off is ever done

    assert run(main()) == pytest.approx(10, abs=0.1)


def test_a_late_answer_does_not_free_the_place_of_another(folder):
    """Its lease has ended, and somebody else has that place now."""

    async def main():
        slow, other = on_one_file(folder, 1, processes=2)
        late, next_ = slow.slot(), other.slot()
        await slow.acquire(late)
        await other.acquire(next_)
        slow.release(late)
        await asyncio.sleep(11)  # the late answer's own period is over
        with other._places:
            return other._places.taken(asyncio.get_running_loop().time())

    assert run(main()) == 1


def test_a_limit_one_process_learns_is_known_to_the_next(folder):
    async def main():
        first, second = on_one_file(folder, 100, processes=2)
        first.resize(190, 5.0)
        async with second.slot():
            pass
        (third,) = on_one_file(folder, 100, processes=1)
        return [(one.limit, one.period_s) for one in (first, second, third)]

    assert run(main()) == [(190, 5.0)] * 3


def test_the_lowest_limit_of_those_at_work_holds_for_all(folder):
    """Or the one who keeps it would never find so few places taken."""

    async def main():
        server = RollingServer(100, 10.0, lambda: (0.01, 0.01))
        (modest,) = on_one_file(folder, 100, processes=1, cap=20)
        (greedy,) = on_one_file(folder, 100, processes=1)
        other = asyncio.ensure_future(drive(greedy, server, requests=10_000, workers=4))
        seconds = await drive(modest, server, requests=100, workers=4)
        most = server.most
        await asyncio.sleep(30)
        later = server.most
        other.cancel()
        return most, seconds, later

    most, seconds, later = run(main())

    assert most == 20
    assert seconds < 120  # half of 2 a second, or nearly
    assert later == 100  # and when it has ended, the other may have all of it


def test_requests_of_our_own_processes_are_not_taken_for_others(folder):
    rng = random.Random(5)

    async def main():
        server = RollingServer(50, 10.0, lambda: (rng.random(), rng.random()))
        time = asyncio.get_running_loop().time
        limiters = on_one_file(folder, 50, processes=3)

        def observe(limiter):
            def told(headers, slot):
                limiter.observe_remaining(int(headers["x-hubspot-ratelimit-remaining"]), slot)

            return told

        await asyncio.gather(
            *(
                drive(one, server, requests=300, workers=12, observe=observe(one))
                for one in limiters
            )
        )
        return limiters[0]._held(time()), server.refused

    assert run(main()) == (0, 0)


def test_the_share_used_is_that_of_the_process(folder):
    async def main():
        server = RollingServer(20, 10.0, lambda: (0.01, 0.01))
        one, other = on_one_file(folder, 20, processes=2)
        await asyncio.gather(
            drive(one, server, requests=600, workers=2),
            drive(other, server, requests=600, workers=2),
        )
        return one.used_share(), other.used_share()

    assert run(main()) == pytest.approx((0.5, 0.5), abs=0.05)


def test_a_restart_of_the_machine_wedges_nobody(folder):
    """The clock begins anew, so every moment in the file is far ahead."""

    async def main():
        (before,) = on_one_file(folder, 1, processes=1)
        async with before.slot():
            pass
        loop = asyncio.get_running_loop()
        loop.now -= 990
        (after,) = on_one_file(folder, 1, processes=1)
        async with after.slot():
            return loop.time()

    assert run(main()) == pytest.approx(10, abs=0.1)


@settings(max_examples=100, deadline=None)
@given(
    head=st.binary(max_size=8 * 16),
    numbers=st.lists(st.floats(), max_size=40),
    at=st.integers(0, 2000),
)
def test_a_broken_file_wedges_nobody(head, numbers, at):
    """Whatever is in it, a place is to be had twenty minutes later at most."""

    async def main(folder):
        limiter = window(1, places=shared_places("main", folder))
        cells = limiter._places.cells
        for cell, number in enumerate(numbers, start=at):
            cells[cell] = number
        cells.cast("B")[: len(head)] = head
        cells[places.RECOUNT_AT] = 0.0
        async with asyncio.timeout(1300), limiter.slot():
            return True

    with tempfile.TemporaryDirectory() as made:
        assert run(main(Path(made)))


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=8 * 16) | st.lists(st.floats(), max_size=16))
@example(content=b"x" * 10)  # a period of nearly no time, in which any number of requests fit
@example(content=[math.nan] * 16)
@example(content=[5, 1e12])
def test_a_file_that_was_broken_before_is_not_believed(content):
    async def main(folder):
        shared_places("main", folder)
        (path,) = folder.iterdir()
        head = content if isinstance(content, bytes) else struct.pack(f"{len(content)}d", *content)
        path.write_bytes(head)
        limiter = window(3, places=shared_places("main", folder))
        return 0.1 <= limiter.period_s <= 60

    with tempfile.TemporaryDirectory() as made:
        assert run(main(Path(made) / "budgets"))


def test_a_process_stopped_while_it_has_the_lock_stops_nobody_else(folder):
    """Ctrl-Z at the wrong microsecond; when it is continued, the lock is kept again."""
    stopped, other = shared_places("main", folder), shared_places("main", folder)

    with stopped, other as cells:
        cells[places.SENT] += 1
        assert other._lock._patience_s == 0
    with other:
        assert other._lock._patience_s == places.PATIENCE_S
    with stopped as cells:
        assert cells[places.SENT] == 1


# ---------------------------------------------------------------- the file


def test_the_file_is_for_the_user_alone_and_does_not_name_the_token(folder, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(folder.parent))
    token = "pat-na1-secret"

    limits = Limits(shared_as=budget_name("https://api.hubapi.com", token))

    (made,) = folder.parent.iterdir()
    assert limits.main.is_shared
    assert limits.search.is_shared
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    for path in made.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert token not in path.name
        assert token.encode() not in path.read_bytes()


def test_another_token_or_address_is_another_budget():
    names = {
        budget_name("https://api.hubapi.com", "a"),
        budget_name("https://api.hubapi.com", "b"),
        budget_name("http://127.0.0.1:8999", "a"),
    }

    assert len(names) == 3
    assert {len(name) for name in names} == {16}


@pytest.mark.parametrize("wrong", ["open to others", "a link", "a file", "no way to make it"])
def test_without_a_folder_of_its_own_a_process_keeps_the_limit_alone(wrong, tmp_path):
    """Somebody else could fill in a folder that they may write."""
    folder = tmp_path / "budgets"
    match wrong:
        case "open to others":
            folder.mkdir()
            folder.chmod(0o777)
        case "a link":
            (tmp_path / "elsewhere").mkdir(mode=0o700)
            folder.symlink_to(tmp_path / "elsewhere")
        case "a file":
            folder.touch()
        case _:
            folder = tmp_path / "missing" / "budgets"

    assert not shared_places("main", folder).is_shared


def test_files_that_nobody_uses_any_more_are_removed(folder):
    shared_places("old", folder)
    shared_places("new", folder)
    for path in folder.glob("old.*"):
        os.utime(path, (0, 0))

    shared_places("main", folder)

    assert sorted(path.stem for path in folder.iterdir()) == ["main", "new"]


# ---------------------------------------------------------------- a reserve, and 429


def test_the_reserve_is_left_to_others():
    async def main():
        server = RollingServer(70, 10.0, lambda: (0.01, 0.01))
        await drive(window(100, reserve=30), server, requests=300, workers=24)
        return server.refused, server.most

    assert run(main()) == (0, 70)


def test_a_reserve_beyond_the_limit_leaves_one_request():
    async def main():
        server = RollingServer(1, 10.0, lambda: (0.01, 0.01))
        seconds = await drive(window(100, reserve=300), server, requests=3, workers=3)
        return server.refused, round(seconds)

    assert run(main()) == (0, 20)


def most_at_once(limiter):
    """How many places it would take at this moment."""
    return limiter._most(asyncio.get_running_loop().time())


@pytest.mark.parametrize(
    ("limit", "refusals", "left", "step"),
    [(100, 1, 98, 5), (100, 10, 80, 5), (100, 99, 50, 5), (5, 1, 3, 0.25), (1, 1, 1, 0.05)],
)
def test_refusals_give_places_up_and_they_are_taken_back_little_by_little(
    limit, refusals, left, step
):
    """Two for each refusal, but never more than half, and one place stays."""

    async def main():
        limiter = window(limit)
        async with limiter.slot():
            pass
        for _ in range(refusals):
            limiter.slow_down()
        found = [most_at_once(limiter)]
        while found[-1] < limit:
            await asyncio.sleep(10)
            found.append(most_at_once(limiter))
        return found

    steps = run(main())

    assert steps == [min(math.floor(left + n * step), limit) for n in range(len(steps))]
    assert steps[-1] == limit


def test_what_was_given_up_of_a_higher_limit_is_no_more_than_half_of_a_lower_one():
    """Else one request in 10 s would be all for a quarter of an hour."""

    async def main():
        limiter = window(190)
        async with limiter.slot():
            pass
        for _ in range(99):
            limiter.slow_down()
        limiter.resize(20, 10.0)
        return most_at_once(limiter)

    assert run(main()) == 10


def test_refusals_that_come_by_chance_cost_little():
    """One in a hundred, whatever we do: slower and slower would be no answer."""

    async def main():
        limiter = window(100)
        server = RollingServer(100, 10.0, lambda: (0.01, 0.01))
        began = asyncio.get_running_loop().time()
        for number in range(3000):
            async with limiter.slot():
                await server.request()
            if number % 100 == 0:
                limiter.slow_down()
        return asyncio.get_running_loop().time() - began

    assert run(main()) < 3000 / 100 * 10 * 1.05


def test_refusals_end_though_nothing_tells_of_the_others():
    """A server that lets through less than it says: after some refusals hardly any more."""

    async def main():
        limiter = window(100)
        server = RollingServer(80, 10.0, lambda: (0.01, 0.01))

        async def worker():
            for _ in left:
                async with limiter.slot():
                    before = server.refused
                    await server.request()
                    if server.refused > before:
                        limiter.slow_down()

        left = iter(range(4000))
        await asyncio.gather(*(worker() for _ in range(4)))
        return server.refused

    assert run(main()) < 4000 * 0.05


def test_a_429_slows_every_process_down(folder):
    async def main():
        one, other = on_one_file(folder, 100, processes=2)
        async with one.slot():
            pass
        one.slow_down()
        return most_at_once(one), most_at_once(other)

    assert run(main()) == (98, 98)


def test_a_window_of_its_own_is_not_shared():
    assert not Places().is_shared
