"""`crm retry` reads what could not be had, and nothing else."""

from __future__ import annotations

import shutil

import duckdb
import pytest
from harness import assert_one_line, crm, dump, rows, synced

from pipelines.reader import Reader
from pipelines.settings import OBJECT_TYPES

GONE = 999_999_999_999
UNRESOLVED = "select object_id from crm.errors where resolved_at is null and is_retryable"


@pytest.fixture(scope="module")
def running(shared_simulator):
    return shared_simulator(contacts=60, calls=20, seed=5)


@pytest.fixture(scope="module")
def after_sync(running, tmp_path_factory):
    path = tmp_path_factory.mktemp("retry") / "warehouse.duckdb"
    synced(running, path)
    return path


@pytest.fixture
def path(after_sync, tmp_path):
    """A warehouse after one run, of this test's own."""
    return shutil.copy(after_sync, tmp_path / "warehouse.duckdb")


def failed(path, *ids: int) -> None:
    """As if HubSpot had not returned these contacts in the last run."""
    with duckdb.connect(str(path)) as connection:
        for object_id in ids:
            connection.execute("delete from crm.contacts where id = ?", [object_id])
            connection.execute(
                "insert into crm.errors (error_id, object_type, object_id, stage, category, "
                "is_retryable, first_seen_at, last_seen_at) values "
                "(?, 'contacts', ?, 'read', 'NOT_RETURNED', true, '2026-01-01', '2026-01-01')",
                [f"e{object_id}", str(object_id)],
            )


def test_records_that_come_now_land_and_their_errors_are_resolved(running, after_sync, path):
    """The tables are then those of a run in which nothing failed."""
    lost = [row[0] for row in rows(path, "select id from crm.contacts order by id limit 3")]
    failed(path, *lost)
    before = running.statistics.requests["batch_read"]

    done = crm("retry", "--warehouse", path, cwd=path.parent, simulator=running)

    assert done.returncode == 0, done.stderr
    assert rows(path, UNRESOLVED) == []
    assert running.statistics.requests["batch_read"] == before + 1
    assert dump(path)["contacts"] == dump(after_sync)["contacts"]
    (run,) = rows(
        path,
        "select object_type, status, requested_ids, loaded_rows from crm.runs "
        "where command = 'retry'",
    )
    assert run == ("contacts", "complete", 3, 3)


def test_a_record_that_still_does_not_come_stays_an_error(running, path):
    """One row, with what HubSpot says now and the moment it was asked for last."""
    failed(path, GONE)

    done = crm("retry", "contacts", "--warehouse", path, cwd=path.parent, simulator=running)

    assert done.returncode == 0, done.stderr
    unresolved = rows(
        path,
        "select category, is_retryable, last_seen_at > '2026-02-01' from crm.errors "
        "where object_id = ? and resolved_at is null",
        str(GONE),
    )
    assert unresolved == [("OBJECT_NOT_FOUND", False, True)]


def test_nothing_is_asked_when_there_is_nothing_to_retry(running, path):
    """Values that do not parse will not parse tomorrow either."""
    before = running.statistics.count

    done = crm("retry", "--warehouse", path, cwd=path.parent, simulator=running)

    assert_one_line(done, 0, "nothing to retry")
    assert running.statistics.count == before


def test_a_retry_does_not_make_the_tables_look_fresher(running, path):
    """It read a few records; the others are as old as before."""
    freshness = (
        "select complete_as_of, last_status, count_loaded from analytics.sync_freshness "
        "order by object_type"
    )
    before = rows(path, freshness)
    failed(path, rows(path, "select min(id) from crm.contacts")[0][0])

    crm("retry", "--warehouse", path, cwd=path.parent, simulator=running)

    assert rows(path, freshness) == before


def test_a_retry_leaves_where_a_cut_off_run_goes_on_as_it_was(running, path):
    """Or the next sync would begin at the first id again."""
    failed(path, rows(path, "select min(id) from crm.contacts")[0][0])
    with Reader(path) as reader:
        before = {name: reader.saved_state()[name] for name in OBJECT_TYPES}

    done = crm("retry", "--warehouse", path, cwd=path.parent, simulator=running)

    assert done.returncode == 0, done.stderr
    with Reader(path) as reader:
        assert {name: reader.saved_state()[name] for name in OBJECT_TYPES} == before
