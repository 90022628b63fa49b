"""`crm backfill` reads the records it is asked for, whatever becomes of it on the way."""

from __future__ import annotations

import json
import signal
import sys
import threading
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness import (
    BY_THE_CLOCK,
    HERE,
    assert_one_line,
    assert_same,
    columns_of,
    crm,
    cut_off,
    dump,
    rows,
    rows_deleted,
    settings_for,
    started,
    synced,
    wait_until,
)

from pipelines.backfill import backfill, plan_backfill
from pipelines.errors import IncompleteError
from pipelines.progress import Silent
from pipelines.selection import everything, id_range, in_file, in_query, window
from pipelines.stream import Bounds

SMALL = Bounds(at_risk_records=200, chunk_records=100, slice_records=50)
SMALL_BACKFILL = (sys.executable, HERE / "small_backfill.py")
WAIT_S = 20.0


@pytest.fixture(scope="module")
def still(shared_simulator):
    """A portal in which nothing changes."""
    return shared_simulator(contacts=300, calls=40, seed=6)


def filled(running, path, selection, object_type="contacts", *, stop=None, **options):
    """`crm backfill` in this process; fails when it does."""
    outcome = backfill(
        settings_for(running),
        path,
        object_type,
        selection,
        view=Silent,
        stop=stop or threading.Event(),
        lock_wait_s=WAIT_S,
        **options,
    )
    if outcome.failure is not None:
        raise outcome.failure
    (row,) = outcome.runs
    return row


def cut_off_at(running, path, selection, record_id: int, **options) -> None:
    """Have a backfill stop before it has this record, with what comes before landed."""
    running.door.close_to(record_id)
    cut_off(
        running,
        path,
        lambda stop: filled(running, path, selection, stop=stop, bounds=SMALL, **options),
    )


def ids_of(path, table: str = "contacts") -> set[int]:
    return {record_id for (record_id,) in rows(path, f"select id from crm.{table}")}


