"""What a run will take, found out with a handful of requests: records, requests, minutes, quota."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipelines.errors import AuthError, DailyLimitError, TerminalError
from pipelines.fetching import limits_of
from pipelines.hubspot.answers import UNAUTHORIZED
from pipelines.hubspot.client import (
    MAX_BATCH_READ,
    MAX_LIST_PAGE,
    MAX_SEARCH_PAGE,
    HubSpotClient,
    open_http,
)
from pipelines.hubspot.limits import Limits
from pipelines.hubspot.oauth import token_for
from pipelines.hubspot.paths import Paths
from pipelines.hubspot.wire import AccountDetails
from pipelines.keyset import Searching, Window, within
from pipelines.reader import Reader
from pipelines.rows import Rows
from pipelines.settings import Settings
from pipelines.steps import MODIFIED, Progress, Step, steps_of

PREPARING = 3
"""Requests before the first list: definitions, live and archived, and the count for the ETA."""


@dataclass(frozen=True, slots=True)
class Records:
    """How many records a run will read of one object type; `archived` None: not known.

    `lists`: pages of HubSpot's list; None: as many as the records take. `preparing`: requests
    before that, searches among them. `lookups`: values of which the ids have to be found first.
    """

    live: int
    archived: int | None = None
    lists: int | None = None
    preparing: int = PREPARING
    lookups: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """What one object type will take, or all of them together.

    `minutes` under the limit of the 10 seconds, if it is the limit that sets the pace.
    `quota_share` of the day's quota, from 0 to 1 or more; None: it is not known.
    """

    object_type: str
    records: Records
    preparing: int
    lists: int
    reads: int
    minutes: float
    quota_share: float | None

    @property
    def requests(self) -> int:
        """All requests; more when HubSpot fails or leaves out records that are then looked for."""
        return self.preparing + self.lists + self.reads


def lines_of(
    records: Mapping[str, Records], *, requests_per_s: float, quota: int | None
) -> list[Line]:
    """A line for each object type and one for all together; sends nothing.

    Args:
        records: By object type.
        requests_per_s: The pace that the limit allows.
        quota: Requests of a whole day; None when not known.
    """

    def line(name: str, counts: Records, *, preparing: int, lists: int, reads: int) -> Line:
        requests = preparing + lists + reads
        share = requests / quota if quota else None
        return Line(name, counts, preparing, lists, reads, requests / requests_per_s / 60, share)

    lines = []
    for name, found in records.items():
        passes = (found.live, found.archived or 0)
        lists = sum(max(_parts(count, MAX_LIST_PAGE), 1) for count in passes)  # the last is empty
        lists = lists if found.lists is None else found.lists
        reads = sum(_parts(count, MAX_BATCH_READ) for count in (*passes, found.lookups))
        lines.append(line(name, found, preparing=found.preparing, lists=lists, reads=reads))
    archived = [one.archived for one in records.values() if one.archived is not None]
    all_records = Records(
        sum(one.live for one in records.values()),
        sum(archived) if len(archived) == len(records) else None,
    )
    together = line(
        "together",
        all_records,
        preparing=sum(one.preparing for one in lines),
        lists=sum(one.lists for one in lines),
        reads=sum(one.reads for one in lines),
    )
    return [*lines, together]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will take of what is there. The last of `lines` is for all together.

    `quota`, `left` and `reserve` are requests of the day; None where HubSpot does not tell.
    `goes_on`: object types in which a run was cut off, so that this one takes less.
    `obstacle`: why not today; None when the run fits.
    """

    lines: Sequence[Line]
    limit: int
    period_s: float
    quota: int | None
    left: int | None
    reserve: int | None
    goes_on: tuple[str, ...]
    asked: int
    obstacle: str | None

    @property
    def left_after(self) -> int | None:
        """Requests of the day that are left after the run; below 0 when it takes several days."""
        return None if self.left is None else self.left - self.lines[-1].requests

    def check(self) -> None:
        """Nothing, when the run fits into the day.

        Raises:
            DailyLimitError: It would cross the reserve.
        """
        if self.obstacle is not None:
            raise DailyLimitError(self.obstacle)

    def table(self) -> Rows:
        """As people read it."""
        columns = ("", "live", "archived", "lists", "reads", "requests", "minutes", "of the day")
        return Rows("Plan: nothing was read or written", columns, [_cells(x) for x in self.lines])

    def remarks(self) -> list[str]:
        """What the table has no column for."""
        day = "how much of the day's quota is left is not known"
        if self.left is not None and self.quota is not None:
            day = (
                f"of the day's {self.quota:,} requests {self.left:,} are left, and "
                f"{self.left_after:,} after the run; {self.reserve or 0:,} are kept for other apps"
            )
        remarks = [f"{self.limit:,} requests per {self.period_s:g} s; {day}"]
        if self.lines[-1].records.archived is None:
            remarks.append("archived records that are unknown take 2 more requests for each 100")
        if self.goes_on:
            names = " and ".join(self.goes_on)
            remarks.append(f"{names}: it goes on where a run was cut off, so it takes less")
        return [*remarks, f"{self.asked} requests were sent to find this out"]


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
    searches = max(_parts(total, MAX_SEARCH_PAGE), 1)
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


def _parts(count: int, size: int) -> int:
    return -(-count // size)


def _cells(line: Line) -> list[str]:
    archived = line.records.archived
    return [
        line.object_type,
        f"{line.records.live:,}",
        "unknown" if archived is None else f"{archived:,}",
        f"{line.lists:,}",
        f"{line.reads:,}",
        f"{line.requests:,}",
        f"{line.minutes:.1f}",
        "unknown" if line.quota_share is None else f"{line.quota_share:.2%}",
    ]
