"""What a run asks the warehouse about earlier ones: columns, checkpoints, errors, counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import polars as pl
import polars.selectors as cs
import pyarrow as pa

from pipelines.duckdb_file import quoted
from pipelines.landing import Landing
from pipelines.ledger import ERRORS, SUMS
from pipelines.reading import PROPERTIES, KnownColumns, Reading
from pipelines.warehouse import Warehouse
from transforms.definitions import Kind

_KINDS = {kind.sql_type: kind for kind in Kind}


def known_columns(warehouse: Warehouse, object_type: str) -> KnownColumns:
    """The columns of an object's table by property and kind; the one in use comes last."""
    if not warehouse.has_table("properties"):
        return {}
    rows = warehouse.query(
        "select name, column_name, column_type, previous_columns from crm.properties "
        "where object_type = ? and (column_name is not null or previous_columns is not null)",
        object_type,
    ).to_pylist()
    return {row["name"]: _by_kind(row) for row in rows}


def _by_kind(row: Mapping[str, Any]) -> dict[Kind, str]:
    columns = json.loads(row["previous_columns"] or "[]")
    if row["column_name"]:
        columns.append({"column_name": row["column_name"], "column_type": row["column_type"]})
    return {_KINDS[column["column_type"]]: column["column_name"] for column in columns}


def gone_properties(warehouse: Warehouse, reading: Reading) -> pa.Table:
    """Rows of `properties` that HubSpot defines no longer, as archived ones without a column."""
    if not warehouse.has_table("properties"):
        return PROPERTIES.empty_table()
    rows = warehouse.query(
        "select * from crm.properties where object_type = ? "
        "and name not in (select unnest(?::varchar[]))",
        reading.object_type,
        [prop.name for prop in reading.definitions],
    ).to_pylist()
    for row in rows:
        earlier = json.loads(row["previous_columns"] or "[]")
        if row["column_name"]:
            earlier.append({key: row[key] for key in ("column_name", "column_type")})
        row |= {"archived": True, "column_name": None, "column_type": None}
        row["previous_columns"] = json.dumps(earlier) if earlier else None
    return pa.Table.from_pylist(rows, schema=PROPERTIES)


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


def complete_as_of(warehouse: Warehouse, object_type: str) -> datetime | None:
    """What changed before this moment is in the table; None before the first complete sync."""
    if not warehouse.has_table("runs"):
        return None
    found = warehouse.query(
        "select max(as_of) as as_of from crm.runs "
        "where object_type = ? and status = 'complete' and command = 'sync'",
        object_type,
    )
    as_of: datetime | None = found["as_of"][0].as_py()
    return as_of


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


def table_columns(warehouse: Warehouse, table: str) -> dict[str, str]:
    """SQL type by name of the columns of a table, in order; nothing without the table."""
    rows = warehouse.query(
        "select column_name, data_type from information_schema.columns "
        "where table_schema = 'crm' and table_name = ? order by ordinal_position",
        table,
    ).to_pylist()
    return {row["column_name"]: row["data_type"] for row in rows}


def with_other_columns(
    warehouse: Warehouse, landing: Landing, columns: Mapping[str, str]
) -> Landing:
    """The same rows, with the values that the table has for them in columns they lack.

    A merge replaces whole rows: a column that is not read any more (excluded, archived, of an
    earlier type) would become null for every record read again.

    Args:
        warehouse: Asked only when there are such columns.
        landing: Rows of an object's table.
        columns: Those of the table, as `table_columns` gives them.
    """
    present = set(landing.rows.schema.names)
    missing = {name: type_ for name, type_ in columns.items() if name not in present}
    if not missing:
        return landing
    names = ", ".join(quoted(name) for name in missing)
    known = warehouse.query(
        f"select id, {names} from crm.{quoted(landing.table)} "  # noqa: S608  (quoted)
        "where id in (select unnest(?::bigint[]))",
        landing.rows["id"].to_pylist(),
    )
    joined = pl.DataFrame(landing.rows).join(
        pl.DataFrame(known).with_columns(cs.datetime(time_zone="*").dt.convert_time_zone("UTC")),
        on="id",
        how="left",
        maintain_order="left",
    )
    added = joined.select(list(missing)).to_arrow()
    rows = landing.rows
    for name in missing:
        rows = rows.append_column(name, added[name])
    lists = (name for name, type_ in missing.items() if type_ == "JSON")
    return replace(landing, rows=rows, json_columns=(*landing.json_columns, *lists))


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
    warehouse: Warehouse, object_type: str, *, since: datetime, now: datetime
) -> None:
    """Mark as resolved what did not fail again in this way since then.

    Its record has landed, or was merged into one that has, or has failed for another reason.
    """
    if not (warehouse.has_table("errors") and warehouse.has_table(object_type)):
        return
    warehouse.execute(
        "update crm.errors set resolved_at = ? "  # noqa: S608  (quoted)
        "where resolved_at is null and object_type = ? and last_seen_at < ? "
        "and (try_cast(object_id as bigint) in ("
        f"select id from crm.{quoted(object_type)} where synced_at >= ? union all "
        "select old_id from crm.id_aliases where object_type = ? and seen_at >= ?) "
        "or (object_id, stage) in (select (object_id, stage) from crm.errors "
        "where object_type = ? and stage = 'read' and last_seen_at >= ?))",
        now, object_type, since, since, object_type, since, object_type, since,
    )  # fmt: skip


def close_stale_runs(warehouse: Warehouse, *, now: datetime) -> None:
    """Call a run `interrupted` that is still `running` although nobody is at work here.

    Its sums are those that landed with its last chunk.
    """
    if not warehouse.has_table("runs"):
        return
    for saved in warehouse.state.values():
        run = saved.get("run") if isinstance(saved, Mapping) else None
        if run:
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
