"""Ids from a file or a query: each is read once, or is a row of `errors` with its line."""

from __future__ import annotations

import asyncio
import csv
import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.discovery import IdPage
from pipelines.errors import ConfigError
from pipelines.idlist import LISTED_LINES, LONGEST_VALUE, IdList, ids_of, read_ids
from pipelines.ledger import ErrorRow, errors_table

ID_COLUMNS = "hs_object_id or Record ID or id"
LARGEST = str(2**63 - 1)
BLANKS = "\t\n\v\f\r \x85\u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
NO_IDS = [
    "1e5", "12.0", "-5", "+7", "0", "000", str(2**63), "1" * 20, "1 2", "1,2", "٣", "²", "5\x00",
    "\x005", "\u200b5", "0x1F", "1_000", '"5"', "a@b.c", "1" * 65_536,
]  # fmt: skip

blanks = st.text(" \t\u00a0\u2003", max_size=2)
ids = st.integers(1, 2**63 - 1) | st.integers(1, 20)
written = st.tuples(st.integers(0, 3), ids).map(lambda it: "0" * it[0] + str(it[1]))
odd = st.sampled_from(["", *NO_IDS[:-1]]) | st.text(max_size=6)
anything = st.tuples(blanks, written | odd, blanks).map("".join)
one_line = anything.filter(lambda text: not set(text) & set("\r\n"))


def of_text(folder: Path, text: str | bytes, name: str = "ids.txt", **how) -> IdList:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_ids(path, **how)


def of_parquet(folder: Path, **columns) -> IdList:
    path = folder / "ids.parquet"
    pq.write_table(pa.table(columns), path)
    return read_ids(path)


def refusal_of(folder: Path, text: str | bytes, name: str = "ids.txt", **how) -> str:
    with pytest.raises(ConfigError) as refusal:
        of_text(folder, text, name, **how)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def read(found: IdList) -> dict[str, int]:
    return dict(zip(found.ids, found.lines, strict=True))


def what_is_in(found: IdList) -> tuple:
    return (read(found), found.duplicates, found.malformed.rows(), found.digest)


def quoted(values: list[str], **how) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, **how).writerows([value] for value in values)
    return text.getvalue()


def by_hand(values: list[str], first: int) -> tuple[dict[str, int], int, list[tuple[int, str]]]:
    """Ids with their lines, the number of repeats, and what is no id: one after the other."""
    distinct: dict[str, int] = {}
    repeats, no_ids = 0, []
    for line, value in enumerate(values, start=first):
        trimmed = value.strip(BLANKS)
        is_number = trimmed.isascii() and trimmed.isdigit()
        if not is_number or not 0 < int(trimmed) < 2**63:
            no_ids.append((line, trimmed))
        elif str(int(trimmed)) in distinct:
            repeats += 1
        else:
            distinct[str(int(trimmed))] = line
    return distinct, repeats, no_ids


@settings(max_examples=100, deadline=None)
@given(values=st.lists(one_line, max_size=12), end=st.sampled_from(["", "\n", "\r\n \n\n"]))
def test_every_line_is_an_id_a_repeat_or_an_error_in_each_format(tmp_path_factory, values, end):
    """And the digest is of what was given, so that it does not matter in which format."""
    folder = tmp_path_factory.getbasetemp()
    values = [*values, "17"]
    expected, as_rows = by_hand(values, first=2), by_hand(values, first=1)

    found = [
        of_text(folder, "\n".join(["id", *values]) + end),
        of_text(folder, "\ufeff" + "\r\n".join(["Record ID", *values]) + end),
        of_text(folder, quoted(["hs_object_id", *values]), "ids.csv"),
        of_text(folder, quoted(["ID", *values], delimiter="\t"), "ids.TSV"),
    ]
    tables = [ids_of(pa.table({"any": values})), of_parquet(folder, any=values)]

    digest = found[0].digest
    for one in found:
        assert what_is_in(one) == (*expected, digest)
    for one in tables:
        assert what_is_in(one) == (*as_rows, digest)


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(one_line, min_size=1, max_size=8),
    notes=st.lists(st.text('a",;\n\t ', max_size=6), min_size=9, max_size=9),
    separator=st.sampled_from(",;\t"),
)
def test_of_several_columns_each_id_has_the_line_its_row_begins_on(
    tmp_path_factory, values, notes, separator
):
    """The line that an editor shows: a note before it may have several."""
    folder, text, lines = tmp_path_factory.getbasetemp(), io.StringIO(), []
    values = [*values, "17"]
    writer = csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(["note", "Record ID", "name"])
    for note, value in zip(notes[: len(values)], values, strict=True):
        lines.append(text.getvalue().count("\n") + 1)
        writer.writerow([note, value, "x"])

    found = of_text(folder, text.getvalue(), "ids.tsv" if separator == "\t" else "ids.csv")

    distinct, repeats, no_ids = by_hand(values, first=0)
    assert read(found) == {one: lines[nth] for one, nth in distinct.items()}
    assert found.duplicates == repeats
    assert found.malformed.rows() == [(lines[nth], text) for nth, text in no_ids]


