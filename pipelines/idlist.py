"""Ids as somebody gave them: in a file, or as the result of a query.

What is no id becomes a row of `errors` with its line, and the run goes on. What leaves open
which ids are meant stops the run before anything is sent.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import textwrap
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.discovery import IdPage
from pipelines.errors import ConfigError
from pipelines.hubspot.client import MAX_BATCH_READ
from pipelines.ledger import ErrorRow
from transforms import parse
from transforms.normalise import INVALID_ID

LONGEST_VALUE: Final = 65_536
"""No value in HubSpot has more characters."""
LISTED_LINES: Final = 1_000
"""So many lines of one malformed text are named in its row of `errors`; all are counted."""
LONGEST_OBJECT_ID: Final = 200

_AN_ID: Final = f"a whole number from 1 to {2**63 - 1}"
_ID_COLUMNS: Final = ("hs_object_id", "record_id", "id")  # the surest first
_VALUE_COLUMN: Final = "value"
_COLUMN_NAME: Final = re.compile(r"[\w .()/-]{1,64}")
_PARQUET: Final = b"PAR1"  # what such a file begins with
_CSV_ROWS: Final = 65_536  # as Python objects at a time
_QUERY: Final = "the query"
_GIVEN: Final = pl.Schema({"line": pl.UInt32(), "text": pl.String()})
_HOLDING_IDS: Final = (
    pa.types.is_integer,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_null,
)


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

    async def pages(self, after: str | None = None) -> AsyncIterator[IdPage]:
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
    wanted = _Wanted.of(id_property, column)
    try:
        with path.open("rb") as file:
            begin = file.read(len(_PARQUET))
            if begin == _PARQUET or path.suffix.lower() == ".parquet":
                given = _of_parquet(file, path.name, wanted)
            else:  # what was read is kept, for a pipe cannot be read again
                given = _of_text(begin + file.read(), path, wanted)
    except FileNotFoundError as exc:
        raise ConfigError(f"there is no file {path}: check its name") from exc
    except IsADirectoryError as exc:
        raise ConfigError(f"{path} is a folder: name a file in it") from exc
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read ({exc.strerror}): check the file") from exc
    return _with_ids(given.sorted_out(id_property))


def ids_of(table: pa.Table, *, id_property: str | None = None) -> IdList:
    """The ids in the result of a query; a result without rows has none.

    Raises:
        ConfigError: It is unclear which column they are in, or it has rows but no ids.
    """
    nth = _Wanted.of(id_property).among(table.column_names, _QUERY)
    found = _of_column(table.column_names[nth], table.column(nth), _QUERY).sorted_out(id_property)
    return _with_ids(found) if table.num_rows else found


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The column to read: the first of `names` that is there."""

    names: tuple[str, ...]
    has_ids: bool
    is_given: bool  # then no other will do, even if it is the only one

    @classmethod
    def of(cls, id_property: str | None, column: str | None = None) -> _Wanted:
        names: tuple[str, ...] = _ID_COLUMNS
        if column is not None:
            names = (column,)
        elif id_property is not None:
            names = (id_property, "value")
        return cls(names, has_ids=id_property is None, is_given=column is not None)

    def among(self, names: Sequence[str], source: str) -> int:
        """Which of the columns it is."""
        if len(names) == 1 and not self.is_given:
            return 0
        there = [_plain(name) for name in names]
        for name in map(_plain, self.names):
            if there.count(name) > 1:
                raise ConfigError(f"{source} has {there.count(name)} columns {name}: keep one")
            if name in there:
                return there.index(name)
        found = "names no columns"  # for its first line is data, and may be somebody's
        if names and all(map(_is_name, names)):
            found = textwrap.shorten(f"has the columns {', '.join(names)}", 500, placeholder=" …")
        held = "ids" if self.has_ids else "values"
        raise ConfigError(f"{source} {found}: call that of the {held} {' or '.join(self.names)}")

    def is_in_header(self, first: str) -> bool:
        """Whether the first line of a file with one column is its name."""
        if self.is_given or not self.has_ids:
            return _plain(first) in map(_plain, self.names)
        return _is_name(first) and not re.search(r"\d", first)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip().casefold())


def _is_name(text: str) -> bool:
    name = text.strip()
    return _COLUMN_NAME.fullmatch(name) is not None and (name[0].isalpha() or name[0] == "_")


