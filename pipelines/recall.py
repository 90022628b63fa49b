"""What a run asks the warehouse about earlier ones: columns, checkpoints, errors, counts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import polars as pl
import polars.selectors as cs
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.duckdb_file import quoted
from pipelines.landing import Landing
from pipelines.ledger import ERRORS, SUMS
from pipelines.reading import PROPERTIES, KnownColumns, Reading
from pipelines.steps import Progress
from pipelines.unread import VERSIONS
from pipelines.warehouse import Warehouse
from transforms.definitions import Kind

ENVELOPE_COLUMNS = ("created_at", "updated_at", "archived_at", "archived")
_DELETED = "select object_id from crm.deletions where object_type = ?"
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


def columns_in_use(warehouse: Warehouse, object_type: str) -> dict[str, str | None]:
    """The column of each live property, as the last run left them; None: it was not read."""
    if not warehouse.has_table("properties"):
        return {}
    found = warehouse.query(
        "select name, column_name from crm.properties where object_type = ? and not archived",
        object_type,
    )
    return dict(zip(found["name"].to_pylist(), found["column_name"].to_pylist(), strict=True))


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


def versions(
    warehouse: Warehouse, object_type: str, *, archived: bool, since: datetime | None = None
) -> pa.Table:
    """When the rows of a table were modified, as `unread.VERSIONS`, by id.

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
        "and (? is null or (updated_at >= ? and synced_at > updated_at + interval 1 second)) "
        "order by id",
        archived,
        since,
        since,
    )
    return found.cast(VERSIONS)


def retire_merged(warehouse: Warehouse, object_type: str, *, since: datetime) -> None:
    """Delete the rows of records that were merged into others, as was seen since then.

    A row that was read later than that is that of a record again.
    """
    if not (warehouse.has_table("id_aliases") and warehouse.has_table(object_type)):
        return
    warehouse.execute(
        f"delete from crm.{quoted(object_type)} as r using crm.id_aliases as a "  # noqa: S608  (quoted)
        "where a.object_type = ? and a.old_id = r.id "
        "and a.seen_at >= ? and r.synced_at < a.seen_at",
        object_type,
        since,
    )


def count_live(warehouse: Warehouse, object_type: str) -> int:
    """Rows of live records; 0 without a table."""
    if not warehouse.has_table(object_type):
        return 0
    sql = f"select count(*) as rows from crm.{quoted(object_type)} where not archived"  # noqa: S608  (quoted)
    return int(warehouse.query(sql)["rows"][0].as_py())


def changed_definitions(
    warehouse: Warehouse, reading: Reading, only: Sequence[str] | None = None
) -> list[Landing]:
    """Rows of `properties` and `property_options`, where they are not in the tables as they are.

    With `only`, rows of these properties alone: the reading knows no column of the others.
    """
    properties, options = reading.properties_table(), reading.options_table()
    if only is None:
        properties = pa.concat_tables([properties, gone_properties(warehouse, reading)])
    else:
        properties = properties.filter(pc.is_in(properties["name"], pa.array(only)))
        options = options.filter(pc.is_in(options["property"], pa.array(only)))
    landings = (Landing("properties", properties), Landing("property_options", options))
    return [one for one in landings if not _is_known(warehouse, one, reading.object_type)]


def _is_known(warehouse: Warehouse, landing: Landing, object_type: str) -> bool:
    if not warehouse.has_table(landing.table):
        return False
    columns = ", ".join(quoted(name) for name in landing.rows.schema.names)
    known = warehouse.query(
        f"select {columns} from crm.{landing.table} where object_type = ?",  # noqa: S608  (quoted)
        object_type,
    )
    return _row_set(landing.rows) <= _row_set(known)


def _row_set(rows: pa.Table) -> set[tuple[Any, ...]]:
    return {tuple(row.values()) for row in rows.to_pylist()}


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


def table_columns(warehouse: Warehouse, table: str) -> dict[str, str]:
    """SQL type by name of the columns of a table, in order; nothing without the table."""
    rows = warehouse.query(
        "select column_name, data_type from information_schema.columns "
        "where table_schema = 'crm' and table_name = ? order by ordinal_position",
        table,
    ).to_pylist()
    return {row["column_name"]: row["data_type"] for row in rows}


def with_other_columns(
    warehouse: Warehouse,
    landing: Landing,
    columns: Mapping[str, str],
    *,
    is_part: bool = False,
) -> Landing:
    """The same rows, with the values that the table has for them in columns they lack.

    A merge replaces whole rows: a column that is not read any more (excluded, archived, of an
    earlier type) would become null for every record read again.

    Args:
        warehouse: Asked only when there are such columns.
        landing: Rows of an object's table.
        columns: Those of the table, as `table_columns` gives them.
        is_part: Only the property columns of `landing` are new: what else it has is left as it
            is in the table, and rows that the table does not have are left out.
    """
    if is_part:
        landing = replace(landing, rows=landing.rows.drop_columns(list(ENVELOPE_COLUMNS)))
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
        how="inner" if is_part else "left",
        maintain_order="left",
    )
    added = joined.select(list(missing)).to_arrow()
    rows = landing.rows
    if is_part:
        rows = joined.select(rows.schema.names).to_arrow().cast(rows.schema)
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
    warehouse: Warehouse,
    object_type: str,
    *,
    since: datetime,
    now: datetime,
    only: Sequence[str] | None = None,
) -> None:
    """Mark as resolved what did not fail again in this way since then.

    With `only`, nothing but these properties was read, so other values are as wrong as before.

    Its record has landed, or was merged into one that has, or has failed for another reason.
    """
    if not (warehouse.has_table("errors") and warehouse.has_table(object_type)):
        return
    warehouse.execute(
        "update crm.errors set resolved_at = ? "  # noqa: S608  (quoted)
        "where resolved_at is null and object_type = ? and last_seen_at < ? "
        "and (? is null or property is null or property in (select unnest(?::varchar[]))) "
        "and (try_cast(object_id as bigint) in ("
        f"select id from crm.{quoted(object_type)} where synced_at >= ? union all "
        "select old_id from crm.id_aliases where object_type = ? and seen_at >= ?) "
        "or (object_id, stage) in (select (object_id, stage) from crm.errors "
        "where object_type = ? and stage = 'read' and last_seen_at >= ?))",
        now, object_type, since, only and list(only), only and list(only),
        since, object_type, since, object_type, since,
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
