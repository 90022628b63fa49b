"""Two samples are the same, or every way in which they are not is named, and no value is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.comparison import (
    MOST_IDS,
    MOST_NAMES,
    Comparison,
    Difference,
    Sample,
    Side,
    What,
    compare,
    described,
)

TYPES = {"email": "string/text as VARCHAR", "age": "number/number as DOUBLE"}
SAMPLE = Sample(
    types=TYPES,
    listed=frozenset({"1", "2"}),
    records={
        "1": {"@createdAt": "2026-01-01T00:00:00Z", "email": "a@b.example", "age": "7"},
        "2": {"@createdAt": "2026-01-02T00:00:00Z", "email": "c@d.example", "age": None},
    },
    errors={"9": "OBJECT_NOT_FOUND"},
)

names = st.sampled_from(["email", "age", "city", "@updatedAt"])
ids = st.sampled_from(["1", "2", "30", "400"])
cells = st.none() | st.text("ab ", max_size=2)
samples = st.builds(
    Sample,
    types=st.dictionaries(names, st.sampled_from(list(TYPES.values()))),
    listed=st.frozensets(ids),
    records=st.dictionaries(ids, st.dictionaries(names, cells)),
    errors=st.dictionaries(ids, st.sampled_from(["OBJECT_NOT_FOUND", "NOT_RETURNED"])),
)
MIRRORED = {Side.ONE: Side.OTHER, Side.OTHER: Side.ONE, Side.BOTH: Side.BOTH}


def changed(record_id: str, **values: str | None) -> Sample:
    """The sample with other values in one record."""
    records = {**SAMPLE.records, record_id: {**SAMPLE.records[record_id], **values}}
    return replace(SAMPLE, records=records)


def without(sample: Sample, record_id: str) -> Sample:
    records = {key: cells for key, cells in sample.records.items() if key != record_id}
    return replace(sample, records=records)


# ---------------------------------------------------------------- whatever the samples are


@given(samples)
def test_a_sample_agrees_with_itself(sample):
    """And every one of its cells was looked at."""
    assert compare(sample, sample) == Comparison(
        len(sample.records), sum(map(len, sample.records.values())), ()
    )


@given(samples, samples)
def test_comparing_is_symmetric(one, other):
    """Which version is the configured one must not decide what is found."""
    here, there = compare(one, other), compare(other, one)

    assert (here.records, here.cells) == (there.records, there.cells)
    assert set(here.differences) == {
        replace(found, side=MIRRORED[found.side], types=found.types[::-1])
        for found in there.differences
    }


@given(st.data(), samples)
def test_any_single_changed_cell_is_found_and_nothing_else(data, sample):
    """One value in thousands is what the comparison is for."""
    filled = {record_id: cells for record_id, cells in sample.records.items() if cells}
    assume(filled)
    record_id = data.draw(st.sampled_from(sorted(filled)))
    name = data.draw(st.sampled_from(sorted(filled[record_id])))
    before, after = filled[record_id][name], data.draw(cells)
    assume((before or None) != (after or None))
    records = {**sample.records, record_id: {**filled[record_id], name: after}}

    found = compare(sample, replace(sample, records=records)).differences

    side = Side.BOTH if before and after else Side.ONE if before else Side.OTHER
    assert found == (Difference(What.VALUE, side, name, frozenset({record_id})),)


@given(samples, samples)
def test_what_a_second_comparison_finds_too_is_what_is_kept(one, other):
    """The same twice is confirmed; what has gone away since is not."""
    found = compare(one, other)

    assert found.confirmed_by(found) == found
    assert found.confirmed_by(compare(other, other)).is_equal


@given(samples, samples)
def test_the_words_are_one_line(one, other):
    """Whatever differs: it is a line of `crm doctor`."""
    text = described(compare(one, other), "v3", "2026-09")

    assert len(text.splitlines()) == 1
    assert ("agree" in text) == compare(one, other).is_equal


# ---------------------------------------------------------------- each kind of difference


@pytest.mark.parametrize("nothing", [None, ""], ids=["null", "empty"])
def test_null_empty_and_absent_are_all_no_value(nothing):
    """In the warehouse each of them is NULL."""
    absent = {name: value for name, value in SAMPLE.records["2"].items() if name != "age"}
    other = replace(SAMPLE, records={**SAMPLE.records, "2": absent})

    assert compare(changed("2", age=nothing), other).is_equal


@pytest.mark.parametrize(
    ("other", "words"),
    [
        pytest.param(changed("1", email="x@y.example"), "values differ of email (1 record: 1)",
                     id="value"),
        pytest.param(changed("1", email=""), "only v3 has values of email (1 record: 1)",
                     id="value here only"),
        pytest.param(changed("2", age="8"), "only 2026-09 has values of age (1 record: 2)",
                     id="value there only"),
        pytest.param(changed("1", **{"@createdAt": "2026-01-03T00:00:00Z"}),
                     "values differ of createdAt (1 record: 1)", id="envelope"),
        pytest.param(without(SAMPLE, "2"), "only v3 returns 1 record: 2", id="record"),
        pytest.param(replace(SAMPLE, listed=frozenset({"1", "2", "3"})),
                     "only 2026-09 lists 1 record: 3", id="listed"),
        pytest.param(replace(SAMPLE, types={"email": TYPES["email"]}), "only v3 defines age",
                     id="definition"),
        pytest.param(replace(SAMPLE, types={**TYPES, "age": "string/text as VARCHAR"}),
                     "types differ of age (number/number as DOUBLE in v3, "
                     "string/text as VARCHAR in 2026-09)", id="type"),
        pytest.param(replace(SAMPLE, errors={"9": "NOT_RETURNED"}),
                     "another error category for 1 record: 9", id="error"),
    ],
)  # fmt: skip
def test_each_difference_is_told_with_property_and_ids_and_without_values(other, words):
    """Ids can be looked up; values may be personal data."""
    found = compare(SAMPLE, other)

    text = described(found, "v3", "2026-09")

    assert len(found.differences) == 1
    assert text.split(": ", 1)[1] == words
    assert "@" not in text


def test_cells_of_a_property_that_one_side_does_not_define_are_not_compared():
    """It is one difference, not one for each record."""
    less = replace(
        SAMPLE,
        types={"email": TYPES["email"]},
        records={key: {**cells, "age": None} for key, cells in SAMPLE.records.items()},
    )

    found = compare(SAMPLE, less)

    assert found.differences == (Difference(What.DEFINITION, Side.ONE, "age"),)
    assert (found.records, found.cells) == (2, 4)


def test_a_second_comparison_takes_away_only_what_is_gone():
    """Somebody edited record 1 between two reads; record 2 really differs."""
    edited = replace(changed("2", email="x"), records={
        "1": {**SAMPLE.records["1"], "email": "y"}, "2": {**SAMPLE.records["2"], "email": "x"},
    })  # fmt: skip

    kept = compare(SAMPLE, edited).confirmed_by(compare(SAMPLE, changed("2", email="x")))

    assert kept.differences == (Difference(What.VALUE, Side.BOTH, "email", frozenset({"2"})),)


def test_many_ids_and_properties_are_counted_rather_than_named():
    """A line, even where nothing is the same."""
    records = {str(n): {f"p{m:02}": "x" for m in range(30)} for n in range(1, 41)}
    empty = {record_id: dict.fromkeys(cells) for record_id, cells in records.items()}

    text = described(compare(Sample(records=records), Sample(records=empty)), "v3", "2026-09")

    assert f"p00 (40 records: 1, 2, 3, 4, 5 and {40 - MOST_IDS} more)" in text
    assert text.endswith(f"and {30 - MOST_NAMES} more")
