"""One scheduled run: every id HubSpot lists, read, typed and landed, with the sums checked."""

from __future__ import annotations

import logging
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines import ledger, recall
from pipelines.errors import (
    AuthError,
    ConfigError,
    CrmError,
    IncompleteError,
    Interrupted,
    WarehouseError,
)
from pipelines.fetching import LIVE, Fetched, Fetcher, Start
from pipelines.landing import Chunk, Landing, Typed
from pipelines.ledger import RunRow
from pipelines.progress import Counters, View
from pipelines.reading import Reading
from pipelines.settings import Settings
from pipelines.stream import Bounds
from pipelines.thread import Fetch
from pipelines.views import apply_views
from pipelines.warehouse import Warehouse

log = logging.getLogger("crm")

HOLD_S = 0.5
"""How long the file stays open for the next chunk; opening it anew costs as much."""

COMPLETE, INCOMPLETE, FAILED, INTERRUPTED = "complete", "incomplete", "failed", "interrupted"


@dataclass(slots=True)
class Outcome:
    """What a run did, for its closing statement. `limit_share` is of HubSpot's 10 s limit."""

    runs: list[RunRow]
    archived: int = 0
    seconds: float = 0.0
    limit_share: float = 0.0
    notes: list[str] = field(default_factory=list)
    failure: CrmError | None = None


def sync(
    settings: Settings,
    warehouse: Warehouse,
    object_types: Sequence[str],
    *,
    view: View,
    stop: threading.Event,
    is_full: bool = False,
    ids: Mapping[str, Sequence[str]] | None = None,
    command: str = "sync",
    bounds: Bounds = Bounds(),
) -> Outcome:
    """Read everything HubSpot lists of these object types into the warehouse.

    A run that was cut off goes on where it stopped, unless `is_full`. One that ends
    early has landed what it had read; `Outcome.failure` then says why, and so do its
    rows in `runs`.

    With `ids`, only these records are read, and where a cut-off run goes on stays as it was.

    Args:
        settings: Checked settings.
        warehouse: Open.
        object_types: In the order to read them.
        view: Shows progress.
        stop: Set it to end early, with a checkpoint.
        is_full: Begin anew.
        ids: By object type, one list for each of `object_types`.
        command: For `runs`.
        bounds: How much lands together.

    Raises:
        WarehouseError: What was read could not be loaded; the next run loads it first.
    """
    run = _Run(
        settings,
        warehouse,
        object_types,
        view=view,
        stop=stop,
        is_full=is_full,
        ids=ids,
        command=command,
        bounds=bounds,
    )
    try:
        run.read_all()
    except CrmError as exc:
        run.outcome.failure = exc
    except Exception as exc:  # noqa: BLE001  (what is on disk has to land, and the run to be closed)
        run.outcome.failure = _unexpected(exc)
    run.end()
    return run.outcome


@dataclass(slots=True)
class _Pass:
    """The sums of one pass over one object type, for the check against the table."""

    object_type: str
    name: str
    began_at: datetime | None = None  # the first `synced_at`
    loaded: int = 0
    winners: set[str] = field(default_factory=set)  # records that came for a merged-away id
    is_fresh: bool = True

    def take(self, ready: Typed) -> None:
        """Book a chunk."""
        if self.began_at is None:
            self.began_at = ready.seen_at
        self.loaded += len(ready.loaded)
        self.winners |= ready.winners
        self.is_fresh &= ready.is_fresh

    def may_repeat(self, chunk: Chunk) -> bool:
        """Whether a record of this chunk may have landed before, in place of another."""
        return bool(self.winners) and any(self.winners & part.loaded for part in chunk.parts)

    def check(self, found: int) -> None:
        """Hold the rows found in the table against what was read.

        Raises:
            IncompleteError: They differ.
        """
        least = self.loaded if self.is_fresh else 0
        if not least <= found <= self.loaded + len(self.winners):
            raise IncompleteError(
                f"{self.loaded} {self.object_type} were read ({self.name}), but the table has "
                f"{found} of them: run the same command again, which reads all of them anew"
            )


@dataclass(frozen=True, slots=True)
class _Ready:
    """A chunk as rows for tables, and the state that lands with them."""

    passing: _Pass
    landings: list[Landing]
    state: dict[str, Any]
    rows: int
    is_last: bool  # of its pass


