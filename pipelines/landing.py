"""Answers as the rows of tables: the last step before dlt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl
import pyarrow as pa

from pipelines import ledger
from pipelines.accounting import Batch
from pipelines.errors import IncompleteError
from pipelines.idpages import number_of
from pipelines.ledger import AliasRow, BatchRow, ErrorRow, RunRow
from pipelines.reading import Reading
from transforms.definitions import Kind
from transforms.normalise import INVALID_ID, Normalised, normalise
from transforms.records import raw_records

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


_GREATEST_ID = 2**63 - 1


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
class Typed:
    """Some batches, typed, and their sums: every id asked for is in exactly one of three."""

    reading: Reading
    seen_at: datetime  # the `synced_at` of the rows
    after: str | None  # where discovery goes on
    rows: pa.Table
    errors: tuple[ErrorRow, ...]
    aliases: tuple[AliasRow, ...]
    requests: tuple[BatchRow, ...]
    read: int  # ids of its pages; one that was listed twice counts twice
    asked: int
    loaded: frozenset[str]
    merged: int
    failed: int
    archived: int
    rejected: int
    winners: frozenset[str]  # records that came in place of merged-away ids
    is_fresh: bool  # no id asked for can have come before in the run
    is_new: bool  # besides, no record came that was not asked for

    def book(self, row: RunRow) -> None:
        """Add these sums to those of the run."""
        row.requested_ids += self.asked
        row.loaded_rows += len(self.loaded)
        row.merged_ids += self.merged
        row.error_ids += self.failed
        row.rejected_values += self.rejected
        row.cursor_to = self.after or row.cursor_to


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


def typed(batches: Sequence[Batch], reading: Reading, *, seen_at: datetime) -> Typed:
    """Type batches: rows for the object's table, and everything that is not in a row as errors.

    Args:
        batches: Accounted for.
        reading: The columns; `fitted` to these values if they are the first.
        seen_at: The moment to write down, UTC.

    Raises:
        IncompleteError: Rows are missing that HubSpot sent.
    """
    wanted = _union(batch.loaded for batch in batches)
    aliases = {old: new for batch in batches for old, new in batch.aliases.items()}
    strangers = _union(batch.unasked for batch in batches)
    rows_of = wanted | set(aliases.values())
    normalised = normalise(
        _distinct(raw_of(batches, reading), rows_of, strangers),
        reading.columns,
        object_type=reading.object_type,
    )
    rejects = _reject_rows(normalised.rejects, reading.object_type)
    unloadable = {str(row.object_id) for row in rejects if row.category == INVALID_ID}
    if normalised.rows.height != len(rows_of) - len(unloadable):
        raise IncompleteError(
            f"{len(rows_of)} {reading.object_type} were received but {normalised.rows.height} "
            "typed: nothing of them was loaded; run the same command again"
        )
    loaded = wanted - unloadable
    nowhere = _unloadable_aliases(aliases, unloadable, reading.object_type)
    merged = aliases.keys() - loaded - {row.object_id for row in nowhere}
    # Listed twice, an id may have failed once and come once.
    failures = [
        row
        for row in (*nowhere, *(row for batch in batches for row in batch.errors))
        if row.object_id not in loaded and row.object_id not in merged
    ]
    is_fresh = all(batch.page.is_fresh for batch in batches)
    return Typed(
        reading=reading,
        seen_at=seen_at,
        after=batches[-1].page.after,
        rows=_rows(normalised, seen_at),
        errors=(*failures, *rejects),
        aliases=tuple(_alias_rows(reading.object_type, batches, loaded, seen_at)),
        requests=tuple(row for batch in batches for row in batch.requests),
        read=sum(len(batch.page.ids) for batch in batches),
        asked=len({object_id for batch in batches for object_id in batch.page.ids}),
        loaded=frozenset(loaded),
        merged=len(merged),
        failed=len({row.object_id for row in failures} | (unloadable & wanted)),
        archived=int(normalised.rows["archived"].sum()),
        rejected=len(rejects) - len(unloadable),
        winners=frozenset(aliases.values()),
        is_fresh=is_fresh,
        is_new=is_fresh and not strangers,
    )


def _alias_rows(
    object_type: str, batches: Sequence[Batch], loaded: set[str], seen_at: datetime
) -> Iterator[AliasRow]:
    """Ids that are answered under another id, and those that records say were merged into them.

    An id that came as a record of its own is none, whatever another record says.
    """
    for batch in batches:
        for old, new in (batch.merged | batch.aliases).items():
            old_id, current_id = number_of(old), number_of(new)
            if old not in loaded and min(old_id, current_id) >= 0:
                yield AliasRow(object_type, old_id, current_id, seen_at)


def raw_of(batches: Sequence[Batch], reading: Reading) -> pl.DataFrame:
    """Every record of some batches as text columns."""
    return raw_records([body for batch in batches for body in batch.answers], reading.properties)


def _distinct(raw: pl.DataFrame, wanted: set[str], strangers: set[str]) -> pl.DataFrame:
    """One row per record, the last one sent, and none that nobody asked for."""
    if strangers - wanted:
        raw = raw.filter(pl.col("@id").is_in(list(wanted)))
    return raw.unique("@id", keep="last", maintain_order=True) if raw.height != len(wanted) else raw


def _rows(normalised: Normalised, seen_at: datetime) -> pa.Table:
    rows = normalised.rows
    synced_at = pl.lit(seen_at).dt.cast_time_unit("us").alias("synced_at")
    table = rows.select(*rows.columns[:5], synced_at, *rows.columns[5:]).to_arrow()
    # dlt takes the key for not null, and warns where Arrow does not say the same.
    key = table.schema.field("id").with_nullable(nullable=False)
    return table.cast(table.schema.set(0, key))


def _last_of_each(rows: pa.Table) -> pa.Table:
    frame = pl.DataFrame(rows).unique("id", keep="last", maintain_order=True)
    return frame.to_arrow().cast(rows.schema)


def _reject_rows(rejects: pl.DataFrame, object_type: str) -> list[ErrorRow]:
    return [
        ErrorRow(object_type=object_type, stage="normalise", **reject)
        for reject in rejects.iter_rows(named=True)
    ]


def _unloadable_aliases(
    aliases: Mapping[str, str], unloadable: Set[str], object_type: str
) -> list[ErrorRow]:
    """Rows of `errors` for merged-away ids that no BIGINT holds, or whose winner has no row."""
    return [
        ErrorRow(
            object_type=object_type,
            stage="normalise",
            category=INVALID_ID,
            object_id=old,
            property="@id",
            raw_value=old,
            expected_type=Kind.INTEGER.sql_type,
            message=f"merged into {new}, but one of these ids is none that a BIGINT holds",
        )
        for old, new in aliases.items()
        if new in unloadable or number_of(old) < 0
    ]


def _union(sets: Iterable[frozenset[str]]) -> set[str]:
    return set().union(*sets)
