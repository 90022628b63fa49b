"""The day's quota: where a run stops, and what it says then."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hubspot_server import TOKEN, Clock, Reply, served
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import DailyLimitError, HubSpotError
from pipelines.hubspot.auth import StaticToken
from pipelines.hubspot.client import HubSpotClient, open_http
from pipelines.hubspot.limits import Limits
from pipelines.hubspot.paths import Paths
from pipelines.hubspot.quota import DailyQuota, ReserveReachedError, next_midnight
from pipelines.hubspot.retry import RetryPolicy
from pipelines.hubspot.wire import AccountDetails, DailyUsage

NOON = datetime(2026, 3, 7, 12, tzinfo=UTC)


class Calendar:
    """A wall clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def quota(pct: int = 5) -> tuple[DailyQuota, Calendar]:
    calendar = Calendar()
    return DailyQuota(pct, now=calendar), calendar


def sent_until_stopped(day: DailyQuota, *, most: int = 1000) -> int:
    for count in range(most):
        try:
            day.count()
        except ReserveReachedError:
            return count
        day.uncount()
    return most


def test_requests_stop_one_before_the_reserve():
    """That one is for the question what time it is there."""
    day, _ = quota()
    day.observe(200, 30)

    assert sent_until_stopped(day) == 19
    assert day.left == 11
    day.count(is_spare=True)
    assert day.left == day.reserve == 10


def test_the_question_what_time_it_is_there_may_touch_the_reserve():
    """Every run of that day asks it. When nothing at all is left, HubSpot would not answer."""
    day, _ = quota()
    day.observe(200, 1)
    day.count(is_spare=True)

    with pytest.raises(ReserveReachedError):
        day.count(is_spare=True)


def test_without_a_reserve_hubspot_says_when_to_stop():
    day, _ = quota(0)
    day.observe(200, 0)

    assert sent_until_stopped(day) == 1000


def test_nothing_stops_while_the_quota_is_not_known():
    day, _ = quota()

    assert sent_until_stopped(day) == 1000


@given(
    per_day=st.integers(1, 300),
    used=st.integers(0, 300),
    pct=st.integers(1, 99),
    answers=st.lists(st.integers(0, 5), max_size=400),
)
def test_the_reserve_is_never_touched(per_day, used, pct, answers):
    """However late the answers are, and in whatever order they come."""
    day = DailyQuota(pct)
    used = before = min(used, per_day)
    day.observe(per_day, per_day - used)
    under_way: list[int] = []  # what is left, as the server wrote it into each answer
    for which in answers:
        try:
            day.count()
        except ReserveReachedError:
            break
        used += 1
        under_way.append(per_day - used)
        if which < len(under_way):
            day.uncount()
            day.observe(per_day, under_way.pop(which))

    assert used == before or per_day - used >= day.reserve + 1
    assert day.left is not None
    assert per_day - used - 2 * len(answers) <= day.left <= per_day - used


def test_a_new_day_is_noticed():
    day, _ = quota()
    day.observe(1000, 60)
    sent_until_stopped(day)
    day.observe(1000, 1000)

    assert day.left == 1000


def usage(used: int, *, minutes_ago: float = 5, limit: int = 1000, **fields) -> DailyUsage:
    at = (NOON - timedelta(minutes=minutes_ago)).isoformat().replace("+00:00", "Z")
    return DailyUsage(**{"usage_limit": limit, "current_usage": used, "collected_at": at, **fields})


@pytest.mark.parametrize(
    ("collected", "left"),
    [
        ({"minutes_ago": 30}, 550),
        ({"minutes_ago": 15}, 570),
        ({"collected_at": "?"}, 570),
        ({"collected_at": "2026-03-07T11:45:00"}, 570),
        ({"collected_at": "9999-12-31T23:00:00-05:00"}, 570),
    ],
    ids=[
        "before the run",
        "since an earlier question",
        "nobody knows when",
        "no zone is UTC",
        "in no calendar",
    ],
)
def test_what_was_sent_since_the_numbers_were_taken_counts_too(collected, left):
    """50 requests are sent, the first 20 of them 20 minutes ago."""
    calendar = Calendar()
    calendar.now = NOON - timedelta(minutes=20)
    day = DailyQuota(5, now=calendar)
    for count in (20, 30):
        for _ in range(count):
            day.count()
            day.uncount()
        day.asked([])
        calendar.now = NOON

    day.asked([usage(400, **collected)])

    assert day.left == left


@pytest.mark.parametrize("odd", [{"limit": 10**400}, {"limit": -5}, {"used": 10**400}])
def test_numbers_that_no_quota_has_are_none(odd):
    day, _ = quota()
    day.asked([usage(**{"used": 1, **odd})])

    assert (day.left, day.limit) == (None, None)


def test_of_several_quotas_the_scarcest_counts():
    day, _ = quota()
    day.asked([usage(100), usage(900), usage(0, usage_limit=None), DailyUsage(name="empty")])

    assert (day.limit, day.left) == (1000, 100)


def test_answers_that_tell_the_numbers_are_believed_first():
    day, _ = quota()
    assert day.is_due()
    day.observe(1000, 900)
    assert not day.is_due()
    day.asked([usage(999)])

    assert day.left == 900


def test_the_usage_endpoint_is_asked_every_five_minutes():
    day, calendar = quota()
    day.asked([usage(1)])
    assert not day.is_due()
    calendar.now += timedelta(minutes=5)
    assert day.is_due()
    day.asked(None)
    calendar.now += timedelta(days=2)
    assert not day.is_due()  # it does not answer this token


