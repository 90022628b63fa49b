"""What a run asks the warehouse about the rows, errors and runs of earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl
import pyarrow as pa

from pipelines.duckdb_file import quoted
from pipelines.ledger import ERRORS, SUMS
from pipelines.steps import LANDED, Progress
from pipelines.unread import VERSIONS
from pipelines.warehouse import Warehouse

_DELETED = "select object_id from crm.deletions where object_type = ?"


def count_rows(warehouse: Warehouse, table: str, *, synced_since: datetime | None = None) -> int:
    """Rows of an object's table, all or those landed at or after a moment; 0 without a table."""
    if not warehouse.has_table(table):
        return 0
    sql = f"select count(*) as rows from crm.{quoted(table)}"  # noqa: S608  (quoted)
    if synced_since is None:
        found = warehouse.query(sql)
    else:
        found = warehouse.query(f"{sql} where synced_at >= ?", synced_since)
    return int(found["rows"][0].as_py())


def count_landed(warehouse: Warehouse, object_type: str, *, since: datetime) -> tuple[int, int]:
    """Rows of an object's table that landed at or after a moment, and of how many records."""
    if not warehouse.has_table(object_type):
        return 0, 0
    found = warehouse.query(
        "select count(*) as rows, count(distinct id) as records "  # noqa: S608  (quoted)
        f"from crm.{quoted(object_type)} where synced_at >= ?",
        since,
    )
    return int(found["rows"][0].as_py()), int(found["records"][0].as_py())


def count_merged(warehouse: Warehouse, object_type: str, *, since: datetime) -> int:
    """Ids seen at or after a moment to be merged into others, which may have had a row before."""
    if not warehouse.has_table("id_aliases"):
        return 0
    found = warehouse.query(
        "select count(*) as ids from crm.id_aliases where object_type = ? and seen_at >= ?",
        object_type,
        since,
    )
    return int(found["ids"][0].as_py())


def with_first_seen(warehouse: Warehouse, errors: pa.Table) -> pa.Table:
    """The same rows of `errors`; one that is in the table already keeps its `first_seen_at`."""
    if not errors.num_rows or not warehouse.has_table("errors"):
        return errors
    known = warehouse.query(
        "select error_id, first_seen_at from crm.errors "
        "where error_id in (select unnest(?::varchar[]))",
        errors["error_id"].to_pylist(),
    )
    at = dict(zip(known["error_id"].to_pylist(), known["first_seen_at"], strict=True))
    position = errors.schema.get_field_index("first_seen_at")
    firsts = [
        at.get(error_id, seen)
        for error_id, seen in zip(
            errors["error_id"].to_pylist(), errors["first_seen_at"], strict=True
        )
    ]
    moments = pa.array([moment.as_py() for moment in firsts], ERRORS.field(position).type)
    return errors.set_column(position, ERRORS.field(position), moments)


def versions(
    warehouse: Warehouse, object_type: str, *, archived: bool, since: datetime | None = None
) -> pa.Table:
    """When the rows of a table were modified, as `unread.VERSIONS`, by id.

    Rows of a package that landed in part, the rest of which is lost, are left out: what was wrong
    with their values may be among the rest.

    Args:
        warehouse: Open.
        object_type: Whose table.
        archived: Rows of archived records; else of live ones.
        since: Only rows modified at or after this moment. A row that was read in the second in
            which it was modified is left out, for it may have changed once more.
    """
    if not warehouse.has_table(object_type):
        return VERSIONS.empty_table()
    found = warehouse.query(
        "select id, epoch_us(updated_at) as updated_us "  # noqa: S608  (quoted)
        f"from crm.{quoted(object_type)} where archived = ? and updated_at is not null "
        "and synced_at <= ?::timestamptz "
        "and (? is null or (updated_at >= ? and synced_at > updated_at + interval 1 second)) "
        "order by id",
        archived,
        warehouse.state.get(f"{LANDED}{object_type}", {}).get("synced_at"),
        since,
        since,
    )
    return found.cast(VERSIONS)


def retire_merged(warehouse: Warehouse, object_type: str) -> None:
    """Delete the rows of records that were merged into others, as was seen later.

    A row that was read later than that is that of a record again.
    """
    if not (warehouse.has_table("id_aliases") and warehouse.has_table(object_type)):
        return
    warehouse.execute(
        f"delete from crm.{quoted(object_type)} as r using crm.id_aliases as a "  # noqa: S608  (quoted)
        "where a.object_type = ? and a.old_id = r.id and r.synced_at < a.seen_at",
        object_type,
    )


