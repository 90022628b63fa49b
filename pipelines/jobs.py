"""What a run does for one object type."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pipelines import ledger, property_columns, recall
from pipelines.errand import Errand
from pipelines.fetching import Fetched
from pipelines.passes import check
from pipelines.progress import Counters
from pipelines.reading import Reading
from pipelines.steps import ARCHIVED, LANDED, LIVE, MODIFIED, SWEEP, CutOff, Progress, Step
from pipelines.table import Table
from pipelines.unread import Versions
from pipelines.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Job:
    """What a run does for one object type.

    `key`: under which its progress is kept; None: it is not, and a run that is cut off begins
    anew. `is_sync`: when it is done, everything modified before it began is in the table.
    `is_refresh_due`: then calculated properties are stale. `after_all`: what else is remembered
    when it is done, by key.
    `only`: these properties are read, and nothing else in the table changes. `errors`: rows of
    `errors` that land with the first chunk. `duplicates`: how many more times ids were given.
    `id_property`: the ids are values of it. `lines_of`: where somebody wrote down these ids.
    `selection`: what was asked for, as people say it.
    """

    steps: tuple[Step, ...]
    progress: Progress = field(default_factory=Progress)
    key: str | None = None
    is_sync: bool = False
    is_refresh_due: bool = False
    after_all: Mapping[str, Progress] = field(default_factory=dict)
    only: tuple[str, ...] | None = None
    errors: tuple[ledger.ErrorRow, ...] = ()
    duplicates: int = 0
    id_property: str | None = None
    lines_of: Callable[[Collection[str]], Mapping[str, int]] | None = None
    selection: str | None = None

    @property
    def is_reading_all(self) -> bool:
        """Whether it is a sync that reads everything from the first id on."""
        first = self.steps[0] if self.steps else None
        return self.is_sync and first is not None and first.name == LIVE and first.after is None

    def row(
        self, run_id: str, object_type: str, *, command: str, started_at: datetime
    ) -> ledger.RunRow:
        """The run as it begins, for `runs`."""
        return ledger.RunRow(
            run_id=run_id,
            command=command,
            object_type=object_type,
            started_at=started_at,
            as_of=started_at,
            cursor_from=self.selection or begin_of(self.steps),
            duplicate_ids=self.duplicates,
        )

    def newly_stale(self, reading: Reading, table: Table) -> set[str]:
        """Properties whose values are not in their columns yet, as far as this run has found."""
        if not table.columns:
            return set()
        calculated = reading.calculated() if self.is_refresh_due else ()
        return {*reading.stale(table.in_use), *calculated}

    def stale(self, reading: Reading, newly: Collection[str]) -> tuple[str, ...]:
        """Properties to be read of every row once this is done; `newly`: see `newly_stale`."""
        if not self.is_sync:
            return self.progress.stale
        if self.is_reading_all:
            return ()
        found = {*self.progress.stale, *newly}
        return tuple(sorted(found.intersection(reading.properties)))

    def cut_off(
        self,
        step: Step,
        row: ledger.RunRow,
        *,
        after: str | None,
        opened_at: datetime,
        check: Mapping[str, Any] | None,
    ) -> CutOff:
        """Where it goes on when it is cut off once a chunk of this step has landed.

        Args:
            step: Under way.
            row: The run, with its sums up to that chunk.
            after: Where the stream goes on behind the chunk; None: the step has ended.
            opened_at: When the run began, by HubSpot's clock.
            check: The sums of the step, if it has ended.
        """
        before = self.progress.cut_off
        is_as_old = before is not None and step.name in (LIVE, ARCHIVED)
        return CutOff(
            step=step.name,
            after=after,
            began_at=before.began_at if before else row.started_at,
            as_of=before.as_of if before and is_as_old else step.until or opened_at,
            since=step.since,
            run={"run_id": row.run_id, **{sum_: getattr(row, sum_) for sum_ in ledger.SUMS}},
            check=check,
            only=self.only,
        )

    def done(self, fetched: Fetched, started_at: datetime, here: int) -> Progress:
        """What a sync has come to; `here`: rows of live records created before it began."""
        gap = None if fetched.live_total is None else fetched.live_total - here
        # The list shows what search has not counted yet: one more here would hide one archived.
        is_listing = any(step.name in (LIVE, ARCHIVED) for step in self.steps)
        is_refreshed = self.is_refresh_due or self.is_reading_all
        return replace(
            self.progress,
            cursor=fetched.opened_at,
            gap=None if gap and is_listing else gap,
            sweep=fetched.sweep,
            refreshed_at=started_at if is_refreshed else self.progress.refreshed_at,
            cut_off=None,
        )


def state_of(
    job: Job, warehouse: Warehouse, table: Table, reading: Reading, progress: Progress | None
) -> dict[str, Any]:
    """What is remembered of a job, by key, and with it of the others that it concerns.

    Args:
        job: Under way.
        warehouse: Asked for what is remembered of others.
        table: As the run found it.
        reading: What the run reads.
        progress: But for what is stale; None: nothing is remembered of the job any more.
    """
    name, newly_stale = reading.object_type, job.newly_stale(reading, table)
    state: dict[str, Any] = {}
    if job.only is not None:
        state = _settled(warehouse, name, now=datetime.now(UTC))
    if newly_stale:
        # A refresh that was cut off has not read these, or into other columns.
        state[refresh_key(name)] = None
    if newly_stale and not job.is_sync:
        of_sync = Progress.of(state.get(name) or warehouse.state.get(name))
        both = tuple(sorted({*of_sync.stale, *newly_stale}))
        state[name] = replace(of_sync, stale=both).saved()
    if job.key is not None:
        stale = job.stale(reading, newly_stale)
        state[job.key] = replace(progress, stale=stale).saved() if progress else None
    return state


def refresh_key(object_type: str) -> str:
    """Under which the progress of reading stale properties is kept."""
    return f"refresh {object_type}"


def settle(warehouse: Warehouse, jobs: Mapping[str, Job], *, now: datetime) -> None:
    """Resolve what runs that were cut off have mended, before jobs touch rows they read in part.

    Afterwards `synced_at` tells no longer when a row was read in whole.
    """
    for object_type in (name for name, job in jobs.items() if job.only is not None):
        # Rows that are younger are of a package of which what is wrong with them may be lost.
        landed = warehouse.state.get(f"{LANDED}{object_type}")
        for cut_off in (one.cut_off for one in _cut_off(warehouse, object_type).values()):
            if landed is not None and cut_off is not None:
                recall.resolve_errors(
                    warehouse,
                    object_type,
                    since=cut_off.began_at,
                    until=datetime.fromisoformat(landed["synced_at"]),
                    now=now,
                    only=cut_off.only,
                )


def _settled(warehouse: Warehouse, object_type: str, *, now: datetime) -> dict[str, Any]:
    """State of the runs that were cut off, so that no row from before is taken for one of theirs.

    It lands with rows that were read in part.
    """
    return {
        key: replace(one, cut_off=replace(one.cut_off, began_at=now)).saved()
        for key, one in _cut_off(warehouse, object_type).items()
        if one.cut_off is not None
    }


def _cut_off(warehouse: Warehouse, object_type: str) -> dict[str, Progress]:
    """By key, what is remembered of runs over an object type that were cut off."""
    found = {key: Progress.of(saved) for key, saved in warehouse.state.items()}
    return {key: one for key, one in found.items() if one.cut_off and object_type in key.split()}


def recheck(warehouse: Warehouse, object_type: str, cut_off: CutOff) -> None:
    """Count the rows of a step that landed in whole before its process was killed.

    That other runs have landed rows since is no fault.

    Raises:
        IncompleteError: They are not as many as were read, or some are there twice.
    """
    if cut_off.check is not None:
        since = datetime.fromisoformat(cut_off.check["since"])
        rows, records = recall.count_landed(warehouse, object_type, since=since)
        doubles = rows - records
        here = records + recall.count_merged(warehouse, object_type, since=since)
        check(object_type, cut_off.check, min(here, cut_off.check["most"]) + doubles)


def errand_of(
    job: Job, warehouse: Warehouse, row: ledger.RunRow, table: Table, counters: Counters
) -> Errand:
    """What the fetching half of a run needs to know of an object type.

    Args:
        job: What to do.
        warehouse: Open; asked for columns, and for versions of rows that need not be read.
        row: The run.
        table: Of the object type.
        counters: To count in.
    """
    object_type = row.object_type
    opened = [step.since for step in job.steps if step.name == MODIFIED and step.is_skipping]
    since = min((at for at in opened if at is not None), default=None)
    errand = Errand(
        row.run_id,
        job.steps,
        known=property_columns.known_columns(warehouse, object_type),
        defined=table.in_use,
        counters=counters,
        gap=job.progress.gap,
        sweep=job.progress.sweep,
        only=job.only,
        id_property=job.id_property,
    )
    if since is not None:
        is_whole = job.progress.cut_off is None and job.progress.cursor is not None
        live = recall.versions(warehouse, object_type, archived=False, since=since)
        seen_until = _microseconds(job.progress.cursor) if is_whole else None
        errand = replace(errand, live=Versions(live, seen_until=seen_until))
    if any(step.name == SWEEP for step in job.steps):
        archived = recall.versions(warehouse, object_type, archived=True)
        errand = replace(errand, archived=Versions(archived))
    return errand


def begin_of(steps: Sequence[Step]) -> str | None:
    """Where a run begins, for people: the first id of a list, or the beginning of a window."""
    first = steps[0] if steps else None
    if first is None or first.since is None:
        return first.after if first else None
    return first.since.isoformat()


def _microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1_000_000)
