"""Chunks are checkpoints: what was read comes out before anything ends, and in order."""

from __future__ import annotations

import asyncio
import gc
import threading
from dataclasses import dataclass

import pytest

from pipelines.errors import Interrupted, TransientError
from pipelines.idpages import IdPage
from pipelines.stream import Bounds, chunked, until
from pipelines.thread import Fetch, Room, SharedLoop


@dataclass(frozen=True)
class Read:
    """As much of a batch as chunks need: its page of ids."""

    page: IdPage


def batch(number: int, size: int = 100) -> Read:
    ids = tuple(str(number * 1000 + n) for n in range(size))
    return Read(IdPage(ids, str(number + 1), is_fresh=True))


async def batches(count: int, *, failure: Exception | None = None, size: int = 100):
    for number in range(count):
        yield batch(number, size)
    if failure:
        raise failure


@dataclass(frozen=True)
class Slice:
    """What typing makes of some batches, reduced to which they were."""

    numbers: tuple[int, ...]
    after: str | None


async def typed(held) -> Slice:
    return Slice(tuple(int(one.page.after) - 1 for one in held), held[-1].page.after)


def chunks_of(stream, **options) -> tuple[list[list[tuple[int, ...]]], BaseException | None]:
    """The numbers of the batches by chunk and slice, and how the stream failed."""

    async def run():
        found, failure = [], None
        try:
            async for chunk in chunked(stream, typed, **options):
                found.append([part.numbers for part in chunk.parts])  # noqa: PERF401  (kept when the stream fails)
        except TransientError as exc:
            failure = exc
        return found, failure

    return asyncio.run(run())


def test_chunks_close_at_their_size_and_the_rest_comes_last():
    """One chunk is one load package and one checkpoint."""
    found, failure = chunks_of(batches(7), bounds=Bounds(chunk_records=300, slice_records=300))

    assert found == [[(0, 1, 2)], [(3, 4, 5)], [(6,)]]
    assert failure is None


def test_slices_are_typed_as_soon_as_they_are_full():
    """Their bytes can go then; a chunk is made of them in order."""
    found, _ = chunks_of(batches(6), bounds=Bounds(chunk_records=500, slice_records=200))

    assert found == [[(0, 1), (2, 3), (4,)], [(5,)]]


def test_a_chunk_closes_after_its_time_even_if_it_is_small():
    """A slow portal is saved too: at most a minute's work may be lost."""
    moments = iter(range(0, 10_000, 25))

    found, _ = chunks_of(
        batches(5),
        bounds=Bounds(chunk_records=10_000, chunk_seconds=45, slice_records=10_000),
        clock=lambda: float(next(moments)),
    )

    assert [len(numbers) for ((*numbers,),) in found] == [2, 2, 1]


def test_a_chunk_of_no_batches_does_not_come():
    """An empty portal has nothing to land."""
    assert chunks_of(batches(0)) == ([], None)


@pytest.mark.parametrize("count", [1, 3, 4])
def test_what_was_read_before_an_error_comes_out_first(count):
    """HubSpot may stop answering after an hour: that hour has to land."""
    found, failure = chunks_of(
        batches(count, failure=TransientError("no answer")),
        bounds=Bounds(chunk_records=300, slice_records=200),
    )

    assert [number for chunk in found for part in chunk for number in part] == [*range(count)]
    assert str(failure) == "no answer"


@pytest.mark.parametrize("lost", range(4))
def test_nothing_after_a_slice_that_cannot_be_typed_comes_out(lost):
    """Its checkpoint would pass the lost slice, and the next run would never read it."""

    async def typed_but_one(held) -> Slice:
        if held[0].page.after == str(2 * lost + 1):
            await asyncio.sleep(0)
            raise TransientError("not typed")
        return await typed(held)

    async def run():
        found, failure = [], None
        bounds = Bounds(chunk_records=400, slice_records=200)
        try:
            async for chunk in chunked(batches(8), typed_but_one, bounds=bounds):
                found += [number for part in chunk.parts for number in part.numbers]
        except TransientError as exc:
            failure = exc
        return found, failure

    found, failure = asyncio.run(run())

    assert found == [*range(2 * lost)]
    assert str(failure) == "not typed"


def test_an_error_before_the_first_batch_is_just_raised():
    """There is nothing to land."""
    found, failure = chunks_of(batches(0, failure=TransientError("no answer")))

    assert (found, str(failure)) == ([], "no answer")


def test_the_defaults_keep_the_promise_of_what_a_kill_may_cost():
    """At most 20,000 records or 60 s, whichever is first."""
    assert Bounds().at_risk_records <= 20_000
    assert Bounds().chunk_records + 100 <= Bounds().at_risk_records  # or none would ever be full
    assert Bounds().chunk_seconds <= 60
    assert Bounds().slice_records <= Bounds().chunk_records


@pytest.mark.parametrize("weight", [2, 5, 10, 50])
def test_records_with_many_columns_come_in_smaller_chunks(weight):
    """As much is in memory as of usual ones; and room for a page, or no chunk would be full."""
    bounds = Bounds().of(weight)

    assert bounds.slice_records * weight <= Bounds().slice_records
    assert bounds.chunk_records * weight <= Bounds().chunk_records
    assert (bounds.chunk_records + 100) * weight <= Bounds().at_risk_records
    assert bounds.slice_records <= bounds.chunk_records


# ---------------------------------------------------------------- stop


async def collect(stream, found: list[str]) -> None:
    async for one in stream:
        if one is not None:  # a moment to look at the clock
            found.append(one.page.after)  # noqa: PERF401  (kept when the stream fails)


