"""Finding out, with a handful of requests, what a run will take."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipelines.errors import AuthError, TerminalError
from pipelines.fetching import limits_of
from pipelines.hubspot.answers import UNAUTHORIZED
from pipelines.hubspot.client import MAX_SEARCH_PAGE, HubSpotClient, open_http
from pipelines.hubspot.limits import Limits
from pipelines.hubspot.oauth import token_for
from pipelines.hubspot.paths import Paths
from pipelines.hubspot.wire import AccountDetails
from pipelines.keyset import Searching, Window, within
from pipelines.plan import Plan, Records, lines_of, parts
from pipelines.reader import Reader
from pipelines.settings import Settings
from pipelines.steps import MODIFIED, Progress, Step, steps_of


def plan_run(
    settings: Settings,
    warehouse: Path,
    object_types: Sequence[str],
    *,
    is_full: bool = False,
    lock_wait_s: float = 0.0,
) -> Plan:
    """Find out what `crm sync` of these object types will take.

    Args:
        settings: Checked settings.
        warehouse: Asked for archived records, which HubSpot cannot count; need not be there.
        object_types: In the order to read them.
        is_full: The run will begin anew.
        lock_wait_s: How long to wait while another process writes the warehouse.

    Raises:
        HubSpotError: It does not answer, or refuses.
        WarehouseError: The file is locked, or no warehouse.
    """
    archived, progress = _known(warehouse, object_types, lock_wait_s=lock_wait_s)
    overlap = timedelta(minutes=settings.overlap_minutes)
    first = {
        name: steps_of(progress[name], overlap=overlap, is_full=is_full)[0] for name in object_types
    }
    goes_on = tuple(n for n in object_types if progress[n].cut_off is not None and not is_full)

    async def count(client: HubSpotClient) -> dict[str, Records]:
        return {
            name: await _changed(client, name, step)
            if step.name == MODIFIED
            else Records((await client.search(name, {"limit": 1})).total, archived[name])
            for name, step in first.items()
        }

    return asyncio.run(_asked(settings, count, goes_on))


async def _changed(client: HubSpotClient, object_type: str, step: Step) -> Records:
    """What an incremental run reads at most: some of it the table may have already."""
    until = step.until or client.server_time or datetime.now(UTC)
    window = Window(step.since or until, until)
    _, total = await Searching(client, object_type, window.condition(object_type)).greatest()
    searches = max(parts(total, MAX_SEARCH_PAGE), 1)
    return Records(total, 0, lists=1, preparing=1 + searches + 1)  # definitions, and a count


def plan_steps(
    settings: Settings, object_type: str, steps: Sequence[Step], *, is_by_value: bool = False
) -> Plan:
    """Find out what `crm backfill` with these steps will take.

    Args:
        settings: Checked settings.
        object_type: Plural, as in the path.
        steps: Of the backfill.
        is_by_value: What is given as ids are values of a unique property.

    Raises:
        HubSpotError: It does not answer, or refuses.
    """

    async def count(client: HubSpotClient) -> dict[str, Records]:
        first = steps[0]
        if first.ids is not None:
            given = first.ids.count
            lookups = given if is_by_value else 0
            return {object_type: Records(given, 0, lists=0, preparing=1, lookups=lookups)}
        filters = within(first.low, first.high)
        if first.since is not None:
            until = first.until or client.server_time or datetime.now(UTC)
            window = Window(first.since, until, is_created=first.is_created)
            filters.append(window.condition(object_type))
        _, total = await Searching(client, object_type, *filters).greatest()
        lists = 0 if first.since is not None else None
        return {object_type: Records(total, None, lists=lists)}

    return asyncio.run(_asked(settings, count, ()))


def _known(
    path: Path, object_types: Sequence[str], *, lock_wait_s: float
) -> tuple[dict[str, int | None], dict[str, Progress]]:
    """Archived records that the warehouse has, and what earlier runs left."""
    counts: dict[str, int | None] = dict.fromkeys(object_types)
    reader = Reader(path, lock_wait_s=lock_wait_s)
    if not path.exists():
        return counts, {name: Progress() for name in object_types}
    with reader:
        state = reader.saved_state()
        for name in object_types:
            if reader.has_table("crm", name):
                sql = f"select count(*) from crm.{name} where archived"  # noqa: S608  (one of `OBJECT_TYPES`)
                counts[name] = int(reader.rows("", sql).rows[0][0] or 0)
    return counts, {name: Progress.of(state.get(name)) for name in object_types}


async def _asked(
    settings: Settings,
    count: Callable[[HubSpotClient], Awaitable[Mapping[str, Records]]],
    goes_on: tuple[str, ...],
) -> Plan:
    limits = limits_of(settings)
    paths = Paths(settings.api_version)
    async with open_http(base_url=settings.base_url) as http:
        token = token_for(
            http, access_token=settings.access_token, oauth=settings.oauth, paths=paths
        )
        client = HubSpotClient(http, token=token, limits=limits, paths=paths)
        account = await _account(client)
        records = await count(client)
        await client.watch_quota()
    return _plan(limits, settings, records, account, goes_on=goes_on, asked=client.usage.requests)


async def _account(client: HubSpotClient) -> AccountDetails | None:
    """The account, for its time zone; the answer's headers have the limits."""
    try:
        return await client.account()
    except TerminalError as refused:
        if isinstance(refused, AuthError) and refused.http_status == UNAUTHORIZED:
            raise
        return None


def _plan(
    limits: Limits,
    settings: Settings,
    records: Mapping[str, Records],
    account: AccountDetails | None,
    *,
    goes_on: tuple[str, ...],
    asked: int,
) -> Plan:
    day, window = limits.day, limits.main
    limit = max(window.limit - settings.reserve_per_10s, 1)
    lines = lines_of(records, requests_per_s=limit / window.period_s, quota=day.limit)
    requests = lines[-1].requests
    return Plan(
        lines=lines,
        limit=limit,
        period_s=window.period_s,
        quota=day.limit,
        left=day.left,
        reserve=day.reserve if day.limit is not None else None,
        goes_on=goes_on,
        asked=asked,
        obstacle=day.reached(account, f"{requests:,} requests") if day.is_short(requests) else None,
    )
