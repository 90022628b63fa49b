"""How raw text becomes typed: one function for each kind, from a column's name to an expression.

Every expression is null where the text is null, "" or does not parse; nothing
is rounded, truncated or shifted. Surrounding Unicode blanks are no part of a
value, except in texts and lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import polars.selectors as cs

from transforms import exact
from transforms.definitions import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

MOMENT = pl.Datetime("us", "UTC")
DTYPES: dict[Kind, pl.DataType] = {
    Kind.TEXT: pl.String(),
    Kind.NUMBER: pl.Float64(),
    Kind.INTEGER: pl.Int64(),
    Kind.BOOLEAN: pl.Boolean(),
    Kind.DATE: pl.Date(),
    Kind.DATETIME: MOMENT,
    Kind.LIST: pl.String(),
}

# Days and moments from -262143-01-01 to 262142-12-31: what polars can work with. DuckDB's
# TIMESTAMPTZ reaches some 30,000 years further.
FIRST_DAY, LAST_DAY = -96_465_292, 95_026_236
DAY_MS = 86_400_000
FIRST_MS, LAST_MS = FIRST_DAY * DAY_MS, (LAST_DAY + 1) * DAY_MS - 1

# Shorter numbers than these cannot be too precise, too large or too small for a double.
PLAIN_LENGTH = 5
EXACT_DIGITS = 15
SMALLEST_EXACT = 1e-300

_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_USUAL_MOMENT = rf"^{_DAY}T[0-9]{{2}}:[0-9]{{2}}:[0-5][0-9](\.[0-9]{{1,6}})?Z$"
_MOMENT = (
    rf"^(?<day>{_DAY})(?:[T ](?<hours>[0-1][0-9]|2[0-3]):(?<minutes>[0-5][0-9])"
    r"(?::(?<seconds>[0-5][0-9])(?:\.(?<fraction>[0-9]+))?)?"
    r"(?:Z|(?<sign>[+-])(?<zone_hours>[0-1][0-9]|2[0-3]):?(?<zone_minutes>[0-5][0-9]))?)?$"
)

_JSON_ESCAPES = {chr(code): f"\\u{code:04x}" for code in range(0x20)} | {'"': '\\"', "\\": "\\\\"}


def raw(name: str) -> pl.Expr:
    """The column of exactly this name; `pl.col` reads "*" and "^…$" as patterns."""
    return cs.by_name(name).as_expr()


def text(name: str) -> pl.Expr:
    """`name` as it is, blanks kept, as String; "" becomes null."""
    return pl.when(raw(name) != "").then(raw(name))


def number(name: str) -> pl.Expr:
    """`name` as Float64: a sign, digits, one point, an exponent; null where a double would round.

    Up to 15 digits are always exact, so only the few longer ones are compared.
    """
    value = raw(name).cast(pl.Float64, strict=False)
    length = raw(name).str.len_bytes()
    is_exact = (length <= PLAIN_LENGTH) | (
        (length <= EXACT_DIGITS) & (value.abs() > SMALLEST_EXACT)
    )
    # The cast also knows the words inf and nan, and makes 1e400 infinite.
    usual = pl.when(is_exact & value.is_finite()).then(value)
    return _with_care(Kind.NUMBER, name, usual, _unusual_number)


def _unusual_number(trimmed: pl.Expr) -> pl.Expr:
    return trimmed.map_batches(exact.doubles, return_dtype=pl.Float64())


def integer(name: str) -> pl.Expr:
    """`name` as Int64: any way of writing a whole number, so "5", "5.00" and "5e0"."""
    return _with_care(Kind.INTEGER, name, raw(name).cast(pl.Int64, strict=False), _unusual_integer)


def _unusual_integer(trimmed: pl.Expr) -> pl.Expr:
    digits, exponent = exact.significand(trimmed)
    zeros = exponent.clip(0, 19)  # with 19 of them nothing but zero fits
    sign = trimmed.str.extract("^([+-])").fill_null("")
    whole = digits.str.pad_end(digits.str.len_bytes() + zeros, "0")
    value = (sign + whole).cast(pl.Int64, strict=False)
    return (
        pl.when(~is_number(trimmed))
        .then(None)
        .when(digits == "")
        .then(0)
        .when(exponent >= 0)
        .then(value)
    )


def is_number(text: pl.Expr) -> pl.Expr:
    """Whether it is a decimal number, however long; false where null."""
    # The cast reads decimals as we do, and the words nan, inf and infinity besides.
    return text.cast(pl.Float64, strict=False).is_not_null() & ~text.str.contains("[nN]")


def boolean(name: str) -> pl.Expr:
    """`name` as Boolean: true or false in any case."""
    return _with_care(
        Kind.BOOLEAN, name, _truth(raw(name)), lambda trimmed: _truth(trimmed.str.to_lowercase())
    )


def _truth(lower: pl.Expr) -> pl.Expr:
    return pl.when(lower.is_in(["true", "false"])).then(lower == "true")


def date(name: str) -> pl.Expr:
    """`name` as Date: YYYY-MM-DD, or epoch milliseconds at midnight UTC exactly."""
    return _with_care(Kind.DATE, name, _iso_day(raw(name)), _unusual_date)


def _unusual_date(trimmed: pl.Expr) -> pl.Expr:
    ms = _epoch_ms(trimmed)
    day = pl.when(ms % DAY_MS == 0).then(ms // DAY_MS).cast(pl.Int32).cast(pl.Date)
    return pl.coalesce(_iso_day(trimmed), day)


def _iso_day(text: pl.Expr) -> pl.Expr:
    # The pattern first: to_date alone also reads "2024- 1- 1" and "+10000-01-01".
    shaped = pl.when(text.str.contains(f"^{_DAY}$")).then(text)
    return shaped.str.to_date("%Y-%m-%d", strict=False, cache=False)


def datetime(name: str) -> pl.Expr:
    """`name` as UTC microseconds: ISO 8601, UTC if it names no zone, or epoch milliseconds.

    A day alone is its midnight. Null where digits beyond microseconds are not zero.
    """
    shaped = pl.when(raw(name).str.contains(_USUAL_MOMENT)).then(raw(name))
    usual = shaped.str.to_datetime(
        "%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False, cache=False
    )
    return _with_care(Kind.DATETIME, name, usual.dt.replace_time_zone("UTC"), _unusual_moment)


def _unusual_moment(trimmed: pl.Expr) -> pl.Expr:
    return pl.coalesce(iso_moment(trimmed), (_epoch_ms(trimmed) * 1_000).cast(MOMENT))


def iso_moment(text: pl.Expr, *, cut: bool = False) -> pl.Expr:
    """A moment in ISO 8601; with digits beyond microseconds it is null, or `cut` off."""
    parts = text.str.extract_groups(_MOMENT).struct

    def count(part: str) -> pl.Expr:
        return parts.field(part).cast(pl.Int64, strict=False).fill_null(0)

    fraction = parts.field("fraction").fill_null("")
    day = _iso_day(parts.field("day")).to_physical().cast(pl.Int64)
    zone = count("zone_hours") * 60 + count("zone_minutes")
    ahead = pl.when(parts.field("sign") == "-").then(-zone).otherwise(zone)
    minutes = (day * 24 + count("hours")) * 60 + count("minutes") - ahead
    micros = fraction.str.head(6).str.pad_end(6, "0").cast(pl.Int64)
    moment = ((minutes * 60 + count("seconds")) * 1_000_000 + micros).cast(MOMENT)
    is_exact = fraction.str.slice(6).str.strip_chars("0") == ""
    return pl.when(is_exact | pl.lit(cut)).then(moment)


def _epoch_ms(text: pl.Expr) -> pl.Expr:
    ms = pl.when(text.str.contains("^-?[0-9]+$")).then(text).cast(pl.Int64, strict=False)
    return pl.when(ms.is_between(FIRST_MS, LAST_MS)).then(ms)


def items(name: str) -> pl.Expr:
    """`name`, a list with semicolons, as the text of a JSON array, blanks kept.

    Empty items are left out: ";a;;b;" becomes ["a","b"], and ";" [].
    """
    escaped = raw(name).str.replace_many(list(_JSON_ESCAPES), list(_JSON_ESCAPES.values()))
    joined = escaped.str.strip_chars(";").str.replace_all(";+", '","')
    array = pl.when(joined == "").then(pl.lit("[]")).otherwise('["' + joined + '"]')
    return pl.when(raw(name) != "").then(array)


def record_id(name: str) -> pl.Expr:
    """`name` as Int64: digits only, as HubSpot writes ids."""
    return pl.when(raw(name).str.contains("^[0-9]+$")).then(raw(name)).cast(pl.Int64, strict=False)


BY_KIND: dict[Kind, Callable[[str], pl.Expr]] = {
    Kind.TEXT: text,
    Kind.NUMBER: number,
    Kind.INTEGER: integer,
    Kind.BOOLEAN: boolean,
    Kind.DATE: date,
    Kind.DATETIME: datetime,
    Kind.LIST: items,
}


def _with_care(
    kind: Kind, name: str, usual: pl.Expr, unusual: Callable[[pl.Expr], pl.Expr]
) -> pl.Expr:
    """`usual`, and where it is null, what `unusual` makes of the text without blanks.

    The forms HubSpot nearly always writes cost one cheap expression; the others
    are read with care, and only they: an expression by itself would visit every row.
    """
    dtype = DTYPES[kind]
    others = pl.when(usual.is_null() & (raw(name) != "")).then(raw(name))

    def read(values: pl.Series) -> pl.Series:
        if values.null_count() == values.len():
            return pl.Series([None], dtype=dtype).new_from_index(0, values.len())
        trimmed = values.drop_nulls().str.strip_chars().alias("text").to_frame().lazy()
        typed = trimmed.select(unusual(pl.col("text")).alias("typed")).collect()["typed"]
        nth = pl.when(pl.col("value").is_not_null()).then(
            pl.col("value").is_not_null().cum_sum().cast(pl.Int64) - 1
        )
        return typed.gather(values.alias("value").to_frame().select(nth).to_series())

    return pl.coalesce(usual, others.map_batches(read, return_dtype=dtype))