def written(folder, text: str, name: str = "ids.txt"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def errors_of(path) -> list[tuple[object, ...]]:
    found = rows(
        path,
        "select object_id, category, context from crm.errors where resolved_at is null "
        "and (stage = 'discover' or stage = 'read') order by object_id",
    )
    return [(one, category, json.loads(text or "{}").get("lines")) for one, category, text in found]


# ---------------------------------------------------------------- which records


def truth(portal, object_type: str = "contacts"):
    return {int(record["id"]): record for record in portal.truth(object_type)}


def test_everything(still, path):
    row = filled(still, path, everything())

    assert ids_of(path) == truth(still.portal).keys()
    assert (row.command, row.cursor_from, row.status) == ("backfill", "all", "complete")


@pytest.mark.slow
def test_a_backfill_is_no_sync(still, path):
    """The next sync reads everything: a backfill says nothing about what has changed since."""
    filled(still, path, id_range(None, 600))
    (row,) = synced(still, path, ("contacts",)).runs

    assert row.requested_ids == len(truth(still.portal))


@pytest.mark.slow
def test_a_range_of_ids_has_both_ends_and_archived_records(still, path):
    known = sorted(truth(still.portal))
    archived = still.portal.records["contacts"].archived[1]
    position = known.index(archived)
    low, high = known[position - 20], known[position + 20]

    row = filled(still, path, id_range(low, high))

    assert ids_of(path) == {one for one in known if low <= one <= high}
    assert row.requested_ids == 41
    assert rows(path, "select archived from crm.contacts where id = ?", archived) == [(True,)]


@pytest.mark.slow
@pytest.mark.parametrize("is_created", [True, False])
def test_a_window_has_both_ends_and_archived_records(is_created, still, path):
    key = "createdAt" if is_created else "updatedAt"
    moments = {
        one: datetime.fromisoformat(record[key]) for one, record in truth(still.portal).items()
    }
    middle = moments[still.portal.records["contacts"].archived[0]]
    since, until = middle, sorted(moments.values())[-20]
    since, until = min(since, until), max(since, until)

    filled(still, path, window(since, until, is_created=is_created))

    assert ids_of(path) == {one for one, at in moments.items() if since <= at <= until}
    assert rows(path, "select count(*) > 0 from crm.contacts where archived") == [(True,)]


def test_ids_of_a_query(still, full):
    row = filled(still, full, in_query(
        "select id from crm.contacts where id % 2 = 0", full, None, lock_wait_s=WAIT_S
    ))  # fmt: skip

    assert (row.requested_ids,) == rows(
        full, "select count(*) from crm.contacts where synced_at >= ?", row.started_at
    )[0]
    assert row.requested_ids == sum(one % 2 == 0 for one in truth(still.portal))


@pytest.mark.parametrize("kind", ["text", "csv", "parquet"])
def test_ids_in_a_file(kind, still, path, tmp_path):
    wanted = sorted(truth(still.portal))[::3]
    file = tmp_path / f"ids.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"name": ["x"] * len(wanted), "id": wanted}), file)
    elif kind == "csv":
        file.write_text("Name;Record ID\n" + "".join(f"x;{one}\n" for one in wanted))
    else:
        file.write_text("".join(f"{one}\n" for one in wanted))

    filled(still, path, in_file(file, None))

    assert ids_of(path) == set(wanted)


def test_what_is_no_id_of_a_record_is_an_error_with_its_line(still, path, tmp_path):
    known = sorted(truth(still.portal))
    merged = next(iter(still.portal.aliases("contacts")))
    lines = [known[0], "", "contact 7", known[1], 987654321, known[0], f" {known[1]} ", merged]
    file = written(tmp_path, "".join(f"{line}\n" for line in lines))

    row = filled(still, path, in_file(file, None))

    assert errors_of(path) == [
        ("", "INVALID_ID", [2]),
        ("987654321", "OBJECT_NOT_FOUND", [5]),
        ("contact 7", "INVALID_ID", [3]),
    ]
    assert row.duplicate_ids == 2
    assert rows(path, "select duplicate_ids from crm.runs") == [(2,)]
    assert (row.requested_ids, row.loaded_rows, row.merged_ids, row.error_ids) == (4, 2, 1, 1)


# ---------------------------------------------------------------- by a unique property


def test_e_mail_addresses_are_found_in_any_case_and_secondary_ones_too(simulator, path, tmp_path):
    """Two addresses of one contact are one contact; an unknown one is an error with its line."""
    running = simulator(contacts=300, calls=0, seed=6)
    portal = running.portal
    first, second, archived, *_ = [
        one for one in portal.records["contacts"].live if one % 20 and one % 10 != 3
    ]
    for one, email in ((first, "a@x.org"), (second, "b@x.org"), (archived, "c@x.org")):
        portal.update("contacts", one, {"email": email})
    portal.update("contacts", first, {"hs_additional_emails": "Alias@x.org;other@x.org"})
    portal.archive("contacts", archived)
    file = written(
        tmp_path, "email\nA@X.org\nalias@x.org\nnobody@x.org\nB@x.org\nb@X.ORG\nc@x.org\n"
    )

    row = filled(running, path, in_file(file, "email"))

    assert ids_of(path) == {first, second, archived}
    assert errors_of(path) == [("nobody@x.org", "OBJECT_NOT_FOUND", [4])]
    assert row.duplicate_ids == 1
    assert row.unaccounted_ids == 0


@pytest.mark.slow
def test_two_addresses_of_one_contact_far_apart_add_up(simulator, path, tmp_path):
    """They come with different batches, and the contact twice; it is one row."""
    running = simulator(contacts=300, calls=0, seed=6)
    portal = running.portal
    live = [one for one in portal.records["contacts"].live if one % 10 != 3]
    for number, one in enumerate(live):
        portal.update("contacts", one, {"email": f"{number}@x.org"})
    portal.update("contacts", live[0], {"hs_additional_emails": "again@x.org"})
    values = [f"{number}@x.org" for number in range(len(live))]
    file = written(tmp_path, "\n".join(["email", *values, "again@x.org"]))

    row = filled(running, path, in_file(file, "email"), bounds=SMALL)

    assert ids_of(path) == set(live)
    assert row.status == "complete"


def test_values_of_another_unique_property(still, path, tmp_path):
    wanted = [one for one in still.portal.records["contacts"].live if one != 512][:3]
    values = [f"EXT-{one:012d}" for one in wanted]
    values += [values[0].lower()]  # HubSpot finds it in any case
    file = written(tmp_path, "\n".join(values))

    filled(still, path, in_file(file, "external_id"))

    assert ids_of(path) == set(wanted)
    assert errors_of(path) == []


# ---------------------------------------------------------------- --property


def cells_but(path, *columns: str) -> list[tuple[object, ...]]:
    kept = [name for name in columns_of(path, "contacts") if name not in {*columns, "synced_at"}]
    cells = ", ".join(f'"{name}"::varchar' for name in kept)
    return rows(path, f"select {cells} from crm.contacts order by id")


@pytest.mark.slow
def test_a_property_alone_changes_no_other_column(simulator, path):
    """The others are not read, `updated_at` neither; new records are not added."""
    running = simulator(contacts=150, calls=0)
    portal = running.portal
    synced(running, path, ("contacts",))
    portal.add_property("contacts", "score", "number/number")
    for one in portal.records["contacts"].live:
        portal.update("contacts", one, {"score": str(one % 7), "firstname": "Changed"})
    portal.create("contacts", {"score": "5"})
    before = cells_but(path)
    definitions = rows(path, "select * from crm.properties order by all")
    there = ids_of(path)

    row = filled(running, path, everything(), only=("score",))

    assert cells_but(path, "score") == before
    assert columns_of(path, "contacts")["score"] == "DOUBLE"
    assert ids_of(path) == there
    assert row.loaded_rows == len(there)
    assert rows(
        path, "select count(*) from crm.contacts where not archived and score = id % 7"
    ) == [(150,)]
    after = rows(path, "select * from crm.properties order by all")
    assert [one[1] for one in after if one not in definitions] == ["score"]

    synced(running, path, ("contacts",))
    assert rows(path, "select count(*) from crm.runs where command = 'refresh'") == [(0,)]


def test_a_property_of_ids_that_the_table_does_not_have_is_an_error(still, full, tmp_path):
    known = sorted(ids_of(full))
    file = written(tmp_path, f"{known[0]}\n77\n{known[1]}\n\n88\n")
    before = cells_but(full)

    row = filled(still, full, in_file(file, None), only=("firstname", "lastname"))

    assert cells_but(full) == before
    assert row.loaded_rows == 2
    assert errors_of(full) == [
        ("", "INVALID_ID", [4]),
        ("77", "NOT_IN_WAREHOUSE", [2]),
        ("88", "NOT_IN_WAREHOUSE", [5]),
    ]


@pytest.mark.parametrize(
    "selection",
    [
        id_range(600, 900),
        window(datetime(2025, 1, 1, tzinfo=UTC), None, is_created=True),
        window(datetime(2026, 6, 1, tzinfo=UTC), None, is_created=False),
    ],
    ids=lambda one: one.what,
)
def test_a_property_of_a_range_or_window_is_read_of_its_rows(selection, still, full):
    condition, parameters = selection.where
    (count,) = rows(full, f"select count(*) from crm.contacts where {condition}", *parameters)[0]

    row = filled(still, full, selection, only=("firstname",))

    assert row.loaded_rows == count


@pytest.mark.slow
def test_a_column_that_a_backfill_begins_is_filled_by_the_next_sync(simulator, path, tmp_path):
    """The type changed: what a backfill read has the new column, and the others get it, too."""
    running = simulator(contacts=120, calls=0)
    synced(running, path, ("contacts",))
    running.portal.change_property_type("contacts", "property_number", "string/text")
    filled(running, path, in_file(written(tmp_path, "512\n"), None))

    synced(running, path, ("contacts",))

    ((column,),) = rows(
        path, "select column_name from crm.properties where name = 'property_number'"
    )
    assert dict(rows(path, f'select id, "{column}" from crm.contacts')) == {
        one: record["properties"].get("property_number") or None
        for one, record in truth(running.portal).items()
    }


def unresolved(path) -> list[tuple[object, ...]]:
    return rows(
        path, "select object_id, property from crm.errors where resolved_at is null order by all"
    )


def test_a_property_resolves_no_error_of_values_that_it_did_not_read(simulator, path):
    """Between the two parts of a sync it touches the rows whose values the first one rejected."""
    running = simulator(contacts=400, calls=0)
    portal = running.portal
    broken, mended, *others = portal.records["contacts"].live[:350]
    portal.update("contacts", mended, {"property_date": "no date"})
    synced(running, path, ("contacts",))
    portal.update("contacts", broken, {"property_date": "no date"})
    portal.update("contacts", mended, {"property_date": "2026-01-31"})
    for one in others:
        portal.update("contacts", one, {"lastname": "Changed"})
    running.door.close_to(max(others))
    cut_off(
        running,
        path,
        lambda stop: synced(running, path, ("contacts",), stop=stop, bounds=SMALL),
    )

    filled(running, path, everything(), only=("firstname",))
    synced(running, path, ("contacts",))

    fresh = path.with_name("fresh.duckdb")
    synced(running, fresh, ("contacts",))
    assert (str(broken), "property_date") in unresolved(path)
    assert unresolved(path) == unresolved(fresh)


# ---------------------------------------------------------------- --dry-run


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["all", "range", "ids", "emails", "property"])
def test_a_dry_run_tells_what_the_run_then_sends(kind, simulator, path, tmp_path):
    running = simulator(contacts=450, calls=0)
    only = ()
    if kind == "all":
        selection = everything()
    elif kind == "range":
        selection = id_range(None, sorted(truth(running.portal))[220])
    elif kind == "property":
        synced(running, path, ("contacts",))
        selection, only = everything(), ("firstname",)
    elif kind == "ids":
        ids = "\n".join(map(str, sorted(truth(running.portal))[:330]))
        selection = in_file(written(tmp_path, ids), None)
    else:
        live = running.portal.records["contacts"].live
        emails = (f"contact.{one}@example.com" for one in live if one % 20)
        selection = in_file(written(tmp_path, "\n".join(emails)), "email")

    plan = plan_backfill(
        settings_for(running), path, "contacts", selection, only=only, lock_wait_s=WAIT_S
    )
    before = dict(running.statistics.requests)
    row = filled(running, path, selection, only=only)

    line = plan.lines[0]
    assert line.records.live == pytest.approx(row.requested_ids, rel=0.05, abs=6)
    sent = running.statistics.count - sum(before.values())
    assert line.requests == pytest.approx(sent, rel=0.3, abs=4)
    assert plan.asked <= 5


