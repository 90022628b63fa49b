"""`crm sync` after the first time reads what has changed, all of it, and little else."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import duckdb
import pytest
from harness import (
    BY_THE_CLOCK,
    Dump,
    assert_same,
    columns_of,
    cut_off,
    dump,
    rows,
    settings_for,
    synced,
)

from pipelines.errors import AuthError, CrmError, DailyLimitError
from pipelines.hubspot.retry import RetryPolicy
from pipelines.landing import Landing
from pipelines.ledger import RUNS, table_of
from pipelines.progress import Silent
from pipelines.reader import Reader
from pipelines.settings import OBJECT_TYPES, ObjectSettings
from pipelines.simulator.faults import ALWAYS, Fault, Faults
from pipelines.simulator.portal import Portal
from pipelines.simulator.variants import Variants
from pipelines.steps import Progress
from pipelines.stream import Bounds
from pipelines.sync import sync
from pipelines.warehouse import Warehouse

SMALL = Bounds(at_risk_records=200, chunk_records=100, slice_records=50)
FAST = {"search_requests_per_s": 1000}


@pytest.fixture(scope="module")
def first_sync(shared_simulator, tmp_path_factory):
    """A warehouse after the first sync of 300 contacts."""
    path = tmp_path_factory.mktemp("first") / "warehouse.duckdb"
    synced(shared_simulator(contacts=300, calls=0), path, ("contacts",))
    return path


@pytest.fixture
def synced_once(simulator, first_sync, path):
    """Start a simulator of the same contacts, of which `path` is a copy of that warehouse."""

    def start(**options):
        shutil.copy(first_sync, path)
        return simulator(contacts=300, calls=0, **options)

    return start


def in_its_present_state(path) -> Dump:
    """Every table, without what tells of the past: errors that are resolved, and the clock."""
    found = dump(path, without=BY_THE_CLOCK)
    columns, cells = found["errors"]
    resolved = columns.index("resolved_at")
    found["errors"] = columns, [row for row in cells if row[resolved] is None]
    return found


def assert_equals_a_full_sync(running, path) -> None:
    """The tables are those that a first sync of the portal as it is now would make."""
    fresh = path.with_name("fresh.duckdb")
    synced(running, fresh, tuple(name for name in OBJECT_TYPES if columns_of(path, name)))
    assert_same(in_its_present_state(path), in_its_present_state(fresh))
    fresh.unlink()


def progress_of(path, object_type: str = "contacts") -> Progress:
    with Reader(path) as reader:
        return Progress.of(reader.saved_state().get(object_type))


def with_many_archived(simulator, *, contacts: int):
    """A portal of so many contacts, of which 250 are archived: more pages than one."""
    running = simulator(contacts=contacts, calls=0)
    for record_id in list(running.portal.records["contacts"].live)[:250]:
        running.portal.archive("contacts", record_id)
    return running


@contextmanager
def requests_of(running):
    """Requests by object type and endpoint while the context lasts, filled in at its end."""
    sent: Counter[tuple[str, str]] = Counter()
    before = len(running.statistics.arrivals)
    yield sent
    for one in running.statistics.arrivals[before:]:
        sent[one.object_type, one.endpoint] += 1


@contextmanager
def in_mid_run(running, path, *, reads: int = 0, archived: bool | None = None, **options):
    """A sync of contacts that waits at its batch/read after so many; it goes on afterwards.

    Gives its thread, and the failure it ended with, once it has.
    """
    failures: list[CrmError] = []

    def run() -> None:
        try:
            synced(running, path, ("contacts",), **options)
        except CrmError as failure:
            failures.append(failure)

    running.door.close_after(reads, archived=archived)
    thread = threading.Thread(target=run)
    thread.start()
    assert running.door.is_knocked_at.wait(60)
    try:
        yield thread, failures
    finally:
        running.door.open()
        thread.join()


def cut_off_at(running, path, record_id: int) -> None:
    """Have a sync stop before it has this record, with what comes before landed."""
    running.door.close_to(record_id)
    cut_off(running, path, lambda stop: a_sync(running, path, stop))


def cut_off_before_archived_ones(running, path) -> None:
    """The same, before the first archived record is read."""
    running.door.close_after(0, archived=True)
    cut_off(running, path, lambda stop: a_sync(running, path, stop))


def a_sync(running, path, stop: threading.Event) -> None:
    synced(running, path, ("contacts",), stop=stop, bounds=SMALL)


# ---------------------------------------------------------------- what changes arrives


def test_changes_of_every_kind_arrive(simulator, path):
    """Changed, cleared, new, archived, restored, merged, deleted in between: as a full sync."""
    running = simulator(contacts=200, calls=60, seed=4)
    portal = running.portal
    restored = portal.records["contacts"].archived[0]
    synced(running, path)
    one, two, three, four, five, six, seven, *_ = (
        i for i in portal.records["contacts"].live if i != 512
    )

    portal.update("contacts", one, {"firstname": "Changed", "birthday": "1999-12-31"})
    portal.update("contacts", two, {"lastname": "", "property_date": "no date"})
    portal.create("contacts", {"email": "new@example.com"})
    portal.archive("contacts", three)
    portal.restore("contacts", restored)
    portal.merge(four, five)
    portal.merge(six, seven, keep_primary_id=True)
    portal.archive("calls", portal.records["calls"].live[0])
    portal.update("calls", portal.records["calls"].live[1], {"hs_call_title": "Changed"})
    outcome = synced(running, path)

    assert_equals_a_full_sync(running, path)
    assert {row.object_type: row.requested_ids for row in outcome.runs} == {
        "contacts": 7, "calls": 2
    }  # fmt: skip
    assert rows(path, "select count(*) from crm.contacts where id in (?, ?, ?)", four, five, seven)[
        0
    ] == (0,)


@pytest.mark.slow
def test_changes_over_many_runs_add_up_to_a_full_sync(simulator, path):
    """Each run begins where the last one ended, so that nothing falls between two of them."""
    running = simulator(contacts=150, calls=30, seed=8)
    portal = running.portal
    synced(running, path)
    for number in range(6):
        live = portal.records["contacts"].live
        portal.update("contacts", live[number], {"firstname": f"Name {number}"})
        portal.archive("contacts", live[30 + number])
        portal.update("contacts", portal.create("contacts", {}), {"lastname": "New"})
        winner = portal.merge(live[60], live[61])
        if number % 2:
            portal.merge(winner, live[90])
            portal.restore("contacts", portal.records["contacts"].archived[-1])
        portal.advance(45 * number)
        synced(running, path)

    assert_equals_a_full_sync(running, path)


@pytest.mark.slow
def test_definitions_and_options_that_changed_arrive_without_records_that_did(synced_once, path):
    running = synced_once()

    running.portal.add_property("contacts", "added_later", "number/number")
    running.portal.archive_property("contacts", "region_")
    outcome = synced(running, path, ("contacts",))

    assert outcome.runs[0].requested_ids == 0
    assert rows(
        path,
        "select name, archived from crm.properties where name in ('added_later', 'region_') "
        "order by name",
    ) == [("added_later", False), ("region_", True)]


@pytest.mark.slow
def test_more_than_10_000_records_of_one_timestamp_arrive(simulator, path):
    """An import gives all its records the same modified date; search ends at 10,000 by offset."""
    portal = Portal.build(contacts=10_500, calls=0)
    running = simulator(portal=portal, search_requests_per_s=1000)
    synced(running, path, ("contacts",), **FAST)
    changed = portal.records["contacts"].live[:10_300]

    portal.advance(60)
    for record_id in changed:
        portal.update("contacts", record_id, {"firstname": "Imported"}, at=portal.now)
    (row,) = synced(running, path, ("contacts",), **FAST).runs

    assert row.requested_ids == row.loaded_rows == len(changed)
    assert rows(path, "select count(*) from crm.contacts where firstname = 'Imported'") == [
        (len(changed),)
    ]


# ---------------------------------------------------------------- while a run is under way


def test_what_changes_in_mid_run_arrives_in_this_run_or_the_next(synced_once, path):
    """New, changed once more, archived and merged while the run waits for HubSpot."""
    running = synced_once()
    portal = running.portal
    one, two, three, four, five, six, *_ = portal.records["contacts"].live[5:]
    for record_id in (one, two, three):
        portal.update("contacts", record_id, {"firstname": "Before"})

    with in_mid_run(running, path) as (_, failures):
        portal.update("contacts", one, {"firstname": "While"})
        portal.update("contacts", four, {"firstname": "While"})
        portal.archive("contacts", two)
        portal.merge(three, five)
        portal.create("contacts", {"email": "while@example.com"})
        portal.archive("contacts", six)
    assert not failures
    synced(running, path, ("contacts",))

    assert_equals_a_full_sync(running, path)


@pytest.mark.slow
def test_what_changes_in_a_first_run_arrives_with_the_next(simulator, path):
    """The first run takes hours: what it has passed by already may change behind its back."""
    running = simulator(contacts=300, calls=0)
    portal = running.portal

    with in_mid_run(running, path, reads=2, bounds=SMALL):
        live = portal.records["contacts"].live
        for record_id in (live[0], live[149], live[299]):
            portal.update("contacts", record_id, {"firstname": "While"})
        for record_id in (live[1], live[150], live[298]):
            portal.archive("contacts", record_id)
        portal.merge(live[3], live[200])
        portal.create("contacts", {"email": "while@example.com"})
    synced(running, path, ("contacts",))

    assert_equals_a_full_sync(running, path)


# ---------------------------------------------------------------- search that lags behind


@pytest.mark.slow
def test_what_search_shows_late_arrives_and_the_lag_is_measured(synced_once, path):
    """Search knew nothing of the change when it was asked first; the overlap looks once more."""
    running = synced_once(variants=Variants(search_index_lag_s=30))
    portal = running.portal
    portal.advance(60)

    portal.update("contacts", portal.records["contacts"].live[0], {"firstname": "Late"})
    portal.advance(20)
    first = synced(running, path, ("contacts",)).runs[0]
    portal.advance(60)
    second = synced(running, path, ("contacts",)).runs[0]
    third = synced(running, path, ("contacts",)).runs[0]

    assert (first.requested_ids, first.search_lag_s) == (0, None)
    assert second.requested_ids == 1
    assert 20 <= second.search_lag_s <= 30
    assert (third.requested_ids, third.search_lag_s) == (0, None)
    assert rows(path, "select count(search_lag_s) from crm.runs") == [(1,)]
    assert_equals_a_full_sync(running, path)


@pytest.mark.parametrize(
    ("minutes", "arrives"), [(1, 0), pytest.param(3, 1, marks=pytest.mark.slow)]
)
def test_the_overlap_says_how_late_search_may_be(minutes, arrives, simulator, path):
    running = simulator(contacts=60, calls=0, variants=Variants(search_index_lag_s=120))
    portal = running.portal
    portal.advance(300)
    synced(running, path, ("contacts",), overlap_minutes=minutes)

    portal.update("contacts", portal.records["contacts"].live[0], {"firstname": "Late"})
    portal.advance(110)
    synced(running, path, ("contacts",), overlap_minutes=minutes)
    portal.advance(300)
    row = synced(running, path, ("contacts",), overlap_minutes=minutes).runs[0]

    assert row.requested_ids == arrives


# ---------------------------------------------------------------- the cursor


def test_the_cursor_is_where_the_run_began_by_hubspots_clock(synced_once, path):
    """HubSpot tells its time in whole seconds; what changed in this one is looked for again."""
    running = synced_once()
    running.portal.update("contacts", 512, {"firstname": "Changed"})
    began = running.portal.now

    with in_mid_run(running, path):
        running.portal.advance(500)

    cursor = progress_of(path).cursor
    assert began <= cursor < began + timedelta(seconds=1)
    assert rows(
        path, "select cursor_to from crm.runs order by started_at desc limit 1"
    ) == [(cursor.isoformat(),)]  # fmt: skip


def refused(portal, simulator):
    return simulator(
        portal=portal, faults=Faults(Fault("403-errors", endpoint="batch_read", begin=1))
    )


def broken(portal, simulator):
    fault = Fault("503", endpoint="batch_read", share=1.0, hits=ALWAYS)
    return simulator(portal=portal, faults=Faults(fault))


def without_quota(portal, simulator):
    running = simulator(portal=portal)
    running.limits.per_day = 3
    return running


HASTY = Bounds(retry=RetryPolicy(attempts=2, total_s=0.1))


@pytest.mark.parametrize(
    ("failing", "failure"),
    [
        (refused, AuthError),
        pytest.param(broken, CrmError, marks=pytest.mark.slow),
        pytest.param(without_quota, DailyLimitError, marks=pytest.mark.slow),
    ],
)
def test_the_cursor_stays_when_a_run_fails(failing, failure, simulator, path):
    portal = Portal.build(contacts=60, calls=0)
    synced(simulator(portal=portal), path, ("contacts",))
    before = progress_of(path)
    portal.update("contacts", 512, {"firstname": "Changed"})
    portal.advance(3600)

    with pytest.raises(failure):
        synced(failing(portal, simulator), path, ("contacts",), bounds=HASTY)

    assert progress_of(path) == before
    portal.advance(3600)
    running = simulator(portal=portal)
    assert synced(running, path, ("contacts",)).runs[0].loaded_rows == 1
    assert_equals_a_full_sync(running, path)


# ---------------------------------------------------------------- how little is asked for


@pytest.mark.parametrize("archived", [pytest.param(0, marks=pytest.mark.slow), 250])
def test_an_unchanged_portal_costs_four_requests_for_each_object(archived, simulator, path):
    """Definitions, a search of the window, the count of live records, a page of archived ones."""
    running = simulator(contacts=400, calls=120)
    for record_id in running.portal.records["contacts"].live[:archived]:
        running.portal.archive("contacts", record_id)
    synced(running, path)
    running.portal.advance(3600)

    with requests_of(running) as sent:
        outcome = synced(running, path)

    for name in OBJECT_TYPES:
        assert sum(n for (of, _), n in sent.items() if of == name) == 4
    assert sum(n for (of, _), n in sent.items() if not of) <= 1
    assert [row.requested_ids for row in outcome.runs] == [0, 0]


def test_a_record_in_the_overlap_is_read_once(synced_once, path):
    running = synced_once()
    for record_id in running.portal.records["contacts"].live[:20]:
        running.portal.update("contacts", record_id, {"firstname": "Changed"})
    synced(running, path, ("contacts",))

    with requests_of(running) as sent:
        row = synced(running, path, ("contacts",)).runs[0]
    running.portal.update("contacts", 512, {"firstname": "Changed again"})
    again = synced(running, path, ("contacts",)).runs[0]

    assert sent["contacts", "batch_read"] == 0
    assert row.requested_ids == 0
    assert again.requested_ids == 1


@pytest.mark.slow
def test_a_thousand_changes_cost_at_most_30_requests(simulator, path):
    running = simulator(contacts=3000, calls=0, search_requests_per_s=1000)
    synced(running, path, ("contacts",), **FAST)
    running.portal.advance(3600)
    for record_id in running.portal.records["contacts"].live[::3]:
        running.portal.update("contacts", record_id, {"firstname": "Changed"})

    before = running.statistics.count
    row = synced(running, path, ("contacts",), **FAST).runs[0]

    assert row.loaded_rows == 1000
    assert running.statistics.count - before <= 20


# ---------------------------------------------------------------- archived records


@pytest.mark.slow
def test_all_archived_records_are_listed_when_live_ones_are_gone(simulator, path):
    """Search does not show archived records, and their list is in order of ids, not of time."""
    running = simulator(contacts=450, calls=0)
    portal = running.portal
    live = list(portal.records["contacts"].live)
    for record_id in live[::2]:
        portal.archive("contacts", record_id)
    synced(running, path, ("contacts",))
    pages = len(portal.records["contacts"].archived) // 100 + 1
    assert pages == 3

    last = portal.records["contacts"].live[-1]
    portal.archive("contacts", last)
    with requests_of(running) as sent:
        row = synced(running, path, ("contacts",)).runs[0]
    with requests_of(running) as afterwards:
        synced(running, path, ("contacts",))

    assert (row.requested_ids, row.loaded_rows) == (1, 1)
    assert sent["contacts", "list"] >= pages
    assert afterwards["contacts", "list"] == 1
    assert rows(path, "select archived from crm.contacts where id = ?", last) == [(True,)]


@pytest.mark.slow
def test_an_archived_record_is_found_though_a_new_one_makes_up_for_it(simulator, path):
    """HubSpot counts as many live records as before; the table would have one more."""
    running = with_many_archived(simulator, contacts=500)
    portal = running.portal
    live = list(portal.records["contacts"].live)
    synced(running, path, ("contacts",))

    portal.archive("contacts", live[-1])
    portal.create("contacts", {"email": "instead@example.com"})
    synced(running, path, ("contacts",))

    assert_equals_a_full_sync(running, path)


@pytest.mark.slow
def test_records_created_in_mid_run_do_not_have_all_archived_ones_listed(simulator, path):
    """In a busy portal HubSpot always counts some more than the table can have."""
    running = with_many_archived(simulator, contacts=400)
    portal = running.portal
    synced(running, path, ("contacts",))
    portal.update("contacts", portal.records["contacts"].live[0], {"firstname": "Changed"})

    with requests_of(running) as sent:
        with in_mid_run(running, path):
            for number in range(3):
                portal.create("contacts", {"email": f"{number}@example.com"})
        row = synced(running, path, ("contacts",)).runs[0]

    assert row.requested_ids == 3
    assert sent["contacts", "list"] == 2


@pytest.mark.slow
def test_records_deleted_for_good_do_not_have_all_archived_ones_listed_each_time(simulator, path):
    """The count stays different for ever; it is a change of the difference that matters."""
    running = with_many_archived(simulator, contacts=400)
    portal = running.portal
    synced(running, path, ("contacts",))
    portal.delete("contacts", portal.records["contacts"].live[0])
    synced(running, path, ("contacts",))

    with requests_of(running) as sent:
        synced(running, path, ("contacts",))

    assert sent["contacts", "list"] == 1


# ---------------------------------------------------------------- --since and --full


@pytest.mark.slow
def test_since_opens_the_window_earlier(synced_once, path):
    """What is in the table as it is, is not read again; what is not, is."""
    running = synced_once()
    record_id = running.portal.records["contacts"].live[0]
    running.portal.update("contacts", record_id, {"firstname": "Changed"})
    running.portal.advance(7200)
    began = running.portal.now
    running.portal.advance(7200)
    synced(running, path, ("contacts",))
    with duckdb.connect(str(path)) as connection:
        connection.execute("delete from crm.contacts where id = ?", [record_id])

    late = synced(running, path, ("contacts",), since=began).runs[0]
    early = synced(running, path, ("contacts",), since=began - timedelta(hours=3)).runs[0]

    assert late.requested_ids == 0
    assert early.requested_ids == 1
    assert_equals_a_full_sync(running, path)


def test_since_in_the_first_run_leaves_out_what_is_older(simulator, path):
    running = simulator(contacts=60, calls=0)
    portal = running.portal
    portal.advance(3600)
    opened = portal.now
    for record_id in portal.records["contacts"].live[:5]:
        portal.update("contacts", record_id, {"firstname": "Changed"})

    row = synced(running, path, ("contacts",), since=opened).runs[0]
    again = synced(running, path, ("contacts",)).runs[0]

    assert rows(path, "select count(*) from crm.contacts where not archived") == [(5,)]
    assert row.cursor_from == opened.isoformat()
    assert again.requested_ids == 0


@pytest.mark.slow
def test_full_reads_everything_anew(synced_once, path):
    running = synced_once()
    with duckdb.connect(str(path)) as connection:
        connection.execute("update crm.contacts set firstname = 'Wrong'")

    row = synced(running, path, ("contacts",), is_full=True).runs[0]

    assert row.requested_ids == rows(path, "select count(*) from crm.contacts")[0][0]
    assert row.cursor_from is None
    assert_equals_a_full_sync(running, path)


# ---------------------------------------------------------------- cut off


def changed_a_lot(running) -> None:
    portal = running.portal
    live = list(portal.records["contacts"].live)
    for record_id in live[:180]:
        portal.update("contacts", record_id, {"firstname": "Changed"})
    for record_id in live[-130:]:
        portal.archive("contacts", record_id)


@pytest.mark.slow
def test_a_first_sync_cut_off_among_live_records_goes_on(simulator, path):
    running = simulator(contacts=400, calls=0)
    cut_off_at(running, path, running.portal.records["contacts"].live[-1])
    left = progress_of(path)
    changed_a_lot(running)

    with requests_of(running) as sent:
        outcome = synced(running, path, ("contacts",), bounds=SMALL)

    assert left.cut_off.step == "live"
    assert left.cursor is None
    assert outcome.notes == ["contacts: going on where the last run stopped"]
    assert sent["contacts", "batch_read"] < 12
    assert progress_of(path).cut_off is None
    assert_equals_a_full_sync(running, path)


@pytest.mark.slow
def test_a_first_sync_cut_off_among_archived_records_goes_on(simulator, path):
    running = with_many_archived(simulator, contacts=400)
    cut_off_at(running, path, running.portal.records["contacts"].archived[-1])
    left = progress_of(path)
    changed = running.portal.records["contacts"].live[-1]
    running.portal.update("contacts", changed, {"firstname": "Changed"})

    row = synced(running, path, ("contacts",), bounds=SMALL).runs[0]

    assert left.cut_off.step == "archived"
    assert row.loaded_rows <= 200
    assert_equals_a_full_sync(running, path)


@pytest.mark.slow
def test_a_sync_cut_off_among_modified_records_goes_on(synced_once, path):
    running = synced_once()
    before = progress_of(path)
    changed_a_lot(running)
    cut_off_at(running, path, running.portal.records["contacts"].live[-1])
    left = progress_of(path)
    running.portal.update("contacts", 512, {"firstname": "Since then"})

    row = synced(running, path, ("contacts",), bounds=SMALL).runs[0]

    assert left.cut_off.step == "modified"
    assert left.cursor == before.cursor
    assert row.loaded_rows <= 2 * 80 + 1 + 130  # those of the overlap were read by both
    assert_equals_a_full_sync(running, path)


@pytest.mark.slow
def test_a_sync_cut_off_among_newly_archived_records_goes_on(synced_once, path):
    running = synced_once()
    before = progress_of(path)
    changed_a_lot(running)
    cut_off_at(running, path, running.portal.records["contacts"].archived[-1])
    left = progress_of(path)
    running.portal.archive("contacts", running.portal.records["contacts"].live[0])

    row = synced(running, path, ("contacts",), bounds=SMALL).runs[0]

    assert left.cut_off.step == "sweep"
    assert left.cursor == before.cursor
    assert row.loaded_rows < 130
    assert_equals_a_full_sync(running, path)


@pytest.mark.slow
def test_full_after_a_run_that_was_cut_off_begins_anew(simulator, path):
    running = simulator(contacts=400, calls=0)
    cut_off_at(running, path, running.portal.records["contacts"].live[-1])

    outcome = synced(running, path, ("contacts",), is_full=True)

    assert outcome.notes == []
    assert outcome.runs[0].requested_ids == len([*running.portal.truth("contacts")])
    assert_equals_a_full_sync(running, path)


@pytest.mark.slow
@pytest.mark.parametrize("step", [pytest.param("live", marks=pytest.mark.slow), "modified"])
def test_rows_lost_between_a_step_and_its_count_make_the_next_run_read_everything(
    step, simulator, path
):
    """The last chunk of a step has landed, and the process was killed before it counted."""
    running = simulator(contacts=300, calls=0)
    if step == "modified":
        synced(running, path, ("contacts",))
    changed_a_lot(running)
    cut_off_before_archived_ones(running, path)
    left = progress_of(path).cut_off
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "delete from crm.contacts where id in "
            "(select id from crm.contacts where firstname = 'Changed' limit 3)"
        )

    outcome = synced(running, path, ("contacts",))

    assert (left.step, left.after) == (step, None)
    assert left.check is not None
    assert "reading everything anew" in outcome.notes[0]
    assert_equals_a_full_sync(running, path)


# ---------------------------------------------------------------- properties read of every row


def refreshes(path) -> list[tuple[object, ...]]:
    return rows(
        path,
        "select status, loaded_rows, cursor_from from crm.runs where command = 'refresh' "
        "order by started_at",
    )


def column_of(path, name: str) -> str:
    return rows(
        path,
        "select column_name from crm.properties where name = ? and object_type='contacts'",
        name,
    )[0][0]


def truth_of(portal, name: str) -> dict[int, str | None]:
    return {
        int(record["id"]): record["properties"].get(name) for record in portal.truth("contacts")
    }


def everything_but(path, *columns: str) -> list[tuple[object, ...]]:
    """Every cell of contacts but those of some columns and the moment of the last look."""
    kept = [name for name in columns_of(path, "contacts") if name not in {*columns, "synced_at"}]
    cells = ", ".join(f'"{name}"::varchar' for name in kept)
    return rows(path, f"select {cells} from crm.contacts order by id")


def test_a_type_change_fills_the_new_column_of_every_row(synced_once, path):
    """No record counts as modified, so no window would show them."""
    running = synced_once()
    there = rows(path, "select count(*) from crm.contacts")[0][0]
    columns = rows(path, "select name, column_name from crm.properties order by all")

    running.portal.change_property_type("contacts", "property_number", "string/text")
    outcome = synced(running, path, ("contacts",))

    column = column_of(path, "property_number")
    assert column != "property_number"
    assert refreshes(path) == [("complete", there, "property_number of every row")]
    assert any("property_number of every row" in note for note in outcome.notes)
    found = dict(rows(path, f'select id, "{column}" from crm.contacts'))
    assert found == {
        record_id: value or None
        for record_id, value in truth_of(running.portal, "property_number").items()
    }
    after = rows(path, "select name, column_name from crm.properties order by all")
    assert {row for row in after if row not in columns} == {("property_number", column)}

    synced(running, path, ("contacts",))
    assert len(refreshes(path)) == 1


@pytest.mark.slow
def test_a_property_included_again_is_read_of_every_row(simulator, path):
    running = simulator(contacts=150, calls=0)
    without = {"objects": {"contacts": ObjectSettings(exclude_properties=("firstname",))}}
    synced(running, path, ("contacts",), **without)
    assert "firstname" not in columns_of(path, "contacts")

    synced(running, path, ("contacts",))
    synced(running, path, ("contacts",))

    assert [row[2] for row in refreshes(path)] == ["firstname of every row"]
    assert dict(rows(path, "select id, firstname from crm.contacts")) == {
        record_id: value or None
        for record_id, value in truth_of(running.portal, "firstname").items()
    }


@pytest.mark.slow
def test_a_refresh_that_was_cut_off_goes_on(synced_once, path):
    running = synced_once()
    running.portal.change_property_type("contacts", "property_number", "string/text")
    cut_off_at(running, path, running.portal.records["contacts"].live[-1])

    synced(running, path, ("contacts",), bounds=SMALL)
    synced(running, path, ("contacts",))

    column = column_of(path, "property_number")
    (first, some, _), (second, others, _) = refreshes(path)
    assert (first, second) == ("interrupted", "complete")
    assert some > 0
    assert (some + others,) == rows(path, "select count(*) from crm.contacts")[0]
    assert dict(rows(path, f'select id, "{column}" from crm.contacts')) == {
        record_id: value or None
        for record_id, value in truth_of(running.portal, "property_number").items()
    }


@pytest.mark.slow
def test_a_refresh_that_was_cut_off_begins_anew_when_more_is_stale(synced_once, path):
    """Of the rows that it had read it knows one property only, or the column before the last."""
    running = synced_once()
    running.portal.change_property_type("contacts", "property_number", "string/text")
    cut_off_at(running, path, running.portal.records["contacts"].live[-1])
    running.portal.change_property_type("contacts", "property_number", "date/date")

    synced(running, path, ("contacts",))

    column = column_of(path, "property_number")
    rejected = rows(
        path,
        "select distinct object_id::bigint from crm.errors where property = 'property_number' "
        "and resolved_at is null and expected_type = 'DATE'",
    )
    assert {one for (one,) in rejected} | {
        one for (one,) in rows(path, f'select id from crm.contacts where "{column}" is not null')
    } == {one for one, value in truth_of(running.portal, "property_number").items() if value}


@pytest.mark.slow
def test_other_runs_do_not_hide_that_a_column_is_stale(synced_once, path):
    """A retry or a backfill that comes first writes down the new column, of some rows only."""
    running = synced_once()
    running.portal.change_property_type("contacts", "property_number", "string/text")
    with Warehouse(path) as warehouse:
        outcome = sync(
            settings_for(running),
            warehouse,
            ("contacts",),
            view=Silent(),
            stop=threading.Event(),
            ids={"contacts": ["512"]},
            command="retry",
        )
    assert outcome.failure is None

    synced(running, path, ("contacts",))

    column = column_of(path, "property_number")
    assert len(refreshes(path)) == 1
    assert dict(rows(path, f'select id, "{column}" from crm.contacts')) == {
        record_id: value or None
        for record_id, value in truth_of(running.portal, "property_number").items()
    }


def grown_older(portal, value: str) -> None:
    """Have HubSpot calculate another value, which does not count as a modification."""
    records = portal.records["contacts"]
    for record in records.by_id.values():
        record.changes = {**(record.changes or {}), CALCULATED: value}
    records.touch()


CALCULATED = "hs_v2_time_in_current_stage"


@pytest.mark.slow
def test_calculated_properties_are_read_of_every_row_on_their_schedule(simulator, path):
    """HubSpot changes them without a date of modification."""
    running = simulator(contacts=150, calls=0)
    synced(running, path, ("contacts",), refresh_calculated_hours=24)
    calculated = {
        prop["name"] for prop in running.portal.properties("contacts") if prop.get("calculated")
    }
    assert CALCULATED in calculated
    before = everything_but(path, *calculated)
    grown_older(running.portal, "86400000")

    synced(running, path, ("contacts",), refresh_calculated_hours=24)
    assert refreshes(path) == []
    a_day_passes(path)
    synced(running, path, ("contacts",), refresh_calculated_hours=24)

    ((_, _, what),) = refreshes(path)
    assert CALCULATED in what
    assert rows(path, f"select distinct {CALCULATED} from crm.contacts") == [
        (datetime(1970, 1, 2, tzinfo=UTC),)
    ]
    assert everything_but(path, *calculated) == before
    synced(running, path, ("contacts",), refresh_calculated_hours=24)
    assert len(refreshes(path)) == 1


def a_day_passes(path) -> None:
    """Put the last reading of calculated properties back by a day."""
    with Warehouse(path) as warehouse:
        saved = dict(warehouse.state["contacts"])
        at = datetime.fromisoformat(saved["refreshed_at"]) - timedelta(days=1)
        saved["refreshed_at"] = at.isoformat()
        warehouse.land([Landing("runs", table_of([], RUNS))], state={"contacts": saved})
    assert progress_of(path).refreshed_at == at


@pytest.mark.slow
def test_calculated_properties_are_left_alone_when_nothing_is_set(synced_once, path):
    running = synced_once()
    grown_older(running.portal, "86400000")
    a_day_passes(path)

    synced(running, path, ("contacts",))

    assert refreshes(path) == []
