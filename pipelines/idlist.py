"""Ids as somebody gave them: in a file, or as the result of a query.

What is no id becomes a row of `errors` with its line, and the run goes on. What leaves open
which ids are meant stops the run before anything is sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa

from pipelines.errors import ConfigError
from pipelines.given import Given, Wanted, of_file, of_table
from pipelines.hubspot.client import MAX_BATCH_READ
from pipelines.idpages import IdPage
from pipelines.ledger import ErrorRow
from transforms import parse
from transforms.normalise import INVALID_ID

LONGEST_VALUE: Final = 65_536
"""No value in HubSpot has more characters."""
LISTED_LINES: Final = 1_000
"""So many lines of one malformed text are named in its row of `errors`; all are counted."""
LONGEST_OBJECT_ID: Final = 200

_AN_ID: Final = f"a whole number from 1 to {2**63 - 1}"
_HASHED_AT_ONCE: Final = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class IdList:
    """Ids (or values of a unique property): distinct, in their order, each with its line.

    Attributes:
        source: What people call it: the file's name, or "the query".
        place: What its parts are called: "line" or "row".
        ids: Text; ids are digits without a sign or leading zeros, from 1 to 2^63 - 1.
        lines: Of each id, counted from 1: where it stands first.
        duplicates: How many more times they were listed.
        malformed: `line` and `text` of all that is blank or no id, without blanks around it.
        digest: The same ids, given in the same order for the same property, have the same.
    """

    source: str
    place: str
    ids: pl.Series = field(repr=False)  # may be somebody's address
    lines: pl.Series = field(repr=False)
    duplicates: int
    malformed: pl.DataFrame = field(repr=False)
    digest: str

    @property
    def count(self) -> int:
        """How many ids there are."""
        return len(self.ids)

    async def pages(self, after: str | None = None) -> AsyncGenerator[IdPage]:
        """The ids as a stream for batch/read, all or from where a page said it goes on."""
        for start in range(int(after or 0), len(self.ids), MAX_BATCH_READ):
            end = start + MAX_BATCH_READ
            ids = tuple(self.ids.slice(start, MAX_BATCH_READ).to_list())
            yield IdPage(ids, str(end) if end < len(self.ids) else None, is_fresh=True)

    def line_of(self, some: Collection[str]) -> dict[str, int]:
        """The lines of these ids, spelled as in `ids`; one that is not there has none."""
        found = self.ids.is_in(pl.Series(list(some), dtype=pl.String).implode())
        return dict(zip(self.ids.filter(found), self.lines.filter(found), strict=True))

    def error_rows(self, object_type: str) -> Iterator[ErrorRow]:
        """One row of `errors` for each distinct text of `malformed`."""
        texts = self.malformed.group_by("text", maintain_order=True).agg(
            lines=pl.col("line").head(LISTED_LINES), count=pl.len()
        )
        for text, lines, count in texts.iter_rows():
            yield ErrorRow(
                object_type=object_type,
                stage="discover",
                category=INVALID_ID,
                object_id=_shortened(text),
                message=self._message(text, lines[0], count),
                raw_value=text if len(text) <= LONGEST_VALUE else None,
                context={"source": self.source, "lines": lines, "count": count},
            )

    def _message(self, text: str, line: int, count: int) -> str:
        others = f" and {count - 1:,} more" if count > 1 else ""
        fault = "blank" if not text else f"no id, which is {_AN_ID}"
        if len(text) > LONGEST_VALUE:
            fault = "longer than any value in HubSpot"
        return f"{self.place} {line}{others} of {self.source}: {fault}"


def read_ids(path: Path, *, id_property: str | None = None, column: str | None = None) -> IdList:
    """The ids in a file: Parquet, CSV (.csv, .tsv), or any other text with one id a line.

    A first line that names the column is no id. Of several columns the one is read that is
    called hs_object_id, Record ID or id, or like the property, or value; all in any case.

    Args:
        path: UTF-8 if it is text; blank lines at its end do not count.
        id_property: The unique property that the file has values of; None: it has ids.
        column: What the column is called, if nothing of the above.

    Raises:
        ConfigError: The file is not there, cannot be read, or has no ids.
    """
    given = of_file(path, _wanted(id_property, column))
    return _with_ids(_sorted_out(given, id_property), id_property)


def ids_of(table: pa.Table, *, id_property: str | None = None) -> IdList:
    """The ids in the result of a query; a result without rows has none.

    Raises:
        ConfigError: It is unclear which column they are in, or it has rows but no ids.
    """
    given = of_table(table, _wanted(id_property, None), "the query")
    found = _sorted_out(given, id_property)
    return _with_ids(found, id_property) if table.num_rows else found


def _wanted(id_property: str | None, column: str | None) -> Wanted:
    if column is not None:
        return Wanted((column,), is_strict=True)
    if id_property is not None:
        return Wanted((id_property, "value"))
    return Wanted(("hs_object_id", "Record ID", "id"), any_header=True)  # the surest first


def _sorted_out(given: Given, id_property: str | None) -> IdList:
    rows = given.rows.with_columns(pl.col("text").str.strip_chars().fill_null(""))
    judged = rows.with_columns(id=_record_id() if id_property is None else _value())
    is_id = pl.col("id").is_not_null()
    # HubSpot compares e-mail addresses without case.
    key = pl.col("id").str.to_lowercase() if id_property == "email" else pl.col("id")
    ids = judged.select("line", "id").filter(is_id)
    distinct = ids.filter(key.is_first_distinct())
    return IdList(
        source=given.source,
        place=given.place,
        ids=distinct["id"].cast(pl.String),
        lines=distinct["line"],
        duplicates=ids.height - distinct.height,
        malformed=judged.filter(~is_id).select("line", "text"),
        digest=_digest(rows["text"], id_property),
    )


def _record_id() -> pl.Expr:
    number = parse.record_id("text")
    return pl.when(number > 0).then(number)


def _value() -> pl.Expr:
    text = pl.col("text")
    return pl.when((text != "") & (text.str.len_chars() <= LONGEST_VALUE)).then(text)


def _digest(texts: pl.Series, id_property: str | None) -> str:
    hashed = hashlib.blake2b((id_property or "").encode(), digest_size=16)
    for some in texts.to_frame("text").iter_slices(_HASHED_AT_ONCE):
        lengths = some["text"].str.len_bytes().cast(pl.String)  # "1", "23" are not "12", "3"
        for part in (lengths.str.join(","), some["text"].str.join("")):
            hashed.update(b"\n" + part.item().encode())
    return hashed.hexdigest()


def _with_ids(found: IdList, id_property: str | None) -> IdList:
    if found.ids.is_empty():
        called = id_property or "ids"
        fix = f"write one on each {found.place}" + ("" if id_property else f", {_AN_ID}")
        if found.malformed["text"].str.contains("@", literal=True).any():
            fix = "for e-mail addresses add --id-property email"
        raise ConfigError(f"{found.source} has no {called}: {fix}")
    return found


def _shortened(text: str) -> str:
    if len(text) <= LONGEST_OBJECT_ID:
        return text
    which = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return f"{text[:100]}… ({len(text):,} characters, {which})"
