"""Whether a double holds a decimal number exactly, for whole columns of text.

Two texts are exact for a double: its shortest form ("0.1", with or without
further zeros or an exponent), and all its digits ("0.1000000000000000055511…"),
which is how calculated properties print. Anything else would be rounded.
"""

from __future__ import annotations

from functools import cache

import polars as pl

# A double is M * 2^E with M < 2^53 and E from -1074 to 971; written in full it has at
# most 767 digits from the first to the last that is not zero.
LOWEST_POWER_OF_TWO = -1074
HIGHEST_POWER_OF_TWO = 971
MOST_DIGITS = 767

_LIMB_DIGITS = 18  # M times a limb is then below 2^117, inside Int128
_LIMB = 10**_LIMB_DIGITS
_ABOVE_MANTISSAS = 2.0**56
_FIRST_TWO = 1 - LOWEST_POWER_OF_TWO  # where in `_limbs` the powers of two begin


def significand(number: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """The digits of a decimal number without outer zeros, and its power of ten, signs dropped.

    "1200" and "-1.2e3" both give "12" and 2; zero gives "". The power is null
    where the exponent is beyond 64 bits. Only for text that is a number.
    """
    unsigned = number.str.strip_chars_start("+-").str.replace("E", "e", literal=True)
    halves = unsigned.str.splitn("e", 2).struct
    mantissa, exponent = halves.field("field_0"), halves.field("field_1").fill_null("0")
    decimals = _length(mantissa) - 1 - mantissa.str.find(".", literal=True)
    run = mantissa.str.replace(".", "", literal=True).str.strip_chars_start("0")
    digits = run.str.strip_chars_end("0")
    dropped_zeros = _length(run) - _length(digits)
    power = exponent.cast(pl.Int64, strict=False) - decimals.fill_null(0) + dropped_zeros
    return digits, power


def doubles(text: pl.Series) -> pl.Series:
    """Numbers as Float64; null where the text is no number, or a double would round it."""
    value, printed = pl.col("value"), pl.col("printed")
    numbers = (
        text.alias("text")
        .to_frame()
        .with_row_index("row")
        .with_columns(value=pl.col("text").cast(pl.Float64, strict=False))
        .with_columns(printed=value.cast(pl.String))  # the shortest form
    )
    others = numbers.filter(value.is_finite() & (pl.col("text") != printed)).lazy()
    exact = _shortest_or_in_full(_with_significands(others).collect())
    is_exact = (pl.col("text") == printed) | pl.col("row").is_in(exact.implode())
    return numbers.select(pl.when(is_exact & value.is_finite()).then(value)).to_series()


def _with_significands(numbers: pl.LazyFrame) -> pl.LazyFrame:
    digits, power = significand(pl.col("text"))
    printed_digits, printed_power = significand(pl.col("printed"))
    return numbers.with_columns(digits=digits, power=power).with_columns(
        is_shortest=(pl.col("digits") == printed_digits)
        & ((pl.col("power") == printed_power) | (pl.col("digits") == ""))
    )


def _shortest_or_in_full(numbers: pl.DataFrame) -> pl.Series:
    is_shortest = pl.col("is_shortest").fill_null(value=False)
    could_be_in_full = (
        (pl.col("value") != 0)
        & (_length(pl.col("digits")) <= MOST_DIGITS)
        & (pl.col("power") >= LOWEST_POWER_OF_TWO)
    )
    in_full = _written_in_full(numbers.filter(~is_shortest & could_be_in_full))
    return pl.concat([numbers.filter(is_shortest)["row"], in_full["row"]])


def _written_in_full(numbers: pl.DataFrame) -> pl.DataFrame:
    """The rows where `digits` * 10^`power` is `value`, all digits of it.

    With e decimals, a double in full is M * 2^-e = M * 5^e / 10^e, so the
    digits must be M * 5^e; without decimals they must be M * 2^E. Both are
    multiplied out in limbs of 18 digits, for all rows at once.
    """
    value, power = pl.col("value").abs(), pl.col("power")
    # One less than needed, as the logarithm may round up; the mantissa has a bit or two more.
    twos = (value.log(2).floor().cast(pl.Int64) - 53).clip(0)
    shift = pl.when(power < 0).then(-power).otherwise(-twos)
    half = shift // 2
    # In two exact steps, since 2^1074 itself is no double.
    mantissa = value * pl.lit(2.0).pow(half) * pl.lit(2.0).pow(shift - half)
    rows = numbers.with_columns(
        pl.col("digits").str.pad_end(_length(pl.col("digits")) + power.clip(0), "0"),
        mantissa=mantissa,
        factor=pl.when(power < 0).then(-power).otherwise(_FIRST_TWO + twos),
    )
    is_whole = pl.col("mantissa") == pl.col("mantissa").floor()
    return _equal_products(rows.filter(is_whole & (pl.col("mantissa") < _ABOVE_MANTISSAS)))


def _equal_products(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows where `digits` is `mantissa` times the factor, compared from the lowest limb up."""
    longest = rows.select(_length(pl.col("digits")).max()).item() or 0
    count = -(-longest // _LIMB_DIGITS)
    digits = pl.col("digits").str.pad_start(count * _LIMB_DIGITS, "0")
    base = pl.lit(_LIMB, dtype=pl.Int128)
    rows = rows.with_columns(
        digits, pl.col("mantissa").cast(pl.Int128), carry=pl.lit(0, dtype=pl.Int128)
    )
    for limb in range(count):
        product = pl.col("mantissa") * pl.lit(_limbs(limb)).gather(pl.col("factor"))
        part = pl.col("digits").str.slice((count - 1 - limb) * _LIMB_DIGITS, _LIMB_DIGITS)
        rows = (
            rows.with_columns(product=product + pl.col("carry"))
            .filter(pl.col("product") % base == part.cast(pl.Int128))
            .with_columns(carry=pl.col("product") // base)
        )
    return rows.filter(pl.col("carry") == 0)


@cache
def _limbs(index: int) -> pl.Series:
    """One limb, counted from the lowest, of each factor: 5^0 to 5^1074, then 2^0 to 2^971."""
    fives = (5**power for power in range(-LOWEST_POWER_OF_TWO + 1))
    twos = (2**power for power in range(HIGHEST_POWER_OF_TWO + 1))
    limbs = [factor // _LIMB**index % _LIMB for factors in (fives, twos) for factor in factors]
    return pl.Series(limbs, dtype=pl.Int128)


def _length(text: pl.Expr) -> pl.Expr:
    return text.str.len_bytes().cast(pl.Int64)
