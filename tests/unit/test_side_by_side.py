"""Ranges of ids listed side by side: each id once, and from any page on exactly the rest."""

from __future__ import annotations

import asyncio
import itertools
from bisect import bisect_left
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import TerminalError, TransientError
from pipelines.hubspot.wire import ListedRecord
from pipelines.idpages import IdPage
from pipelines.keyset import Found, OutOfOrderError
from pipelines.ranges import WORTH_SPLITTING, Ranges, ranges_in
from pipelines.side_by_side import EMPTY_PAGES, Search, in_ranges

CLUMPS = st.lists(
    st.tuples(st.integers(1, 10**12), st.integers(1, 600), st.integers(1, 50)), max_size=4
)
"""Where some ids begin, how many there are, and how far apart: old ids are small and dense."""


class Shelf:
    """A source that has its ids in a list; answers come back in an order of chance."""

    def __init__(self, ids, rng, *, size=100, workers=3, ahead=12, is_down=False):
        self.ids, self.size, self.rng = ids, size, rng
        self.workers, self.ahead, self.is_down = workers, ahead, is_down
        self.is_needed = not is_down
        self.asked = 0

    async def find(self, low: int, high: int | None) -> Found:
        self.asked += 1
        for _ in range(self.rng.randrange(4)):
            await asyncio.sleep(0)
        begin = bisect_left(self.ids, low)
        end = len(self.ids) if high is None else bisect_left(self.ids, high)
        is_last = begin + self.size >= end
        if self.is_down:
            page = self.ids[max(end - self.size, begin) : end]
            following = None if is_last else page[0]
        else:
            page = self.ids[begin : min(begin + self.size, end)]
            following = None if is_last else self.ids[begin + self.size]
        return Found([ListedRecord(id=str(one)) for one in page], following, end - begin)


def ids_of(clumps) -> list[int]:
    return sorted({begin + n * step for begin, count, step in clumps for n in range(count)})


def pages_of(ranges: Ranges, sources) -> list[IdPage]:
    async def run() -> list[IdPage]:
        return [page async for page in in_ranges(ranges, sources)]

    return asyncio.run(run())


def whole(ids, *, greatest=None) -> Ranges:
    if not ids:
        return Ranges(greatest=greatest)
    return Ranges(greatest=ids[-1], expected=len(ids))


@given(clumps=CLUMPS, seed=st.integers(), newer=st.integers(0, 300), data=st.data())
def test_each_id_comes_once_and_from_any_page_on_the_rest(clumps, seed, newer, data):
    """By workers of two kinds that come towards each other; one does not know the newest ids.

    Of the page that was the last to land a part may come again: it was filled from the next.
    """
    ids, rng = ids_of(clumps), Random(seed)
    known = ids[: max(len(ids) - newer, 0)]
    sources = [
        Shelf(ids, rng),
        Shelf(known, rng, size=200, is_down=True, ahead=40),
    ]

    pages = pages_of(whole(known), sources)

    found = [int(one) for page in pages for one in page.ids]
    assert sorted(found) == ids
    assert all(page.is_fresh and len(page.ids) <= 100 for page in pages)
    assert [page.after for page in pages].index(None) == len(pages) - 1
    cut = data.draw(st.integers(0, len(pages) - 1))
    after = pages[cut].after
    if after is not None:
        ends = ranges_in(after)
        # The greatest id is what the one that goes down knows: beyond it only the other looks.
        rest = pages_of(Ranges(ends, greatest=known[-1] if known else None), sources)
        again = [one for page in rest for one in page.ids]
        later = {one for page in pages[cut + 1 :] for one in page.ids}
        assert len(set(again)) == len(again)
        assert later <= set(again) <= later | set(pages[cut].ids)


def test_who_does_not_know_the_newest_ids_leaves_them_to_the_other_up_to_any_end():
    """The end of a range that somebody asked for may lie beyond all that search knows."""
    ids = list(range(1, 9001, 3))
    known = ids[:-5]
    down = Shelf(known, Random(2), size=200, workers=1, is_down=True)

    ranges = Ranges(((0, 10**9),), greatest=known[-1], expected=len(known))
    pages = pages_of(ranges, [Shelf(ids, Random(1), workers=1), down])

    assert down.asked > 1
    assert sorted(int(one) for page in pages for one in page.ids) == ids


def test_a_dense_range_is_shared_and_costs_little_more_than_one_worker_alone():
    """Each end of a range is a request; ten thousand ids are a hundred pages."""
    ids = list(range(10**11, 10**11 + 70_000, 7))
    alone, together = Shelf(ids, Random(1), workers=1), Shelf(ids, Random(1), workers=3)

    pages_of(whole(ids), [alone])
    pages = pages_of(whole(ids), [together])

    assert alone.asked == 100
    assert alone.asked < together.asked <= 120
    assert max(page.after.count(",") for page in pages[:-1]) >= 2


