"""HubSpot's JSON records as one frame of text columns: the step before typing.

The bytes of many answers are parsed together, by column and on every core; no
Python object is made per value. What the columnar parser refuses (a number
where HubSpot always sends text, say) is read again slowly, so that one odd
record costs time but never a value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.json as pa_json

ENVELOPE = {
    "@id": pl.String(),
    "@createdAt": pl.String(),
    "@updatedAt": pl.String(),
    "@archived": pl.Boolean(),
    "@archivedAt": pl.String(),
}
"""Columns of every raw frame; `@` keeps them apart from properties of the same name."""

_RECORD_FIELDS = (
    pa.field("id", pa.string()),
    pa.field("createdAt", pa.string()),
    pa.field("updatedAt", pa.string()),
    pa.field("archived", pa.bool_()),
    pa.field("archivedAt", pa.string()),
)
_MIN_BLOCK_BYTES = 1 << 20


def raw_schema(properties: Iterable[str]) -> dict[str, pl.DataType]:
    """The schema of a raw frame: the envelope, then one String column per property."""
    return {**ENVELOPE, **{name: pl.String() for name in properties}}


def raw_records(answers: Sequence[bytes], properties: Sequence[str]) -> pl.DataFrame:
    """One row per record, in the order given: envelope and properties as text.

    Args:
        answers: Each a JSON object with records in `results`; other keys are ignored.
        properties: HubSpot's names; a property that a record lacks is null.

    Returns:
        A frame with the schema `raw_schema(properties)`. A value that is not text
        (HubSpot sends text only) arrives as its JSON text.

    Raises:
        ValueError: An item is not a JSON object with a list of objects.
    """
    if not answers:
        return pl.DataFrame(schema=raw_schema(properties))
    try:
        return _by_column(answers, properties)
    except pa.ArrowInvalid:
        return _by_record(answers, properties)


def _by_column(answers: Sequence[bytes], properties: Sequence[str]) -> pl.DataFrame:
    # One line per answer. A raw line break inside a JSON text is not legal JSON, so every one
    # found stands between two tokens and may become a blank.
    lines = [answer.replace(b"\n", b" ") if b"\n" in answer else answer for answer in answers]
    record = pa.struct(
        [
            *_RECORD_FIELDS,
            pa.field("properties", pa.struct([pa.field(p, pa.string()) for p in properties])),
        ]
    )
    table = pa_json.read_json(
        pa.BufferReader(b"\n".join(lines)),
        read_options=pa_json.ReadOptions(
            block_size=max(_MIN_BLOCK_BYTES, 2 * max(map(len, lines)))
        ),
        parse_options=pa_json.ParseOptions(
            explicit_schema=pa.schema([("results", pa.list_(record))]),
            unexpected_field_behavior="ignore",
        ),
    )
    frames = [
        _frame_of(chunk.flatten(), properties) for chunk in table.column("results").iterchunks()
    ]
    raw = pl.concat(frames) if frames else pl.DataFrame(schema=raw_schema(properties))
    return raw.with_columns(pl.col("@archived").fill_null(value=False))


def _frame_of(records: pa.StructArray, properties: Sequence[str]) -> pl.DataFrame:
    if records.null_count:
        raise pa.ArrowInvalid("a record is null")
    arrays = [records.field(field.name) for field in _RECORD_FIELDS]
    values = records.field("properties")
    # `flatten` applies the struct's own validity: a record without properties has null values.
    arrays += values.flatten() if properties else []
    for array in arrays:
        array.validate(full=True)  # polars trusts Arrow to hold UTF-8
    return pl.DataFrame(
        pa.Table.from_arrays(arrays, names=[*ENVELOPE, *properties]), schema=raw_schema(properties)
    )


def _by_record(answers: Sequence[bytes], properties: Sequence[str]) -> pl.DataFrame:
    rows = [
        [_text(record.get("id")), _text(record.get("createdAt")), _text(record.get("updatedAt")),
         record.get("archived") is True, _text(record.get("archivedAt"))]
        + [_text(values.get(name)) for name in properties]
        for record, values in _decoded(answers)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=raw_schema(properties), orient="row")


def _decoded(answers: Sequence[bytes]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for answer in answers:
        text = answer.decode(errors="replace")
        for record in json.loads(text, parse_float=_Literal, parse_int=_Literal)["results"]:
            if not isinstance(record, dict):
                raise ValueError("an item of `results` is not an object")  # noqa: TRY004  (a value of the wrong shape)
            values = record.get("properties")
            yield record, values if isinstance(values, dict) else {}


class _Literal(str):
    """A number as it was written: reading it would round it."""

    __slots__ = ()


def _text(value: object) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else _written(value)
    # Half of a surrogate pair is legal JSON but not Unicode text: keep it readable.
    return text.encode(errors="backslashreplace").decode()


def _written(value: object) -> str:
    """JSON text of what is not text itself, with numbers as they were written."""
    match value:
        case _Literal():
            return str(value)
        case dict():
            items = (f"{json.dumps(key)}:{_written(item)}" for key, item in value.items())
            return "{" + ",".join(items) + "}"
        case list():
            return "[" + ",".join(map(_written, value)) + "]"
        case _:
            return json.dumps(value)
