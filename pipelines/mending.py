"""What `crm reconcile --fix` does about its findings: reads again, retires, removes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import retiring
from pipelines.duckdb_file import quoted
from pipelines.findings import READ, Finding, Reconciled
from pipelines.idfiles import tables_in
from pipelines.progress import View
from pipelines.settings import Settings
from pipelines.stream import Bounds
from pipelines.sync import sync
from pipelines.warehouse import Warehouse

COMMAND: Final = "reconcile"
READ_TOGETHER: Final = 100_000
"""Ids read by one run; they are in memory."""
MANY_GONE: Final = 100
"""So many rows that are gone, and more than half of the table, are rather the wrong portal."""


def mended(
    result: Reconciled,
    settings: Settings,
    warehouse: Warehouse,
    found: Path,
    *,
    views: Callable[[], View],
    stop: threading.Event,
    bounds: Bounds,
) -> Reconciled:
    """Read what is missing or old, then take away what is gone; the result with what came of it.

    Args:
        result: What was found.
        settings: Checked settings.
        warehouse: Open.
        found: The same findings, as a file of `idfiles.FOUND`.
        views: Makes what shows the progress of a read.
        stop: Set it to end early.
        bounds: How much of what is read lands together.

    Raises:
        CrmError: What was mended before stays so.
    """
    name, began = result.object_type, datetime.now(UTC)
    gone = retiring.count_gone(warehouse, found)
    if gone >= MANY_GONE and 2 * gone > result.rows:
        note = (
            f"{gone:,} of {result.rows:,} rows are nowhere in HubSpot: nothing was changed, "
            "for this looks like the token of another portal"
        )
        return replace(result, notes=(note,))
    for ids in _ids_to_read(found):
        outcome = sync(
            settings,
            warehouse,
            (name,),
            view=views(),
            stop=stop,
            ids={name: ids},
            command=COMMAND,
            bounds=bounds,
        )
        if outcome.failure is not None:
            raise outcome.failure
    retiring.retire_merged(warehouse, name, found, now=began)
    retiring.empty_gone(warehouse, name, found, run_id=result.run_id, now=began)
    return replace(result, fixed=_mark_fixed(warehouse, result, began))


def _ids_to_read(found: Path) -> Iterator[list[str]]:
    """Ids that a read mends, some thousands at a time."""
    wanted = pa.array([finding.value for finding in READ])
    held: list[str] = []
    for part in tables_in(found):
        chosen = part.filter(pc.is_in(part["finding"], value_set=wanted))
        held += [str(record_id) for record_id in chosen["id"].to_pylist()]
        if len(held) >= READ_TOGETHER:
            yield held
            held = []
    if held:
        yield held


def _mark_fixed(warehouse: Warehouse, result: Reconciled, began: datetime) -> dict[Finding, int]:
    """Write down what is mended now; how many of each finding."""
    name, table = result.object_type, quoted(result.object_type)
    warehouse.execute(
        "update crm.reconciliation set fixed_at = ? "  # noqa: S608  (quoted)
        "where object_type = ? and run_id = ? and fixed_at is null and case finding "
        f"when 'merged' then object_id not in (select id from crm.{table}) "
        "when 'missing_there' then object_id in "
        "(select object_id from crm.deletions where object_type = ?) "
        "when 'pending' then false "
        f"else object_id in (select id from crm.{table} where synced_at >= ?) end",
        datetime.now(UTC), name, result.run_id, name, began,
    )  # fmt: skip
    rows = warehouse.query(
        "select finding, count(*) as ids from crm.reconciliation "
        "where run_id = ? and fixed_at is not null group by finding",
        result.run_id,
    ).to_pylist()
    return {Finding(row["finding"]): row["ids"] for row in rows}
