"""An object's table as a run finds it, and chunks as rows that fit it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime

import pyarrow as pa

from pipelines import ledger, property_columns, recall
from pipelines.errors import WarehouseError
from pipelines.landing import Chunk, Landing
from pipelines.ledger import ErrorRow
from pipelines.reading import Reading
from pipelines.warehouse import Warehouse


class Table:
    """The table of one object type, as it was when the run began.

    `columns`: SQL type by name. `in_use`: the column of each live property. They are asked for
    once, for later the file may be locked, and a chunk in hand would be lost.
    """

    def __init__(self, warehouse: Warehouse, object_type: str) -> None:
        self.columns = property_columns.table_columns(warehouse, object_type)
        self.in_use = property_columns.columns_in_use(warehouse, object_type)
        self._was_empty = recall.count_rows(warehouse, object_type) == 0
        self._warehouse = warehouse
        self._object_type = object_type

    def landings(
        self,
        chunk: Chunk,
        *,
        run_id: str,
        is_first: bool,
        may_append: bool,
        is_part: bool,
        lines_of: Callable[[Collection[str]], Mapping[str, int]] | None,
    ) -> list[Landing]:
        """A chunk as rows for tables; those of this table with the columns that they lack.

        Args:
            chunk: Of this object type.
            run_id: For `errors`.
            is_first: Of this object type in the run.
            may_append: No row of this chunk can have landed earlier in the run.
            is_part: Only some properties were read.
            lines_of: Says where somebody wrote down some ids.
        """
        is_append = may_append and self._was_empty and all(part.is_new for part in chunk.parts)
        made = chunk.landings(
            run_id=run_id,
            seen_at=datetime.now(UTC),
            is_first=is_first and not self.columns,
            append=is_append,
            lines_of=lines_of,
            known_errors=self._with_first_seen,
        )
        if is_append:
            return made
        return [
            property_columns.with_other_columns(
                self._warehouse, item, self.columns, is_part=is_part
            )
            if item.table == self._object_type
            else item
            for item in made
        ]

    def first_landings(
        self,
        reading: Reading,
        only: Sequence[str] | None,
        errors: Sequence[ErrorRow],
        *,
        run_id: str,
        seen_at: datetime,
    ) -> list[Landing]:
        """What goes with the first chunk: definitions that are new or changed, and errors.

        Args:
            reading: Definitions and columns.
            only: The properties that alone are read; None: all of them.
            errors: Known before anything is read.
            run_id: For `errors`.
            seen_at: The same.
        """
        landings = property_columns.changed_definitions(self._warehouse, reading, only)
        if errors:
            rows = ledger.errors_table(errors, run_id=run_id, seen_at=seen_at)
            landings.append(Landing("errors", self._with_first_seen(rows)))
        return landings

    def _with_first_seen(self, errors: pa.Table) -> pa.Table:
        try:
            return recall.with_first_seen(self._warehouse, errors)
        except WarehouseError:
            return errors  # rather a moment too late than a chunk lost
