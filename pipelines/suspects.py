"""The comparison: ids as HubSpot lists them, in a file, against the rows of the warehouse."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pipelines.duckdb_file import literal, quoted
from pipelines.warehouse import Warehouse

_SUSPECTS: Final = """
copy (
    with there as (
        select id, bool_or(archived) as archived, max(updated_at) as updated_at
        from read_parquet({listed})
        group by id
    ),

    here as (
        select id, coalesce(archived, false) as archived, updated_at
        from crm.{table}
    ),

    deleted as (
        select object_id from crm.deletions where object_type = {object_type}
    ),

    compared as (
        select
            coalesce(here.id, there.id) as id,
            here.archived as archived_here,
            here.updated_at as updated_at_here,
            there.updated_at as updated_at_there,
            case
                when here.id is null then 'missing_here'
                when there.id is null then 'missing_there'
                when there.archived and not here.archived then 'archived_there'
                when here.archived and not there.archived then 'live_there'
                when
                    there.updated_at is not null
                    and there.updated_at is distinct from here.updated_at
                    then 'differs'
            end as finding
        from here
        full outer join there
            on here.id = there.id
    )

    select id, finding, archived_here, updated_at_here, updated_at_there
    from compared
    where
        finding is not null
        and not (
            finding = 'missing_there'
            and archived_here
            and id in (select object_id from deleted)
        )
) to {suspects} (format parquet)
"""
_LISTED: Final = """
select
    count(*) filter (where not archived) as live,
    count(*) filter (where archived) as archived,
    count(*) filter (where updated_at is null) as undated
from (
    select id, bool_or(archived) as archived, max(updated_at) as updated_at
    from read_parquet(?)
    group by id
)
"""


def write(warehouse: Warehouse, object_type: str, listed: Path, suspects: Path) -> None:
    """Write every id whose row is not as HubSpot lists it, in DuckDB's bounded memory.

    Args:
        warehouse: With the object's table and `deletions`.
        object_type: Plural, as in the path.
        listed: A file of `idfiles.LISTED`; an id that is listed twice is archived if it is so once.
        suspects: Gets the fields of `findings.Suspect`.
    """
    # What is listed is no deletion, whatever was seen before.
    warehouse.execute(
        "delete from crm.deletions where object_type = ? "
        "and object_id in (select id from read_parquet(?))",
        object_type, str(listed),
    )  # fmt: skip
    warehouse.execute(
        _SUSPECTS.format(
            listed=literal(str(listed)),
            suspects=literal(str(suspects)),
            table=quoted(object_type),
            object_type=literal(object_type),
        )
    )


def counts(warehouse: Warehouse, listed: Path) -> dict[str, int]:
    """How many distinct ids are listed: live, archived, and those without a moment."""
    found: dict[str, int] = warehouse.query(_LISTED, str(listed)).to_pylist()[0]
    return found