@pytest.mark.parametrize("text", NO_IDS, ids=lambda text: ascii(text[:12]))
def test_what_is_no_id_is_malformed_with_its_line(tmp_path, text):
    found = of_text(tmp_path, f"5\n {text}\n6\n")

    assert read(found) == {"5": 1, "6": 3}
    assert found.malformed.rows() == [(2, text)]


@pytest.mark.parametrize(
    ("text", "one"), [("007", "7"), ("\t7 ", "7"), (LARGEST, LARGEST), ("0" * 30 + "7", "7")]
)
def test_an_id_loses_its_blanks_and_leading_zeros(tmp_path, text, one):
    found = of_text(tmp_path, f"{text}\n{one}\n")

    assert read(found) == {one: 1}
    assert (found.duplicates, found.malformed.height) == (1, 0)


def test_blank_lines_between_ids_are_errors_and_those_at_the_end_are_none(tmp_path):
    """An editor leaves some at the end."""
    found = of_text(tmp_path, "5\n\n6\n \n\t\n\n")

    assert read(found) == {"5": 1, "6": 3}
    assert found.malformed.rows() == [(2, "")]


def test_a_file_of_one_id_without_a_newline_is_read(tmp_path):
    assert read(of_text(tmp_path, "5")) == {"5": 1}


def test_lines_may_end_as_on_an_old_mac(tmp_path):
    assert read(of_text(tmp_path, "5\r6\r")) == {"5": 1, "6": 2}


@pytest.mark.parametrize(
    ("first", "is_header"),
    [("contact_id", True), ("Record ID - Contact", True), ("レコードID", True), ("_id", True),
     ("", False), ("id2", False), ("jane@example.com", False), ("-5", False), ("x" * 65, False)],
)  # fmt: skip
@pytest.mark.parametrize("name", ["ids.txt", "ids.csv", "ids.tsv"])
def test_a_first_line_of_words_is_a_header(tmp_path, name, first, is_header):
    found = of_text(tmp_path, f"{first}\n5\n", name)

    assert read(found) == {"5": 2}
    assert found.malformed.rows() == ([] if is_header else [(1, first)])


@pytest.mark.parametrize("first", ["email", " EMAIL ", "Value", '"Email"'])
def test_a_list_of_values_has_the_property_or_value_for_a_header(tmp_path, first):
    found = of_text(tmp_path, f"{first}\njane\n", "ids.csv", id_property="email")

    assert read(found) == {"jane": 2}


def test_any_other_first_line_is_a_value(tmp_path):
    found = of_text(tmp_path, "Jane\njane\n", id_property="nickname")

    assert read(found) == {"Jane": 1, "jane": 2}


def test_emails_are_repeats_in_any_case_and_keep_their_first_spelling(tmp_path):
    """HubSpot compares them so, and refuses a request that has one twice."""
    found = of_text(tmp_path, " Ä@b.co\nä@B.co\n0c@d.co\n\n1\n", id_property="email")

    assert read(found) == {"Ä@b.co": 1, "0c@d.co": 3, "1": 5}
    assert (found.duplicates, found.malformed.rows()) == (1, [(4, "")])


def test_values_of_other_properties_are_kept_as_they_are(tmp_path):
    found = of_text(tmp_path, "A b\na b\n007\n7\n" + "x" * LONGEST_VALUE, id_property="code")

    assert list(read(found)) == ["A b", "a b", "007", "7", "x" * LONGEST_VALUE]


def test_a_value_longer_than_any_in_hubspot_is_malformed(tmp_path):
    found = of_text(tmp_path, "ok\n" + "x" * (LONGEST_VALUE + 1), id_property="code")

    (row,) = found.error_rows("contacts")
    assert row.message == "line 2 of ids.txt: longer than any value in HubSpot"
    assert row.raw_value is None


