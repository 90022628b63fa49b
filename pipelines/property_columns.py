"""What a run asks the warehouse about properties and the columns that earlier runs made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import polars.selectors as cs
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.duckdb_file import quoted
from pipelines.landing import Landing
from pipelines.reading import PROPERTIES, KnownColumns, Reading
from pipelines.warehouse import Warehouse
from transforms.definitions import Kind

ENVELOPE_COLUMNS = ("created_at", "updated_at", "archived_at", "archived")
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
