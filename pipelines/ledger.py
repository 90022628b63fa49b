"""What a run writes down about itself: rows of `errors`, `batches`, `id_aliases` and `runs`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import pyarrow as pa

from pipelines.errors import IncompleteError
from pipelines.hubspot.client import Usage

_MOMENT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRow:
    """One thing that could not be loaded, with everything HubSpot said about it.

    `object_id` is the id as requested. `is_retryable`: reading it again later may help.
    """

    object_type: str
    stage: str
    category: str
    object_id: str | None = None
    sub_category: str | None = None
    message: str | None = None
    property: str | None = None
    raw_value: str | None = None
    expected_type: str | None = None
    http_status: int | None = None
    correlation_id: str | None = None
    context: dict[str, Any] | None = None
    is_retryable: bool = False


def error_id(row: ErrorRow) -> str:
    """A hash of what failed, so that the same failure in a later run is the same row."""
    what = (row.object_type, row.object_id, row.stage, row.category, row.property)
    return hashlib.blake2b(json.dumps(what).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """One request that carried ids.

    Times are as HubSpot sent them; `requested_at` is ours where HubSpot leaves it out.
    """

    batch_id: str
    run_id: str
    object_type: str
    endpoint: str
    http_status: int | None
    status: str | None
    requested_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    inputs: int
    results: int
    num_errors: int
    attempts: int
    duration_ms: int
    correlation_id: str | None


@dataclass(frozen=True, slots=True)
class AliasRow:
    """An id that HubSpot answers under another id, since the two records were merged."""

    object_type: str
    old_id: int
    current_id: int
    seen_at: datetime


@dataclass(slots=True, kw_only=True)
class RunRow:
    """One run over one object type. Counts are of ids, except `loaded_rows` and what says so.

    `as_of`: once the run is complete, everything HubSpot had at this moment is in the table.
    `search_lag_s`: how late search showed a record, as far as this run could tell.
    """

    run_id: str
    command: str
    object_type: str
    started_at: datetime
    as_of: datetime
    finished_at: datetime | None = None
    status: str = "running"
    requested_ids: int = 0
    loaded_rows: int = 0
    merged_ids: int = 0
    error_ids: int = 0
    rejected_values: int = 0
    duplicate_ids: int = 0
    requests: int = 0
    retries: int = 0
    rate_limited: int = 0
    search_lag_s: float | None = None
    cursor_from: str | None = None
    cursor_to: str | None = None
    message: str | None = None

    @property
    def unaccounted_ids(self) -> int:
        """Ids asked for that are neither a row, nor merged, nor in `errors`: 0 or a bug."""
        return self.requested_ids - self.loaded_rows - self.merged_ids - self.error_ids

    def note(self, usage: Usage) -> None:
        """Write down what was sent to HubSpot so far."""
        self.requests = usage.requests
        self.retries = usage.retries
        self.rate_limited = usage.rate_limited

    def check(self) -> None:
        """Hold the sums against each other.

        Raises:
            IncompleteError: They differ.
        """
        if self.unaccounted_ids:
            raise IncompleteError(
                f"{self.unaccounted_ids} of {self.requested_ids} {self.object_type} are "
                "unaccounted for: run the same command again, which reads all of them anew"
            )


ERRORS = pa.schema(
    [
        pa.field("error_id", pa.string(), nullable=False),
        ("run_id", pa.string()),
        ("first_seen_at", _MOMENT),
        ("last_seen_at", _MOMENT),
        ("resolved_at", _MOMENT),
        ("object_type", pa.string()),
        ("object_id", pa.string()),
        ("stage", pa.string()),
        ("category", pa.string()),
        ("sub_category", pa.string()),
        ("message", pa.string()),
        ("property", pa.string()),
        ("raw_value", pa.string()),
        ("expected_type", pa.string()),
        ("http_status", pa.int32()),
        ("correlation_id", pa.string()),
        ("context", pa.string()),
        ("is_retryable", pa.bool_()),
    ]
)
_BATCH_TYPES: dict[str, pa.DataType] = {
    "http_status": pa.int32(),
    "requested_at": _MOMENT,
    "started_at": _MOMENT,
    "completed_at": _MOMENT,
    "inputs": pa.int64(),
    "results": pa.int64(),
    "num_errors": pa.int64(),
    "attempts": pa.int64(),
    "duration_ms": pa.int64(),
}
BATCHES = pa.schema(
    [
        pa.field(f.name, _BATCH_TYPES.get(f.name, pa.string()), nullable=f.name != "batch_id")
        for f in fields(BatchRow)
    ]
)
ID_ALIASES = pa.schema(
    [
        pa.field("object_type", pa.string(), nullable=False),
        pa.field("old_id", pa.int64(), nullable=False),
        ("current_id", pa.int64()),
        ("seen_at", _MOMENT),
    ]
)
RECONCILIATION = pa.schema(
    [
        ("run_id", pa.string()),
        pa.field("object_type", pa.string(), nullable=False),
        pa.field("object_id", pa.int64(), nullable=False),
        ("finding", pa.string()),
        ("updated_at_there", _MOMENT),
        ("updated_at_here", _MOMENT),
        ("seen_at", _MOMENT),
        ("fixed_at", _MOMENT),
    ]
)
DELETIONS = pa.schema(
    [
        pa.field("object_type", pa.string(), nullable=False),
        pa.field("object_id", pa.int64(), nullable=False),
        ("seen_at", _MOMENT),
        ("run_id", pa.string()),
    ]
)
_RUN_TYPES = {
    "search_lag_s": pa.float64(),
    **dict.fromkeys(("started_at", "as_of", "finished_at"), _MOMENT),
} | dict.fromkeys(
    (
        "requested_ids",
        "loaded_rows",
        "merged_ids",
        "error_ids",
        "rejected_values",
        "duplicate_ids",
        "requests",
        "retries",
        "rate_limited",
    ),
    pa.int64(),
)
RUNS = pa.schema(
    [
        pa.field(f.name, _RUN_TYPES.get(f.name, pa.string()), nullable=f.name != "run_id")
        for f in fields(RunRow)
    ]
)


SUMS = ("requested_ids", "loaded_rows", "merged_ids", "error_ids", "rejected_values")
"""The sums of a run, which grow with every chunk."""


def table_of(rows: Sequence[object], schema: pa.Schema) -> pa.Table:
    """Rows of one of the dataclasses above as an Arrow table; no rows give an empty one."""
    columns = [[getattr(row, name) for row in rows] for name in schema.names]
    return pa.table(columns, schema=schema)


def errors_table(rows: Sequence[ErrorRow], *, run_id: str, seen_at: datetime) -> pa.Table:
    """`errors` as Arrow, one row per `error_id`; the later of two alike wins."""
    distinct = {error_id(row): row for row in rows}
    columns: list[list[Any]] = []
    ours: dict[str, Any] = {
        "run_id": run_id, "first_seen_at": seen_at, "last_seen_at": seen_at, "resolved_at": None,
    }  # fmt: skip
    for name in ERRORS.names:
        if name == "error_id":
            columns.append(list(distinct))
        elif name in ours:
            columns.append([ours[name]] * len(distinct))
        elif name == "context":
            columns.append([_json(row.context) for row in distinct.values()])
        else:
            columns.append([getattr(row, name) for row in distinct.values()])
    return pa.table(columns, schema=ERRORS)


def _json(value: dict[str, Any] | None) -> str | None:
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if value else None
