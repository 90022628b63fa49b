"""What a run will take, by the number of records."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.hubspot.quota import DailyQuota, ReserveReachedError
from pipelines.plan import Line, Records, lines_of

COUNTS = st.dictionaries(
    st.sampled_from(["contacts", "calls"]),
    st.builds(Records, st.integers(0, 10**7), st.none() | st.integers(0, 10**6)),
    min_size=1,
)


def the_line(live: int, archived: int | None = None, *, quota: int | None = None) -> Line:
    return lines_of({"contacts": Records(live, archived)}, requests_per_s=19.0, quota=quota)[0]


@pytest.mark.parametrize(
    ("live", "archived", "lists", "reads"),
    [(0, 0, 2, 0), (1, 0, 2, 1), (100, 1, 2, 2), (101, 0, 3, 2), (1000, None, 11, 10)],
)
def test_a_page_and_a_read_for_each_hundred(live, archived, lists, reads):
    """Each of the two lists is asked for once, even if nothing is on it."""
    line = the_line(live, archived)

    assert (line.lists, line.reads, line.requests) == (lists, reads, lists + reads + 3)


def test_minutes_and_share_of_the_day():
    line = the_line(1_000_000, 0, quota=625_000)

    assert line.minutes == pytest.approx(20_004 / 19 / 60)
    assert line.quota_share == pytest.approx(20_004 / 625_000)
    assert the_line(5).quota_share is None


@given(COUNTS)
def test_the_last_line_is_the_sum_of_the_others(records):
    *lines, together = lines_of(records, requests_per_s=10.0, quota=1000)

    assert [line.object_type for line in lines] == list(records)
    assert together.requests == sum(line.requests for line in lines)
    assert together.minutes == pytest.approx(sum(line.minutes for line in lines))
    assert together.records.live == sum(found.live for found in records.values())
    is_known = all(found.archived is not None for found in records.values())
    assert (together.records.archived is not None) == is_known


@given(st.integers(0, 200), st.integers(0, 99), st.integers(0, 200))
def test_a_plan_that_fits_is_a_run_that_is_not_stopped(left, pct, requests):
    day = DailyQuota(pct)
    day.observe(100, left)
    fits = not day.is_short(requests)
    stopped_after = 0
    while stopped_after < requests and not is_stopped(day):
        stopped_after += 1

    assert fits == (stopped_after == requests and (not day.reserve or left >= day.reserve + 1))


def is_stopped(day: DailyQuota) -> bool:
    try:
        day.count()
    except ReserveReachedError:
        return True
    return False