@dataclass(frozen=True, slots=True)
class _Given:
    """Everything that was given, before it is looked at: `line`, `text`."""

    rows: pl.DataFrame
    source: str
    place: str

    def sorted_out(self, id_property: str | None) -> IdList:
        text = pl.col("text")
        rows = self.rows.with_columns(text.str.strip_chars().fill_null(""))
        judged = rows.with_columns(_record_id() if id_property is None else _value())
        is_id = pl.col("id").is_not_null()
        # HubSpot compares e-mail addresses without case.
        key = pl.col("id").str.to_lowercase() if id_property == "email" else pl.col("id")
        ids = judged.select("line", "id").filter(is_id)
        distinct = ids.filter(key.is_first_distinct())
        return IdList(
            source=self.source,
            place=self.place,
            ids=distinct["id"].cast(pl.String),
            lines=distinct["line"],
            duplicates=ids.height - distinct.height,
            malformed=judged.filter(~is_id).select("line", "text"),
            digest=_digest(rows["text"], id_property),
        )


def _record_id() -> pl.Expr:
    number = parse.record_id("text")
    return pl.when(number > 0).then(number).alias("id")


def _value() -> pl.Expr:
    text = pl.col("text")
    is_one = (text != "") & (text.str.len_chars() <= LONGEST_VALUE)
    return pl.when(is_one).then(text).alias("id")


def _digest(texts: pl.Series, id_property: str | None) -> str:
    hashed = hashlib.blake2b((id_property or "").encode(), digest_size=16)
    lengths = texts.str.len_bytes().cast(pl.String)  # or ["1", "23"] would be as ["12", "3"]
    for part in (lengths.str.join(","), texts.str.join("")):
        hashed.update(b"\n" + part.item().encode())
    return hashed.hexdigest()


def _with_ids(found: IdList) -> IdList:
    if found.ids.is_empty():
        fix = f"write one on each {found.place}, {_AN_ID}"
        if found.malformed["text"].str.contains("@", literal=True).any():
            fix = "for e-mail addresses add --id-property email"
        raise ConfigError(f"{found.source} has no ids: {fix}")
    return found


def _shortened(text: str) -> str:
    if len(text) <= LONGEST_OBJECT_ID:
        return text
    which = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return f"{text[:100]}… ({len(text):,} characters, {which})"


def _of_text(data: bytes, path: Path, wanted: _Wanted) -> _Given:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise ConfigError(f"line {line} of {path.name} is not UTF-8: save it as UTF-8") from exc
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.rstrip(" \t\n")
    first, _, _ = text.partition("\n")
    suffix = path.suffix.lower()
    separator = "\t" if suffix == ".tsv" else max(",;\t", key=first.count)
    if suffix in {".csv", ".tsv"} and (separator in text or '"' in text):
        return _Given(_of_csv(text, separator, path.name, wanted), path.name, "line")
    wanted.among([first], path.name)
    rows = pl.Series("text", [text], dtype=pl.String).str.split("\n").explode().to_frame()
    rows = rows.with_row_index("line", offset=1)
    return _Given(rows[int(wanted.is_in_header(first)) :], path.name, "line")


def _of_csv(text: str, separator: str, source: str, wanted: _Wanted) -> pl.DataFrame:
    records = _records(text, separator, source)
    first = next(records)
    header = first[1]
    nth, width = wanted.among(header, source), len(header)
    if width == 1 and not wanted.is_in_header(header[0]):
        records = chain([first], records)
    # In a row that is too long any field may be the id: all from there on are, which is none.
    fields = (
        (line, row[nth] if nth < len(row) <= width else separator.join(row[nth:]))
        for line, row in records
    )
    frames = [pl.DataFrame(schema=_GIVEN)]
    while some := list(islice(fields, _CSV_ROWS)):
        frames.append(pl.DataFrame(some, schema=_GIVEN, orient="row"))
    return pl.concat(frames)


def _records(text: str, separator: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line it begins on."""
    reader = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
    line = 1
    try:
        for row in reader:
            yield line, row
            line = reader.line_num + 1
    except csv.Error as exc:
        raise ConfigError(f"line {line} of {source} is no CSV ({exc}): mend its quotes") from exc


def _of_parquet(file: BinaryIO, source: str, wanted: _Wanted) -> _Given:
    try:
        parquet = pq.ParquetFile(file)
        names = parquet.schema_arrow.names
        name = names[wanted.among(names, source)]
        return _of_column(name, parquet.read(columns=[name]).column(0), source)
    except pa.ArrowException as exc:
        raise ConfigError(f"{source} is no Parquet file that can be read: write it anew") from exc


def _of_column(name: str, column: pa.ChunkedArray, source: str) -> _Given:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not any(is_kind(kind) for is_kind in _HOLDING_IDS) and not (
        pa.types.is_decimal(kind) and kind.scale == 0
    ):
        raise ConfigError(
            f"the column {name} of {source} is of the type {kind}, which does not hold every id "
            "exactly: make it BIGINT or VARCHAR"
        )
    texts = pl.Series("text", pl.from_arrow(column)).cast(pl.String)
    return _Given(texts.to_frame().with_row_index("line", offset=1), source, "row")
