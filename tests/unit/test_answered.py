"""Answers as rows of `batches`: whatever HubSpot says in them, Arrow and the warehouse hold it."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.answered import Rows
from pipelines.hubspot import decode
from pipelines.hubspot.client import BatchAnswer
from pipelines.ledger import BATCHES, BatchRow, table_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def row_of(**said: object) -> BatchRow:
    body = json.dumps({"results": [], **said}).encode()
    answer = BatchAnswer(
        envelope=decode.batch_envelope(body), body=body, ids=[], http_status=200,
        correlation_id=None, attempts=1, duration_ms=5, requested_at=NOW,
    )  # fmt: skip
    return Rows(run_id="r", object_type="contacts").answered(answer, inputs=1, results=0)


ZONES = st.sampled_from(["", "Z", "+01:00", "-23:59", "+23:59:59"])
MOMENTS = st.builds("{:%Y-%m-%dT%H:%M:%S}{}".format, st.datetimes(), ZONES)


@given(text=st.text() | MOMENTS)
@example(text="0001-01-01T00:00:00+01:00")
@example(text="9999-12-31T23:59:59-01:00")
@example(text="0001-01-01T00:00:00")
@example(text="9999-12-31T23:59:59")
def test_whatever_comes_as_a_moment_is_one_or_none(text):
    """What no calendar holds is null, and where we have a moment of our own it stands in."""
    row = row_of(requestedAt=text, startedAt=text, completedAt=text)

    assert row.started_at is None or row.started_at.tzinfo is UTC
    assert row.completed_at == row.started_at
    assert row.requested_at == (row.started_at or NOW)
    assert table_of([row], BATCHES).num_rows == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no time zone can be set there")
def test_a_moment_without_a_zone_is_utc(monkeypatch):
    """HubSpot's times are; wherever the pipeline runs, it is the same moment."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        row = row_of(startedAt="2026-03-01T12:00:00")
    finally:
        monkeypatch.undo()
        time.tzset()

    assert row.started_at == datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (3, 3),
        (None, 0),
        ("4", 4),
        ("many", 0),
        (2**63 - 1, 2**63 - 1),
        (2**63, 2**63 - 1),
        (10**30, 2**63 - 1),
        (-(10**30), -(2**63)),
        ("9" * 30, 2**63 - 1),
        ("9" * 5000, 0),
        (1e300, 0),
        ([], 0),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_count_of_errors_fits_its_column(said, kept):
    """It is HubSpot's own count and decides nothing."""
    row = row_of(numErrors=said)

    assert row.num_errors == kept
    assert table_of([row], BATCHES)["num_errors"].to_pylist() == [kept]
