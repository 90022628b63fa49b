"""Raw records to typed rows, and the values that could not be typed to rejects."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from transforms import parse
from transforms.columns import Column
from transforms.definitions import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

UNPARSEABLE = "UNPARSEABLE_VALUE"
PRECISION_LOSS = "PRECISION_LOSS"
INVALID_ID = "INVALID_ID"

REJECTS_SCHEMA = pl.Schema(
    {
        "object_id": pl.String(),
        "property": pl.String(),
        "raw_value": pl.String(),
        "expected_type": pl.String(),
        "category": pl.String(),
        "message": pl.String(),
    }
)

ENVELOPE = (
    Column("@createdAt", "created_at", Kind.DATETIME),
    Column("@updatedAt", "updated_at", Kind.DATETIME),
    Column("@archivedAt", "archived_at", Kind.DATETIME),
)

# Never the value itself: a message is logged and counted, a value may be somebody's.
_UNPARSEABLE_MESSAGES = {
    Kind.NUMBER: "not a number: one sign, digits, one point, an exponent",
    Kind.INTEGER: "not a whole number: one sign and digits",
    Kind.BOOLEAN: "neither true nor false",
    Kind.DATE: "neither a day as YYYY-MM-DD nor epoch milliseconds at midnight UTC",
    Kind.DATETIME: "neither a moment in ISO 8601 nor epoch milliseconds",
}
_NUMERIC = {Kind.NUMBER: Kind.INTEGER, Kind.INTEGER: Kind.NUMBER}
_LARGEST_EXACT_DOUBLE = 2**53


@dataclass(frozen=True, slots=True)
class Normalised:
    """`rows` in the table's types; `rejects` holds every value that is set but not in them."""

    rows: pl.DataFrame
    rejects: pl.DataFrame


def normalise(raw: pl.DataFrame, columns: Sequence[Column], *, object_type: str) -> Normalised:
    """One typed row per record, in the same order, and one reject per value that does not parse.

    A record whose id is no BIGINT has no row; one reject says so.

    Args:
        raw: The envelope as `@id`, `@createdAt`, `@updatedAt`, `@archivedAt` (String)
            and `@archived` (Boolean), and a String column for each property that
            came, under HubSpot's name; one that did not come is null everywhere.
        columns: The table's columns besides the envelope.
        object_type: As in the settings that a message names: "contacts" or "calls".
    """
    ids = raw.select(parse.record_id("@id")).to_series()
    if ids.has_nulls():
        lost = _invalid_ids(raw.filter(ids.is_null()))
        kept = normalise(raw.filter(ids.is_not_null()), columns, object_type=object_type)
        return Normalised(kept.rows, pl.concat([lost, kept.rejects]))
    sources = (*ENVELOPE, *columns)
    # Lazy, so that what several expressions share is computed once.
    usual = raw.lazy().select(_usual(raw, column) for column in sources).collect()
    typed, rejects = usual.get_columns(), [pl.DataFrame(schema=REJECTS_SCHEMA)]
    for nth, (column, count) in enumerate(zip(sources, _counts_set(raw, sources), strict=True)):
        # An expression for what is unusual would visit every row, and almost none is.
        if typed[nth].count() < count:
            typed[nth] = parse.with_care(raw[column.property], typed[nth], column.kind)
            rejects.append(_rejects(raw, column, typed[nth], object_type))
    envelope = [ids.alias("id"), *typed[:3], raw["@archived"].alias("archived")]
    return Normalised(pl.DataFrame([*envelope, *typed[3:]]), pl.concat(rejects))


def integers(raw: pl.DataFrame, names: Iterable[str]) -> frozenset[str]:
    """Those of the number properties `names` whose values here need a BIGINT.

    Every number is a whole one that fits, and at least one is written in digits
    and beyond 2^53, where a double begins to skip some. What is no number is a
    reject in either column, so it has no say.
    """
    present = [name for name in names if name in raw.columns]
    # Cheap first: almost every number property is out after this.
    beyond = raw.select(_is_beyond_doubles(name).alias(name) for name in present)
    candidates = [name for name in present if beyond[name].item()]
    numbers = raw.select(parse.is_number(_trimmed(name)).sum().alias(name) for name in candidates)
    return frozenset(
        name
        for name in candidates
        if parse.typed(raw[name], Kind.INTEGER).count() == numbers[name].item()
    )


