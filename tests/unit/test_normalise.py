"""No silent cell: every raw value is in its typed column or in the rejects."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slow_decoder import BLANKS, Reject, decode

from transforms.columns import Column
from transforms.definitions import Kind
from transforms.normalise import REJECTS_SCHEMA, Normalised, integers, normalise

ENVELOPE = {
    "@id": pl.String,
    "@createdAt": pl.String,
    "@updatedAt": pl.String,
    "@archived": pl.Boolean,
    "@archivedAt": pl.String,
}

proof = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def raw_frame(properties: dict[str, list[str | None]], **envelope: list[object]) -> pl.DataFrame:
    """Records 1, 2, 3, … with these properties; a part of the envelope may be given."""
    height = len(next(iter((properties | envelope).values())))
    usual = {"@id": [str(n + 1) for n in range(height)], "@archived": [False] * height}
    given = {f"@{name}": values for name, values in envelope.items()}
    missing = {name: [None] * height for name in ENVELOPE}
    schema = ENVELOPE | dict.fromkeys(properties, pl.String)
    return pl.DataFrame(missing | usual | given | properties, schema=schema)


def of_one_kind(kind: Kind, values: list[str | None]) -> Normalised:
    return normalise(
        raw_frame({"p": values}), [Column("p", "p_typed", kind)], object_type="contacts"
    )


def python_values(kind: Kind, typed: pl.Series) -> list[object]:
    """As the slow decoder tells them: days, microseconds, lists."""
    if kind is Kind.LIST:
        return [None if value is None else json.loads(value) for value in typed]
    return typed.to_physical().to_list() if typed.dtype.is_temporal() else typed.to_list()


def assert_no_silent_cell(kind: Kind, values: list[str | None]) -> None:
    """Typed or rejected, never both, never neither, and as the slow decoder says."""
    told = [decode(kind, value) for value in values]
    answer = of_one_kind(kind, values)

    typed = python_values(kind, answer.rows["p_typed"])
    assert typed == [None if isinstance(value, Reject) else value for value in told]
    assert answer.rejects.select("object_id", "raw_value", "category").rows() == [
        (str(n + 1), raw, value.value)
        for n, (raw, value) in enumerate(zip(values, told, strict=True))
        if isinstance(value, Reject)
    ]


# ---------- what people, programs and HubSpot write, and what is nearly that

digits = st.text("0123456789", min_size=1, max_size=20)
signs = st.sampled_from(["", "", "-", "+"])
years = st.one_of(st.integers(0, 9999), st.integers(1890, 2040), st.sampled_from([0, 1900, 2000]))
days = st.builds(
    "{:04}-{:02}-{:02}".format,
    years,
    st.integers(1, 12),
    st.one_of(st.integers(1, 31), st.integers(28, 30)),
)
clocks = st.builds("{:02}:{:02}".format, st.integers(0, 24), st.integers(0, 60))
seconds = st.builds(":{:02}".format, st.integers(0, 60))
fractions = st.builds(".{}{}".format, digits, st.sampled_from(["", "0", "000000", "1"]))
zones = st.one_of(
    st.sampled_from(["", "Z", "Z", "+00:00", "-00:00", "+0200", "z", "+02", "UTC"]),
    st.builds("{}{}".format, st.sampled_from("+-"), clocks),
)
moments = st.builds(
    "{}{}{}{}{}{}".format,
    days,
    st.sampled_from(["T", "T", "T", " ", "t", ""]),
    clocks,
    st.one_of(seconds, st.just("")),
    st.one_of(st.just(""), fractions, st.just(".054")),
    zones,
)
epoch_days = st.one_of(st.integers(-40_000, 40_000), st.integers(-100_000_000, 100_000_000))
epochs = st.one_of(
    epoch_days.map(lambda day: str(day * 86_400_000)),
    st.integers(-(10**17), 10**17).map(str),
    st.sampled_from([-(2**63) - 1, -(2**63), 2**63 - 1, 2**63, 0, 1_743_685_150]).map(str),
)
numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(-1e6, 1e6).map("{:.55f}".format),
    st.floats(1e-9, 1).map(lambda value: f"{value:.90f}".rstrip("0")),
    st.integers(-(2**65), 2**65).map(str),
    st.integers(-(10**6), 10**6).map("{:,}".format),
    st.sampled_from([2**53, 2**63, 10**15, 10**18]).flatmap(
        lambda n: st.integers(-n - 2, -n + 2).map(str)
    ),
    st.builds("{}{}.{}".format, signs, digits, digits),
    st.builds("{}{}e{}".format, signs, digits, st.integers(-330, 330)),
    st.builds("{}.{}E{}{}".format, digits, digits, signs, digits),
    st.sampled_from(["0", "0.0", "-0", "nan", "inf", "-Infinity", ".", "5,333,222", "1.0"]),
)
words = st.text(st.sampled_from('ab;;" \\\n\x00\u00a0é😀א\u200f'), max_size=12)
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)

LIKELY = {
    Kind.TEXT: words,
    Kind.NUMBER: numbers,
    Kind.INTEGER: numbers,
    Kind.BOOLEAN: st.sampled_from(["true", "false", "TRUE", "False", "tRuE", "1", "yes"]),
    Kind.DATE: st.one_of(days, epochs),
    Kind.DATETIME: st.one_of(moments, moments, days, epochs),
    Kind.LIST: words,
}

NASTY = '0123456789+-.,eE_:;TZz \u00a0\u2003\t\x00"\\/ntaif\u0661\uff11\u200f'


@st.composite
def near_misses(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    """A text as it is, or with one character put in, taken out, changed, or put twice."""
    text = draw(texts)
    place = draw(st.integers(0, len(text)))
    char = draw(st.sampled_from(NASTY))
    edits = [
        text,
        text,
        text[:place] + char + text[place:],
        text[:place] + text[place + 1 :],
        text[:place] + char + text[place + 1 :],
        text[:place] + text[place : place + 1] * 2 + text[place + 1 :],
        char + text + char,
    ]
    return draw(st.sampled_from(edits))


def raw_values(kind: Kind) -> st.SearchStrategy[list[str | None]]:
    likely = near_misses(LIKELY[kind])
    other = st.one_of(st.none(), st.just(""), anything, st.one_of(*LIKELY.values()))
    return st.lists(st.one_of(likely, likely, likely, other), min_size=1, max_size=40)


@pytest.mark.parametrize("kind", Kind)
@proof
@given(data=st.data())
def test_every_value_is_typed_or_rejected(kind: Kind, data: st.DataObject):
    assert_no_silent_cell(kind, data.draw(raw_values(kind)))


@pytest.mark.parametrize("kind", Kind)
@settings(proof, max_examples=12)
@given(blank=st.text(st.sampled_from(BLANKS + "\x1c\u200b\ufeff"), max_size=2), data=st.data())
def test_blanks_around_values_are_unicode_white_space(kind: Kind, blank: str, data: st.DataObject):
    """Separators such as U+001C are blanks to Python only; U+200B and U+FEFF to nobody."""
    values = data.draw(st.lists(LIKELY[kind], min_size=1, max_size=10))

    assert_no_silent_cell(kind, [blank + value for value in values])
    assert_no_silent_cell(kind, [value + blank for value in values])


# ---------- the shape of rows and rejects


def test_row_has_envelope_then_columns_under_their_own_names():
    raw = raw_frame(
        {"id": ["x"], "archived": ["true"], "*": ["1"]},
        id=["512"],
        createdAt=["2024-01-01T00:00:00Z"],
        archived=[True],
        archivedAt=["1704067200000"],
    )
    columns = [
        Column("id", "id__9f3b2c", Kind.TEXT),
        Column("archived", "archived__0a", Kind.BOOLEAN),
        Column("*", "*", Kind.NUMBER),
        Column("not_sent", "not_sent", Kind.DATE),
    ]
    answer = normalise(raw, columns, object_type="calls")

    moment = answer.rows["created_at"].dt.to_string("iso:strict").item()
    assert moment == "2024-01-01T00:00:00.000000+00:00"
    assert answer.rejects.is_empty()
    assert answer.rows.drop("created_at", "archived_at").to_dicts() == [
        {
            "id": 512,
            "updated_at": None,
            "archived": True,
            "id__9f3b2c": "x",
            "archived__0a": True,
            "*": 1.0,
            "not_sent": None,
        }
    ]
    assert answer.rows["archived_at"].equals(answer.rows["created_at"])


@pytest.mark.parametrize("name", ["*", "^n.*$", "n 'x\""])
def test_names_that_polars_could_read_as_patterns_are_names(name: str):
    """Both ways of reading, and the rejects: " 1" is the unusual one of them."""
    raw = raw_frame({name: [" 1", "2", "x"], "n": ["9", "9", "9"]}, id=["1", "2", "3"])

    answer = normalise(raw, [Column(name, name, Kind.NUMBER)], object_type="calls")

    assert answer.rows[name].to_list() == [1.0, 2.0, None]
    assert answer.rejects.select("object_id", "property").rows() == [("3", name)]


@pytest.mark.parametrize("sent", [True, False], ids=["property sent", "property not sent"])
def test_empty_page_has_the_types_of_a_full_one(sent: bool):
    columns = [Column(kind, f"c_{kind}", kind) for kind in Kind]
    full = raw_frame({kind.value: [None] for kind in Kind} if sent else {}, id=["1"])
    typed = normalise(full, columns, object_type="calls")
    empty = normalise(full.clear(), columns, object_type="calls")

    assert empty.rows.is_empty()
    assert empty.rows.schema == typed.rows.schema == {
        "id": pl.Int64(),
        "created_at": pl.Datetime("us", "UTC"),
        "updated_at": pl.Datetime("us", "UTC"),
        "archived_at": pl.Datetime("us", "UTC"),
        "archived": pl.Boolean(),
        "c_text": pl.String(),
        "c_number": pl.Float64(),
        "c_integer": pl.Int64(),
        "c_boolean": pl.Boolean(),
        "c_date": pl.Date(),
        "c_datetime": pl.Datetime("us", "UTC"),
        "c_list": pl.String(),
    }  # fmt: skip
    assert empty.rejects.schema == typed.rejects.schema == REJECTS_SCHEMA


def test_table_may_have_no_property_at_all():
    answer = normalise(raw_frame({}, id=["1", "2"]), [], object_type="calls")

    assert answer.rows["id"].to_list() == [1, 2]


def test_record_without_a_usable_id_is_one_reject_and_no_row():
    """Its other values are not told apart: the record as a whole has no row to be in."""
    ids = ["1", "x", "9223372036854775808", "-1", None, "2"]
    raw = raw_frame({"p": ["bad"] * 6}, id=ids)
    answer = normalise(raw, [Column("p", "p", Kind.NUMBER)], object_type="calls")

    assert answer.rows["id"].to_list() == [1, 2]
    assert answer.rejects.select("object_id", "property", "raw_value", "category").rows() == [
        *((bad, "@id", bad, "INVALID_ID") for bad in ids[1:5]),
        ("1", "p", "bad", "UNPARSEABLE_VALUE"),
        ("2", "p", "bad", "UNPARSEABLE_VALUE"),
    ]


def test_envelope_moment_that_does_not_parse_is_a_reject_and_the_row_stays():
    raw = raw_frame({}, id=["7"], createdAt=["soon"], updatedAt=["2024-01-01T00:00:00.1234567Z"])
    answer = normalise(raw, [], object_type="calls")

    assert answer.rows["id"].to_list() == [7]
    assert answer.rejects.drop("message").rows() == [
        ("7", "@createdAt", "soon", "TIMESTAMPTZ", "UNPARSEABLE_VALUE"),
        ("7", "@updatedAt", "2024-01-01T00:00:00.1234567Z", "TIMESTAMPTZ", "PRECISION_LOSS"),
    ]
    assert answer.rejects["message"][1] == "a TIMESTAMPTZ cannot hold this exactly"


@pytest.mark.parametrize(
    ("kind", "name", "value", "setting"),
    [
        (Kind.NUMBER, "app_id", "9007199254740993", 'app_id = "bigint"'),
        (Kind.NUMBER, "app_id", "0.12345678901234567890", 'app_id = "text"'),
        (Kind.INTEGER, "app_id", "1.5", 'app_id = "double"'),
        (Kind.INTEGER, "app_id", "9223372036854775809", 'app_id = "text"'),
        (Kind.DATETIME, "seen-at", "2024-01-01T00:00:00.0000001Z", 'seen-at = "text"'),
        (Kind.NUMBER, 'odd "name"', "1e400", '"odd \\"name\\"" = "text"'),
    ],
    ids=repr,
)
def test_precision_loss_names_the_setting_that_mends_it(
    kind: Kind, name: str, value: str, setting: str
):
    columns = [Column(name, "c", kind)]
    answer = normalise(raw_frame({name: [value]}), columns, object_type="contacts")

    message = answer.rejects["message"].item()
    assert message.endswith(f"set sources.hubspot.contacts.types = {{{setting}}}")
    word = setting.rpartition(" = ")[2].strip('"')
    mended = [Column(name, "c", Kind.parse(word))]
    assert normalise(raw_frame({name: [value]}), mended, object_type="contacts").rejects.is_empty()


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in {Kind.TEXT, Kind.LIST}])
def test_message_never_carries_the_value(kind: Kind):
    """Messages are printed and logged; a value may be somebody's."""
    values = ["jane@example.com", "31415926535897932384.6264", "2024-01-01T10:11:12.1314151Z"]
    rejects = of_one_kind(kind, values).rejects

    assert rejects["raw_value"].to_list() == values
    assert rejects["expected_type"].unique().to_list() == [kind.sql_type]
    messages = " ".join(rejects["message"])
    assert not [v for v in values if v in messages or v[:8] in messages]


# ---------- numbers that need a BIGINT


@pytest.mark.parametrize(
    ("values", "needs_bigint"),
    [
        (["9007199254740993", None, "", "5", "-3.0", " 7 "], True),
        (["-9007199254740993"], True),
        (["9223372036854775807"], True),
        (["9007199254740992", "1"], False),
        (["9007199254740993", "1.5"], False),
        (["9007199254740993", "n/a"], True),
        (["9007199254740993", "9223372036854775808"], False),
        (["1.0E16"], False),
        (["1", "2"], False),
        ([None, ""], False),
        ([], False),
    ],
    ids=repr,
)
def test_first_values_decide_for_bigint(values: list[str | None], needs_bigint: bool):
    """Ids beyond 2^53 do; a value written with an exponent was a double to its writer."""
    raw = raw_frame({"n": values, "other": ["1"] * len(values)})

    assert integers(raw, ["n", "other", "not_sent"]) == ({"n"} if needs_bigint else set())


def test_no_number_property_needs_no_bigint():
    assert integers(raw_frame({"p": ["9007199254740993"]}), []) == frozenset()