# ---------------------------------------------------------------- cut off, and gone on with


def test_the_same_backfill_goes_on_where_it_was_cut_off(simulator, path):
    running = simulator(contacts=400, calls=0)
    cut_off_at(running, path, everything(), running.portal.records["contacts"].live[-1])
    landed = len(ids_of(path))

    row = filled(running, path, everything())
    again = filled(running, path, everything())

    assert landed > 0
    assert row.requested_ids == len(truth(running.portal)) - landed
    assert again.requested_ids == len(truth(running.portal))
    assert ids_of(path) == truth(running.portal).keys()


@pytest.mark.slow
def test_restart_begins_anew(simulator, path):
    running = simulator(contacts=400, calls=0)
    cut_off_at(running, path, everything(), running.portal.records["contacts"].live[-1])

    row = filled(running, path, everything(), is_restart=True)

    assert row.requested_ids == len(truth(running.portal))


@pytest.mark.slow
def test_a_file_goes_on_as_long_as_its_ids_are_the_same(simulator, path, tmp_path):
    running = simulator(contacts=400, calls=0)
    known = sorted(truth(running.portal))[:350]
    text = "\n".join(["x", *map(str, known)]) + "\n"
    file = written(tmp_path, text)
    cut_off_at(running, path, in_file(file, None), known[-1])
    landed = len(ids_of(path))
    changed = written(tmp_path, text + f"{truth(running.portal).keys().__len__() + 10**6}\n")

    anew = filled(running, path, in_file(changed, None))
    goes_on = filled(running, path, in_file(written(tmp_path, text), None))

    assert 0 < landed < 350
    assert anew.requested_ids == 351
    assert goes_on.requested_ids == 350 - landed


