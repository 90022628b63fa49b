"""The step before typing gives each record's texts unchanged, however its JSON is written."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from transforms.records import ENVELOPE, raw_records, raw_schema

NAMES = ("email", "id", "naïve name", "a.b", "@id2")
proof = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

ODD_TEXTS = (
    "", "\x00", "a\x00b", "👩‍👩‍👧❤️", "\u202e\u05e9\u05dc", "line\nbreak\r\n", "\\", '"',
    "\\u0041", "\u2028", "null", "[1]", "\ufffe", "\U0010ffff", "x" * 70_000, "\x7f\x1f",
)  # fmt: skip
texts = st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=20))
not_texts = st.one_of(
    st.integers(), st.booleans(), st.lists(st.integers(), max_size=2), st.just({"a": "b"})
)
records = st.fixed_dictionaries(
    {"id": st.integers(1, 10**18).map(str), "properties": st.dictionaries(
        st.sampled_from([*NAMES, "unknown", "other"]), st.none() | texts, max_size=7)},
    optional={
        "createdAt": texts, "updatedAt": texts, "archivedAt": texts, "archived": st.booleans(),
        "url": texts, "associations": st.just({"contacts": {"results": [{"id": "1"}]}}),
    },
)  # fmt: skip


def told(answer: dict) -> list[tuple[object, ...]]:
    """What an answer's records are, read by Python's own JSON."""

    def text(value: object) -> object:
        is_text = value is None or isinstance(value, str)
        return value if is_text else json.dumps(value, separators=(",", ":"))

    return [
        (
            record["id"], record.get("createdAt"), record.get("updatedAt"),
            record.get("archived", False), record.get("archivedAt"),
            *(text(record["properties"].get(name)) for name in NAMES),
        )
        for record in answer["results"]
    ]  # fmt: skip


def written(answer: dict, *, indent: int | None, is_ascii: bool) -> bytes:
    return json.dumps(answer, indent=indent, ensure_ascii=is_ascii).encode()


@proof
@given(
    pages=st.lists(st.lists(records, max_size=4), min_size=1, max_size=3),
    indent=st.sampled_from([None, 0, 2]),
    is_ascii=st.booleans(),
)
@example(pages=[[]], indent=None, is_ascii=True)
@example(pages=[[], [{"id": "1", "properties": {}}]], indent=None, is_ascii=True)
def test_every_text_arrives_as_it_was_sent(pages, indent, is_ascii):
    """NUL, emoji, right-to-left, escapes, line breaks between tokens: nothing is changed."""
    answers = [{"status": "COMPLETE", "results": page, "numErrors": 0} for page in pages]

    raw = raw_records([written(a, indent=indent, is_ascii=is_ascii) for a in answers], NAMES)

    assert raw.rows() == [row for answer in answers for row in told(answer)]
    assert raw.schema == raw_schema(NAMES)


@proof
@given(value=not_texts, beside=texts, place=st.sampled_from(NAMES))
def test_a_value_that_is_not_text_costs_time_and_no_value(value, beside, place):
    """HubSpot sends text only; were it to send a number, it arrives as its JSON text."""
    page = [
        {"id": "1", "properties": {"email": beside}},
        {"id": "2", "properties": {place: value}},
    ]
    answer = {"results": page}

    raw = raw_records([json.dumps(answer).encode()], NAMES)

    assert raw.rows() == told(answer)


@pytest.mark.parametrize("record_id", [7, "7"])
def test_an_id_that_is_a_number_is_the_same_id(record_id):
    """The id accounts for the record: it must survive as text."""
    body = json.dumps({"results": [{"id": record_id, "properties": {"email": "a"}}]}).encode()

    assert raw_records([body], ("email",)).rows() == [("7", None, None, False, None, "a")]


@pytest.mark.parametrize(
    "properties", [pytest.param(None, id="null"), pytest.param("left out", id="left out")]
)
def test_a_record_without_properties_is_a_row_of_nulls(properties):
    """It was asked for and it came: it has a row."""
    record = {"id": "7"} if properties else {"id": "7", "properties": None}
    other = {"id": "8", "properties": {"email": "b"}}

    raw = raw_records([json.dumps({"results": [record, other]}).encode()], ("email",))

    assert raw.select("@id", "email").rows() == [("7", None), ("8", "b")]


def test_half_of_a_surrogate_pair_stays_readable_and_harms_no_neighbour():
    """Legal JSON that is no Unicode text; a crash here would cost a hundred records."""
    body = (
        rb'{"results":[{"id":"1","properties":{"email":"a\ud83db"}},'
        rb'{"id":"2","properties":{"email":"c"}}]}'
    )

    first, second = raw_records([body], ("email",))["email"].to_list()

    assert first.startswith("a")
    assert first.endswith("b")
    assert "d83d" in first
    assert second == "c"


def test_no_answers_and_no_properties_have_the_full_schema():
    """An empty page keeps its types."""
    assert raw_records([], ("email",)).schema == {
        **ENVELOPE,
        "email": raw_schema(("email",))["email"],
    }
    body = b'{"results":[{"id":"1","properties":{"email":"a"}}]}'
    assert raw_records([body], ()).rows() == [("1", None, None, False, None)]


def test_more_bytes_than_a_parser_block_arrive_whole():
    """Arrow parses in blocks; a record may not be cut by one."""
    page = [{"id": str(n), "properties": {"email": "x" * 60_000}} for n in range(60)]
    body = json.dumps({"results": page}).encode()

    raw = raw_records([body, b'{"results":[]}', body], ("email",))

    assert raw["@id"].to_list() == [str(n) for n in range(60)] * 2
    assert raw["email"].str.len_chars().unique().to_list() == [60_000]


@pytest.mark.parametrize("body", [b'{"results":[null]}', b'{"results":[[]]}', b'{"results":["x"]}'])
def test_what_is_no_record_is_refused_and_not_skipped(body):
    """A record that is skipped would be lost in silence."""
    with pytest.raises(ValueError, match=r".+"):
        raw_records([body], ("email",))
