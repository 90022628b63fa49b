"""Which of the records found have to be read: not those that the table has as they are."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa

from pipelines.idpages import IdPage

VERSIONS = pa.schema([("id", pa.int64()), ("updated_us", pa.int64())])


@dataclass(slots=True)
class Versions:
    """When records were modified, as the table has them.

    Args:
        rows: `id` and `updated_us`, epoch µs, by ascending id.
        seen_until: What was modified up to then, epoch µs, has been searched before, so that a
            record that is not here was shown late.
    """

    rows: pa.Table = field(default_factory=VERSIONS.empty_table)
    seen_until: int | None = None
    latest_by_us: int = field(default=0, init=False)
    _ids: pl.Series = field(init=False)
    _updated: pl.Series = field(init=False)

    def __post_init__(self) -> None:
        frame = pl.DataFrame(self.rows)
        self._ids, self._updated = frame["id"], frame["updated_us"]

    @property
    def lag_s(self) -> float | None:
        """How late search has shown the latest of the records found, at least; None: none was."""
        return self.latest_by_us / 1_000_000 if self.latest_by_us else None

    async def unread(self, pages: AsyncIterator[IdPage]) -> AsyncGenerator[IdPage]:
        """The same pages without what the table has, in the version that was found."""
        async for page in pages:
            if not page.updated_us:
                yield page
                continue
            here = self._here(page)
            changed = [at != known for at, known in zip(page.updated_us, here, strict=True)]
            left = page.only(changed.__getitem__)
            self._note_late(left)
            yield left

    def _here(self, page: IdPage) -> list[int | None]:
        """When the table has it that each was modified; -1 where it has no such record."""
        if not len(self._ids):
            return [-1] * len(page.ids)
        wanted = pl.Series(page.ids).cast(pl.Int64, strict=False)
        places = self._ids.search_sorted(wanted).clip(0, len(self._ids) - 1)
        is_here = (self._ids.gather(places) == wanted).fill_null(value=False)
        found = self._updated.gather(places)
        return pl.select(pl.when(is_here).then(found).otherwise(-1)).to_series().to_list()

    def _note_late(self, page: IdPage) -> None:
        if self.seen_until is None:
            return
        late = (self.seen_until - at for at in page.updated_us if at is not None)
        self.latest_by_us = max(self.latest_by_us, *late, 0)
