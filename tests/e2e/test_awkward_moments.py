"""What happens at an awkward moment: between two chunks, two steps, two runs, or two answers."""

from __future__ import annotations

import threading

import pytest
from harness import rows, settings_for

from pipelines.backfill import backfill
from pipelines.progress import Silent
from pipelines.selection import in_file
from pipelines.stream import Bounds

SMALL = Bounds(at_risk_records=100, chunk_records=50, slice_records=25)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "warehouse.duckdb"


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
