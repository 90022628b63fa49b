"""What lands together, as the rows of tables: the last step before dlt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl
import pyarrow as pa

from pipelines import ledger
from pipelines.ledger import ErrorRow
from pipelines.reading import Reading
from pipelines.typed import Typed

KEYS: Mapping[str, tuple[str, ...]] = {
    "errors": ("error_id",),
    "batches": ("batch_id",),
    "runs": ("run_id",),
    "properties": ("object_type", "name"),
    "property_options": ("object_type", "property", "value"),
    "id_aliases": ("object_type", "old_id"),
    "reconciliation": ("object_type", "object_id"),
    "deletions": ("object_type", "object_id"),
}
"""The key of each table; of a table not named here it is `id`."""

JSON_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "errors": ("context",),
    "properties": ("previous_columns",),
}


@dataclass(frozen=True, slots=True)
class Landing:
    """Rows for one table. `append`: the table cannot have their keys yet, so none is replaced."""

    table: str
    rows: pa.Table
    json_columns: tuple[str, ...] = ()
    append: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        """The table's key."""
        return KEYS.get(self.table, ("id",))

    def hints(self) -> dict[str, Any]:
        """What dlt has to know: key, disposition, and which text is JSON."""
        names = (*self.json_columns, *JSON_COLUMNS.get(self.table, ()))
        return {
            "write_disposition": "append" if self.append else "merge",
            "primary_key": self.key,
            "columns": {name: {"name": name, "data_type": "json"} for name in names},
        }


def together(landings: Sequence[Landing]) -> Landing:
    """Rows for the same table, one after the other; of rows with the same key the last."""
    *_, last = landings
    if len(landings) == 1:
        return last
    rows = pa.concat_tables([one.rows for one in landings], promote_options="default")
    is_append = all(one.append for one in landings)
    if not is_append:
        frame = pl.DataFrame(rows).unique(list(last.key), keep="last", maintain_order=True)
        rows = frame.to_arrow().cast(rows.schema) if frame.height < rows.num_rows else rows
    json_columns = tuple(dict.fromkeys(name for one in landings for name in one.json_columns))
    return Landing(last.table, rows, json_columns, append=is_append)


@dataclass(frozen=True, slots=True)
class Chunk:
    """What lands together: one load package, one checkpoint."""

    parts: tuple[Typed, ...]

    @property
    def reading(self) -> Reading:
        """The columns of the rows."""
        return self.parts[-1].reading

    @property
    def after(self) -> str | None:
        """Where discovery goes on once this has landed; None: it has ended."""
        return self.parts[-1].after

    @property
    def read(self) -> int:
        """Ids of its pages, each page for itself."""
        return sum(part.read for part in self.parts)

    @property
    def room(self) -> int:
        """What its pages took of the room for records at risk."""
        return self.read * self.reading.weight

    @property
    def rows(self) -> int:
        """Rows for the object's table."""
        return sum(part.rows.num_rows for part in self.parts)

    def landings(
        self,
        *,
        run_id: str,
        seen_at: datetime,
        is_first: bool = False,
        append: bool = False,
        lines_of: Callable[[Collection[str]], Mapping[str, int]] | None = None,
        known_errors: Callable[[pa.Table], pa.Table] = lambda errors: errors,
    ) -> list[Landing]:
        """Rows for the tables of this chunk; tables that get none are left out.

        Args:
            run_id: For `errors`.
            seen_at: The same.
            is_first: Keep tables that get no rows, so that there are such tables to query.
            append: The object's table has none of these ids yet.
            lines_of: Says where somebody wrote down some ids.
            known_errors: Gives rows of `errors` what an earlier run wrote there.
        """
        rows = pa.concat_tables([part.rows for part in self.parts])
        if any(part.winners for part in self.parts):
            rows = _last_of_each(rows)
        errors = [row for part in self.parts for row in part.errors]
        if lines_of is not None:
            errors = _with_lines(errors, lines_of)
        aliases = {row.old_id: row for part in self.parts for row in part.aliases}
        requests = [row for part in self.parts for row in part.requests]
        made = [
            Landing(self.reading.object_type, rows, self.reading.json_columns, append=append),
            Landing("batches", ledger.table_of(requests, ledger.BATCHES), append=True),
            Landing(
                "errors",
                known_errors(ledger.errors_table(errors, run_id=run_id, seen_at=seen_at)),
            ),
            Landing("id_aliases", ledger.table_of(list(aliases.values()), ledger.ID_ALIASES)),
        ]
        return [landing for landing in made if landing.rows.num_rows or is_first]


def _with_lines(
    errors: Sequence[ErrorRow], lines_of: Callable[[Collection[str]], Mapping[str, int]]
) -> list[ErrorRow]:
    """The same rows; one about an id, not about a value, with the line that it was read from."""
    lines = lines_of({row.object_id for row in errors if row.object_id and not row.property})
    return [
        replace(row, context={**(row.context or {}), "lines": [lines[row.object_id or ""]]})
        if row.object_id in lines and not row.property
        else row
        for row in errors
    ]


def _last_of_each(rows: pa.Table) -> pa.Table:
    frame = pl.DataFrame(rows).unique("id", keep="last", maintain_order=True)
    return frame.to_arrow().cast(rows.schema)
