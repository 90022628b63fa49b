"""Bulk reads of chosen records that go on where they were cut off, and make way for other runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import polars as pl

from pipelines import recall
from pipelines.errors import ConfigError, IncompleteError, MadeWay
from pipelines.idpages import SortedIds
from pipelines.jobs import Job, recheck
from pipelines.ledger import SUMS, ErrorRow
from pipelines.outcome import Outcome
from pipelines.plan import Plan
from pipelines.planning import plan_steps
from pipelines.progress import View
from pipelines.run import run
from pipelines.selection import KEY, Selection
from pipelines.settings import Settings
from pipelines.steps import IDS, CutOff, Progress, Step
from pipelines.stream import Bounds
from pipelines.warehouse import Warehouse

NOT_IN_WAREHOUSE: Final = "NOT_IN_WAREHOUSE"
_TURN_WAIT_S: Final = 7 * 24 * 3600.0


def plan_backfill(
    settings: Settings,
    path: Path,
    object_type: str,
    selection: Selection,
    *,
    only: Sequence[str] = (),
    lock_wait_s: float,
) -> Plan:
    """What a backfill from its beginning will take; nothing is read or written.

    Raises:
        HubSpotError: It does not answer, or refuses.
        WarehouseError: The warehouse is not to be had, and `only` needs it.
    """
    steps = selection.steps
    if only:
        with Warehouse(path, lock_wait_s=lock_wait_s) as opened:
            steps, _ = _of_table(opened, object_type, selection)
    is_by_value = selection.id_property is not None
    return plan_steps(settings, object_type, steps, is_by_value=is_by_value)


def backfill(
    settings: Settings,
    path: Path,
    object_type: str,
    selection: Selection,
    *,
    only: Sequence[str] = (),
    is_restart: bool = False,
    view: Callable[[], View],
    stop: threading.Event,
    tell: Callable[[str], None] = lambda _: None,
    lock_wait_s: float,
    bounds: Bounds = Bounds(),
) -> Outcome:
    """Read the selected records; the same call goes on where one was cut off.

    Between two chunks another `crm` may use the warehouse: this one waits for it.

    Args:
        settings: Checked settings.
        path: The warehouse.
        object_type: Plural, as in the path.
        selection: Which records.
        only: Properties to read; nothing else in the table changes. None: all of them.
        is_restart: Begin anew, even if the same backfill was cut off.
        view: Makes what shows progress.
        stop: Set it to end early, with a checkpoint.
        tell: Gets remarks.
        lock_wait_s: How long to wait for the file, and at the beginning for another `crm`.
        bounds: How much lands together.

    Raises:
        ConfigError: The selection and `only` do not go together.
        WarehouseError: The warehouse is not to be had.
    """
    outcomes: list[Outcome] = []
    key = selection.key(object_type, only)
    while True:
        turn_wait_s = _TURN_WAIT_S if outcomes else None
        with Warehouse(path, lock_wait_s=lock_wait_s, turn_wait_s=turn_wait_s, tell=tell) as opened:
            if outcomes and key not in opened.state:
                tell("another crm has done the rest of this backfill")
                outcomes[-1].failure = None
                return _together(outcomes)
            if outcomes and Progress.of(opened.state[key]).cut_off is None:
                outcomes[-1].failure = IncompleteError(
                    "another crm has done the rest of this backfill, but its sums differ: run the "
                    "same command again, which reads all of them anew"
                )
                return _together(outcomes)
            job = _job(opened, object_type, selection, tuple(only), is_restart=is_restart)
            outcome = run(
                settings,
                opened,
                {object_type: job},
                view=view(),
                stop=stop,
                command="backfill",
                makes_way=True,
                bounds=bounds,
            )
        outcomes.append(outcome)
        is_restart = False
        if not isinstance(outcome.failure, MadeWay):
            return _together(outcomes)
        tell(f"{outcome.failure}")


def _job(
    warehouse: Warehouse,
    object_type: str,
    selection: Selection,
    only: tuple[str, ...],
    *,
    is_restart: bool,
) -> Job:
    """What is left of a backfill."""
    key = selection.key(object_type, only)
    progress = Progress() if is_restart else Progress.of(warehouse.state.get(key))
    steps, ids = selection.steps, selection.ids
    errors: tuple[ErrorRow, ...] = ()
    if only:
        steps, errors = _of_table(warehouse, object_type, selection)
    if progress.cut_off is not None:
        try:
            recheck(warehouse, object_type, progress.cut_off)
            steps = _rest(steps, progress.cut_off)
        except IncompleteError:
            progress = Progress()
    if progress.cut_off is None and ids is not None:
        errors = (*ids.error_rows(object_type), *errors)
    return Job(
        steps,
        progress,
        key=key,
        only=only or None,
        errors=errors,
        duplicates=ids.duplicates if ids else 0,
        id_property=selection.id_property,
        lines_of=ids.line_of if ids else None,
        selection=selection.what + (f": only {', '.join(only)}" if only else ""),
    )


def _rest(steps: Sequence[Step], cut_off: CutOff) -> tuple[Step, ...]:
    """The steps that are left, the first of them from where it was cut off."""
    position = [step.name for step in steps].index(cut_off.step)
    rest = steps[position + 1 :]
    if cut_off.after is not None:
        rest = (replace(steps[position], after=cut_off.after), *rest)
    # A window without an end was closed by the run that opened it.
    return tuple(
        replace(step, until=cut_off.as_of) if step.since and not step.until else step
        for step in rest
    )


def _of_table(
    warehouse: Warehouse, object_type: str, selection: Selection
) -> tuple[tuple[Step, ...], tuple[ErrorRow, ...]]:
    """The selected records that the table has, for only these can get more values.

    Raises:
        ConfigError: The records are not given by id.
    """
    if selection.id_property is not None:
        raise ConfigError("--property and --id-property do not go together: give record ids")
    if selection.where is not None:
        condition, parameters = selection.where
        here = recall.ids_in(warehouse, object_type, condition, *parameters)
        return (Step(IDS, ids=SortedIds(here)),), ()
    wanted = selection.ids.ids.cast(pl.Int64) if selection.ids else pl.Series([], dtype=pl.Int64)
    table = recall.ids_in(warehouse, object_type, "true")
    is_here = wanted.is_in(table.implode())
    absent = [str(one) for one in wanted.filter(~is_here)]
    lines = selection.ids.line_of(absent) if selection.ids else {}
    rows = tuple(
        ErrorRow(
            object_type=object_type,
            stage="discover",
            category=NOT_IN_WAREHOUSE,
            object_id=record_id,
            message="the table has no such record, so there is nothing to add the property to: "
            "read it with all properties first",
            context={"lines": [lines[record_id]]},
        )
        for record_id in absent
    )
    return (Step(IDS, ids=SortedIds(wanted.filter(is_here).sort())),), rows


def _together(outcomes: Sequence[Outcome]) -> Outcome:
    """One outcome for a backfill that made way and went on."""
    *before, last = outcomes
    for outcome in before:
        for row, earlier in zip(last.runs, outcome.runs, strict=True):
            for name in (*SUMS, "requests", "retries", "rate_limited"):
                setattr(row, name, getattr(row, name) + getattr(earlier, name))
        last.archived += outcome.archived
        last.seconds += outcome.seconds
    return last


def cut_off_backfills(state: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Backfills that are not done: the id of the last run of each."""
    saved = (Progress.of(state[key]).cut_off for key in state if key.startswith(KEY))
    return [str(cut_off.run["run_id"]) for cut_off in saved if cut_off is not None]
