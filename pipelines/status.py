"""What the warehouse says about itself: runs, rows, freshness, errors, and the next run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.backfill import cut_off_backfills
from pipelines.reader import Reader
from pipelines.rows import Rows
from pipelines.settings import OBJECT_TYPES
from pipelines.steps import Progress
from pipelines.workfolder import is_package_pending

_MINUTE = "%Y-%m-%d %H:%M"
_RUNS = f"""
select strftime(started_at, '{_MINUTE}') as started, object_type as object, status,
    round(epoch(finished_at - started_at), 1) as seconds, requested_ids as asked,
    loaded_rows as landed, error_ids + rejected_values as errors, message
from crm.runs order by started_at desc, object_type limit 10
"""
_FRESHNESS = f"""
select object_type as object, last_status, strftime(complete_as_of, '{_MINUTE}') as complete_as_of,
    minutes_behind
from analytics.sync_freshness order by object_type
"""
_CUT_OFF = f"""
select object_type as object, cursor_from as records, strftime(started_at, '{_MINUTE}') as started,
    requested_ids as asked,
    'run the same command again, or with --restart to begin anew' as "to go on"
from crm.runs where run_id in (select unnest(?::varchar[])) order by started_at
"""
_ERRORS = f"""
select object_type as object, stage, category, property, count(*) as errors,
    strftime(max(last_seen_at), '{_MINUTE}') as last_seen
from crm.errors where resolved_at is null
group by object_type, stage, category, property
order by errors desc, object_type, category, property limit 20
"""


def status_of(path: Path, *, lock_wait_s: float) -> list[Rows]:
    """The tables that `crm status` prints.

    Raises:
        WarehouseError: There is no warehouse, or it stays locked.
    """
    with Reader(path, lock_wait_s=lock_wait_s) as reader:
        present = [name for name in OBJECT_TYPES if reader.has_table("crm", name)]
        counts = " union all ".join(
            f"select '{name}' as object, count(*) as rows, "
            f"count(*) filter (where archived) as archived, "
            f"strftime(max(synced_at), '{_MINUTE}') as last_landed "
            f"from crm.{name}"
            for name in present
        )
        tables = [reader.rows("Rows", counts)] if present else []
        # A first run that was refused has left a row of `runs`, and no other table.
        tables += [
            reader.rows(title, sql, empty="none")
            for title, schema, needs, sql in (
                ("Freshness", "analytics", "sync_freshness", _FRESHNESS),
                ("Last runs", "crm", "runs", _RUNS),
                ("Unresolved errors", "crm", "errors", _ERRORS),
            )
            if reader.has_table(schema, needs)
        ]
        state = reader.saved_state()
        if cut_off := cut_off_backfills(state):
            tables.append(reader.rows("Backfills that were cut off", _CUT_OFF, cut_off))
    return [*tables, _next_run(path, state)]


def errors_in(
    path: Path,
    *,
    is_unresolved: bool,
    object_type: str | None,
    category: str | None,
    show_values: bool,
    limit: int,
    lock_wait_s: float,
) -> Rows:
    """The latest rows of `errors` that fit; raw values only when asked for.

    Raises:
        WarehouseError: There is no warehouse, or it stays locked.
    """
    value = "raw_value, " if show_values else ""
    resolved = f", strftime(resolved_at, '{_MINUTE}') as resolved"
    with Reader(path, lock_wait_s=lock_wait_s) as reader:
        if not reader.has_table("crm", "errors"):
            return Rows("Errors", (), (), empty="none, for nothing was synced yet")
        return reader.rows(
            "Errors",
            f"select strftime(last_seen_at, '{_MINUTE}') as last_seen, object_type as object, "
            f"object_id as id, category, property, {value}message"
            f"{'' if is_unresolved else resolved} from crm.errors "
            "where (? is null or object_type = ?) and (? is null or category = ?) "
            "and (resolved_at is null or not ?) "
            "order by last_seen_at desc, object_type, object_id, property limit ?",
            object_type, object_type, category, category, is_unresolved, limit,
            empty="none",
        )  # fmt: skip


def rows_of(path: Path, sql: str, *, lock_wait_s: float, limit: int | None = None) -> Rows:
    """The rows of one statement that only reads; the first `limit` of them.

    Raises:
        ConfigError: The statement is wrong.
        WarehouseError: There is no warehouse, or it stays locked.
    """
    with Reader(path, lock_wait_s=lock_wait_s) as reader:
        return reader.rows("", sql, limit=limit)


def _next_run(path: Path, state: Mapping[str, Mapping[str, Any]]) -> Rows:
    lines: list[Sequence[str]] = []
    if is_package_pending(path):
        lines.append(("first", "load what an earlier run had fetched"))
    lines += [(name, _begins(Progress.of(state.get(name)))) for name in OBJECT_TYPES]
    return Rows("The next crm sync will", ("", "do"), lines)


def _begins(progress: Progress) -> str:
    cut_off = progress.cut_off
    if cut_off is None:
        if progress.cursor is None:
            return "list every id, read every record"
        return f"read what was modified since {progress.cursor:%Y-%m-%d %H:%M:%S}"
    if cut_off.after is None:
        return f"go on after the {cut_off.step} records, which have landed"
    return f"go on with the {cut_off.step} records, of ids {_short(cut_off.after)}"


def _short(ranges: str) -> str:
    first, _, others = ranges.partition(",")
    return f"{first} and {others.count(',') + 1} more ranges" if others else first
