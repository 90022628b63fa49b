"""Answers as typed rows, and as errors what is in no row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime

import polars as pl
import pyarrow as pa

from pipelines.accounting import Batch
from pipelines.errors import IncompleteError
from pipelines.idpages import number_of
from pipelines.ledger import AliasRow, BatchRow, ErrorRow, RunRow
from pipelines.reading import Reading
from transforms.definitions import Kind
from transforms.normalise import INVALID_ID, Normalised, normalise
from transforms.records import raw_records


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
