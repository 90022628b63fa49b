"""One object type's part of a run: what is wanted of it, and the chunks that its steps give."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, cast

from pipelines.accounting import Batch
from pipelines.discovery import changed, discovered
from pipelines.errors import AuthError, DailyLimitError, HubSpotError
from pipelines.hubspot.client import HubSpotClient
from pipelines.hydrate import Hydrator
from pipelines.idpages import IdPage
from pipelines.keyset import Listing, OutOfOrderError, Searching, Window, within
from pipelines.landing import Chunk
from pipelines.progress import Counters
from pipelines.ranges import ranges_in
from pipelines.reading import KnownColumns, Reading
from pipelines.side_by_side import page_of
from pipelines.steps import SWEEP, Ids, Step
from pipelines.stream import Bounds, chunked, in_order, unless, until
from pipelines.thread import Room
from pipelines.typed import Typed, raw_of, typed
from pipelines.unread import Versions

CONCURRENCY: Final = 24
"""batch/read requests under way at once: enough for 190 per 10 s at answers of a second each."""
EXPECTED_S: Final = 5.0
"""How long HubSpot may take to say how many records there are."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


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


class ObjectFetch:
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
        weight = self.reading.weight

        async def read(page: IdPage) -> Batch:
            self._counters.add_found(len(page.ids))
            await self._room.take(len(page.ids) * weight)
            name = self.errand.id_property
            if name is None:
                batch = await self._hydrator.read(page, archived=archived)
            else:
                batch = await self._hydrator.read_by(name, page)
                # Two values may be of one record, for which nobody gives back more than its own.
                self._room.give((len(page.ids) - len(batch.page.ids)) * weight)
            self._counters.read += len(page.ids)
            return batch

        batches = in_order(pages, read, concurrency=CONCURRENCY)
        return chunked(until(self._stop, batches), self._type, bounds=self._bounds.of(weight))

    async def _type(self, batches: Sequence[Batch]) -> Typed:
        async with self._fitting:  # the first values decide, so nothing else is typed before
            if not self._is_fitted:
                raw = await asyncio.to_thread(raw_of, batches, self.reading)
                self.reading = self.reading.fitted(raw)
                self._is_fitted = True
        return await asyncio.to_thread(typed, batches, self.reading, seen_at=datetime.now(UTC))