@pytest.mark.parametrize(
    ("header", "how", "expected"),
    [
        ("id,email,name", {}, "1"),
        ("name,ID,email", {}, "2"),
        ("name,email,RECORD-ID", {}, "3"),
        ("id,record_id,hs_object_id", {}, "3"),
        ("id, Email ,value", {"id_property": "email"}, "2"),
        ("id,name,Value", {"id_property": "email"}, "3"),
        ("id,name,Old Number", {"column": "old number"}, "3"),
        ("id,name,email", {"id_property": "email", "column": "name"}, "2"),
    ],
)
def test_the_column_is_found_by_its_name(tmp_path, header, how, expected):
    found = of_text(tmp_path, f"{header}\n1,2,3\n", "ids.csv", **how)

    assert list(found.ids) == [expected]


@pytest.mark.parametrize(
    ("text", "how", "message"),
    [
        ("name,phone\n1,2\n", {},
         f"ids.csv has no column {ID_COLUMNS} (but name, phone): call the one to read so"),
        ("id,phone\n1,2\n", {"id_property": "email"},
         "ids.csv has no column email or value (but id, phone): call the one to read so"),
        ("id\n1\n", {"column": "old"},
         "ids.csv has no column old (but id): call the one to read so"),
        ("\nid,phone\n1,2\n", {},
         f"ids.csv has no column {ID_COLUMNS}: call the one to read so"),
        ("id,ID\n1,2\n", {}, "ids.csv has 2 columns id: keep one"),
    ],
)  # fmt: skip
def test_without_the_column_the_refusal_names_those_that_are_there(tmp_path, text, how, message):
    assert refusal_of(tmp_path, text, "ids.csv", **how) == message


def test_a_first_line_of_data_is_not_repeated_in_a_refusal(tmp_path):
    """It may be about somebody."""
    message = refusal_of(tmp_path, "Jane,jane@example.com\nJoe,5\n", "people.csv")

    assert "ane" not in message


def test_many_columns_are_not_all_named(tmp_path):
    header = ",".join(f"column_{nth}" for nth in range(1000))

    message = refusal_of(tmp_path, header, "wide.csv")

    assert "column_0, column_1," in message
    assert len(message) < 600


def test_rows_of_another_length_than_the_header_are_no_ids(tmp_path):
    """Any field of a row that is too long may be the id: a comma too many moved it."""
    found = of_text(tmp_path, "name,id\nJane,5\nDoe, Jane,6\nJane\n,7\n\n,8\n", "ids.csv")

    assert read(found) == {"5": 2, "7": 5, "8": 7}
    assert found.malformed.rows() == [(3, "Jane,6"), (4, ""), (6, "")]


@pytest.mark.parametrize(
    "text", ['id\n5\n"6\n7\n', 'id\n5\n"6\n"7\n', 'id\n5\n"' + "6" * 200_000 + '"\n']
)
def test_a_quote_that_is_not_closed_swallows_no_ids(tmp_path, text):
    assert refusal_of(tmp_path, text, "ids.csv").startswith("line 3 of ids.csv is no CSV (")


def test_commas_are_text_where_tabs_separate(tmp_path):
    found = of_text(tmp_path, "name, first name, note\tid\nJane, x\t5\n", "ids.tsv")

    assert read(found) == {"5": 2}


def test_a_quoted_file_of_one_column_needs_no_header(tmp_path):
    found = of_text(tmp_path, '"5"\n\n"6"\n', "ids.csv")

    assert read(found) == {"5": 1, "6": 3}
    assert found.malformed.rows() == [(2, "")]


def test_more_rows_than_are_read_at_once_are_all_read(tmp_path):
    count = 150_000
    rows = "".join(f'"{nth}",x\n' for nth in range(1, count + 1))

    found = of_text(tmp_path, "id,name\n" + rows, "ids.csv")

    assert read(found) == {str(nth): nth + 1 for nth in range(1, count + 1)}


@pytest.mark.parametrize(
    "column",
    [
        pa.array([7, None, -1, 5, 7]),
        pa.array([7, None, -1, 5, 7], pa.int16()),
        pa.array([7, None, -1, 5, 7], pa.decimal128(38, 0)),
        pa.array(["007", " ", "-1", "5", "7"]),
        pa.array(["7", "", "-1", "5", "7"], pa.large_string()),
        pa.array(["7", "", "-1", "5", "7"]).dictionary_encode(),
    ],
    ids=lambda column: str(column.type),
)
def test_ids_in_a_table_are_whole_numbers_or_text(tmp_path, column):
    for found in (of_parquet(tmp_path, id=column), ids_of(pa.table({"id": column}))):
        assert read(found) == {"7": 1, "5": 4}
        assert found.duplicates == 1
        assert found.malformed.rows() == [(2, ""), (3, "-1")]
        assert found.place == "row"


