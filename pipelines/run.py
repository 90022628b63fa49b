"""One run: the ids of its steps, read, typed and landed, with the sums checked."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pipelines import ledger, recall
from pipelines.errors import CrmError, IncompleteError, MadeWay, WarehouseError
from pipelines.fetching import Fetched, Fetcher
from pipelines.held import Held, Ready
from pipelines.jobs import Job, errand_of, settle, state_of
from pipelines.landing import Chunk, Landing
from pipelines.ledger import RunRow
from pipelines.outcome import COMPLETE, Outcome, status_of, unexpected
from pipelines.passes import Pass, check_landed
from pipelines.progress import Counters, View
from pipelines.settings import Settings
from pipelines.steps import LANDED, LISTS_ONCE, Progress, Step
from pipelines.stream import Bounds
from pipelines.table import Table
from pipelines.thread import Fetch
from pipelines.views import apply_views
from pipelines.warehouse import Warehouse

HOLD_S = 0.5
"""How long the file stays open for the next chunk, and a small one waits to land with it: opening
the file, and a load package, cost as much."""
SMALL = 12
"""So many times smaller than a whole chunk is one that waits: both together may be at risk."""


def run(
    settings: Settings,
    warehouse: Warehouse,
    jobs: Mapping[str, Job],
    *,
    view: View,
    stop: threading.Event,
    command: str,
    makes_way: bool = False,
    bounds: Bounds = Bounds(),
) -> Outcome:
    """Do what `jobs` say, one object type after the other; see `sync`.

    With `makes_way` it ends with `MadeWay` when another `crm` wants the warehouse.
    """
    one = _Run(settings, warehouse, jobs, view=view, stop=stop, command=command, bounds=bounds)
    one.makes_way = makes_way
    try:
        one.read_all()
    except CrmError as exc:
        one.outcome.failure = exc
    except Exception as exc:  # noqa: BLE001  (what is on disk has to land, and the run to be closed)
        one.outcome.failure = unexpected(exc)
    one.end()
    return one.outcome


class _Run:
    """The landing half of a run; `Fetcher` is the other."""

    def __init__(
        self,
        settings: Settings,
        warehouse: Warehouse,
        jobs: Mapping[str, Job],
        *,
        view: View,
        stop: threading.Event,
        command: str,
        bounds: Bounds,
    ) -> None:
        self.makes_way = False
        self._warehouse = warehouse
        self._jobs = jobs
        self._differing: set[str] = set()  # object types whose sums do not add up
        self._view = view
        self._began = time.monotonic()
        started_at = datetime.now(UTC)
        stamp = f"{started_at:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
        self._rows = {
            name: job.row(f"{stamp}-{name}", name, command=command, started_at=started_at)
            for name, job in jobs.items()
        }
        self.outcome = Outcome(list(self._rows.values()))
        self._counters = {name: Counters(name) for name in jobs}
        self._begun: set[str] = set()
        self._held = Held(warehouse)
        self._passes: dict[str, Pass] = {}
        self._tables = {name: Table(warehouse, name) for name in jobs}
        self._fetcher = Fetcher(
            settings,
            errands={
                name: errand_of(
                    job, warehouse, self._rows[name], self._tables[name], self._counters[name]
                )
                for name, job in jobs.items()
            },
            stop=stop,
            bounds=bounds,
        )
        self._room = bounds.at_risk_records
        self._small_room = bounds.chunk_records // SMALL
        self._under_way = next(iter(jobs))
        recall.close_stale_runs(warehouse, now=started_at)
        settle(warehouse, jobs, now=started_at)

    def read_all(self) -> None:
        """Land every chunk.

        Raises:
            CrmError: From either half; all that was read before it has landed.
        """
        with self._view, Fetch(self._fetcher.stream, room=self._room) as fetch:
            for counters in self._counters.values():
                self._view.begin(counters)
            for fetched in fetch:
                self._note(fetched)
                is_done = fetched.step is None
                if fetched.step is None:
                    self._finish(fetched)
                elif fetched.chunk is None:
                    fetch.tell(self._count_live(fetched))
                else:
                    on_disk = partial(fetch.taken, fetched.chunk.room)
                    self._held.add(self._ready(fetched, fetched.step, fetched.chunk, on_disk))
                    del fetched
                    if self._held.room > self._small_room:
                        self._flush()
                        self._make_way()
                if not fetch.is_next_within(HOLD_S):
                    self._flush()
                    if not is_done:
                        self._make_way()
                    self._warehouse.release()  # others may read while we wait for HubSpot
            self._flush()

    def end(self) -> None:
        """Write down how it went, refresh views and comments; always the last thing."""
        self._flush_after_all()
        now = datetime.now(UTC)
        failure, open_rows = self.outcome.failure, []
        for row in self._rows.values():
            if row.status == "running":
                if row.object_type == self._under_way:
                    row.note(self._fetcher.usage())
                row.status, row.message = status_of(failure), str(failure) if failure else None
                row.finished_at = now
                open_rows.append(row)
        # Sums that differ are of everything read so far, so the next run begins at the first id.
        state = {self._jobs[name].key or "": Progress().saved() for name in self._differing}
        if isinstance(failure, WarehouseError):
            self._warehouse.keep([self._runs_landing(open_rows)])
        else:
            if open_rows:
                self._warehouse.land([self._runs_landing(open_rows)], state=state)
            apply_views(self._warehouse)
        self.outcome.seconds = time.monotonic() - self._began

    def _flush(self, object_type: str | None = None) -> None:
        """Land what is held, and count it; with an object type only if some of it is held.

        Raises:
            IncompleteError: The table does not have what was read.
            WarehouseError: It stays on disk, and the next run loads it first.
        """
        if object_type is not None and not self._held.has(object_type):
            return
        held = self._held.land()
        for position, ready in enumerate(held):
            self._counters[ready.object_type].landed += ready.rows
            if ready.expected is not None:
                name, rest = ready.object_type, held[position + 1 :]
                # What landed with it of a later step came after it.
                later = sum(one.rows for one in rest if one.object_type == name)
                with self._beginning_anew(name):
                    check_landed(self._warehouse, name, ready.expected, later)

    def _flush_after_all(self) -> None:
        """Land what a run still held when it ended early."""
        if isinstance(self.outcome.failure, WarehouseError):
            return
        try:
            self._flush()
        except CrmError as exc:
            if self.outcome.failure is None or isinstance(exc, WarehouseError):
                self.outcome.failure = exc

    def _make_way(self) -> None:
        if self.makes_way and self._held.has_landed and self._warehouse.is_wanted():
            raise MadeWay("another crm wants the warehouse: going on after it")

    def _ready(
        self, fetched: Fetched, step: Step, chunk: Chunk, on_disk: Callable[[], None]
    ) -> Ready:
        """A chunk as rows for tables; books its sums."""
        name = chunk.reading.object_type
        row, passing, job = self._rows[name], self._pass(name, step), self._jobs[name]
        landings = [] if name in self._begun or not chunk.read else self._first(fetched)
        made = self._tables[name].landings(
            chunk,
            run_id=row.run_id,
            is_first=bool(landings),
            may_append=step.name in LISTS_ONCE and not passing.may_repeat(chunk),
            is_part=job.only is not None,
            lines_of=job.lines_of,
        )
        for part in chunk.parts:
            part.book(row)
            passing.take(part)
            self.outcome.archived += part.archived
        expected = passing.expected() if chunk.after is None else None
        cut_off = job.cut_off(
            step, row, after=chunk.after, opened_at=fetched.opened_at, check=expected
        )
        state = self._state(fetched, replace(job.progress, cut_off=cut_off))
        latest = max(part.seen_at for part in chunk.parts)
        state[f"{LANDED}{name}"] = {"synced_at": latest.isoformat()}
        return Ready(name, [*landings, *made], state, chunk.rows, chunk.room, expected, on_disk)

    def _state(self, fetched: Fetched, progress: Progress | None) -> dict[str, Any]:
        name = fetched.reading.object_type
        return state_of(
            self._jobs[name], self._warehouse, self._tables[name], fetched.reading, progress
        )

    def _first(self, fetched: Fetched) -> list[Landing]:
        """What goes with the first chunk of an object type."""
        reading, name = fetched.reading, fetched.reading.object_type
        row, job = self._rows[name], self._jobs[name]
        self._begun.add(name)
        self.outcome.notes += reading.changed_columns()
        landings = self._tables[name].first_landings(
            reading, job.only, job.errors, run_id=row.run_id, seen_at=row.started_at
        )
        return [*landings, self._runs_landing([row])]

    def _runs_landing(self, rows: Sequence[RunRow]) -> Landing:
        return Landing("runs", ledger.table_of(rows, ledger.RUNS))

    def _pass(self, object_type: str, step: Step) -> Pass:
        passing = self._passes.get(object_type)
        if passing is None or passing.step is not step:
            passing = self._passes[object_type] = Pass(object_type, step)
        return passing

    def _note(self, fetched: Fetched) -> None:
        name = fetched.reading.object_type
        self._under_way = name
        self._rows[name].note(fetched.usage)
        self.outcome.limit_share = fetched.limit_share

    def _count_live(self, fetched: Fetched) -> int:
        """Rows of live records, once everything modified has landed."""
        object_type = fetched.reading.object_type
        self._flush(object_type)
        recall.retire_merged(self._warehouse, object_type)
        return recall.count_live(self._warehouse, object_type, created_until=fetched.opened_at)

    def _finish(self, fetched: Fetched) -> None:
        """An object type is done: sums, resolved errors, and where the next run begins."""
        name = fetched.reading.object_type
        self._flush(name)
        row, job = self._rows[name], self._jobs[name]
        with self._beginning_anew(name):
            row.check()
        now = datetime.now(UTC)
        before = job.progress.cut_off
        since = before.began_at if before else row.started_at
        recall.resolve_errors(self._warehouse, name, since=since, now=now, only=job.only)
        recall.retire_merged(self._warehouse, name)
        row.status, row.finished_at = COMPLETE, now
        progress = None
        if job.is_sync:
            row.cursor_to = fetched.opened_at.isoformat()
            row.search_lag_s = fetched.search_lag_s
            here = recall.count_live(self._warehouse, name, created_until=fetched.opened_at)
            progress = job.done(fetched, row.started_at, here)
        first = [] if name in self._begun else self._first(fetched)[:-1]
        state = {key: one.saved() for key, one in job.after_all.items()}
        state |= self._state(fetched, progress)
        self._held.add(Ready(name, [*first, self._runs_landing([row])], state, 0))

    @contextmanager
    def _beginning_anew(self, object_type: str) -> Iterator[None]:
        try:
            yield
        except IncompleteError:
            if self._jobs[object_type].key is not None:
                self._differing.add(object_type)
            raise
