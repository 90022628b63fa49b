"""The asking half of a run: definitions, ids and records, fetched in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from pipelines.accounting import Batch
from pipelines.discovery import listed
from pipelines.errors import AuthError, DailyLimitError, HubSpotError
from pipelines.hubspot.client import HubSpotClient, Usage, open_http
from pipelines.hubspot.limits import Limits
from pipelines.hubspot.oauth import token_for
from pipelines.hubspot.paths import Paths
from pipelines.hubspot.places import budget_name
from pipelines.hydrate import Hydrator
from pipelines.idpages import IdPage, given
from pipelines.landing import Chunk, Typed, raw_of, typed
from pipelines.progress import Counters
from pipelines.reading import KnownColumns, Reading, reading_of
from pipelines.settings import Settings
from pipelines.stream import Bounds, chunked, in_order, unless, until
from pipelines.thread import Room

CONCURRENCY: Final = 24
"""batch/read requests under way at once: enough for 190 per 10 s at answers of a second each."""
EXPECTED_S: Final = 5.0
"""How long HubSpot may take to say how many records there are."""
CONNECTIONS: Final = CONCURRENCY + 2

LIVE: Final = "live"
ARCHIVED: Final = "archived"
PASSES: Final = (LIVE, ARCHIVED)
"""HubSpot lists and reads live and archived records apart, so a full run makes two passes."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a run begins for one object type: a pass, and the id its list goes on at.

    `pass_` None: both passes are done. `as_of`: when the first of the runs began that
    together read everything; None: this one.
    """

    pass_: str | None = LIVE
    after: str | None = None
    as_of: datetime | None = None

    @classmethod
    def of(cls, saved: Mapping[str, str | None]) -> Start:
        """Where to go on, by what was saved with the last chunk: its pass, and where it ended."""
        as_of = datetime.fromisoformat(saved["as_of"] or "")
        if saved["after"] is not None:
            return cls(saved["pass"], saved["after"], as_of)
        return cls(None if saved["pass"] == ARCHIVED else ARCHIVED, None, as_of)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What comes out of the fetching thread; the last one of an object type has no chunk."""

    reading: Reading
    pass_: str
    chunk: Chunk | None
    usage: Usage
    limit_share: float


class Fetcher:
    """The asking half of a run, in a thread of its own: everything that waits for HubSpot.

    `limits`: those of another that runs in the same event loop; None: its own.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        run_ids: Mapping[str, str],
        starts: Mapping[str, Start],
        known: Mapping[str, KnownColumns],
        counters: Mapping[str, Counters],
        stop: threading.Event,
        bounds: Bounds = Bounds(),
        ids: Mapping[str, Sequence[str]] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._limits = limits
        self._ids = ids or {}
        self._usage = self._before = Usage()
        self._settings = settings
        self._run_ids = run_ids
        self._starts = starts
        self._known = known
        self._counters = counters
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
            readings = [
                await unless(
                    self._stop, reading_of(client, name, self._settings.of(name), self._known[name])
                )
                for name in self._run_ids
            ]
            await unless(self._stop, client.watch_quota())
            before = Usage()
            for reading in readings:
                one = self._object_fetch(client, reading, room)
                self._before = before
                async with aclosing(one.passes()) as chunks:
                    async for pass_, chunk in chunks:
                        usage = _difference(client.usage, before)
                        yield Fetched(one.reading, pass_, chunk, usage, limits.used_share())
                        await client.watch_quota()
                usage = _difference(client.usage, before)
                before = replace(client.usage)
                yield Fetched(one.reading, ARCHIVED, None, usage, limits.used_share())

    def usage(self) -> Usage:
        """What was sent for the object type under way, or was when everything ended."""
        return _difference(self._usage, self._before)

    def _object_fetch(self, client: HubSpotClient, reading: Reading, room: Room) -> _ObjectFetch:
        """The part of this run that is one object type."""
        name = reading.object_type
        return _ObjectFetch(
            client,
            reading,
            start=self._starts[name],
            ids=self._ids.get(name),
            hydrator=Hydrator(
                client, run_id=self._run_ids[name], object_type=name, properties=reading.properties
            ),
            counters=self._counters[name],
            stop=self._stop,
            bounds=self._bounds,
            room=room,
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
        *,
        start: Start,
        ids: Sequence[str] | None,
        hydrator: Hydrator,
        counters: Counters,
        stop: threading.Event,
        bounds: Bounds,
        room: Room,
    ) -> None:
        self._room = room
        self.reading = reading
        self._client = client
        self._start = start
        self._ids = ids
        self._hydrator = hydrator
        self._counters = counters
        self._stop = stop
        self._bounds = bounds
        self._fitting = asyncio.Lock()
        self._is_fitted = False

    async def passes(self) -> AsyncGenerator[tuple[str, Chunk]]:
        """Chunks of the live records, then of the archived ones, each with its pass.

        Known ids make one pass: what is not among the live records is looked for archived.
        """
        if self._ids is not None:
            self._counters.expected = len(self._ids)
            async with aclosing(self._chunks(given(self._ids), archived=False)) as chunks:
                async for chunk in chunks:
                    yield LIVE, chunk
            return
        self._counters.expected = await unless(
            self._stop, _expected(self._client, self.reading.object_type)
        )
        start = self._start
        for pass_ in PASSES[PASSES.index(start.pass_) :] if start.pass_ else ():
            after = start.after if pass_ == start.pass_ else None
            archived = pass_ == ARCHIVED
            pages = listed(self._client, self.reading.object_type, archived=archived, after=after)
            async with aclosing(self._chunks(pages, archived=archived)) as chunks:
                async for chunk in chunks:
                    yield pass_, chunk

    def _chunks(self, pages: AsyncIterator[IdPage], *, archived: bool) -> AsyncGenerator[Chunk]:
        async def read(page: IdPage) -> Batch:
            self._counters.add_found(len(page.ids))
            await self._room.take(len(page.ids))
            batch = await self._hydrator.read(page, archived=archived)
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


async def _expected(client: HubSpotClient, object_type: str) -> int | None:
    """How many live records search knows of: good enough for an ETA, and for nothing else."""
    try:
        async with asyncio.timeout(EXPECTED_S):
            return (await client.search(object_type, {"limit": 1})).total
    except (AuthError, DailyLimitError):
        raise
    except (HubSpotError, TimeoutError):
        return None  # then there is no ETA; what is read comes from the list


def _difference(now: Usage, before: Usage) -> Usage:
    return Usage(
        requests=now.requests - before.requests,
        retries=now.retries - before.retries,
        rate_limited=now.rate_limited - before.rate_limited,
        waited_s=now.waited_s - before.waited_s,
    )