def _trimmed(name: str) -> pl.Expr:
    return parse.raw(name).str.strip_chars()


def _is_beyond_doubles(name: str) -> pl.Expr:
    value = parse.raw(name).str.strip_chars().cast(pl.Int64, strict=False)
    return ((value > _LARGEST_EXACT_DOUBLE) | (value < -_LARGEST_EXACT_DOUBLE)).any()


def _usual(raw: pl.DataFrame, column: Column) -> pl.Expr:
    if column.property not in raw.columns:
        return pl.lit(None, parse.DTYPES[column.kind]).alias(column.name)
    return parse.USUAL[column.kind](parse.raw(column.property)).alias(column.name)


def _invalid_ids(records: pl.DataFrame) -> pl.DataFrame:
    return records.select(
        object_id="@id",
        property=pl.lit("@id"),
        raw_value="@id",
        expected_type=pl.lit(Kind.INTEGER.sql_type),
        category=pl.lit(INVALID_ID),
        message=pl.lit("the record has no id of digits that a BIGINT holds: it has no row"),
    )


def _rejects(raw: pl.DataFrame, column: Column, typed: pl.Series, object_type: str) -> pl.DataFrame:
    values = raw.select(
        object_id="@id", raw_value=parse.raw(column.property), typed=typed.alias("typed")
    ).filter((pl.col("raw_value") != "") & pl.col("typed").is_null())
    is_inexact = pl.col("is_inexact")
    return values.with_columns(
        mends=_mending_kind(column.kind, values["raw_value"]),
        is_inexact=_is_inexact(column.kind),
    ).select(
        "object_id",
        pl.lit(column.property).alias("property"),
        "raw_value",
        pl.lit(column.kind.sql_type).alias("expected_type"),
        pl.when(is_inexact)
        .then(pl.lit(PRECISION_LOSS))
        .otherwise(pl.lit(UNPARSEABLE))
        .alias("category"),
        pl.when(is_inexact)
        .then(_loss_message(column, object_type))
        .otherwise(pl.lit(_UNPARSEABLE_MESSAGES[column.kind]))
        .alias("message"),
    )


def _is_inexact(kind: Kind) -> pl.Expr:
    """Whether `raw_value`, which did not parse, would have in a type with more digits."""
    value = pl.col("raw_value")
    if kind is Kind.DATETIME:
        return parse.iso_moment(value.str.strip_chars(), cut=True).is_not_null()
    if kind in _NUMERIC:
        return parse.is_number(value.str.strip_chars())
    return pl.lit(value=False)


def _mending_kind(kind: Kind, texts: pl.Series) -> pl.Expr:
    """The word of a kind that holds each text exactly."""
    other = _NUMERIC.get(kind)
    if other is None:
        return pl.lit(Kind.TEXT.value)
    held = parse.typed(texts, other).is_not_null()
    return pl.when(held).then(pl.lit(other.sql_type.lower())).otherwise(pl.lit(Kind.TEXT.value))


def _loss_message(column: Column, object_type: str) -> pl.Expr:
    fault = f"a {column.kind.sql_type} cannot hold this exactly"
    if column in ENVELOPE:
        return pl.lit(fault)
    is_bare = re.fullmatch("[A-Za-z0-9_-]+", column.property)
    key = column.property if is_bare else json.dumps(column.property, ensure_ascii=False)
    setting = f'{fault}; set sources.hubspot.{object_type}.types = {{{key} = "'
    return pl.lit(setting) + pl.col("mends") + pl.lit('"}')


def _count_set(name: str) -> pl.Expr:
    return (parse.raw(name) != "").sum()


def _counts_set(raw: pl.DataFrame, columns: Sequence[Column]) -> list[int]:
    """For each column, how many records have a value of it."""
    present = {column.property for column in columns if column.property in raw.columns}
    counts = raw.select(_count_set(name) for name in sorted(present)).to_dict(as_series=False)
    return [counts.get(column.property, [0])[0] for column in columns]
