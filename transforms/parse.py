"""How raw text becomes typed, by kind.

A value is null where the text is null, "" or does not parse; nothing is rounded,
truncated or shifted. Surrounding Unicode blanks are no part of a value, except in
texts and lists:

- number: a sign, digits, one point, an exponent; null where a double would round.
- integer: any way of writing a whole number, so "5", "5.00" and "5e0".
- boolean: true or false in any case.
- date: YYYY-MM-DD, or epoch milliseconds at midnight UTC exactly.
- datetime: ISO 8601, UTC if it names no zone (a day alone is its midnight), or epoch
  milliseconds; null where digits beyond microseconds are not zero.
- list: semicolons between its items.
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


def typed(texts: pl.Series, kind: Kind) -> pl.Series:
    """Every value of a column in any form that its kind allows."""
    return with_care(texts, _select(texts.alias("text"), USUAL[kind](pl.col("text"))), kind)


def with_care(texts: pl.Series, usual: pl.Series, kind: Kind) -> pl.Series:
    """`usual`, and where it is null, what a careful reading makes of the text without blanks."""
    if kind not in _UNUSUAL:
        return usual
    # By names of our own: methods of a Series find it by its name too, read as a pattern.
    frame = pl.DataFrame([texts.alias("text"), usual.alias("usual")])
    is_other = pl.col("usual").is_null() & (pl.col("text") != "")
    others = frame.select(pl.arg_where(is_other)).to_series()
    if others.is_empty():
        return usual
    trimmed = frame.select(pl.col("text").gather(others).str.strip_chars()).to_series()
    return frame["usual"].scatter(others, _UNUSUAL[kind](trimmed)).alias(usual.name)


def _select(texts: pl.Series, expression: pl.Expr) -> pl.Series:
    # Lazy, so that what parts of the expression share is computed once.
    return texts.to_frame().lazy().select(expression).collect().to_series()


def text(text: pl.Expr) -> pl.Expr:
    """A text as it is, blanks kept; "" becomes null."""
    return pl.when(text != "").then(text)


def _usual_number(text: pl.Expr) -> pl.Expr:
    """Up to 15 digits are always exact, so only the few longer ones must be compared."""
    value = text.cast(pl.Float64, strict=False)
    length = text.str.len_bytes()
    is_exact = (length <= PLAIN_LENGTH) | (
        (length <= EXACT_DIGITS) & (value.abs() > SMALLEST_EXACT)
    )
    # The cast also knows the words inf and nan, and makes 1e400 infinite.
    return pl.when(is_exact & value.is_finite()).then(value)


def _usual_integer(text: pl.Expr) -> pl.Expr:
    return text.cast(pl.Int64, strict=False)


def _unusual_integer(trimmed: pl.Series) -> pl.Series:
    text = pl.col("text")
    digits, exponent = exact.significand(text)
    zeros = exponent.clip(0, 19)  # with 19 of them nothing but zero fits
    sign = text.str.extract("^([+-])").fill_null("")
    whole = digits.str.pad_end(digits.str.len_bytes() + zeros, "0")
    value = (sign + whole).cast(pl.Int64, strict=False)
    return _select(
        trimmed,
        pl.when(~is_number(text))
        .then(None)
        .when(digits == "")
        .then(0)
        .when(exponent >= 0)
        .then(value)
        .cast(pl.Int64),
    )


def is_number(text: pl.Expr) -> pl.Expr:
    """Whether it is a decimal number, however long; false where null."""
    # The cast reads decimals as we do, and the words nan, inf and infinity besides.
    return text.cast(pl.Float64, strict=False).is_not_null() & ~text.str.contains("[nN]")


def _truth(lower: pl.Expr) -> pl.Expr:
    return pl.when(lower.is_in(["true", "false"])).then(lower == "true")


def _unusual_truth(trimmed: pl.Series) -> pl.Series:
    return _select(trimmed, _truth(pl.col("text").str.to_lowercase()))


def _day(text: pl.Expr) -> pl.Expr:
    ms = _epoch_ms(text)
    day = pl.when(ms % DAY_MS == 0).then(ms // DAY_MS).cast(pl.Int32).cast(pl.Date)
    return pl.coalesce(_iso_day(text), day)


def _unusual_day(trimmed: pl.Series) -> pl.Series:
    return _select(trimmed, _day(pl.col("text")))


def _iso_day(text: pl.Expr) -> pl.Expr:
    # The pattern first: to_date alone also reads "2024- 1- 1" and "+10000-01-01".
    shaped = pl.when(text.str.contains(f"^{_DAY}$")).then(text)
    return shaped.str.to_date("%Y-%m-%d", strict=False, cache=False)


def _usual_moment(text: pl.Expr) -> pl.Expr:
    shaped = pl.when(text.str.contains(_USUAL_MOMENT)).then(text)
    iso = shaped.str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False, cache=False)
    return pl.coalesce(iso, _epoch_moment(text))


def _epoch_moment(text: pl.Expr) -> pl.Expr:
    return (_epoch_ms(text) * 1_000).cast(MOMENT)


def _unusual_moment(trimmed: pl.Series) -> pl.Series:
    text = pl.col("text")
    return _select(trimmed, pl.coalesce(iso_moment(text), _epoch_moment(text)))


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


def items(text: pl.Expr) -> pl.Expr:
    """A list with semicolons as the text of a JSON array, blanks kept.

    Empty items are left out: ";a;;b;" becomes ["a","b"], and ";" [].
    """
    escaped = text.str.replace_many(list(_JSON_ESCAPES), list(_JSON_ESCAPES.values()))
    joined = escaped.str.strip_chars(";").str.replace_all(";+", '","')
    array = pl.when(joined == "").then(pl.lit("[]")).otherwise('["' + joined + '"]')
    return pl.when(text != "").then(array)


def record_id(name: str) -> pl.Expr:
    """`name` as Int64: digits only, as HubSpot writes ids."""
    return pl.when(raw(name).str.contains("^[0-9]+$")).then(raw(name)).cast(pl.Int64, strict=False)


USUAL: dict[Kind, Callable[[pl.Expr], pl.Expr]] = {
    Kind.TEXT: text,
    Kind.NUMBER: _usual_number,
    Kind.INTEGER: _usual_integer,
    Kind.BOOLEAN: _truth,
    Kind.DATE: _day,
    Kind.DATETIME: _usual_moment,
    Kind.LIST: items,
}
"""Text to a kind, in the forms HubSpot nearly always writes; null for all others, and for ""."""

_UNUSUAL: dict[Kind, Callable[[pl.Series], pl.Series]] = {
    Kind.NUMBER: exact.doubles,
    Kind.INTEGER: _unusual_integer,
    Kind.BOOLEAN: _unusual_truth,
    Kind.DATE: _unusual_day,
    Kind.DATETIME: _unusual_moment,
}
"""Every form a kind allows, blanks dropped: read with care, and so only where it must be."""