@pytest.mark.slow
def test_a_window_without_an_end_ends_where_it_was_first_opened(simulator, path):
    running = simulator(contacts=400, calls=0)
    portal = running.portal
    since = portal.now - timedelta(days=3000)
    inside = sorted(
        one
        for one, record in truth(portal).items()
        if datetime.fromisoformat(record["updatedAt"]) >= since
    )
    selection = window(since, None, is_created=False)
    cut_off_at(running, path, selection, inside[-1])
    landed = len(ids_of(path))
    portal.advance(3600)

    row = filled(running, path, selection)

    assert len(inside) > 200
    assert ids_of(path) == set(inside)
    assert row.requested_ids == len(inside) - landed


@pytest.mark.slow
def test_a_property_backfill_goes_on_where_it_was_cut_off(simulator, path):
    running = simulator(contacts=400, calls=0)
    synced(running, path, ("contacts",))
    running.portal.add_property("contacts", "score", "number/number")
    for one in running.portal.records["contacts"].live:
        running.portal.update("contacts", one, {"score": "1"})
    cut_off_at(
        running, path, everything(), running.portal.records["contacts"].live[-1], only=("score",)
    )
    (landed,) = rows(path, "select count(score) from crm.contacts")[0]

    row = filled(running, path, everything(), only=("score",))

    assert 0 < landed < 400
    assert row.requested_ids < len(truth(running.portal))
    assert rows(path, "select count(score) from crm.contacts") == [(400,)]