@pytest.mark.parametrize(
    "column",
    [pa.array([5.0]), pa.array([5], pa.decimal128(5, 1)), pa.array([True]), pa.array([[5]]),
     pa.array([b"5"])],
    ids=lambda column: str(column.type),
)  # fmt: skip
def test_a_column_of_another_type_is_refused(tmp_path, column):
    """A double does not hold every id, so it may have become another."""
    message = r"the column x of .* is of the type .*, which holds no ids exactly: make it BIGINT"

    with pytest.raises(ConfigError, match=message):
        of_parquet(tmp_path, x=column)
    with pytest.raises(ConfigError, match=message):
        ids_of(pa.table({"x": column}))


def test_a_parquet_file_is_known_by_its_content(tmp_path):
    pq.write_table(pa.table({"x": [1], "id": [5]}), tmp_path / "export")

    assert read(read_ids(tmp_path / "export")) == {"5": 1}


def test_columns_of_a_query_are_chosen_as_those_of_a_file():
    table = pa.table({"id": [1], "email": ["a@b.co"], "hs_object_id": [2]})

    assert list(ids_of(table).ids) == ["2"]
    assert list(ids_of(table, id_property="email").ids) == ["a@b.co"]
    with pytest.raises(ConfigError, match=r"^the query has no column code or value \(but id,"):
        ids_of(table, id_property="code")


def test_a_query_without_rows_has_no_ids_and_is_no_failure():
    """Nothing to do is what a query for what is stale should find."""
    found = ids_of(pa.table({"id": pa.array([], pa.int64())}))

    assert what_is_in(found)[:3] == ({}, 0, [])
    assert all_pages(found) == []


def test_a_query_of_nothing_but_nulls_is_refused():
    with pytest.raises(ConfigError, match="the query has no ids: write one on each row"):
        ids_of(pa.table({"id": pa.array([None, None])}))


@pytest.mark.parametrize("name", ["ids.txt", "ids.csv", "ids.tsv"])
@pytest.mark.parametrize("text", ["", "\n \n", "\ufeff", "id\n", "x1\n-5\n"])
def test_a_file_without_ids_is_refused(tmp_path, name, text):
    assert refusal_of(tmp_path, text, name) == (
        f"{name} has no ids: write one on each line, a whole number from 1 to {LARGEST}"
    )


def test_a_file_without_values_is_refused(tmp_path):
    message = refusal_of(tmp_path, "Email\n", id_property="email")

    assert message == "ids.txt has no email: write one on each line"


def test_emails_where_ids_should_be_are_told_how_they_are_read(tmp_path):
    message = refusal_of(tmp_path, "jane@example.com\njoe@example.com\n")

    assert message == "ids.txt has no ids: for e-mail addresses add --id-property email"


@pytest.mark.parametrize("text", ["", "5\n", "PAR1", "PAR1 and more PAR1"])
def test_what_is_no_parquet_file_is_refused(tmp_path, text):
    assert refusal_of(tmp_path, text, "ids.parquet") == (
        "ids.parquet is no Parquet file that can be read: write it anew"
    )


