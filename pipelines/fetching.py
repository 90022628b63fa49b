"""The asking half of a run: definitions, ids and records, fetched in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, cast

from pipelines.accounting import Batch
from pipelines.discovery import changed, discovered
from pipelines.errors import AuthError, DailyLimitError, HubSpotError
from pipelines.hubspot.client import HubSpotClient, Usage, open_http
from pipelines.hubspot.limits import Limits
from pipelines.hubspot.oauth import token_for
from pipelines.hubspot.paths import Paths
from pipelines.hubspot.places import budget_name
from pipelines.hydrate import Hydrator
from pipelines.idpages import IdPage
from pipelines.keyset import (
    LIST_WORKERS,
    SEARCH_WORKERS,
    Listing,
    OutOfOrderError,
    Searching,
    Window,
    within,
)
from pipelines.landing import Chunk, Typed, raw_of, typed
from pipelines.progress import Counters
from pipelines.ranges import ranges_in
from pipelines.reading import KnownColumns, Reading, reading_of
from pipelines.settings import Settings
from pipelines.side_by_side import page_of
from pipelines.steps import SWEEP, Ids, Step
from pipelines.stream import Bounds, chunked, in_order, unless, until
from pipelines.thread import Room
from pipelines.unread import Versions

CONCURRENCY: Final = 24
"""batch/read requests under way at once: enough for 190 per 10 s at answers of a second each."""
EXPECTED_S: Final = 5.0
"""How long HubSpot may take to say how many records there are."""
CONNECTIONS: Final = CONCURRENCY + LIST_WORKERS + SEARCH_WORKERS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

CLOCK_S: Final = 0.999
"""HubSpot's clock is told in whole seconds: what it shows may be so much behind."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What comes out of the fetching thread.

    Of each object type its chunks, each with the step it is of; a step without a chunk, when
    how many live records the table has is to be told; at last neither of them.

    `opened_at`: when the run began, by HubSpot's clock. `live_total`: how many live records
    HubSpot counts, at a sweep only of those created before that. `search_lag_s`: how late search
    showed a record, as far as is known.
    """

    reading: Reading
    step: Step | None
    chunk: Chunk | None
    usage: Usage
    limit_share: float
    opened_at: datetime
    live_total: int | None = None
    sweep: str | None = None
    search_lag_s: float | None = None


@dataclass(frozen=True, slots=True)
class Errand:
    """What is fetched of one object type.

    `known`, `defined`: columns and live definitions that the warehouse has. `live`, `archived`:
    versions of its rows, which need not be read again. `gap`, `sweep`: see `steps.Progress`.
    `only`: the properties to read; None: those of the settings. `id_property`: what is given
    as ids are values of it.
    """

    run_id: str
    steps: Sequence[Step]
    known: KnownColumns = field(default_factory=dict)
    defined: Collection[str] = ()
    counters: Counters = field(default_factory=lambda: Counters(""))
    live: Versions = field(default_factory=Versions)
    archived: Versions = field(default_factory=Versions)
    gap: int | None = None
    sweep: str | None = None
    only: tuple[str, ...] | None = None
    id_property: str | None = None


class Fetcher:
    """The asking half of a run, in a thread of its own: everything that waits for HubSpot.

    `limits`: those of another that runs in the same event loop; None: its own.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        errands: Mapping[str, Errand],
        stop: threading.Event,
        bounds: Bounds = Bounds(),
        limits: Limits | None = None,
    ) -> None:
        self._limits = limits
        self._usage = self._before = Usage()
        self._settings = settings
        self._errands = errands
        self._stop = stop
        self._bounds = bounds

    async def stream(self, room: Room) -> AsyncGenerator[Fetched]:
        """Chunks of all object types, one after the other, while there is room for them."""
        limits = self._limits or limits_of(self._settings)
        async with open_http(
            base_url=self._settings.base_url,
            timeout_s=self._bounds.answer_s,
            connections=CONNECTIONS,
        ) as http:
            paths = Paths(self._settings.api_version)
            token = token_for(
                http,
                access_token=self._settings.access_token,
                oauth=self._settings.oauth,
                paths=paths,
            )
            client = HubSpotClient(
                http, token=token, limits=limits, paths=paths, retry=self._bounds.retry
            )
            self._usage = client.usage
            # All definitions first: a property that is not there stops the run before it reads.
            readings, spent = [], {}
            for name in self._errands:
                before = replace(client.usage)
                readings.append(await unless(self._stop, self._reading(client, name)))
                spent[name] = _difference(client.usage, before)
            opened_at = (client.server_time or datetime.now(UTC)) + timedelta(seconds=CLOCK_S)
            await unless(self._stop, client.watch_quota())
            for reading in readings:
                one = self._object_fetch(client, reading, room, opened_at)
                before = _difference(client.usage, spent[reading.object_type])
                self._before = before
                async with aclosing(one.chunks()) as chunks:
                    async for step, chunk in chunks:
                        usage = _difference(client.usage, before)
                        share = limits.used_share()
                        yield Fetched(one.reading, step, chunk, usage, share, opened_at)
                        await client.watch_quota()
                usage = _difference(client.usage, before)
                yield Fetched(
                    one.reading,
                    None,
                    None,
                    usage,
                    limits.used_share(),
                    opened_at,
                    live_total=one.live_total,
                    sweep=one.sweep,
                    search_lag_s=one.errand.live.lag_s,
                )

    def usage(self) -> Usage:
        """What was sent for the object type under way, or was when everything ended."""
        return _difference(self._usage, self._before)

    async def _reading(self, client: HubSpotClient, name: str) -> Reading:
        errand = self._errands[name]
        reading = await reading_of(
            client, name, self._settings.of(name), errand.known, defined=errand.defined
        )
        if errand.id_property is not None:
            reading.check_unique(errand.id_property)
        return reading if errand.only is None else reading.only(errand.only)

    def _object_fetch(
        self, client: HubSpotClient, reading: Reading, room: Room, opened_at: datetime
    ) -> _ObjectFetch:
        """The part of this run that is one object type."""
        errand = self._errands[reading.object_type]
        return _ObjectFetch(
            client,
            reading,
            errand,
            hydrator=Hydrator(
                client,
                run_id=errand.run_id,
                object_type=reading.object_type,
                properties=reading.properties,
            ),
            stop=self._stop,
            bounds=self._bounds,
            room=room,
            opened_at=opened_at,
        )