class _Run:
    """The landing half of a run; `Fetcher` is the other."""

    def __init__(
        self,
        settings: Settings,
        warehouse: Warehouse,
        object_types: Sequence[str],
        *,
        view: View,
        stop: threading.Event,
        is_full: bool,
        ids: Mapping[str, Sequence[str]] | None,
        command: str,
        bounds: Bounds,
    ) -> None:
        self._warehouse = warehouse
        self._has_ids = ids is not None
        self._differing: set[str] = set()  # object types whose sums do not add up
        self._view = view
        self._began = time.monotonic()
        started_at = datetime.now(UTC)
        self._notes: list[str] = []
        is_new = is_full or self._has_ids
        starts = {name: Start() if is_new else self._checkpoint(name) for name in object_types}
        stamp = f"{started_at:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
        self._rows = {
            name: RunRow(
                run_id=f"{stamp}-{name}",
                command=command,
                object_type=name,
                started_at=started_at,
                as_of=starts[name].as_of or started_at,
                cursor_from=starts[name].after,
            )
            for name in object_types
        }
        self.outcome = Outcome(list(self._rows.values()), notes=self._notes)
        self._counters = {name: Counters(name) for name in object_types}
        self._begun: set[str] = set()
        self._passes: dict[str, _Pass] = {}
        self._was_empty = {name: recall.count_rows(warehouse, name) == 0 for name in object_types}
        # Now, for later the file may be locked, and a chunk in hand would be lost.
        self._table_columns = {name: recall.table_columns(warehouse, name) for name in object_types}
        self._fetcher = Fetcher(
            settings,
            run_ids={name: row.run_id for name, row in self._rows.items()},
            starts=starts,
            known={name: recall.known_columns(warehouse, name) for name in object_types},
            counters=self._counters,
            stop=stop,
            bounds=bounds,
            ids=ids,
        )
        self._room = bounds.at_risk_records
        self._under_way = object_types[0]
        recall.close_stale_runs(warehouse, now=started_at)

    def read_all(self) -> None:
        """Land every chunk.

        Raises:
            CrmError: From either half; all that was read before it has landed.
        """
        with self._view, Fetch(self._fetcher.stream, room=self._room) as fetch:
            for counters in self._counters.values():
                self._view.begin(counters)
            for fetched in fetch:
                self._note_usage(fetched)
                if fetched.chunk is None:
                    self._finish(fetched.reading)
                else:
                    ready = self._ready(fetched, fetched.chunk)
                    on_disk = partial(fetch.taken, fetched.chunk.read)
                    del fetched
                    self._land(ready, on_disk)
                if not fetch.is_next_within(HOLD_S):
                    self._warehouse.release()  # others may read while we wait for HubSpot

    def end(self) -> None:
        """Write down how it went, refresh views and comments; always the last thing."""
        now = datetime.now(UTC)
        failure, open_rows = self.outcome.failure, []
        for row in self._rows.values():
            if row.status == "running":
                if row.object_type == self._under_way:
                    row.note(self._fetcher.usage())
                row.status, row.message = _status_of(failure), str(failure) if failure else None
                row.finished_at = now
                open_rows.append(row)
        # Sums that differ are of everything read so far, so the next run begins at the first id.
        state: dict[str, Any] = {name: {} for name in self._differing}
        if isinstance(failure, WarehouseError):
            self._warehouse.keep([self._runs_landing(open_rows)])
        else:
            if open_rows:
                self._warehouse.land([self._runs_landing(open_rows)], state=state)
            apply_views(self._warehouse)
        self.outcome.seconds = time.monotonic() - self._began

    def _land(self, ready: _Ready, on_disk: Callable[[], None]) -> None:
        """Land what `_ready` made. No frame on the way to dlt may hold rows: it keeps frames."""
        if ready.landings:
            self._warehouse.land(ready.landings, state=ready.state, on_disk=on_disk)
        else:
            on_disk()
        self._counters[ready.passing.object_type].landed += ready.rows
        if ready.is_last:
            self._check(ready.passing)

    def _ready(self, fetched: Fetched, chunk: Chunk) -> _Ready:
        """A chunk as rows for tables; books its sums."""
        name = chunk.reading.object_type
        row, passing = self._rows[name], self._pass(name, fetched.pass_)
        landings = [] if name in self._begun else self._first_landings(chunk.reading)
        is_append = (
            self._was_empty[name]
            and fetched.pass_ == LIVE
            and all(part.is_new for part in chunk.parts)
            and not passing.may_repeat(chunk)
        )
        made = chunk.landings(
            run_id=row.run_id,
            seen_at=datetime.now(UTC),
            is_first=bool(landings),
            append=is_append,
            known_errors=self._with_first_seen,
        )
        if not is_append:
            made = [
                recall.with_other_columns(self._warehouse, item, self._table_columns[name])
                if item.table == name
                else item
                for item in made
            ]
        for part in chunk.parts:
            part.book(row)
            passing.take(part)
            self.outcome.archived += part.archived
        position = {
            "pass": fetched.pass_,
            "after": chunk.after,
            "as_of": row.as_of.isoformat(),
            "run": {"run_id": row.run_id, **{name: getattr(row, name) for name in ledger.SUMS}},
        }
        state = {} if self._has_ids else {name: position}
        return _Ready(passing, [*landings, *made], state, chunk.rows, is_last=chunk.after is None)

    def _with_first_seen(self, errors: pa.Table) -> pa.Table:
        try:
            return recall.with_first_seen(self._warehouse, errors)
        except WarehouseError:
            return errors  # rather a moment too late than a chunk lost

    def _first_landings(self, reading: Reading) -> list[Landing]:
        """What goes with the first chunk of an object type."""
        name = reading.object_type
        self._begun.add(name)
        self._notes += reading.changed_columns()
        return [
            Landing(
                "properties",
                pa.concat_tables(
                    [
                        reading.properties_table(),
                        recall.gone_properties(self._warehouse, reading),
                    ]
                ),
            ),
            Landing("property_options", reading.options_table()),
            self._runs_landing([self._rows[name]]),
        ]

    def _runs_landing(self, rows: Sequence[RunRow]) -> Landing:
        return Landing("runs", ledger.table_of(rows, ledger.RUNS))

    def _pass(self, object_type: str, name: str) -> _Pass:
        return self._passes.setdefault(f"{object_type}/{name}", _Pass(object_type, name))

    def _note_usage(self, fetched: Fetched) -> None:
        self._under_way = fetched.reading.object_type
        self._rows[fetched.reading.object_type].note(fetched.usage)
        self.outcome.limit_share = fetched.limit_share

    def _check(self, passing: _Pass) -> None:
        found = recall.count_rows(
            self._warehouse, passing.object_type, synced_since=passing.began_at
        )
        with self._beginning_anew(passing.object_type):
            passing.check(found)

    def _finish(self, reading: Reading) -> None:
        """An object type is done: sums, resolved errors, and the next run begins at the first."""
        row = self._rows[reading.object_type]
        with self._beginning_anew(row.object_type):
            row.check()
        now = datetime.now(UTC)
        recall.resolve_errors(self._warehouse, row.object_type, since=row.as_of, now=now)
        row.status, row.finished_at = COMPLETE, now
        state: dict[str, Any] = {} if self._has_ids else {row.object_type: {}}
        self._warehouse.land([self._runs_landing([row])], state=state)

    @contextmanager
    def _beginning_anew(self, object_type: str) -> Iterator[None]:
        try:
            yield
        except IncompleteError:
            if not self._has_ids:
                self._differing.add(object_type)
            raise

    def _checkpoint(self, object_type: str) -> Start:
        saved: Mapping[str, Any] = self._warehouse.state.get(object_type) or {}
        if not saved:
            return Start()
        start = Start.of(saved)
        self._notes.append(f"{object_type}: going on where the last run stopped")
        return start


def _unexpected(exc: Exception) -> IncompleteError:
    # Where and what kind, and no more: its text may hold a record's values.
    log.debug("".join(traceback.format_tb(exc.__traceback__)))
    place = traceback.extract_tb(exc.__traceback__)[-1]
    return IncompleteError(
        f"an error that nobody expected ({type(exc).__name__} in {Path(place.filename).name}, "
        f"line {place.lineno}): what was read before it has landed; please report it, with what "
        "--verbose prints"
    )


def _status_of(failure: CrmError | None) -> str:
    match failure:
        case None:
            return COMPLETE
        case Interrupted():
            return INTERRUPTED
        case AuthError() | ConfigError():
            return FAILED
        case _:
            return INCOMPLETE