def test_a_parquet_file_that_was_cut_off_is_refused(tmp_path):
    whole = tmp_path / "whole"
    pq.write_table(pa.table({"id": list(range(1, 1000))}), whole)
    data = whole.read_bytes()

    assert "no Parquet file" in refusal_of(tmp_path, data[: len(data) // 2])
    assert "no Parquet file" in refusal_of(tmp_path, data[:100] + data[300:])


@pytest.mark.parametrize(
    ("data", "line"),
    [(b"5\n6\nM\xfcller\n", 3), ("5\n6".encode("utf-16"), 1), (b"5\r\n\xff\r\n", 2)],
)
def test_the_line_that_is_not_utf_8_is_named(tmp_path, data, line):
    assert refusal_of(tmp_path, data) == (f"line {line} of ids.txt is not UTF-8: save it as UTF-8")


def test_no_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"^there is no file .*none\.txt: check its name$"):
        read_ids(tmp_path / "none.txt")
    with pytest.raises(ConfigError, match=r"is a folder: name a file in it$"):
        read_ids(tmp_path)


def test_a_file_that_cannot_be_opened_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read \(.+\): check the file$"):
        read_ids(tmp_path / ("x" * 300))


def all_pages(found: IdList, after: str | None = None) -> list[IdPage]:
    async def run() -> list[IdPage]:
        return [page async for page in found.pages(after)]

    return asyncio.run(run())


@pytest.mark.parametrize("count", [1, 99, 100, 101, 200, 250])
def test_pages_have_at_most_100_ids_and_go_on_wherever_they_were_cut_off(count):
    numbers = [str(nth) for nth in range(count, 0, -1)]
    found = ids_of(pa.table({"id": numbers}))

    pages = all_pages(found)

    assert [one for page in pages for one in page.ids] == numbers
    assert all(len(page.ids) == 100 and page.is_fresh for page in pages[:-1])
    assert [page.after is None for page in pages] == [False] * (len(pages) - 1) + [True]
    for nth, page in enumerate(pages[:-1], start=1):
        assert all_pages(found, page.after) == pages[nth:]


def test_ids_that_turn_out_unknown_are_found_again_by_line(tmp_path):
    found = of_text(tmp_path, "5\n6\n\n007\n5\n")

    assert found.line_of(["7", "5", "8"]) == {"5": 1, "7": 4}
    assert found.line_of(set()) == {}


def test_malformed_texts_are_one_row_of_errors_each(tmp_path):
    found = of_text(tmp_path, "5\n\nx1\n-5\n\n x1\n6\n")

    blank = ErrorRow(
        object_type="calls",
        stage="discover",
        category="INVALID_ID",
        object_id="",
        message="line 2 and 1 more of ids.txt: blank",
        raw_value="",
        context={"source": "ids.txt", "lines": [2, 5], "count": 2},
    )
    no_id = f"no id, which is a whole number from 1 to {LARGEST}"
    assert list(found.error_rows("calls")) == [
        blank,
        replace(
            blank,
            object_id="x1",
            raw_value="x1",
            message=f"line 3 and 1 more of ids.txt: {no_id}",
            context={"source": "ids.txt", "lines": [3, 6], "count": 2},
        ),
        replace(
            blank,
            object_id="-5",
            raw_value="-5",
            message=f"line 4 of ids.txt: {no_id}",
            context={"source": "ids.txt", "lines": [4], "count": 1},
        ),
    ]


def test_a_text_on_very_many_lines_names_some_of_them_and_counts_all(tmp_path):
    found = of_text(tmp_path, "5\n" + "x1\n" * 2500)

    (row,) = found.error_rows("contacts")

    assert row.message is not None
    assert row.message.startswith("line 2 and 2,499 more of ids.txt: ")
    assert row.context == {
        "source": "ids.txt", "lines": list(range(2, 2 + LISTED_LINES)), "count": 2500,
    }  # fmt: skip


def test_very_long_texts_are_shortened_and_stay_apart(tmp_path):
    """They are the same at both ends, and still two rows of `errors`."""
    long = ["x" * 30_000 + which + "x" * 30_000 for which in "12"]
    found = of_text(tmp_path, "\n".join(["5", *long]))

    rows = list(found.error_rows("contacts"))

    assert [row.raw_value for row in rows] == long
    assert all(row.object_id and len(row.object_id) < 200 for row in rows)
    assert errors_table(rows, run_id="r", seen_at=datetime.now(UTC)).num_rows == 2


@pytest.mark.parametrize(
    "other", ["6\n5\nx1\n", "5\n6\n", "5\n6\nx1\n6\n", "5\n6\nx2\n", "56\n6\nx1\n", "56\nx1\n"]
)
def test_another_input_has_another_digest(tmp_path, other):
    assert of_text(tmp_path, "5\n6\nx1\n").digest != of_text(tmp_path, other).digest


def test_the_digest_is_also_of_the_property(tmp_path):
    """A position in a list of ids is none in a list of values."""
    digests = {of_text(tmp_path, "5\n6\n", id_property=name).digest for name in (None, "a", "b")}

    assert len(digests) == 3


def test_a_digest_stays_what_it_was(tmp_path):
    """It is saved with the position: after an upgrade a backfill still goes on."""
    assert of_text(tmp_path, "5\n6\nx1\n").digest == "a3fc10e9754481b369eec84affa33433"


def test_nobodys_address_is_shown_with_a_list(tmp_path):
    found = of_text(tmp_path, "jane@example.com\n\n", id_property="email")

    assert "jane" not in repr(found)