@pytest.mark.slow
def test_status_shows_backfills_that_were_cut_off_and_how_to_go_on(simulator, path):
    running = simulator(contacts=400, calls=0)
    cut_off_at(running, path, id_range(1, None), running.portal.records["contacts"].live[-1])

    shown = crm("status", "--warehouse", path, "--log-format", "json", cwd=path.parent)
    found = [
        line
        for line in map(json.loads, shown.stdout.splitlines())
        if line["table"] == "Backfills that were cut off"
    ]
    filled(running, path, id_range(1, None))
    afterwards = crm("status", "--warehouse", path, cwd=path.parent)

    assert [(one["object"], one["records"]) for one in found] == [
        ("contacts", "ids from 1 to the last")
    ]
    assert "--restart" in found[0]["to go on"]
    assert "cut off" not in afterwards.stdout


# ---------------------------------------------------------------- two at once


def small_backfill(running, path):
    return started(*SMALL_BACKFILL, path, 50, 60, "contacts", cwd=path.parent, simulator=running)


@pytest.mark.slow
def test_a_sync_works_between_two_chunks_of_a_backfill(simulator, path):
    """The schedule goes on while somebody reads everything for hours."""
    running = simulator(contacts=400, calls=40)
    portal = running.portal
    synced(running, path)
    running.door.close_after(1)
    with small_backfill(running, path) as process:
        assert running.door.is_knocked_at.wait(60)
        portal.update("contacts", 512, {"firstname": "Changed"})
        with started(
            sys.executable, "-m", "pipelines.cli", "sync", "--warehouse", path,
            cwd=path.parent, simulator=running,
        ) as sync:  # fmt: skip
            wait_until(lambda: is_waiting(sync), what="the sync waits for its turn")
            running.door.open()
            _, said = sync.communicate(timeout=120)
            assert sync.returncode == 0, said
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told

    assert "going on after it" in told
    found = rows(path, "select command, status from crm.runs order by started_at, object_type")
    assert ("sync", "complete") in found[2:]
    assert [one for one in found if one[0] == "backfill"] == [
        ("backfill", "interrupted"), ("backfill", "complete")
    ]  # fmt: skip
    assert rows(path, "select firstname from crm.contacts where id = 512") == [("Changed",)]
    fresh = path.with_name("fresh.duckdb")
    synced(running, fresh)
    one, other = (dump(file, without=BY_THE_CLOCK) for file in (path, fresh))
    assert_same(one, other)


