"""One run: the ids of its steps, read, typed and landed, with the sums checked."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pyarrow as pa

from pipelines import ledger, property_columns, recall
from pipelines.errors import CrmError, IncompleteError, MadeWay, WarehouseError
from pipelines.fetching import Fetched, Fetcher
from pipelines.jobs import Job, begin_of, errand_of, refresh_key, settle, settled
from pipelines.landing import Chunk, Landing, together
from pipelines.ledger import RunRow
from pipelines.outcome import COMPLETE, Outcome, status_of, unexpected
from pipelines.passes import Pass, check
from pipelines.progress import Counters, View
from pipelines.reading import Reading
from pipelines.settings import Settings
from pipelines.steps import ARCHIVED, LANDED, LIVE, CutOff, Progress, Step
from pipelines.stream import Bounds
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


@dataclass(frozen=True, slots=True)
class _Ready:
    """A chunk as rows for tables, and the state that lands with them."""

    object_type: str
    landings: list[Landing]
    state: dict[str, Any]
    rows: int
    expected: Mapping[str, Any] | None = None  # of the table, once this has landed
    on_disk: Callable[[], None] = lambda: None


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
        self._notes: list[str] = []
        stamp = f"{started_at:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
        self._rows = {
            name: RunRow(
                run_id=f"{stamp}-{name}",
                command=command,
                object_type=name,
                started_at=started_at,
                as_of=started_at,
                cursor_from=job.selection or begin_of(job.steps),
                duplicate_ids=job.duplicates,
            )
            for name, job in jobs.items()
        }
        self.outcome = Outcome(list(self._rows.values()), notes=self._notes)
        self._counters = {name: Counters(name) for name in jobs}
        self._begun: set[str] = set()
        self._held: list[_Ready] = []
        self._has_landed = False  # something, and with it where to go on
        self._passes: dict[str, Pass] = {}
        self._was_empty = {name: recall.count_rows(warehouse, name) == 0 for name in jobs}
        # Now, for later the file may be locked, and a chunk in hand would be lost.
        self._in_use = {name: property_columns.columns_in_use(warehouse, name) for name in jobs}
        self._table_columns = {
            name: property_columns.table_columns(warehouse, name) for name in jobs
        }
        self._fetcher = Fetcher(
            settings,
            errands={
                name: errand_of(
                    job,
                    warehouse,
                    name,
                    run_id=self._rows[name].run_id,
                    in_use=self._in_use[name],
                    counters=self._counters[name],
                )
                for name, job in jobs.items()
            },
            stop=stop,
            bounds=bounds,
        )
        self._room = bounds.at_risk_records
        self._small_rows = bounds.chunk_records // SMALL
        self._under_way = next(iter(jobs))
        recall.close_stale_runs(warehouse, now=started_at)
        for name, job in jobs.items():
            if job.only is not None:
                settle(warehouse, name, now=started_at)

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
                    on_disk = partial(fetch.taken, fetched.chunk.read)
                    self._held.append(self._ready(fetched, fetched.step, fetched.chunk, on_disk))
                    del fetched
                    if sum(ready.rows for ready in self._held) > self._small_rows:
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

        No frame on the way to dlt may hold rows: it keeps frames.

        Raises:
            IncompleteError: The table does not have what was read.
            WarehouseError: It stays on disk, and the next run loads it first.
        """
        if object_type not in (None, *(ready.object_type for ready in self._held)):
            return
        held, self._held = self._held, []
        landings = _one_of_each([one for ready in held for one in ready.landings])
        state = {key: one for ready in held for key, one in ready.state.items()}
        for ready in held:
            ready.landings.clear()
        if landings:
            self._warehouse.land(landings, state=state, on_disk=partial(_tell, held))
            self._has_landed = True
        else:
            _tell(held)
        for position, ready in enumerate(held):
            self._counters[ready.object_type].landed += ready.rows
            if ready.expected is not None:
                name, rest = ready.object_type, held[position + 1 :]
                # What landed with it of a later step came after it.
                later = sum(one.rows for one in rest if one.object_type == name)
                since = datetime.fromisoformat(ready.expected["since"])
                found = recall.count_rows(self._warehouse, name, synced_since=since)
                with self._beginning_anew(name):
                    check(name, ready.expected, found, later)

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
        if self.makes_way and self._has_landed and self._warehouse.is_wanted():
            raise MadeWay("another crm wants the warehouse: going on after it")

    def _ready(
        self, fetched: Fetched, step: Step, chunk: Chunk, on_disk: Callable[[], None]
    ) -> _Ready:
        """A chunk as rows for tables; books its sums."""
        name = chunk.reading.object_type
        row, passing, job = self._rows[name], self._pass(name, step), self._jobs[name]
        landings = [] if name in self._begun or not chunk.read else self._first(fetched)
        is_append = (
            self._was_empty[name]
            and step.name == LIVE
            and all(part.is_new for part in chunk.parts)
            and not passing.may_repeat(chunk)
        )
        made = chunk.landings(
            run_id=row.run_id,
            seen_at=datetime.now(UTC),
            is_first=bool(landings) and not self._table_columns[name],
            append=is_append,
            lines_of=job.lines_of,
            known_errors=self._with_first_seen,
        )
        if not is_append:
            made = [
                property_columns.with_other_columns(
                    self._warehouse, item, self._table_columns[name], is_part=job.only is not None
                )
                if item.table == name
                else item
                for item in made
            ]
        for part in chunk.parts:
            part.book(row)
            passing.take(part)
            self.outcome.archived += part.archived
        expected = passing.expected() if chunk.after is None else None
        state = self._state(fetched, self._position(fetched, step, chunk.after, expected))
        latest = max(part.seen_at for part in chunk.parts)
        state[f"{LANDED}{name}"] = {"synced_at": latest.isoformat()}
        return _Ready(name, [*landings, *made], state, chunk.rows, expected, on_disk)

    def _position(
        self, fetched: Fetched, step: Step, after: str | None, expected: Mapping[str, Any] | None
    ) -> Progress:
        """Where a run goes on that is cut off once this chunk has landed."""
        name = fetched.reading.object_type
        row, progress = self._rows[name], self._jobs[name].progress
        before = progress.cut_off
        is_as_old = before is not None and step.name in (LIVE, ARCHIVED)
        cut_off = CutOff(
            step=step.name,
            after=after,
            began_at=before.began_at if before else row.started_at,
            as_of=before.as_of if before and is_as_old else step.until or fetched.opened_at,
            since=step.since,
            run={"run_id": row.run_id, **{sum_: getattr(row, sum_) for sum_ in ledger.SUMS}},
            check=expected,
            only=self._jobs[name].only,
        )
        return replace(progress, cut_off=cut_off, stale=self._stale(fetched.reading))

    def _stale(self, reading: Reading) -> tuple[str, ...]:
        """Properties to be read of every row once this run is done."""
        job = self._jobs[reading.object_type]
        if not job.is_sync:
            return job.progress.stale
        if job.is_reading_all:
            return ()
        found = {*job.progress.stale, *self._newly_stale(reading)}
        return tuple(sorted(found.intersection(reading.properties)))

    def _newly_stale(self, reading: Reading) -> set[str]:
        job = self._jobs[reading.object_type]
        if not self._table_columns[reading.object_type]:
            return set()
        calculated = reading.calculated() if job.is_refresh_due else ()
        return {*reading.stale(self._in_use[reading.object_type]), *calculated}

    def _state(self, fetched: Fetched, progress: Progress | None) -> dict[str, Any]:
        """What is remembered of a job; None: nothing any more."""
        name = fetched.reading.object_type
        job, stale = self._jobs[name], self._newly_stale(fetched.reading)
        state: dict[str, Any] = {}
        if job.only is not None:
            state = settled(self._warehouse, name, now=datetime.now(UTC))
        if stale:
            # A refresh that was cut off has not read these, or into other columns.
            state[refresh_key(name)] = None
        if stale and not job.is_sync:
            of_sync = Progress.of(state.get(name) or self._warehouse.state.get(name))
            both = tuple(sorted({*of_sync.stale, *stale}))
            state[name] = replace(of_sync, stale=both).saved()
        if job.key is not None:
            state[job.key] = progress.saved() if progress else None
        return state

    def _with_first_seen(self, errors: pa.Table) -> pa.Table:
        try:
            return recall.with_first_seen(self._warehouse, errors)
        except WarehouseError:
            return errors  # rather a moment too late than a chunk lost

    def _first(self, fetched: Fetched) -> list[Landing]:
        """What goes with the first chunk of an object type."""
        reading = fetched.reading
        name = reading.object_type
        self._begun.add(name)
        self._notes += reading.changed_columns()
        row = self._rows[name]
        landings = property_columns.changed_definitions(
            self._warehouse, reading, self._jobs[name].only
        )
        if self._jobs[name].errors:
            rows = ledger.errors_table(
                self._jobs[name].errors, run_id=row.run_id, seen_at=row.started_at
            )
            landings.append(Landing("errors", self._with_first_seen(rows)))
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
            progress = replace(
                job.progress,
                cursor=fetched.opened_at,
                gap=self._gap(fetched),
                sweep=fetched.sweep,
                refreshed_at=row.started_at
                if job.is_refresh_due or job.is_reading_all
                else job.progress.refreshed_at,
                stale=self._stale(fetched.reading),
                cut_off=None,
            )
        first = [] if name in self._begun else self._first(fetched)[:-1]
        state = {key: one.saved() for key, one in job.after_all.items()}
        state |= self._state(fetched, progress)
        self._held.append(_Ready(name, [*first, self._runs_landing([row])], state, 0))

    def _gap(self, fetched: Fetched) -> int | None:
        """How many live records HubSpot counts more than the table has; None: it is not sure."""
        name = fetched.reading.object_type
        if fetched.live_total is None:
            return None
        here = recall.count_live(self._warehouse, name, created_until=fetched.opened_at)
        gap = fetched.live_total - here
        # The list shows what search has not counted yet: one more here would hide one archived.
        is_sure = gap == 0 or all(
            step.name not in (LIVE, ARCHIVED) for step in self._jobs[name].steps
        )
        return gap if is_sure else None

    @contextmanager
    def _beginning_anew(self, object_type: str) -> Iterator[None]:
        try:
            yield
        except IncompleteError:
            if self._jobs[object_type].key is not None:
                self._differing.add(object_type)
            raise


def _tell(held: Sequence[_Ready]) -> None:
    """That it is on disk."""
    for ready in held:
        ready.on_disk()


def _one_of_each(landings: Sequence[Landing]) -> list[Landing]:
    """The same rows with one landing for each table; of rows with the same key the last."""
    by_table: dict[str, list[Landing]] = {}
    for one in landings:
        by_table.setdefault(one.table, []).append(one)
    return [together(some) for some in by_table.values()]
