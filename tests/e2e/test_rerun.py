"""Running anything twice gives the same tables; what changed in between arrives, and only that."""

from __future__ import annotations

import shutil

import pytest
from harness import (
    BY_THE_CLOCK,
    WAREHOUSE,
    assert_same,
    dump,
    rows,
    synced,
)

from pipelines.errors import CrmError


@pytest.fixture(scope="module")
def still(shared_simulator):
    """A portal in which nothing changes."""
    return shared_simulator(contacts=120, calls=60, seed=3)


@pytest.fixture(scope="module")
def twice(still, tmp_path_factory):
    """One warehouse after its first run, and a copy of it after a second that reads all anew."""
    first = tmp_path_factory.mktemp("rerun") / WAREHOUSE
    second = first.with_name("second.duckdb")
    synced(still, first)
    shutil.copy(first, second)
    return first, second, synced(still, second, is_full=True)


@pytest.fixture
def first_run(twice, path):
    """A copy of a warehouse after one run."""
    shutil.copy(twice[0], path)
    return path


def assert_equals_undisturbed(running, path) -> None:
    """As a first run into another file would make it."""
    other = path.with_name("undisturbed.duckdb")
    synced(running, other)
    assert_same(dump(path, without=BY_THE_CLOCK), dump(other, without=BY_THE_CLOCK))


# ---------------------------------------------------------------- nothing changed


def test_a_second_run_changes_no_table_but_runs_and_batches(twice):
    """Idempotent: only when a row was last seen may differ, not what is in it."""
    first, second, _ = twice

    before = dump(first)

    assert_same(dump(second), before)
    assert set(before) == {
        "contacts", "calls", "errors", "properties", "property_options", "id_aliases"
    }  # fmt: skip
    assert log_sizes(second) == {name: 2 * size for name, size in log_sizes(first).items()}


def log_sizes(path) -> dict[str, int]:
    return {
        name: rows(path, f"select count(*) from crm.{name}")[0][0] for name in ("runs", "batches")
    }


def test_a_second_run_moves_synced_at_of_every_row(twice):
    """`synced_at` tells when a record was last compared with HubSpot."""
    first, second, _ = twice

    (latest,) = rows(first, "select max(synced_at) from crm.contacts")[0]

    assert rows(second, "select min(synced_at) > ? from crm.contacts", latest) == [(True,)]
    assert rows(
        second, "select distinct last_seen_at > first_seen_at, resolved_at from crm.errors"
    ) == [(True, None)]


def test_every_run_adds_up(twice):
    """Requested = loaded + merged + errors, in the table as in the statement."""
    _, second, outcome = twice

    sums = rows(
        second,
        "select run_id, requested_ids, loaded_rows, merged_ids, error_ids from crm.runs "
        "where status = 'complete'",
    )

    assert len(sums) == 4
    assert all(asked == loaded + merged + failed for _, asked, loaded, merged, failed in sums)
    assert {row.run_id for row in outcome.runs} <= {row[0] for row in sums}
    assert all(row.unaccounted_ids == 0 for row in outcome.runs)


def test_losing_the_working_folder_loses_nothing(still, first_run):
    """The state is in the warehouse."""
    before = dump(first_run)
    synced(still, first_run, ("calls",))
    shutil.rmtree(first_run.with_name(first_run.name + ".work"))

    synced(still, first_run)

    assert_same(dump(first_run), before)


@pytest.mark.slow
def test_one_object_type_alone_leaves_the_other_as_it_is(still, first_run):
    """`crm sync calls` is its own run."""
    before = dump(first_run, without=frozenset())

    outcome = synced(still, first_run, ("calls",))

    after = dump(first_run, without=frozenset())
    assert after["contacts"] == before["contacts"]
    assert [row.object_type for row in outcome.runs] == ["calls"]


# ---------------------------------------------------------------- changes in between


@pytest.mark.slow
def test_an_older_copy_of_the_file_is_repaired_by_the_next_run(simulator, path):
    """People restore backups; the working folder beside it is from another time."""
    running = simulator(contacts=40, calls=10)
    synced(running, path)
    copy = path.with_name("backup.duckdb")
    shutil.copy(path, copy)
    running.portal.add_property("contacts", "added_later")
    running.portal.update(
        "contacts", running.portal.records["contacts"].live[0], {"added_later": "x"}
    )
    running.portal.archive("calls", running.portal.records["calls"].live[0])
    synced(running, path)
    shutil.copy(copy, path)

    synced(running, path)

    assert_equals_undisturbed(running, path)


