"""What happens at an awkward moment: between two chunks, two steps, two runs, or two answers."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from harness import rows, settings_for, synced, wait_until

from pipelines.backfill import backfill
from pipelines.progress import Silent
from pipelines.selection import everything, in_file, window
from pipelines.simulator.variants import Variants
from pipelines.stream import Bounds
from pipelines.warehouse import Warehouse

SMALL = Bounds(at_risk_records=100, chunk_records=50, slice_records=25)


def filled(running, path, selection, *, stop=None, **options):
    """`crm backfill contacts` in this process; gives its row of `runs`, fails when it does."""
    outcome = backfill(
        settings_for(running),
        path,
        "contacts",
        selection,
        view=Silent,
        stop=stop or threading.Event(),
        lock_wait_s=20.0,
        **options,
    )
    if outcome.failure is not None:
        raise outcome.failure
    (row,) = outcome.runs
    return row


@pytest.mark.slow
def test_two_addresses_of_each_contact_take_no_room_for_ever(simulator, path, tmp_path):
    """Each page is of half as many records as values: what it took for the others is free again."""
    running = simulator(contacts=300, calls=0)
    live = [one for one in running.portal.records["contacts"].live if one % 10 != 3][:150]
    for one in live:
        running.portal.update(
            "contacts", one, {"email": f"{one}@x.org", "hs_additional_emails": f"{one}@y.org"}
        )
    file = tmp_path / "addresses.csv"
    file.write_text("\n".join(["email", *(f"{one}@{host}.org" for one in live for host in "xy")]))
    ended, stop = [], threading.Event()

    def run() -> None:
        ended.append(filled(running, path, in_file(file, "email"), stop=stop, bounds=SMALL))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(30)
    stop.set()
    thread.join()

    assert [row.loaded_rows for row in ended] == [150]
    assert rows(path, "select count(*) from crm.contacts") == [(150,)]


@pytest.mark.slow
def test_a_backfill_makes_way_however_small_its_chunks_are(simulator, path):
    """On a slow portal each is of what came in its time, and lands when nothing more comes."""
    running = simulator(contacts=300, calls=0)
    slow = Bounds(at_risk_records=100, chunk_records=12_000, chunk_seconds=0.0)
    remarks: list[str] = []
    turns: list[int] = []

    def take_a_turn() -> None:
        with Warehouse(path, lock_wait_s=60.0, tell=remarks.append) as opened:
            turns.append(
                int(opened.query("select count(*) as n from crm.contacts")["n"][0].as_py())
            )

    running.door.close_after(0)
    selection = everything()
    work = {"bounds": slow, "tell": remarks.append}
    first = threading.Thread(target=filled, args=(running, path, selection), kwargs=work)
    first.start()
    wait_until(path.exists, what="the backfill has the warehouse")
    second = threading.Thread(target=take_a_turn)
    second.start()
    wait_until(lambda: remarks, what="the other waits")
    running.door.open()
    second.join()
    first.join()

    assert [remark.partition(" ")[0] for remark in remarks[:2]] == ["waiting", "another"]
    assert turns == [100]
    assert rows(path, "select status, count(*) from crm.runs group by 1 order by 1") == [
        ("complete", 1), ("interrupted", 1)
    ]  # fmt: skip
    assert rows(path, "select count(*) from crm.contacts")[0][0] > 200


def test_a_backfill_makes_no_way_before_it_has_something_to_go_on_from(simulator, path):
    """Nothing of the window is live: what has landed by then is nothing, and says nothing."""
    running = simulator(contacts=300, calls=0)
    portal = running.portal
    portal.advance(3600)
    since = portal.now - timedelta(minutes=1)
    archived = portal.records["contacts"].live[:10]
    for one in archived:
        portal.update("contacts", one, {"firstname": "Changed"})
        portal.archive("contacts", one)
    remarks: list[str] = []

    def take_a_turn() -> None:
        with Warehouse(path, lock_wait_s=60.0, tell=remarks.append):
            pass

    running.door.close_after(0)
    selection = window(since, None, is_created=False)
    first = threading.Thread(target=filled, args=(running, path, selection))
    first.start()
    wait_until(path.exists, what="the backfill has the warehouse")
    second = threading.Thread(target=take_a_turn)
    second.start()
    wait_until(lambda: remarks, what="the other waits")
    assert running.door.is_knocked_at.wait(60)
    second.join(2)  # it has no turn yet
    running.door.open()
    first.join()
    second.join()

    assert rows(path, "select count(*) from crm.contacts where archived") == [(len(archived),)]


@pytest.mark.slow
def test_a_record_archived_after_a_first_sync_that_search_did_not_count_is_found(simulator, path):
    """One record more in the table than search counts, then one less in HubSpot than before."""
    running = simulator(contacts=450, calls=0, variants=Variants(search_index_lag_s=30))
    portal = running.portal
    for one in portal.records["contacts"].live[:200]:
        portal.archive("contacts", one)
    portal.create("contacts", {"firstname": "Late"})
    synced(running, path, ("contacts",))

    portal.advance(3600)
    last = portal.records["contacts"].live[-2]
    portal.archive("contacts", last)
    synced(running, path, ("contacts",))

    assert rows(path, "select archived from crm.contacts where id = ?", last) == [(True,)]


@pytest.mark.slow
def test_a_record_created_in_mid_run_has_no_archived_ones_listed_for_it(simulator, path):
    """Search counts it already and the table has it with the next run: nobody was archived."""
    running = simulator(contacts=450, calls=0)
    portal = running.portal
    for one in portal.records["contacts"].live[:200]:
        portal.archive("contacts", one)
    synced(running, path, ("contacts",))
    portal.advance(3600)
    portal.update("contacts", portal.records["contacts"].live[0], {"firstname": "Changed"})
    before = len(running.statistics.arrivals)

    running.door.close_after(0)
    run = threading.Thread(target=synced, args=(running, path, ("contacts",)))
    run.start()
    assert running.door.is_knocked_at.wait(60)
    portal.advance(60)
    portal.create("contacts", {"firstname": "New"})
    running.door.open()
    run.join()
    synced(running, path, ("contacts",))

    lists = [one for one in running.statistics.arrivals[before:] if one.endpoint == "list"]
    assert len(lists) == 2
    assert rows(path, "select count(*) from crm.contacts where firstname = 'New'") == [(1,)]
