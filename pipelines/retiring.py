"""Rows of records that HubSpot has no more: merged into another, or deleted for good.

Each function reads what was found from a file of `idfiles.FOUND`, and may be repeated: a
process killed in the middle leaves what the next one does again.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

import pyarrow as pa

from pipelines import ledger, property_columns
from pipelines.duckdb_file import quoted
from pipelines.findings import Finding, State
from pipelines.landing import Landing
from pipelines.warehouse import Warehouse
from transforms.columns import LOADER_PREFIX, RESERVED

SCHEMAS: Final = ("crm", "crm_staging")
"""Where values of a record are: dlt leaves what it merged last in the second."""

_MERGED: Final = f"select id from read_parquet(?) where finding = '{Finding.MERGED}'"  # noqa: S608  (a word of ours)
_GONE: Final = (
    "select id from read_parquet(?) "  # noqa: S608  (words of ours)
    f"where finding = '{Finding.MISSING_THERE}' and state = '{State.GONE}'"
)
"""Only what HubSpot itself calls not found; the rest of what is missing stays as it is."""


def retire_merged(warehouse: Warehouse, object_type: str, found: Path, *, now: datetime) -> None:
    """Take the rows of merged-away ids out of their table, once `id_aliases` has them."""
    merged = warehouse.query(
        "select ?::varchar as object_type, id as old_id, current_id, ?::timestamptz as seen_at "  # noqa: S608  (a word of ours)
        f"from read_parquet(?) where finding = '{Finding.MERGED}'",
        object_type, now, str(found),
    )  # fmt: skip
    if not merged.num_rows:
        return
    warehouse.land([Landing("id_aliases", _as(merged, ledger.ID_ALIASES))])
    # An id merged into one that is merged itself now has to lead to the row there is.
    warehouse.execute(
        "update crm.id_aliases set current_id = merged.current_id "  # noqa: S608  (a word of ours)
        f"from (select * from read_parquet(?) where finding = '{Finding.MERGED}') as merged "
        "where id_aliases.object_type = ? and id_aliases.current_id = merged.id",
        str(found), object_type,
    )  # fmt: skip
    _close_errors(warehouse, object_type, found, _MERGED, now=now)
    for schema in SCHEMAS:
        if warehouse.has_table(object_type, schema):
            warehouse.execute(
                f"delete from {schema}.{quoted(object_type)} where id in ({_MERGED})",  # noqa: S608  (quoted)
                str(found),
            )


def count_gone(warehouse: Warehouse, found: Path) -> int:
    """How many records are deleted for good, by HubSpot's own word."""
    rows = warehouse.query(f"select count(*) as rows from ({_GONE})", str(found))  # noqa: S608  (words of ours)
    return int(rows["rows"][0].as_py())


def empty_gone(
    warehouse: Warehouse, object_type: str, found: Path, *, run_id: str, now: datetime
) -> None:
    """Remove the values of records deleted for good; their rows stay, as archived ones."""
    if not count_gone(warehouse, found):
        return
    columns = [
        name
        for name in property_columns.table_columns(warehouse, object_type)
        if name not in RESERVED and not name.startswith(LOADER_PREFIX)
    ]
    nothing = "".join(f", {quoted(name)} = null" for name in columns)
    warehouse.execute(
        f"update crm.{quoted(object_type)} set archived = true, "  # noqa: S608  (quoted)
        f"archived_at = coalesce(archived_at, ?){nothing} where id in ({_GONE})",
        now, str(found),
    )  # fmt: skip
    staging = SCHEMAS[1]
    if warehouse.has_table(object_type, staging):
        warehouse.execute(
            f"delete from {staging}.{quoted(object_type)} where id in ({_GONE})",  # noqa: S608  (quoted)
            str(found),
        )
    _close_errors(warehouse, object_type, found, _GONE, now=now)
    _empty_errors(warehouse, object_type, found)
    # Last, for from now on such a row is as it should be.
    gone = warehouse.query(
        "select ?::varchar as object_type, id as object_id, ?::timestamptz as seen_at, "  # noqa: S608  (words of ours)
        f"?::varchar as run_id from ({_GONE})",
        object_type, now, run_id, str(found),
    )  # fmt: skip
    warehouse.land([Landing("deletions", _as(gone, ledger.DELETIONS))])


def _empty_errors(warehouse: Warehouse, object_type: str, found: Path) -> None:
    for schema in SCHEMAS:
        if warehouse.has_table("errors", schema):
            warehouse.execute(
                f"update {schema}.errors set raw_value = null, context = null, message = "  # noqa: S608  (words of ours)
                "case when contains(message, raw_value) then null else message end "
                f"where object_type = ? and try_cast(object_id as bigint) in ({_GONE})",
                object_type, str(found),
            )  # fmt: skip


def _close_errors(
    warehouse: Warehouse, object_type: str, found: Path, ids: str, *, now: datetime
) -> None:
    """Nothing of a record that is no more can be mended."""
    if warehouse.has_table("errors"):
        warehouse.execute(
            "update crm.errors set resolved_at = ? where resolved_at is null "  # noqa: S608  (words of ours)
            f"and object_type = ? and try_cast(object_id as bigint) in ({ids})",
            now, object_type, str(found),
        )  # fmt: skip


def _as(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    return rows.select(schema.names).cast(schema)