def test_changes_in_the_portal_arrive_with_the_next_run(simulator, path):
    """New, updated, cleared, archived and merged records, new definitions and options."""
    running = simulator(contacts=40, calls=10)
    portal = running.portal
    synced(running, path)
    first, second, third, fourth, fifth = [i for i in portal.records["contacts"].live if i != 512][
        :5
    ]

    portal.update("contacts", first, {"firstname": "Changed", "birthday": "1999-12-31"})
    portal.update("contacts", second, {"lastname": ""})
    new = portal.create("contacts", {"email": "new@example.com"})
    portal.archive("contacts", third)
    portal.archive("calls", portal.records["calls"].live[0])
    winner = portal.merge(fourth, fifth)
    portal.archive_property("contacts", "region_")
    portal.add_property("calls", "outcome_note")
    synced(running, path)

    found = dict(
        rows(path, "select id, [firstname, lastname, email, archived::varchar] from crm.contacts")
    )
    assert found[first][0] == "Changed"
    assert found[second][1] is None
    assert found[new] == [None, None, "new@example.com", "false"]
    assert found[third][3] == "true"
    assert winner in found
    live = {int(record["id"]) for record in portal.truth("contacts")}
    assert found.keys() == live
    assert {fourth, fifth}.isdisjoint(live)
    assert rows(
        path, "select old_id from crm.id_aliases where current_id = ? order by 1", winner
    ) == [(fourth,), (fifth,)]


@pytest.mark.slow
def test_a_definition_that_is_gone_leaves_the_column_and_says_so(simulator, path):
    """Deleted for good, not only archived: the run must neither fail nor drop data's column."""
    running = simulator(contacts=40, calls=5)
    running.portal.add_property("contacts", "short_lived")
    (record_id, *_) = running.portal.records["contacts"].live
    running.portal.update("contacts", record_id, {"short_lived": "x"})
    synced(running, path, ("contacts",))

    records = running.portal.records["contacts"]
    del records.properties["short_lived"]
    records._selections.clear()
    synced(running, path, ("contacts",))

    assert rows(path, "select short_lived from crm.contacts where id = ?", record_id) == [("x",)]
    assert rows(
        path, "select archived, column_name from crm.properties where name = 'short_lived'"
    ) == [(True, None)]


# ---------------------------------------------------------------- errors through time


def errors_of(path, record_id):
    return rows(
        path,
        "select first_seen_at, last_seen_at, resolved_at, raw_value, run_id from crm.errors "
        "where object_id = ? and property = 'property_date'",
        str(record_id),
    )


@pytest.mark.slow
def test_an_error_is_resolved_when_its_value_is_and_comes_back_as_the_same_row(simulator, path):
    """`resolved_at` is set by a later success; a repeat updates the row and does not double it."""
    running = simulator(contacts=40, calls=5)
    portal, record_id = running.portal, running.portal.records["contacts"].live[0]

    portal.update("contacts", record_id, {"property_date": "tomorrow"})
    synced(running, path, ("contacts",))
    ((first_seen, last_seen, resolved, raw, run_id),) = errors_of(path, record_id)
    assert (resolved, raw, first_seen) == (None, "tomorrow", last_seen)

    portal.update("contacts", record_id, {"property_date": "2026-02-28"})
    synced(running, path, ("contacts",))
    ((still_first, still_last, resolved, raw, same_run),) = errors_of(path, record_id)
    assert (still_first, still_last, raw, same_run) == (first_seen, last_seen, "tomorrow", run_id)
    assert resolved > last_seen

    portal.update("contacts", record_id, {"property_date": "2026-02-30"})
    synced(running, path, ("contacts",))
    ((again_first, again_last, resolved, raw, other_run),) = errors_of(path, record_id)
    assert (again_first, resolved, raw) == (first_seen, None, "2026-02-30")
    assert again_last > last_seen
    assert other_run != run_id


@pytest.mark.slow
def test_an_error_stays_unresolved_while_nobody_mends_it(simulator, path):
    """A run that sees it again may not call it mended."""
    running = simulator(contacts=40, calls=5)
    running.portal.update("contacts", 512, {"property_number": "5,333,222"})
    synced(running, path, ("contacts",))
    synced(running, path, ("contacts",), is_full=True)

    assert rows(
        path,
        "select resolved_at, last_seen_at > first_seen_at from crm.errors "
        "where property = 'property_number' and object_id = '512'",
    ) == [(None, True)]


@pytest.mark.slow
def test_errors_of_a_run_that_failed_are_not_resolved(simulator, path):
    """Only a success resolves: an error may not vanish because HubSpot did not answer."""
    running = simulator(contacts=40, calls=5)
    running.portal.update("contacts", 512, {"property_number": "5,333,222"})
    synced(running, path, ("contacts",))

    with pytest.raises(CrmError):
        synced(running, path, ("contacts",), access_token="another")

    assert rows(path, "select count(*) from crm.errors where resolved_at is not null") == [(0,)]
