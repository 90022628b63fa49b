"""The asking half of a run: definitions, ids and records, fetched in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from pipelines.discovery import IdPage, listed
from pipelines.errors import TerminalError
from pipelines.hubspot.auth import StaticToken
from pipelines.hubspot.client import HubSpotClient, Usage, open_http
from pipelines.hubspot.limits import Limits
from pipelines.hubspot.paths import Paths
from pipelines.hydrate import Batch, Hydrator, in_order
from pipelines.progress import Counters
from pipelines.reading import KnownColumns, Reading, reading_of
from pipelines.settings import Settings
from pipelines.stream import Chunk, chunked, until

CONCURRENCY: Final = 24
"""batch/read requests under way at once: enough for 190 per 10 s at answers of a second each."""

LIVE: Final = "live"
ARCHIVED: Final = "archived"
PASSES: Final = (LIVE, ARCHIVED)
"""HubSpot lists and reads live and archived records apart, so a full run makes two passes."""

@dataclass(frozen=True, slots=True)
class Start:
    """Where a run begins for one object type: a pass, and the id its list goes on at.

    `pass_` None: both passes are done.
    """

    pass_: str | None = LIVE
    after: str | None = None

    @classmethod
    def after_chunk(cls, pass_: str, after: str | None) -> Start:
        """Where to go on when the last chunk to land was of this pass and ended there."""
        if after is not None or pass_ == ARCHIVED:
            return cls(pass_ if after is not None else None, after)
        return cls(ARCHIVED)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What comes out of the fetching thread; the last one of an object type has no chunk."""

    reading: Reading
    pass_: str
    chunk: Chunk | None
    usage: Usage
    limit_share: float


class Fetcher:
    """The asking half of a run, in a thread of its own: everything that waits for HubSpot."""

    def __init__(
        self,
        settings: Settings,
        *,
        run_ids: Mapping[str, str],
        starts: Mapping[str, Start],
        known: Mapping[str, KnownColumns],
        counters: Mapping[str, Counters],
        stop: threading.Event,
    ) -> None:
        self._settings = settings
        self._run_ids = run_ids
        self._starts = starts
        self._known = known
        self._counters = counters
        self._stop = stop

    async def stream(self) -> AsyncGenerator[Fetched]:
        """Chunks of all object types, one after the other."""
        settings = self._settings
        limits = Limits(
            requests_per_10s=settings.requests_per_10s,
            search_requests_per_s=settings.search_requests_per_s,
        )
        async with open_http(base_url=settings.base_url, connections=CONCURRENCY + 2) as http:
            client = HubSpotClient(
                http,
                token=StaticToken(settings.access_token),
                limits=limits,
                paths=Paths(settings.api_version),
            )
            readings = [
                await reading_of(client, name, settings.of(name), self._known[name])
                for name in self._run_ids
            ]
            for reading in readings:
                before = replace(client.usage)
                async with aclosing(self._passes(client, reading)) as chunks:
                    async for pass_, chunk in chunks:
                        usage = _difference(client.usage, before)
                        yield Fetched(reading, pass_, chunk, usage, limits.used_share())
                usage = _difference(client.usage, before)
                yield Fetched(reading, ARCHIVED, None, usage, limits.used_share())

    async def _passes(
        self, client: HubSpotClient, reading: Reading
    ) -> AsyncGenerator[tuple[str, Chunk]]:
        name = reading.object_type
        counters, start = self._counters[name], self._starts[name]
        counters.expected = await _expected(client, name)
        hydrator = Hydrator(
            client, run_id=self._run_ids[name], object_type=name, properties=reading.properties
        )
        for pass_ in PASSES[PASSES.index(start.pass_) :] if start.pass_ else ():
            after = start.after if pass_ == start.pass_ else None
            async with aclosing(
                self._chunks(client, hydrator, name, archived=pass_ == ARCHIVED, after=after)
            ) as chunks:
                async for chunk in chunks:
                    yield pass_, chunk

    async def _chunks(
        self,
        client: HubSpotClient,
        hydrator: Hydrator,
        object_type: str,
        *,
        archived: bool,
        after: str | None,
    ) -> AsyncGenerator[Chunk]:
        counters = self._counters[object_type]

        async def read(page: IdPage) -> Batch:
            counters.found += len(page.ids)
            batch = await hydrator.read(page, archived=archived)
            counters.read += len(page.ids)
            return batch

        pages = listed(client, object_type, archived=archived, after=after)
        batches = until(self._stop, in_order(pages, read, concurrency=CONCURRENCY))
        async with aclosing(chunked(batches)) as chunks:
            async for chunk in chunks:
                yield chunk


async def _expected(client: HubSpotClient, object_type: str) -> int | None:
    """How many live records search knows of: good enough for an ETA, and for nothing else."""
    try:
        return (await client.search(object_type, {"limit": 1})).total
    except TerminalError:
        return None  # not every object type can be searched, nor every token search


def _difference(now: Usage, before: Usage) -> Usage:
    return Usage(
        requests=now.requests - before.requests,
        retries=now.retries - before.retries,
        rate_limited=now.rate_limited - before.rate_limited,
        waited_s=now.waited_s - before.waited_s,
    )