def test_a_stop_ends_the_stream_after_the_batches_that_are_there():
    """Ctrl-C: what was read lands, what is under way is given up."""

    async def run():
        stop, found, given_up = threading.Event(), [], []

        async def endless():
            yield batch(0)
            stop.set()
            try:
                await asyncio.Event().wait()
            finally:
                given_up.append(True)

        with pytest.raises(Interrupted):
            await collect(until(stop, endless()), found)
        return found, given_up

    assert asyncio.run(run()) == (["1"], [True])


def test_a_stop_that_came_before_ends_the_stream_at_once():
    """No request is sent for a run that was told to stop."""

    async def run():
        stop, begun = threading.Event(), []
        stop.set()

        async def stream():
            await asyncio.sleep(0)
            begun.append(True)
            yield batch(0)

        with pytest.raises(Interrupted):
            await collect(until(stop, stream()), [])
        return begun

    assert asyncio.run(run()) == []


def test_without_a_stop_every_batch_comes():
    """And the end of the stream is its end."""

    async def run():
        return [one.page.after async for one in until(threading.Event(), batches(3)) if one]

    assert asyncio.run(run()) == ["1", "2", "3"]


# ---------------------------------------------------------------- the thread


@pytest.fixture(params=["a loop of its own", "a shared loop"])
def shared(request):
    """What `Fetch` is given to run in."""
    return SharedLoop() if request.param == "a shared loop" else None


def test_the_stream_goes_on_as_far_as_there_is_room(shared):
    """A kill loses no more than that, and memory holds no more."""
    begun = []

    async def stream(room):
        for number in range(6):
            await room.take(100)
            begun.append(number)
            yield number

    found, ahead = [], []
    with Fetch(stream, room=200, shared=shared) as fetch:
        for item in fetch:
            found.append(item)
            ahead.append(len(begun) - len(found))
            fetch.taken(100)

    assert found == [0, 1, 2, 3, 4, 5]
    assert max(ahead) <= 2


def test_room_is_given_first_come_first_served():
    """A chunk is made of the first pages: a later one may not take the last room from them."""

    async def run():
        room, order = Room(100), []

        async def take(name, records):
            await room.take(records)
            order.append(name)

        await room.take(60)
        tasks = [asyncio.ensure_future(take(*one)) for one in (("large", 100), ("small", 10))]
        await asyncio.sleep(0)
        waiting = list(order)
        room.give(60)
        await tasks[0]
        room.give(100)
        await asyncio.gather(*tasks)
        return waiting, order

    assert asyncio.run(run()) == ([], ["large", "small"])


def test_nothing_is_begun_beyond_the_room():
    """Until something is safe on disk."""

    async def run():
        room = Room(250)
        takes = [asyncio.ensure_future(room.take(100)) for _ in range(4)]
        await asyncio.gather(*takes[:2])
        before = [take.done() for take in takes]
        room.give(50)
        await asyncio.wait(takes[:3])
        after = [take.done() for take in takes]
        takes[3].cancel()
        return before, after

    assert asyncio.run(run()) == ([True, True, False, False], [True, True, True, False])


def test_a_failure_is_raised_after_the_items_before_it(shared):
    """In the consumer's thread, where somebody can handle it."""

    async def stream(_room):
        yield 1
        raise TransientError("no answer")

    found = []

    def consume() -> None:
        with Fetch(stream, room=100, shared=shared) as fetch:
            found.extend(fetch)

    with pytest.raises(TransientError, match="no answer"):
        consume()
    assert found == [1]


@pytest.mark.parametrize("is_waiting", [True, False], ids=["for room", "for nothing"])
def test_leaving_early_ends_the_thread_and_closes_the_stream(is_waiting, shared):
    """A failed load must not leave a thread behind that goes on asking HubSpot."""
    closed = threading.Event()

    async def stream(room):
        try:
            yield 0
            await room.take(1000 if is_waiting else 1)
            await asyncio.Event().wait()
        finally:
            closed.set()

    with Fetch(stream, room=100, shared=shared) as fetch:
        assert next(iter(fetch)) == 0

    assert closed.wait(5)
    assert "fetch" not in [thread.name for thread in threading.enumerate()]


def test_leaving_at_once_ends_the_thread_too(shared):
    """Before the stream has begun."""

    async def stream(_room):
        yield await asyncio.Event().wait()

    with Fetch(stream, room=100, shared=shared):
        pass

    assert "fetch" not in [thread.name for thread in threading.enumerate()]


def test_what_is_taken_after_the_end_is_no_error(shared):
    """The last chunk is on disk when the thread has long ended."""

    async def stream(_room):
        yield 1

    with Fetch(stream, room=100, shared=shared) as fetch:
        assert list(fetch) == [1]
        fetch.taken(100)


def test_streams_in_a_shared_loop_may_wait_for_each_other():
    """As two resources of one source do for a place in the limit; dlt takes turns with them."""
    turn, shared = asyncio.Lock(), SharedLoop()

    async def stream(_room):
        for number in range(20):
            async with turn:
                await asyncio.sleep(0)
            yield number

    with (
        Fetch(stream, room=100, shared=shared) as one,
        Fetch(stream, room=100, shared=shared) as other,
    ):
        assert list(zip(one, other, strict=True)) == [(number, number) for number in range(20)]


def test_a_shared_loop_ends_with_what_holds_it():
    """A source that nobody has any more leaves no thread behind."""
    before = set(threading.enumerate())
    shared = SharedLoop()
    (thread,) = set(threading.enumerate()) - before

    async def stream(_room):
        yield 1

    with Fetch(stream, room=100, shared=shared) as fetch:
        assert list(fetch) == [1]
    del fetch, shared
    gc.collect()
    thread.join(5)

    assert not thread.is_alive()
