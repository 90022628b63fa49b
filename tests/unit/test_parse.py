"""Each form of raw text that HubSpot sends, and many that it should not."""

from __future__ import annotations

import datetime as dt
import json
import struct
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_decoder import Reject, decode, decode_number

from transforms import exact, parse
from transforms.definitions import Kind

if TYPE_CHECKING:
    import random

LOSS, NONSENSE = "PRECISION_LOSS", "UNPARSEABLE_VALUE"
FULL_FIFTH = "0.200000000000000011102230246251565404236316680908203125"
DAY_US = 86_400_000_000


def parsed(kind: Kind, *values: str | None) -> list[object]:
    """The typed values: days, microseconds and lists as the slow decoder tells them."""
    frame = pl.DataFrame({"raw": values}, schema={"raw": pl.String})
    typed = parse.typed(frame["raw"], kind)
    assert typed.dtype == parse.DTYPES[kind]
    if kind is Kind.LIST:
        return [None if value is None else json.loads(value) for value in typed]
    return typed.to_physical().to_list() if typed.dtype.is_temporal() else typed.to_list()


def held(told: object) -> object:
    """What a typed column holds of what the slow decoder tells: rejects are null."""
    return None if isinstance(told, Reject) else told


CASES = [
    (Kind.TEXT, "a", "a"),
    (Kind.TEXT, "  a\u00a0", "  a\u00a0"),
    (Kind.TEXT, " ", " "),
    (Kind.TEXT, "null", "null"),
    (Kind.TEXT, "a\x00b", "a\x00b"),
    (Kind.TEXT, "😀\u200f עברית\r\n", "😀\u200f עברית\r\n"),
    (Kind.NUMBER, "17", 17.0),
    (Kind.NUMBER, "0", 0.0),
    (Kind.NUMBER, "-0.0", 0.0),
    (Kind.NUMBER, "+1.50", 1.5),
    (Kind.NUMBER, ".5", 0.5),
    (Kind.NUMBER, "5.", 5.0),
    (Kind.NUMBER, "007", 7.0),
    (Kind.NUMBER, "0.1", 0.1),
    (Kind.NUMBER, "1.0E7", 1e7),
    (Kind.NUMBER, "1e-7", 1e-7),
    (Kind.NUMBER, "1e23", 1e23),
    (Kind.NUMBER, "99999999999999991611392", 1e23),
    (Kind.NUMBER, "100000000000000000000000", 1e23),
    (Kind.NUMBER, "5e-324", 5e-324),
    (Kind.NUMBER, "1.7976931348623157e308", 1.7976931348623157e308),
    (Kind.NUMBER, "0e99999999999999999999", 0.0),
    (Kind.NUMBER, "-0e-400", 0.0),
    (Kind.NUMBER, FULL_FIFTH, 0.2),
    (Kind.NUMBER, f"-{FULL_FIFTH}000", -0.2),
    (Kind.NUMBER, FULL_FIFTH[:-1] + "6", LOSS),
    (Kind.NUMBER, FULL_FIFTH[:-1], LOSS),
    (Kind.NUMBER, "0.20000000000000001", LOSS),
    (Kind.NUMBER, "9007199254740992", 2.0**53),
    (Kind.NUMBER, "9007199254740993", LOSS),
    (Kind.NUMBER, "9007199254740993.0", LOSS),
    (Kind.NUMBER, "1234567890123456789", LOSS),
    (Kind.NUMBER, "0.12345678901234567890", LOSS),
    (Kind.NUMBER, "1e400", LOSS),
    (Kind.NUMBER, "-1e400", LOSS),
    (Kind.NUMBER, "1e-400", LOSS),
    (Kind.NUMBER, "1e99999999999999999999", LOSS),
    (Kind.NUMBER, "1e-99999999999999999999", LOSS),
    (Kind.NUMBER, "4.9e-324", LOSS),
    (Kind.NUMBER, " 12\u00a0", 12.0),
    *((Kind.NUMBER, text, NONSENSE) for text in (
        "5,333,222", "23.345.567,23", "1,5", "nan", "NaN", "inf", "-Infinity", "1_000", ".", "+",
        "e5", "1e", "1e+", "--1", "+-1", "1 000", "0x10", "\u0663", "\uff11", "½",
        " ", "\u00a0", "$5", "1\x00",
    )),
    (Kind.INTEGER, "0", 0),
    (Kind.INTEGER, "-0", 0),
    (Kind.INTEGER, "+5", 5),
    (Kind.INTEGER, "9007199254740993", 2**53 + 1),
    (Kind.INTEGER, "1234567890123456789", 1234567890123456789),
    (Kind.INTEGER, "9223372036854775807", 2**63 - 1),
    (Kind.INTEGER, "-9223372036854775808", -(2**63)),
    (Kind.INTEGER, "-9223372036854775808.00", -(2**63)),
    (Kind.INTEGER, "1.0", 1),
    (Kind.INTEGER, "5.", 5),
    (Kind.INTEGER, ".0", 0),
    (Kind.INTEGER, "-12.50e1", -125),
    (Kind.INTEGER, "1.0E7", 10_000_000),
    (Kind.INTEGER, "0e999999999999999999999", 0),
    (Kind.INTEGER, "\t12 ", 12),
    (Kind.INTEGER, "9223372036854775808", LOSS),
    (Kind.INTEGER, "-9223372036854775809", LOSS),
    (Kind.INTEGER, "1.5", LOSS),
    (Kind.INTEGER, "1e19", LOSS),
    (Kind.INTEGER, "1e-1", LOSS),
    (Kind.INTEGER, "10e9223372036854775807", LOSS),
    (Kind.INTEGER, ".1e-9223372036854775808", LOSS),
    (Kind.INTEGER, "1e99999999999999999999", LOSS),
    *((Kind.INTEGER, text, NONSENSE) for text in (
        "1,000", "nan", "inf", ".", "-", "0x1", "1_0", "\u0661", " ", "true", "1 2", "e1",
    )),
    (Kind.BOOLEAN, "true", True),
    (Kind.BOOLEAN, "FALSE", False),
    (Kind.BOOLEAN, " true", True),
    (Kind.BOOLEAN, "\u2003False\n", False),
    *((Kind.BOOLEAN, text, NONSENSE) for text in (
        "0", "1", "yes", "t", "tru\u0435", "true\x00", "tr ue", " ", "TRUE;",
        "\ufb00alse", "fal\u017fe",
    )),
    (Kind.DATE, "1970-01-01", 0),
    (Kind.DATE, "1969-12-31", -1),
    (Kind.DATE, "2024-02-29", 19782),
    (Kind.DATE, "2000-02-29", 11016),
    (Kind.DATE, "0000-02-29", -719_469),
    (Kind.DATE, "9999-12-31", 2_932_896),
    (Kind.DATE, "0", 0),
    (Kind.DATE, "-0", 0),
    (Kind.DATE, "86400000", 1),
    (Kind.DATE, "-86400000", -1),
    (Kind.DATE, "1653696000000", 19140),
    (Kind.DATE, "253402300800000", 2_932_897),
    (Kind.DATE, "8210266790400000", 95_026_236),
    (Kind.DATE, "-8334601228800000", -96_465_292),
    (Kind.DATE, " 2024-05-31 ", 19874),
    *((Kind.DATE, text, NONSENSE) for text in (
        "2023-02-29", "1900-02-29", "2024-04-31", "2024-00-10", "2024-13-01", "2024-01-00",
        "2024-1-1", "2024- 1- 1", "+2024-01-01", "-2024-01-01", "10000-01-01", "+10000-01-01",
        "024-01-01", "2024/01/01", "20240101", "2024", "2024-01-01T00:00:00Z", "01-02-2024",
        "1653696000001", "1653696000", "+86400000", "1653696000000.0", "8210266876800000",
        "-8334601315200000", "9223372036854775808", "86400000000000000000000",
        "\u0662\u0660\u0662\u0664-\u0660\u0661-\u0660\u0661", "2024\u201301\u201301",
        "2024-01-01\x00", " ", "-", "today",
    )),
    (Kind.DATETIME, "1970-01-01T00:00:00Z", 0),
    (Kind.DATETIME, "2024-11-20T20:12:03.054Z", 1_732_133_523_054_000),
    (Kind.DATETIME, "2026-06-01T14:32:00Z", 1_780_324_320_000_000),
    (Kind.DATETIME, "1969-12-31T23:59:59.999999Z", -1),
    (Kind.DATETIME, "2024-02-29T00:00:00.5Z", 19782 * DAY_US + 500_000),
    (Kind.DATETIME, "2024-02-29T00:00:00.1234560000Z", 19782 * DAY_US + 123_456),
    (Kind.DATETIME, "2024-02-29T01:02", 19782 * DAY_US + 3_720_000_000),
    (Kind.DATETIME, "2024-02-29 01:02Z", 19782 * DAY_US + 3_720_000_000),
    (Kind.DATETIME, "2024-02-29T01:02:00.000", 19782 * DAY_US + 3_720_000_000),
    (Kind.DATETIME, "2024-02-29T01:02:00+01:02", 19782 * DAY_US),
    (Kind.DATETIME, "2024-02-28T23:30:00-0030", 19782 * DAY_US),
    (Kind.DATETIME, "2024-02-29", 19782 * DAY_US),
    (Kind.DATETIME, "0000-01-01T00:00:00Z", -719_528 * DAY_US),
    (Kind.DATETIME, "0000-01-01T00:00:00+23:59", -719_528 * DAY_US - 86_340_000_000),
    (Kind.DATETIME, "9999-12-31T23:59:59.999999Z", 2_932_897 * DAY_US - 1),
    (Kind.DATETIME, "0", 0),
    (Kind.DATETIME, "-1", -1000),
    (Kind.DATETIME, "1743685150726", 1_743_685_150_726_000),
    (Kind.DATETIME, "253402300800000", 253_402_300_800_000_000),
    (Kind.DATETIME, "8210266876799999", 8_210_266_876_799_999_000),
    (Kind.DATETIME, "-8334601228800000", -8_334_601_228_800_000_000),
    (Kind.DATETIME, "\u00a02024-02-29T00:00:00Z ", 19782 * DAY_US),
    (Kind.DATETIME, "2024-02-29T00:00:00.1234567Z", LOSS),
    (Kind.DATETIME, "2024-02-29T00:00:00.0000000001+02:00", LOSS),
    *((Kind.DATETIME, text, NONSENSE) for text in (
        "2023-02-29T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01T00:60:00Z",
        "2024-12-31T23:59:60Z", "2024-01-01T00:00:00.Z", "2024-01-01T00:00.5Z",
        "2024-01-01T00Z", "2024-01-01T", "2024-01-01Z", "2024-01-01+02:00",
        "2024-01-01t00:00:00z", "2024-01-01T00:00:00+24:00", "2024-01-01T00:00:00+01:60",
        "2024-01-01T00:00:00+01", "2024-01-01T00:00:00 Z", "2024-01-01T0:00:00Z",
        "2024-01-01  00:00:00Z", "2024-01-01T00:00:00ZZ", "2024-01-01T00:00:00,5Z",
        "10000-01-01T00:00:00Z", "+2024-01-01T00:00:00Z", "2024-02-30T00:00:00.1234567Z",
        "8210266876800000", "-8334601228800001", "9223372036854775807", "+1", "1.0", "1e3", " ",
        "2024-01-01T00:00:00Z[UTC]", "Mon, 01 Jan 2024 00:00:00 GMT", "2024-W01-1",
    )),
    (Kind.LIST, "a", ["a"]),
    (Kind.LIST, "a;b;a", ["a", "b", "a"]),
    (Kind.LIST, ";a;;b;", ["a", "b"]),
    (Kind.LIST, ";;", []),
    (Kind.LIST, " a;b ", [" a", "b "]),
    (Kind.LIST, " ", [" "]),
    (Kind.LIST, 'say "hi"\\;\\', ['say "hi"\\', "\\"]),
    (Kind.LIST, "".join(map(chr, range(0x21))), ["".join(map(chr, range(0x21)))]),
    (Kind.LIST, "\x7f\u2028😀;א", ["\x7f\u2028😀", "א"]),
    (Kind.LIST, "[1];null;a,b", ["[1]", "null", "a,b"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "raw", "expected"), CASES, ids=repr)
def test_value_is_read_as_the_table_of_types_says(kind: Kind, raw: str, expected: object):
    """The slow decoder is held to the same table, so that it can be trusted in the proofs."""
    is_reject = expected in (LOSS, NONSENSE) and kind not in {Kind.TEXT, Kind.LIST}
    told = decode(kind, raw)

    assert parsed(kind, raw) == [None if is_reject else expected]
    assert (told.value if is_reject else told) == expected


@pytest.mark.parametrize("kind", Kind)
def test_null_and_empty_are_no_value(kind: Kind):
    assert parsed(kind, None, "", None) == [None, None, None]
    assert parsed(kind) == []


@pytest.mark.parametrize("kind", Kind)
def test_values_stay_in_their_rows(kind: Kind):
    """Usual, unusual and broken values are read apart; each must come back to its place."""
    values = [None, *(raw for of, raw, _ in CASES if of is kind), ""]
    values = values[::2] + values[1::2]

    assert parsed(kind, *values) == [held(decode(kind, value)) for value in values]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("fill", ["a", "9", "0", ";", ".", " ", "😀", "1e9", "\x00"], ids=ascii)
def test_longest_text_hubspot_allows_is_read_like_any(kind: Kind, fill: str):
    raw = (fill * 65_536)[:65_536]
    longer = f"{raw}x"

    assert parsed(kind, raw, longer) == [held(decode(kind, raw)), held(decode(kind, longer))]


def test_every_day_of_400_years_is_the_day_of_the_calendar():
    days = [dt.date(1800, 1, 1) + dt.timedelta(days=n) for n in range(146_097)]

    assert parsed(Kind.DATE, *map(str, days)) == [day.toordinal() - 719_163 for day in days]


def test_column_name_is_taken_literally():
    """`pl.col` would read the first as all columns and the second as a pattern."""
    frame = pl.DataFrame({"*": ["1"], "^n.*$": ["2"], "n 'x\"": ["3"]})

    names = frame.columns
    assert [parse.typed(frame[name], Kind.NUMBER).item() for name in names] == [1.0, 2.0, 3.0]


def test_record_id_is_digits_only():
    frame = pl.DataFrame({"@id": ["0", "1234567890123456789", "-1", "+1", "1.0", " 1", "", None,
                                  "9223372036854775808", "\u0661"]})  # fmt: skip

    assert frame.select(parse.record_id("@id")).to_series().to_list() == [
        0, 1234567890123456789, *[None] * 8
    ]  # fmt: skip


def any_double(rng: random.Random) -> float:
    """Doubles of every size, subnormal ones and large whole ones included."""
    bits = struct.unpack("d", struct.pack("Q", rng.getrandbits(64)))[0]
    sizes = [
        rng.random(),
        rng.uniform(-1, 1) * 10.0 ** rng.randint(-15, 30),
        rng.getrandbits(rng.randint(1, 53)) * 2.0 ** rng.randint(-1074, 960),
        float(rng.getrandbits(rng.randint(1, 100))),
        bits if bits - bits == 0 else 1.5,
    ]
    return rng.choice(sizes)


def prints(value: float, rng: random.Random) -> list[str]:
    """A double as programs print it, in full and rounded, and nearly right."""
    full = format(Decimal(value), "f")
    place = rng.randrange(len(full))
    return [
        repr(value), full, format(Decimal(value), "E"), f"{full}0" if "." in full else f"{full}.0",
        full[:-1], f"{full}1", full.removeprefix("0"), f"{value:.16g}", f"{value:.17g}",
        f"{value:.18e}", f"{value:.20f}",
        f"{full[:place]}{rng.choice('0123456789.')}{full[place + 1:]}",
    ]  # fmt: skip


@settings(max_examples=10, deadline=None)
@given(rng=st.randoms(use_true_random=True))
def test_doubles_are_held_exactly_or_not_at_all(rng: random.Random):
    """Compared as decimals, digit by digit, over doubles of every size."""
    texts = [text for _ in range(200) for text in prints(any_double(rng), rng)]

    assert exact.doubles(pl.Series(texts)).to_list() == [held(decode_number(t)) for t in texts]