def limits_of(settings: Settings) -> Limits:
    """The limits to keep, together with every process of this machine that has the same token."""
    oauth = settings.oauth
    signs_in = (oauth.client_id, oauth.refresh_token) if oauth else (settings.access_token,)
    return Limits(
        requests_per_10s=settings.requests_per_10s,
        search_requests_per_s=settings.search_requests_per_s,
        reserve_per_10s=settings.reserve_per_10s,
        daily_reserve_pct=settings.daily_reserve_pct,
        shared_as=budget_name(settings.base_url, *signs_in),
    )


class _ObjectFetch:
    """Fetching one object type. `reading` is fitted to the first values once they are there."""

    def __init__(
        self,
        client: HubSpotClient,
        reading: Reading,
        errand: Errand,
        *,
        hydrator: Hydrator,
        stop: threading.Event,
        bounds: Bounds,
        room: Room,
        opened_at: datetime,
    ) -> None:
        self._room = room
        self.reading = reading
        self.errand = errand
        self.live_total: int | None = None
        self.sweep = errand.sweep
        self._client = client
        self._object_type = reading.object_type
        self._hydrator = hydrator
        self._counters = errand.counters
        self._stop = stop
        self._bounds = bounds
        self._opened_at = opened_at
        self._greatest: int | None = None
        self._fitting = asyncio.Lock()
        self._is_fitted = False

    async def chunks(self) -> AsyncGenerator[tuple[Step, Chunk | None]]:
        """Chunks of each step, one after the other.

        HubSpot lists and reads live and archived records apart. Of known ids, what is not
        among the live records is looked for among the archived ones.
        """
        for step in self.errand.steps:
            if step.name == SWEEP:
                yield step, None
            pages = self._pages(step)
            chunks = self._chunks(pages, archived=step.is_archived)
            async with aclosing(pages), aclosing(chunks):
                async for chunk in chunks:
                    yield step, chunk

    def _pages(self, step: Step) -> AsyncGenerator[IdPage]:
        """The ids of a step."""
        match step.name:
            case "ids":
                ids = cast("Ids", step.ids)
                self._counters.expected = ids.count
                return ids.pages(step.after)
            case "live":
                return self._listed(step)
            case "archived":
                return self._listed(step)
            case "sweep":
                return self.errand.archived.unread(self._swept())
            case _:
                return self._changed(step)

    async def _listed(self, step: Step) -> AsyncGenerator[IdPage]:
        """Everything HubSpot lists, in a window if the step has one."""
        expected = None
        if not step.is_archived:
            await unless(self._stop, self._count(step))
            expected = self._counters.expected
        pages = discovered(
            self._client,
            self._object_type,
            archived=step.is_archived,
            after=step.after,
            low=step.low,
            high=step.high,
            greatest=self._greatest,
            expected=expected,
        )
        async with aclosing(pages):
            async for page in pages:
                yield page if step.since is None else page.only(self._window(step).holds(page))

    async def _changed(self, step: Step) -> AsyncGenerator[IdPage]:
        """What search knows of a window."""
        found = changed(
            self._client,
            self._object_type,
            self._window(step),
            after=step.after,
            tell_count=self._expect,
        )
        pages = self.errand.live.unread(found) if step.is_skipping else found
        async with aclosing(found), aclosing(pages):
            async for page in pages:
                yield page

    async def _swept(self) -> AsyncGenerator[IdPage]:
        """Archived records: a page of them, or all when live ones are gone that nobody knows of.

        Search shows no archived record, and their list is in order of ids, not of time. But
        when the table has as many live records as HubSpot, none of them can be archived.
        """
        here = await self._room.told()
        # What was created since the run began is no row yet.
        until_now = Window(_EPOCH, self._opened_at, is_created=True).condition(self._object_type)
        _, total = await Searching(self._client, self._object_type, until_now).greatest()
        self.live_total = total
        if total - here == self.errand.gap:
            after = ranges_in(self.sweep or "") or ((0, None),)
            source = Listing(self._client, self._object_type, archived=True)
            with suppress(OutOfOrderError):  # then all of them, from page to page
                for page in await page_of(source, after[0][0]):
                    self.sweep = page.after
                    yield replace(page, after=None)
                return
        async with aclosing(
            discovered(self._client, self._object_type, archived=True, greatest=self._greatest)
        ) as pages:
            async for page in pages:
                yield page

    def _window(self, step: Step) -> Window:
        return Window(
            step.since or self._opened_at,
            step.until or self._opened_at,
            is_created=step.is_created,
        )

    def _expect(self, records: int) -> None:
        self._counters.expected = records

    async def _count(self, step: Step) -> None:
        """How many live records search knows of, and the greatest id: no more than a help."""
        ends = within(step.low, step.high)
        try:
            async with asyncio.timeout(EXPECTED_S):
                self._greatest, total = await Searching(
                    self._client, self._object_type, *ends
                ).greatest()
        except (AuthError, DailyLimitError):
            raise
        except (HubSpotError, TimeoutError):
            return  # then there is no ETA; what is read comes from the list
        self._counters.expected = total
        if not ends:
            self.live_total = total

    def _chunks(self, pages: AsyncGenerator[IdPage], *, archived: bool) -> AsyncGenerator[Chunk]:
        async def read(page: IdPage) -> Batch:
            self._counters.add_found(len(page.ids))
            await self._room.take(len(page.ids))
            name = self.errand.id_property
            if name is None:
                batch = await self._hydrator.read(page, archived=archived)
            else:
                batch = await self._hydrator.read_by(name, page)
                # Two values may be of one record, for which nobody gives back more than its own.
                self._room.give(len(page.ids) - len(batch.page.ids))
            self._counters.read += len(page.ids)
            return batch

        batches = in_order(pages, read, concurrency=CONCURRENCY)
        return chunked(until(self._stop, batches), self._type, bounds=self._bounds)

    async def _type(self, batches: Sequence[Batch]) -> Typed:
        async with self._fitting:  # the first values decide, so nothing else is typed before
            if not self._is_fitted:
                raw = await asyncio.to_thread(raw_of, batches, self.reading)
                self.reading = self.reading.fitted(raw)
                self._is_fitted = True
        return await asyncio.to_thread(typed, batches, self.reading, seen_at=datetime.now(UTC))


def _difference(now: Usage, before: Usage) -> Usage:
    return Usage(
        requests=now.requests - before.requests,
        retries=now.retries - before.retries,
        rate_limited=now.rate_limited - before.rate_limited,
        waited_s=now.waited_s - before.waited_s,
    )
