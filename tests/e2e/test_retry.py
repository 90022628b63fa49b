"""`crm retry` reads what could not be had, and nothing else."""

from __future__ import annotations

import duckdb
import pytest
from harness import assert_one_line, crm, dump, rows

from pipelines.reader import Reader
from pipelines.settings import OBJECT_TYPES

GONE = 999_999_999_999
UNRESOLVED = "select object_id from crm.errors where resolved_at is null and is_retryable"


@pytest.fixture(scope="module")
def still(shared_simulator):
    return shared_simulator(contacts=60, calls=20, seed=5)


def failed(full, *ids: int) -> None:
    """As if HubSpot had not returned these contacts in the last run."""
    with duckdb.connect(str(full)) as connection:
        for object_id in ids:
            connection.execute("delete from crm.contacts where id = ?", [object_id])
            connection.execute(
                "insert into crm.errors (error_id, object_type, object_id, stage, category, "
                "is_retryable, first_seen_at, last_seen_at) values "
                "(?, 'contacts', ?, 'read', 'NOT_RETURNED', true, '2026-01-01', '2026-01-01')",
                [f"e{object_id}", str(object_id)],
            )


def test_records_that_come_now_land_and_their_errors_are_resolved(still, after_sync, full):
    """The tables are then those of a run in which nothing failed."""
    lost = [row[0] for row in rows(full, "select id from crm.contacts order by id limit 3")]
    failed(full, *lost)
    before = still.statistics.requests["batch_read"]

    done = crm("retry", "--warehouse", full, cwd=full.parent, simulator=still)

    assert done.returncode == 0, done.stderr
    assert rows(full, UNRESOLVED) == []
    assert still.statistics.requests["batch_read"] == before + 1
    assert dump(full)["contacts"] == dump(after_sync)["contacts"]
    (run,) = rows(
        full,
        "select object_type, status, requested_ids, loaded_rows from crm.runs "
        "where command = 'retry'",
    )
    assert run == ("contacts", "complete", 3, 3)


def test_a_record_that_still_does_not_come_stays_an_error(still, full):
    """One row, with what HubSpot says now and the moment it was asked for last."""
    failed(full, GONE)

    done = crm("retry", "contacts", "--warehouse", full, cwd=full.parent, simulator=still)

    assert done.returncode == 0, done.stderr
    unresolved = rows(
        full,
        "select category, is_retryable, last_seen_at > '2026-02-01' from crm.errors "
        "where object_id = ? and resolved_at is null",
        str(GONE),
    )
    assert unresolved == [("OBJECT_NOT_FOUND", False, True)]


def test_nothing_is_asked_when_there_is_nothing_to_retry(still, full):
    """Values that do not parse will not parse tomorrow either."""
    before = still.statistics.count

    done = crm("retry", "--warehouse", full, cwd=full.parent, simulator=still)

    assert_one_line(done, 0, "nothing to retry")
    assert still.statistics.count == before


def test_a_retry_does_not_make_the_tables_look_fresher(still, full):
    """It read a few records; the others are as old as before."""
    freshness = (
        "select complete_as_of, last_status, count_loaded from analytics.sync_freshness "
        "order by object_type"
    )
    before = rows(full, freshness)
    failed(full, rows(full, "select min(id) from crm.contacts")[0][0])

    crm("retry", "--warehouse", full, cwd=full.parent, simulator=still)

    assert rows(full, freshness) == before


def test_a_retry_leaves_where_a_cut_off_run_goes_on_as_it_was(still, full):
    """Or the next sync would begin at the first id again."""
    failed(full, rows(full, "select min(id) from crm.contacts")[0][0])
    with Reader(full) as reader:
        before = {name: reader.saved_state()[name] for name in OBJECT_TYPES}

    done = crm("retry", "--warehouse", full, cwd=full.parent, simulator=still)

    assert done.returncode == 0, done.stderr
    with Reader(full) as reader:
        assert {name: reader.saved_state()[name] for name in OBJECT_TYPES} == before
