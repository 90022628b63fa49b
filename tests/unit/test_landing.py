"""Batches as rows of tables: what no table can hold is an error, and every id is counted once."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from pipelines.accounting import Batch
from pipelines.discovery import IdPage
from pipelines.landing import Chunk
from pipelines.reading import Reading
from pipelines.typed import Typed, typed
from transforms.columns import columns
from transforms.definitions import Property

NOW = datetime(2026, 3, 1, tzinfo=UTC)
EMAIL = Property("email", type="string", field_type="text")
READING = Reading("contacts", (EMAIL,), tuple(columns([EMAIL])), {}, {})
BEYOND = "9" * 20


def batch(asked: tuple[str, ...], came: tuple[str, ...], **aliases: str) -> Batch:
    body = {"results": [{"id": one, "properties": {"email": "a@b.co"}} for one in came]}
    loaded = frozenset(asked) & frozenset(came)
    return Batch(
        page=IdPage(asked, None, is_fresh=True),
        answers=(json.dumps(body).encode(),),
        requests=(),
        unasked=frozenset(came) - frozenset(asked),
        loaded=loaded,
        aliases={old.removeprefix("of_"): new for old, new in aliases.items()},
        errors=(),
    )


def landed(result: Typed) -> dict[str, list[dict]]:
    """The rows that go to each table."""
    chunk = Chunk((result,))
    return {one.table: one.rows.to_pylist() for one in chunk.landings(run_id="r", seen_at=NOW)}


@pytest.mark.parametrize(
    "old", [BEYOND, str(2**63), "9" * 5000, "x"], ids=["20 digits", "2^63", "5000 digits", "text"]
)
def test_a_merged_id_that_no_bigint_holds_is_an_error_and_its_winner_a_row(old):
    result = typed([batch((old, "1"), ("1", "7"), **{f"of_{old}": "7"})], READING, seen_at=NOW)

    tables = landed(result)
    assert [row["id"] for row in tables["contacts"]] == [1, 7]
    assert [(row["object_id"], row["category"]) for row in tables["errors"]] == [
        (old, "INVALID_ID")
    ]
    assert "id_aliases" not in tables
    assert (result.asked, len(result.loaded), result.merged, result.failed) == (2, 1, 0, 1)


def test_an_id_merged_into_a_record_that_has_no_row_is_an_error():
    """Its winner is one too, but nobody asked for that."""
    result = typed([batch(("1", "2"), ("1", BEYOND), of_2=BEYOND)], READING, seen_at=NOW)

    tables = landed(result)
    assert {row["object_id"] for row in tables["errors"]} == {"2", BEYOND}
    assert "id_aliases" not in tables
    assert (result.asked, len(result.loaded), result.merged, result.failed) == (2, 1, 0, 1)


def test_a_merged_id_is_an_alias():
    greatest = str(2**63 - 1)
    result = typed([batch((greatest,), ("7",), **{f"of_{greatest}": "7"})], READING, seen_at=NOW)

    (alias,) = landed(result)["id_aliases"]
    assert (alias["old_id"], alias["current_id"]) == (2**63 - 1, 7)
    assert (result.asked, len(result.loaded), result.merged, result.failed) == (1, 0, 1, 0)