def is_waiting(process) -> bool:
    """Whether it has said that it waits; reads a line of it, which is its first."""
    return "waiting for" in process.stderr.readline()


@pytest.mark.slow
def test_two_backfills_of_the_same_share_it(simulator, path):
    """Nothing is read twice: when one has done the rest, the other ends well."""
    running = simulator(contacts=600, calls=0)
    running.door.close_after(1)
    with small_backfill(running, path) as one:
        assert running.door.is_knocked_at.wait(60)
        with small_backfill(running, path) as other:
            wait_until(lambda: is_waiting(other), what="the second waits for its turn")
            running.door.open()
            for process in (one, other):
                _, said = process.communicate(timeout=120)
                assert process.returncode == 0, said

    assert ids_of(path) == truth(running.portal).keys()
    assert rows(path, "select sum(requested_ids) from crm.runs") == [(len(truth(running.portal)),)]


@pytest.mark.slow
def test_two_backfills_of_the_same_end_alike_when_the_sums_of_one_differ(simulator, path):
    """The one that made way finds all of it done, and that something is wrong with it."""
    running = simulator(contacts=600, calls=0)
    running.door.close_after(1)
    other_ended, failures = threading.Event(), []

    def make_way() -> None:
        try:
            filled(running, path, everything(), bounds=SMALL, tell=lambda _: other_ended.wait())
        except IncompleteError as failure:
            failures.append(failure)

    one = threading.Thread(target=make_way)
    one.start()
    try:
        assert running.door.is_knocked_at.wait(60)
        with small_backfill(running, path) as other:
            wait_until(lambda: is_waiting(other), what="the second waits for its turn")
            running.door.open()
            running.door.close_to(max(running.portal.records["contacts"].live))
            assert running.door.is_knocked_at.wait(60)
            wait_until(lambda: rows_deleted(path), what="somebody deletes the rows")
            running.door.open()
            _, said = other.communicate(timeout=120)
    finally:
        running.door.open()
        other_ended.set()
        one.join()

    assert "but the table has" in said.splitlines()[-1]
    assert other.returncode == 4
    assert ["its sums differ" in str(failure) for failure in failures] == [True]
    again = filled(running, path, everything())
    assert again.requested_ids == len(truth(running.portal))


@pytest.mark.slow
def test_a_second_backfill_that_may_not_wait_stops_with_one_line(simulator, path):
    running = simulator(contacts=100, calls=0)
    running.door.close_after(0)
    with small_backfill(running, path) as process:
        assert running.door.is_knocked_at.wait(60)
        done = crm(
            "backfill", "contacts", "--all", "--wait", 0, "--warehouse", path,
            cwd=path.parent, simulator=running,
        )  # fmt: skip
        running.door.open()
        _, said = process.communicate(timeout=120)

    assert_one_line(done, 5, "another crm is at work on")
    assert process.returncode == 0, said


