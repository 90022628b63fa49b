"""What a run does for one object type."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pipelines import ledger, property_columns, recall
from pipelines.fetching import Errand
from pipelines.passes import check
from pipelines.progress import Counters
from pipelines.steps import LANDED, LIVE, MODIFIED, SWEEP, CutOff, Progress, Step
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


def refresh_key(object_type: str) -> str:
    """Under which the progress of reading stale properties is kept."""
    return f"refresh {object_type}"


def settle(warehouse: Warehouse, object_type: str, *, now: datetime) -> None:
    """Resolve what runs that were cut off have mended, before a run touches rows it reads in part.

    Afterwards `synced_at` tells no longer when a row was read in whole.
    """
    # Rows that are younger are of a package of which what is wrong with them may be lost.
    landed = warehouse.state.get(f"{LANDED}{object_type}", {}).get("synced_at")
    for progress in _cut_off(warehouse, object_type).values():
        if landed is not None and progress.cut_off is not None:
            recall.resolve_errors(
                warehouse,
                object_type,
                since=progress.cut_off.began_at,
                until=datetime.fromisoformat(landed),
                now=now,
                only=progress.cut_off.only,
            )


def settled(warehouse: Warehouse, object_type: str, *, now: datetime) -> dict[str, Any]:
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
    job: Job,
    warehouse: Warehouse,
    object_type: str,
    *,
    run_id: str,
    in_use: Mapping[str, str | None],
    counters: Counters,
) -> Errand:
    """What the fetching half of a run needs to know of an object type.

    Args:
        job: What to do.
        warehouse: Open; asked for columns, and for versions of rows that need not be read.
        object_type: Plural, as in the path.
        run_id: Of the run.
        in_use: The column of each live property, as the last run left them.
        counters: To count in.
    """
    opened = [step.since for step in job.steps if step.name == MODIFIED and step.is_skipping]
    since = min((at for at in opened if at is not None), default=None)
    errand = Errand(
        run_id,
        job.steps,
        known=property_columns.known_columns(warehouse, object_type),
        defined=in_use,
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
