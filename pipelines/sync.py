"""The scheduled run: everything at first, then what has changed; and ids given."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pipelines import recall
from pipelines.errors import IncompleteError
from pipelines.idpages import IdSequence, SortedIds
from pipelines.jobs import Job, recheck, refresh_key
from pipelines.outcome import Outcome
from pipelines.progress import View
from pipelines.run import run
from pipelines.settings import Settings
from pipelines.steps import IDS, Progress, Step, steps_of
from pipelines.stream import Bounds
from pipelines.warehouse import Warehouse


def sync(
    settings: Settings,
    warehouse: Warehouse,
    object_types: Sequence[str],
    *,
    view: View,
    stop: threading.Event,
    is_full: bool = False,
    since: datetime | None = None,
    ids: Mapping[str, Sequence[str]] | None = None,
    command: str = "sync",
    bounds: Bounds = Bounds(),
) -> Outcome:
    """Read what HubSpot has of these object types into the warehouse.

    The first run reads everything, later ones what has changed since. One that was cut off
    goes on where it stopped, unless `is_full`. One that ends early has landed what it had
    read; `Outcome.failure` then says why, and so do its rows in `runs`.

    With `ids`, only these records are read, and where a cut-off run goes on stays as it was.

    Args:
        settings: Checked settings.
        warehouse: Open.
        object_types: In the order to read them.
        view: Shows progress.
        stop: Set it to end early, with a checkpoint.
        is_full: Read everything, anew.
        since: Read at least what was modified since then.
        ids: By object type, one list for each of `object_types`.
        command: For `runs`.
        bounds: How much lands together.

    Raises:
        WarehouseError: What was read could not be loaded; the next run loads it first.
    """
    notes: list[str] = []
    if ids is not None:
        jobs = {name: Job((Step(IDS, ids=IdSequence(ids[name])),)) for name in object_types}
    else:
        jobs = {
            name: sync_job(
                warehouse, name, notes=notes, settings=settings, is_full=is_full, since=since
            )
            for name in object_types
        }
    outcome = run(settings, warehouse, jobs, view=view, stop=stop, command=command, bounds=bounds)
    outcome.notes[:0] = notes
    if ids is None and outcome.failure is None:
        _refresh(settings, warehouse, outcome, view=view, stop=stop, bounds=bounds)
    return outcome


def _refresh(
    settings: Settings,
    warehouse: Warehouse,
    outcome: Outcome,
    *,
    view: View,
    stop: threading.Event,
    bounds: Bounds,
) -> None:
    """Read the stale properties of every row, and nothing else; added to `outcome`."""
    jobs = {}
    for row in outcome.runs:
        name = row.object_type
        progress = Progress.of(warehouse.state.get(name))
        if progress.stale:
            outcome.notes.append(f"{name}: reading {', '.join(progress.stale)} of every row")
            jobs[name] = _refresh_job(warehouse, name, progress)
    if jobs:
        more = run(
            settings, warehouse, jobs, view=view, stop=stop, command="refresh", bounds=bounds
        )
        outcome.runs += more.runs
        outcome.seconds += more.seconds
        outcome.failure = more.failure


def _refresh_job(warehouse: Warehouse, object_type: str, progress: Progress) -> Job:
    key = refresh_key(object_type)
    here = Progress.of(warehouse.state.get(key))
    if here.stale != progress.stale:
        here = Progress(stale=progress.stale)
    after = here.cut_off.after if here.cut_off else None
    is_landed = here.cut_off is not None and after is None
    ids = SortedIds(recall.ids_in(warehouse, object_type))
    return Job(
        () if is_landed else (Step(IDS, after, ids=ids),),
        here,
        key=key,
        only=progress.stale,
        selection=f"{', '.join(progress.stale)} of every row",
        after_all={object_type: replace(progress, stale=())},
    )


def sync_job(
    warehouse: Warehouse,
    object_type: str,
    *,
    notes: list[str],
    settings: Settings,
    is_full: bool,
    since: datetime | None,
) -> Job:
    """What `crm sync` does for an object type, by what earlier runs left in the warehouse."""
    progress = Progress.of(warehouse.state.get(object_type))
    cut_off = progress.cut_off
    if cut_off is not None and not is_full:
        try:
            recheck(warehouse, object_type, cut_off)
            notes.append(f"{object_type}: going on where the last run stopped")
        except IncompleteError as failure:
            notes.append(f"{object_type}: reading everything anew, for {failure}")
            progress = Progress()
    if is_full:
        progress = replace(progress, cut_off=None)
    steps = steps_of(
        progress,
        overlap=timedelta(minutes=settings.overlap_minutes),
        is_full=is_full,
        since=since,
    )
    hours = settings.refresh_calculated_hours
    last = progress.refreshed_at
    is_due = hours is not None and (
        last is None or datetime.now(UTC) - last >= timedelta(hours=hours)
    )
    job = Job(steps, progress, key=object_type, is_sync=True)
    return replace(job, is_refresh_due=is_due and not job.is_reading_all)