@pytest.mark.slow
def test_a_killed_backfill_goes_on(simulator, path):
    running = simulator(contacts=500, calls=0)
    running.door.close_after(4)
    with small_backfill(running, path) as process:
        assert running.door.is_knocked_at.wait(60)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    running.door.open()
    sent = running.statistics.requests["batch_read"]

    with small_backfill(running, path) as process:
        _, said = process.communicate(timeout=120)

    assert process.returncode == 0, said
    assert running.statistics.requests["batch_read"] - sent <= 12
    assert ids_of(path) == truth(running.portal).keys()


# ---------------------------------------------------------------- wrong usage

WRONG = {
    "no selector": (("contacts",), "say which records in one way"),
    "two selectors": (("contacts", "--all", "--from-id", 5), "--all and --from-id/--to-id"),
    "no such object": (("deals", "--all"), "crm syncs contacts and calls"),
    "range the wrong way round": (("contacts", "--from-id", 9, "--to-id", 8), "swap them"),
    "negative id": (("contacts", "--from-id", -3), "whole numbers from 1"),
    "window the wrong way round": (
        ("contacts", "--created-since", "2026-02-01", "--created-until", "2026-01-01"),
        "--created-since is later than --created-until",
    ),
    "bad moment": (("contacts", "--modified-since", "soon"), "--modified-since is 'soon'"),
    "moment before time": (
        ("contacts", "--modified-since", "0001-01-01T00:00:00+05:00"),
        "--modified-since is",
    ),
    "not unique": (
        ("contacts", "--sql", "select 'x' as firstname", "--id-property", "firstname"),
        "it must be a unique property (email",
    ),
    "id property of a range": (("contacts", "--from-id", 1, "--id-property", "email"), "--ids"),
    "no such property": (
        ("contacts", "--all", "--property", "firstnam"),
        "did you mean 'firstname'?",
    ),
    "property by value": (
        ("contacts", "--sql", "select 'x' as email", "--id-property", "email",
         "--property", "firstname"),
        "give record ids",
    ),
    "no such file": (("contacts", "--ids", "nowhere.csv"), "there is no file nowhere.csv"),
    "bad SQL": (("contacts", "--sql", "selec id from crm.contacts"), "DuckDB does not accept"),
    "SQL that writes": (("contacts", "--sql", "delete from crm.contacts"), "only reads"),
    "SQL that writes inside": (
        ("contacts", "--sql", "insert into crm.contacts (id) values (7) returning id"),
        "only reads",
    ),
}  # fmt: skip


ASK_DEFINITIONS = {"not unique", "no such property", "property by value"}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=() if case in ASK_DEFINITIONS else pytest.mark.asks_nothing)
        for case in WRONG
    ],
)
def test_wrong_usage_is_one_line_and_sends_no_read(case, still, full):
    arguments, words = WRONG[case]
    before, sent = dump(full), still.statistics.requests["batch_read"]

    done = crm("backfill", *arguments, "--warehouse", full, cwd=full.parent, simulator=still)

    assert_one_line(done, 2, words)
    assert_same(dump(full), before)
    assert still.statistics.requests["batch_read"] == sent


def test_a_query_needs_a_warehouse(still, path):
    done = crm("backfill", "contacts", "--sql", "select 1 as id", "--warehouse", path,
               cwd=path.parent, simulator=still)  # fmt: skip

    assert_one_line(done, 5, "no warehouse at")
    assert not path.exists()


def test_the_command_reads_a_file_and_says_what_became_of_it(still, full, tmp_path):
    written(tmp_path, "512\n512\n77\n")

    done = crm("backfill", "contacts", "--ids", "ids.txt", "--warehouse", full,
               "--log-format", "json", cwd=tmp_path, simulator=still)  # fmt: skip

    account = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert (account["requested_ids"], account["error_ids"], account["duplicate_ids"]) == (2, 1, 1)