def count_live(warehouse: Warehouse, object_type: str, *, created_until: datetime) -> int:
    """Rows of live records that there were at a moment; 0 without a table."""
    if not warehouse.has_table(object_type):
        return 0
    found = warehouse.query(
        f"select count(*) as rows from crm.{quoted(object_type)} "  # noqa: S608  (quoted)
        "where not archived and (created_at is null or created_at <= ?)",
        created_until,
    )
    return int(found["rows"][0].as_py())


def ids_in(
    warehouse: Warehouse, object_type: str, condition: str = "true", *parameters: object
) -> pl.Series:
    """Ids of the rows of a table that fulfil a condition, ascending, as numbers.

    Those of records that HubSpot has deleted for good are not among them.
    """
    if not warehouse.has_table(object_type):
        return pl.Series("id", [], pl.Int64)
    gone = "select null where false"
    if warehouse.has_table("deletions"):
        gone, parameters = _DELETED, (*parameters, object_type)
    found = warehouse.query(
        f"select id from crm.{quoted(object_type)} where ({condition}) "  # noqa: S608  (our own)
        f"and id not in ({gone}) order by id",
        *parameters,
    )
    return pl.Series("id", found["id"])


def retryable_ids(warehouse: Warehouse, object_type: str) -> list[str]:
    """Ids that may be had by asking again: those of unresolved errors that say so."""
    if not warehouse.has_table("errors"):
        return []
    found = warehouse.query(
        "select distinct object_id from crm.errors where object_type = ? and is_retryable "
        "and resolved_at is null and object_id is not null order by object_id",
        object_type,
    )
    return [str(object_id) for object_id in found["object_id"].to_pylist()]


def resolve_errors(
    warehouse: Warehouse,
    object_type: str,
    *,
    since: datetime,
    now: datetime,
    only: Sequence[str] | None = None,
    until: datetime | None = None,
) -> None:
    """Mark as resolved what has not failed in this way again when it was last read, since then.

    With `only`, nothing but these properties was read, so other values are as wrong as before.
    With `until`, rows that landed later are left out.

    Its record has landed, or was merged into one that has, or has failed for another reason:
    each time after it was last seen, be it in this run, or in one that was cut off before it.
    """
    if not (warehouse.has_table("errors") and warehouse.has_table(object_type)):
        return
    warehouse.execute(
        "update crm.errors as e set resolved_at = ? "  # noqa: S608  (quoted)
        "where resolved_at is null and object_type = ? "
        "and (? is null or property in (select unnest(?::varchar[]))) "
        f"and (exists (select 1 from crm.{quoted(object_type)} as r "
        "where r.id = try_cast(e.object_id as bigint) "
        "and r.synced_at >= ? and r.synced_at > e.last_seen_at "
        "and (? is null or r.synced_at <= ?)) "
        "or exists (select 1 from crm.id_aliases as a where a.object_type = e.object_type "
        "and a.old_id = try_cast(e.object_id as bigint) "
        "and a.seen_at >= ? and a.seen_at > e.last_seen_at) "
        "or e.stage = 'read' and exists (select 1 from crm.errors as later "
        "where later.object_type = e.object_type and later.object_id = e.object_id "
        "and later.stage = e.stage "
        "and later.last_seen_at >= ? and later.last_seen_at > e.last_seen_at))",
        now, object_type, only and list(only), only and list(only),
        since, until, until, since, since,
    )  # fmt: skip


def close_stale_runs(warehouse: Warehouse, *, now: datetime) -> None:
    """Call a run `interrupted` that is still `running` although nobody is at work here.

    Its sums are those that landed with its last chunk.
    """
    if not warehouse.has_table("runs"):
        return
    for saved in warehouse.state.values():
        cut_off = Progress.of(saved).cut_off
        if cut_off is not None and cut_off.run:
            run = cut_off.run
            sums = ", ".join(f"{name} = ?" for name in SUMS)
            warehouse.execute(
                f"update crm.runs set {sums} where status = 'running' and run_id = ?",  # noqa: S608  (names of our own)
                *(run[name] for name in SUMS),
                run["run_id"],
            )
    warehouse.execute(
        "update crm.runs set status = 'interrupted', finished_at = ?, "
        "message = 'the process was killed' where status = 'running'",
        now,
    )
