"""Files of ids: what is compared is in them, so that memory does not grow with the portal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.findings import Answer, Finding, Suspect, confirmed

PART_IDS: Final = 20_000
"""Ids that are held at a time as Python objects; the others are in files."""
LANDED_TOGETHER: Final = 100_000
"""Rows of a file that go to the warehouse together."""

MOMENT: Final = pa.timestamp("us", tz="UTC")
LISTED: Final = pa.schema([("id", pa.int64()), ("archived", pa.bool_()), ("updated_at", MOMENT)])
"""Ids as HubSpot lists them."""
FOUND: Final = pa.schema(
    [
        ("id", pa.int64()),
        ("finding", pa.string()),
        ("state", pa.string()),
        ("current_id", pa.int64()),
        ("updated_at_there", MOMENT),
        ("updated_at_here", MOMENT),
    ]
)
"""Findings, with what HubSpot answered; `state` null: it was not asked."""


def tables_in(path: Path) -> Iterator[pa.Table]:
    """The rows of a file, some at a time; none of an empty one."""
    with pq.ParquetFile(path) as file:
        for part in file.iter_batches(LANDED_TOGETHER):
            if part.num_rows:
                yield pa.Table.from_batches([part])


def suspects_in(path: Path) -> Iterator[list[Suspect]]:
    """The suspects of a file, some at a time."""
    with pq.ParquetFile(path) as file:
        for part in file.iter_batches(PART_IDS):
            yield [
                Suspect(**{**row, "finding": Finding(row["finding"])}) for row in part.to_pylist()
            ]


def found_row(
    suspect: Suspect, answer: Answer | None, *, as_of: datetime | None
) -> dict[str, Any] | None:
    """A row of `FOUND`; None when nothing is left of the suspicion.

    Args:
        suspect: What the lists said.
        answer: What HubSpot says now; None: it was not asked, for the next sync asks.
        as_of: By HubSpot's clock: the last complete sync has everything that changed before.
    """
    finding = Finding.PENDING if answer is None else confirmed(suspect, answer, as_of=as_of)
    if finding is None:
        return None
    return {
        "id": suspect.id,
        "finding": finding,
        "state": answer.state if answer else None,
        "current_id": answer.current_id if answer else None,
        "updated_at_there": answer.updated_at if answer else suspect.updated_at_there,
        "updated_at_here": suspect.updated_at_here,
    }