@pytest.mark.parametrize(
    ("account", "words"),
    [
        (
            AccountDetails(time_zone="US/Eastern", utc_offset_milliseconds=0),
            "the account's time zone US/Eastern: 2026-03-08 00:00 UTC-05:00",
        ),
        (AccountDetails(time_zone="Asia/Kolkata"), "Asia/Kolkata: 2026-03-08 00:00 UTC+05:30"),
        (AccountDetails(time_zone="Pacific/Kiritimati"), "2026-03-09 00:00 UTC+14:00"),
        (
            AccountDetails(time_zone="Mars/Olympus", utc_offset_milliseconds=-18_000_000),
            "the account's time zone: 2026-03-08 00:00 UTC-05:00",
        ),
        (AccountDetails(time_zone="../../etc/passwd"), "UTC, assumed"),
        (AccountDetails(), "assumed because the account's time zone is not known: 2026-03-08"),
        (None, "UTC, assumed"),
    ],
)
def test_the_next_midnight_is_that_of_the_account(account, words):
    assert words in next_midnight(account, NOON)


def test_midnight_has_the_offset_of_that_day():
    """Clocks are put forward in the night before: it is the new offset that holds."""
    account = AccountDetails(time_zone="US/Eastern")

    assert "2026-03-09 00:00 UTC-04:00" in next_midnight(account, NOON + timedelta(days=1))


# ---------------------------------------------------------------- through the client


def told(limit: int, left: int) -> dict[str, str]:
    return {
        "X-HubSpot-RateLimit-Daily": str(limit),
        "X-HubSpot-RateLimit-Daily-Remaining": str(left),
    }


def asked(call, *script, pct=5):
    """Let `call(client)` run against a server with `script`; gives its result, both ends."""

    async def main():
        clock = Clock()
        policy = RetryPolicy(clock=clock, sleep=clock.sleep)
        async with served(*script) as server, open_http(base_url=server.url) as http:
            client = HubSpotClient(
                http,
                token=StaticToken(TOKEN),
                limits=Limits(daily_reserve_pct=pct),
                paths=Paths("v3"),
                retry=policy,
            )
            return await call(client), server

    return asyncio.run(main())


async def pages(client: HubSpotClient) -> str:
    """What stops an endless list; eight ask at once."""

    async def endless():
        while True:
            await client.list_page("contacts")

    await client.list_page("contacts")
    outcomes = await asyncio.gather(*(endless() for _ in range(8)), return_exceptions=True)
    (message,) = {str(outcome) for outcome in outcomes}
    assert all(isinstance(outcome, DailyLimitError) for outcome in outcomes)
    return message


PAGE = {"results": []}
ACCOUNT = {"portalId": 1, "timeZone": "Europe/Stockholm"}


def test_the_message_says_used_quota_reserve_and_when():
    message, server = asked(
        pages, Reply(200, PAGE, told(1000, 51)), Reply(200, ACCOUNT, told(1000, 50))
    )

    assert [request.target.split("?")[0] for request in server.requests] == [
        "/crm/v3/objects/contacts",
        "/account-info/v3/details",
    ]
    assert "950 of 1,000 requests are used and 50 kept for other apps" in message
    assert "sources.hubspot.daily_reserve_pct = 5" in message
    assert "midnight in the account's time zone Europe/Stockholm: 20" in message


@pytest.mark.parametrize(
    "reply",
    [Reply(403, {}), Reply(404, {}), Reply(429, {"policyName": "DAILY"}), Reply(200, {})],
    ids=["403", "404", "daily limit", "no zone"],
)
def test_without_the_accounts_time_zone_utc_is_assumed_and_said(reply):
    message, _ = asked(pages, Reply(200, PAGE, told(1000, 51)), reply)

    assert "midnight in UTC, assumed because the account's time zone is not known" in message


USAGE = {"usageLimit": 1000, "currentUsage": 945, "collectedAt": "2020-01-01T00:00:00Z"}


def test_where_answers_do_not_tell_the_usage_endpoint_does():
    """As with OAuth. It knows nothing of the one request sent before it, nor of itself."""

    async def call(client):
        await client.list_page("contacts")
        await client.watch_quota()
        await client.list_page("contacts")
        await client.list_page("contacts")
        with pytest.raises(DailyLimitError):
            await client.list_page("contacts")

    _, server = asked(call, Reply(200, PAGE), Reply(200, {"results": [USAGE]}), Reply(200, PAGE))

    lists = [one for one in server.requests if "objects" in one.target]
    assert len(lists) == 1 + 2  # 945 + 2 + 2 are used, one is for the time zone, 50 are kept
    assert server.requests[1].target.endswith("/api-usage/daily/private-apps")
    assert server.requests[-1].target.endswith("/details")


@pytest.mark.parametrize(("status", "attempts"), [(403, 1), (404, 1), (500, 8)])
def test_a_usage_endpoint_that_does_not_answer_is_no_failure(status, attempts):
    async def call(client):
        await client.list_page("contacts")
        await client.watch_quota()
        await client.watch_quota()
        return await client.list_page("contacts")

    _, server = asked(call, Reply(200, PAGE), *[Reply(status, {})] * attempts, Reply(200, PAGE))

    assert server.requests[-1].target.startswith("/crm")


def test_a_refused_token_is_not_hidden_by_it():
    async def call(client):
        await client.watch_quota()
        with pytest.raises(HubSpotError, match="token"):
            await client.list_page("contacts")

    asked(call, Reply(401, {"message": "no"}))
