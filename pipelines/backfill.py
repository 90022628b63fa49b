"""Bulk reads of chosen records that go on where they were cut off, and make way for other runs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl

from pipelines import recall
from pipelines.errors import ConfigError, IncompleteError, MadeWay
from pipelines.idlist import IdList, ids_of, read_ids
from pipelines.idpages import SortedIds
from pipelines.ledger import SUMS, ErrorRow
from pipelines.outcome import Outcome
from pipelines.plan import Plan, plan_steps
from pipelines.progress import View
from pipelines.reader import Reader
from pipelines.settings import Settings
from pipelines.steps import ARCHIVED, IDS, LIVE, MODIFIED, CutOff, Progress, Step
from pipelines.stream import Bounds
from pipelines.sync import Job, recheck, run
from pipelines.warehouse import Warehouse

NOT_IN_WAREHOUSE: Final = "NOT_IN_WAREHOUSE"
KEY: Final = "backfill "
"""What the keys begin with under which dlt's state has the progress of backfills."""

_TURN_WAIT_S: Final = 7 * 24 * 3600.0
_GREATEST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records somebody asked for.

    `what`: as people say it. `steps`: how they are found in HubSpot. `where`: the same of the
    rows in the warehouse, with its parameters; None: those in `ids`.
    """

    what: str
    steps: tuple[Step, ...]
    where: tuple[str, tuple[object, ...]] | None = ("true", ())
    ids: IdList | None = None
    id_property: str | None = None

    def key(self, object_type: str, only: Sequence[str]) -> str:
        """Under which the progress of this backfill is kept."""
        said = [self.what, self.ids.digest if self.ids else "", *sorted(only)]
        digest = hashlib.blake2b(json.dumps(said).encode(), digest_size=6).hexdigest()
        return f"{KEY}{object_type} {digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line has; windows are from and to."""

    is_all: bool = False
    ids: Path | None = None
    sql: str | None = None
    from_id: int | None = None
    to_id: int | None = None
    created: tuple[datetime | None, datetime | None] = (None, None)
    modified: tuple[datetime | None, datetime | None] = (None, None)
    id_property: str | None = None


def selection_of(asked: Asked, warehouse: Path, *, lock_wait_s: float) -> Selection:
    """Which records are meant.

    Raises:
        ConfigError: None, or in more than one way; or the file or query cannot be read.
        WarehouseError: There is no warehouse to query, or it stays locked.
    """
    given = {
        "--all": asked.is_all,
        "--ids": asked.ids is not None,
        "--sql": asked.sql is not None,
        "--from-id/--to-id": (asked.from_id, asked.to_id) != (None, None),
        "--created-since/--created-until": any(asked.created),
        "--modified-since/--modified-until": any(asked.modified),
    }
    chosen = [name for name, is_given in given.items() if is_given]
    if len(chosen) != 1:
        raise ConfigError(
            f"say which records in one way, not {len(chosen)}"
            f"{' (' + ' and '.join(chosen) + ')' if chosen else ''}: one of {', '.join(given)}"
        )
    if asked.id_property is not None and chosen[0] not in ("--ids", "--sql"):
        raise ConfigError("--id-property goes with --ids or --sql, which then give its values")
    if asked.ids is not None:
        return in_file(asked.ids, asked.id_property)
    if asked.sql is not None:
        return in_query(asked.sql, warehouse, asked.id_property, lock_wait_s=lock_wait_s)
    if any(asked.created):
        return window(*asked.created, is_created=True)
    if any(asked.modified):
        return window(*asked.modified, is_created=False)
    return everything() if asked.is_all else id_range(asked.from_id, asked.to_id)


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


def everything() -> Selection:
    """All records, live and archived."""
    return Selection("all", (Step(LIVE), Step(ARCHIVED)))


def id_range(low: int | None, high: int | None) -> Selection:
    """Records with ids from `low` up to `high`, both among them; None: no such end.

    Raises:
        ConfigError: There can be none.
    """
    first, last = low or 0, _GREATEST if high is None else high
    if first < 0 or last < first:
        raise ConfigError(f"--from-id {first} --to-id {last} leaves no id: swap them")
    end = None if high is None or high >= _GREATEST else high + 1
    steps = (Step(LIVE, low=first, high=end), Step(ARCHIVED, low=first, high=end))
    text = f"ids from {first} to {'the last' if high is None else high}"
    return Selection(text, steps, ("id between ? and ?", (first, last)))


def window(since: datetime | None, until: datetime | None, *, is_created: bool) -> Selection:
    """Records that were modified, or created, from `since` up to `until`; None: no such end.

    Raises:
        ConfigError: There can be none.
    """
    begin = since or datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    verb = "created" if is_created else "modified"
    if until is not None and until < begin:
        raise ConfigError(f"--{verb}-since is later than --{verb}-until: swap them")
    live = Step(MODIFIED, since=begin, until=until, is_created=is_created, is_skipping=False)
    archived = Step(ARCHIVED, since=begin, until=until, is_created=is_created)
    to = f" to {until.isoformat()}" if until else ""
    end = until or datetime(9999, 12, 31, tzinfo=UTC)
    column = "created_at" if is_created else "updated_at"
    return Selection(
        f"{verb} from {begin.isoformat()}{to}",
        (live, archived),
        (f"{column} between ? and ?", (begin, end)),
    )


def in_file(path: Path, id_property: str | None) -> Selection:
    """The ids in a file, or values of a unique property.

    Raises:
        ConfigError: The file cannot be read, or has no ids.
    """
    return _listed(f"ids in {path.name}", read_ids(path, id_property=id_property), id_property)


def in_query(
    sql: str, warehouse: Path, id_property: str | None, *, lock_wait_s: float
) -> Selection:
    """The ids that a query of the warehouse gives.

    Raises:
        ConfigError: DuckDB does not accept the query, or it gives no ids.
        WarehouseError: There is no warehouse, or it stays locked.
    """
    with Reader(warehouse, lock_wait_s=lock_wait_s) as reader:
        found = ids_of(reader.table(sql), id_property=id_property)
    return _listed("ids of a query", found, id_property)


def _listed(what: str, ids: IdList, id_property: str | None) -> Selection:
    name = None if id_property == "hs_object_id" else id_property
    step = Step(IDS, ids=ids)
    return Selection(f"{what}{f' by {name}' if name else ''}", (step,), None, ids, name)


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
    while True:
        turn_wait_s = _TURN_WAIT_S if outcomes else None
        with Warehouse(path, lock_wait_s=lock_wait_s, turn_wait_s=turn_wait_s, tell=tell) as opened:
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
        selection=selection.what,
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
    rows = tuple(
        ErrorRow(
            object_type=object_type,
            stage="discover",
            category=NOT_IN_WAREHOUSE,
            object_id=str(missing),
            message="the table has no such record, so there is nothing to add the property to: "
            "read it with all properties first",
        )
        for missing in wanted.filter(~is_here)
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


def cut_off_backfills(state: Mapping[str, object]) -> dict[str, Progress]:
    """Backfills that are not done, by object type and what tells them apart."""
    return {
        key.removeprefix(KEY): Progress.of(saved)  # type: ignore[arg-type]
        for key, saved in state.items()
        if key.startswith(KEY)
    }