def test_two_that_come_towards_each_other_waste_no_request_on_where_they_part():
    """Neither need know where the other will be; what both found comes once."""
    ids = [*range(1, 5000), *range(10**11, 10**11 + 50_000, 10)]
    up, down = Shelf(ids, Random(1), workers=1), Shelf(ids, Random(2), workers=1, is_down=True)

    pages = pages_of(whole(ids), [up, down])

    assert min(up.asked, down.asked) > 30
    assert up.asked + down.asked <= len(ids) // 100 + 3
    assert sorted(int(one) for page in pages for one in page.ids) == ids


def test_pages_that_wait_are_filled_from_those_after_them():
    """Each page costs a request, and each end of a range leaves one that is not full."""
    ends = tuple((low, low + 130) for low in range(0, 1300, 130))
    shelf = Shelf(list(range(1300)), Random(1), size=200, workers=1, ahead=1000)

    async def run() -> list[IdPage]:
        search = Search(Ranges(ends))
        await search.work(shelf)
        return list(search.found())

    pages = asyncio.run(run())

    assert [len(page.ids) for page in pages] == [100] * 13
    for cut, page in enumerate(pages[:-1]):
        left = {n for low, high in ranges_in(page.after) for n in range(low, high)}
        later = {int(one) for later in pages[cut + 1 :] for one in later.ids}
        assert later <= left <= later | {int(one) for one in page.ids}
    assert pages[-1].after is None


def test_ids_in_two_clumps_cost_little_more_than_those_in_one():
    """Old ids are small, new ones have twelve digits: halving what lies between finds nothing."""
    ids = [*range(1, 3000), *range(10**11, 10**11 + 30_000, 10)]
    shelf = Shelf(ids, Random(1))

    pages_of(whole(ids), [shelf])

    assert shelf.asked <= len(ids) // 100 + 20


def test_few_ids_are_found_by_one_worker():
    """A second request would find nothing."""
    ids = list(range(1, WORTH_SPLITTING // 2))
    shelf = Shelf(ids, Random(1))

    pages_of(whole(ids), [shelf])

    assert shelf.asked == 5


class Broken(Shelf):
    """Fails from its third answer on."""

    failure: Exception = TransientError("no answer")

    async def find(self, low, high):
        if self.asked > 1:
            raise self.failure
        return await super().find(low, high)


@pytest.mark.parametrize("failure", [TransientError("no answer"), OutOfOrderError()])
def test_a_source_that_is_not_needed_leaves_its_range_to_the_others(failure):
    """Search only helps: whatever is wrong with it, the list has every id."""
    ids = list(range(1, 9000, 3))
    helper = Broken(ids, Random(2), size=200, is_down=True)
    helper.failure = failure

    pages = pages_of(whole(ids), [Shelf(ids, Random(1)), helper])

    assert sorted(int(one) for page in pages for one in page.ids) == ids
    assert helper.asked == 2


def test_a_source_that_is_needed_fails_after_what_was_found_has_come():
    """What was found is read before the failure is told."""
    ids = list(range(1, 9000, 3))
    found: list[str] = []

    async def run() -> None:
        async for page in in_ranges(whole(ids), [Broken(ids, Random(1), workers=1)]):
            found.extend(page.ids)

    with pytest.raises(TransientError):
        asyncio.run(run())
    assert [int(one) for one in found] == ids[:200]


def test_empty_pages_without_end_are_not_followed_without_end():
    """Each goes on further, so it is no circle; nor is it a list."""

    class Endless(Shelf):
        async def find(self, low, high):
            return Found([], low + 1 if high is None else None)

    with pytest.raises(TerminalError, match=f"{EMPTY_PAGES} empty pages"):
        pages_of(Ranges(), [Endless([], Random(1))])


def test_a_source_waits_while_enough_is_found_and_not_read():
    """Ids in memory stay few, and the limit is left to reading."""
    ids = list(range(1, 100_000))
    shelf = Shelf(ids, Random(1), ahead=5)
    asked = []

    async def run() -> None:
        pages = in_ranges(whole(ids), [shelf])
        for _ in itertools.repeat(None, 40):
            await anext(pages)
            for _ in range(50):
                await asyncio.sleep(0)
            asked.append(shelf.asked)
        await pages.aclose()

    asyncio.run(run())
    assert all(sent <= read + 5 + shelf.workers for read, sent in enumerate(asked, 1))


@given(st.lists(st.tuples(st.integers(0, 10**18), st.none() | st.integers(0, 10**18)), min_size=1))
def test_what_is_left_is_written_and_read_back(ends):
    """It is kept in the warehouse between runs."""
    assert ranges_in(Ranges(tuple(ends)).text()) == tuple(ends)


@pytest.mark.parametrize("text", ["", "12", "12a", "-", "1-2,", "1-2;3-4", "9" * 20 + "-"])
def test_what_is_no_list_of_ranges_is_told_apart(text):
    """HubSpot's own token of a next page may be anything."""
    assert ranges_in(text) is None
