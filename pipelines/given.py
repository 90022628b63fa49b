"""One column of text with the line of each value: from a file, or from a table."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import ConfigError

_NAME: Final = re.compile(r"[\w .()/-]{1,64}")
_PARQUET: Final = b"PAR1"  # what such a file begins with
_AT_ONCE: Final = 65_536  # values as Python objects
_SCHEMA: Final = pl.Schema({"line": pl.UInt32(), "text": pl.String()})
_EXACT: Final = (
    pa.types.is_integer,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_null,
)


@dataclass(frozen=True, slots=True)
class Given:
    """Everything that was given, as it was: `rows` has `line`, counted from 1, and `text`.

    `source` is what people call it: the file's name, or "the query". `place` is what its
    parts are called: "line" or "row".
    """

    rows: pl.DataFrame
    source: str
    place: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """The column to read: the first of `names` that is there, in any case.

    If there is only one column it is that, whatever its name, unless `is_strict`. With
    `any_header` any name in the first line of a file without columns is taken for its header.
    """

    names: tuple[str, ...]
    is_strict: bool = False
    any_header: bool = False

    def among(self, names: Sequence[str], source: str) -> int:
        """Which of the columns it is."""
        if len(names) == 1 and not self.is_strict:
            return 0
        there = [_plain(name) for name in names]
        for name in map(_plain, self.names):
            if there.count(name) > 1:
                raise ConfigError(f"{source} has {there.count(name)} columns {name}: keep one")
            if name in there:
                return there.index(name)
        others = ""
        if names and all(map(_is_name, names)):  # or it is data, and may be somebody's
            others = f" (but {textwrap.shorten(', '.join(names), 400, placeholder=' …')})"
        called = " or ".join(self.names)
        raise ConfigError(f"{source} has no column {called}{others}: call the one to read so")

    def is_in_header(self, first: str) -> bool:
        """Whether the first line of a file with one column is its name."""
        if self.any_header:
            return _is_name(first) and not re.search(r"\d", first)
        return _plain(first) in map(_plain, self.names)


def of_file(path: Path, wanted: Wanted) -> Given:
    """The column of a file: Parquet, CSV (.csv, .tsv), or any other text with a value a line.

    Text is UTF-8; blank lines at its end are left out, and so is a header.

    Raises:
        ConfigError: The file is not there, cannot be read, or has no such column.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(len(_PARQUET))
            if begin == _PARQUET or path.suffix.lower() == ".parquet":
                return _of_parquet(file, path.name, wanted)
            # What was read is kept, for a pipe cannot be read again.
            text = _decoded(begin + file.read(), path.name)
    except FileNotFoundError as exc:
        raise ConfigError(f"there is no file {path}: check its name") from exc
    except IsADirectoryError as exc:
        raise ConfigError(f"{path} is a folder: name a file in it") from exc
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read ({exc.strerror}): check the file") from exc
    return Given(_of_text(text, path, wanted), path.name, "line")


def of_table(table: pa.Table, wanted: Wanted, source: str) -> Given:
    """The column of a table, such as the result of a query.

    Raises:
        ConfigError: It is unclear which column, or its type does not hold ids exactly.
    """
    nth = wanted.among(table.column_names, source)
    return _of_column(table.column_names[nth], table.column(nth), source)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip().casefold())


def _is_name(text: str) -> bool:
    name = text.strip()
    return _NAME.fullmatch(name) is not None and (name[0].isalpha() or name[0] == "_")


def _decoded(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise ConfigError(f"line {line} of {source} is not UTF-8: save it as UTF-8") from exc


def _of_text(text: str, path: Path, wanted: Wanted) -> pl.DataFrame:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.rstrip(" \t\n")
    first, _, _ = text.partition("\n")
    suffix = path.suffix.lower()
    separator = "\t" if suffix == ".tsv" else max(",;\t", key=first.count)
    if suffix in {".csv", ".tsv"} and (separator in text or '"' in text):
        return _of_csv(text, separator, path.name, wanted)
    wanted.among([first], path.name)
    rows = pl.Series("text", [text], dtype=pl.String).str.split("\n").explode().to_frame()
    return rows.with_row_index("line", offset=1)[int(wanted.is_in_header(first)) :]


def _of_csv(text: str, separator: str, source: str, wanted: Wanted) -> pl.DataFrame:
    records = _records(text, separator, source)
    line, header = next(records)
    nth, width = wanted.among(header, source), len(header)
    if width == 1 and not wanted.is_in_header(header[0]):
        records = chain([(line, header)], records)
    frames: list[pl.DataFrame] = []
    while not frames or len(frames[-1]):
        lines, texts = [], []
        for line, row in islice(records, _AT_ONCE):
            lines.append(line)
            # In a row that is too long any field may be it: all of them together are none.
            texts.append(row[nth] if nth < len(row) <= width else separator.join(row[nth:]))
        frames.append(pl.DataFrame({"line": lines, "text": texts}, schema=_SCHEMA))
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


def _of_parquet(file: BinaryIO, source: str, wanted: Wanted) -> Given:
    try:
        parquet = pq.ParquetFile(file)
        names = parquet.schema_arrow.names
        name = names[wanted.among(names, source)]
        return _of_column(name, parquet.read(columns=[name]).column(0), source)
    except (pa.ArrowException, OSError) as exc:  # Arrow says both of a broken file
        raise ConfigError(f"{source} is no Parquet file that can be read: write it anew") from exc


def _of_column(name: str, column: pa.ChunkedArray, source: str) -> Given:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    is_whole_decimal = pa.types.is_decimal(kind) and kind.scale == 0  # DuckDB's HUGEINT
    if not is_whole_decimal and not any(is_kind(kind) for is_kind in _EXACT):
        raise ConfigError(
            f"the column {name} of {source} is of the type {kind}, which holds no ids exactly: "
            "make it BIGINT or VARCHAR"
        )
    texts = pl.Series("text", pl.from_arrow(column)).cast(pl.String)
    return Given(texts.to_frame().with_row_index("line", offset=1), source, "row")
