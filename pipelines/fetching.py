"""The asking half of a run: definitions, ids and records, fetched in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from pipelines.errand import CONCURRENCY, Errand, ObjectFetch
from pipelines.hubspot.client import HubSpotClient, Usage, open_http
from pipelines.hubspot.limits import Limits
from pipelines.hubspot.oauth import token_for
from pipelines.hubspot.paths import Paths
from pipelines.hubspot.places import budget_name
from pipelines.hydrate import Hydrator
from pipelines.keyset import LIST_WORKERS, SEARCH_WORKERS
from pipelines.landing import Chunk
from pipelines.reading import Reading, reading_of
from pipelines.settings import Settings
from pipelines.steps import Step
from pipelines.stream import Bounds, unless
from pipelines.thread import Room

CONNECTIONS: Final = CONCURRENCY + LIST_WORKERS + SEARCH_WORKERS

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
    ) -> ObjectFetch:
        """The part of this run that is one object type."""
        errand = self._errands[reading.object_type]
        return ObjectFetch(
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


def _difference(now: Usage, before: Usage) -> Usage:
    return Usage(
        requests=now.requests - before.requests,
        retries=now.retries - before.retries,
        rate_limited=now.rate_limited - before.rate_limited,
        waited_s=now.waited_s - before.waited_s,
    )
