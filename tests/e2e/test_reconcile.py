"""`crm reconcile` names every id in which HubSpot and the warehouse differ; `--fix` mends them."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import duckdb
import pytest
from harness import (
    BY_THE_CLOCK,
    CRM,
    WAREHOUSE,
    assert_one_line,
    assert_same,
    crm,
    dump,
    rows,
    settings_for,
    started,
    synced,
    wait_until,
)

from pipelines.errors import HubSpotError, Interrupted, WarehouseError
from pipelines.findings import Finding, Reconciled
from pipelines.hubspot.retry import RetryPolicy
from pipelines.progress import Silent
from pipelines.reconcile import reconcile
from pipelines.simulator.faults import Fault, Faults
from pipelines.simulator.portal import Portal
from pipelines.stream import Bounds
from pipelines.warehouse import Warehouse

MOMENTS = BY_THE_CLOCK | {"seen_at", "fixed_at", "resolved_at", "archived_at"}
"""What --fix writes by the clock; two that do the same differ in nothing else."""
OPEN = "select object_id, finding from crm.reconciliation where fixed_at is null order by 1"


IMPATIENT = Bounds(retry=RetryPolicy(attempts=2, total_s=2.0))


def reconciled(
    running, path, object_type="contacts", *, is_fix=False, stop=None, bounds=Bounds()
) -> Reconciled:
    """`crm reconcile` without the process around it."""
    with Warehouse(path, lock_wait_s=10.0) as warehouse:
        return reconcile(
            settings_for(running),
            warehouse,
            object_type,
            views=Silent,
            stop=stop or threading.Event(),
            is_fix=is_fix,
            bounds=bounds,
        )


def synced_an_hour_ahead(running, path) -> None:
    """What the portal does next, this sync should have seen."""
    running.portal.advance(3600)
    synced(running, path)
    running.portal.advance(-3600)


def found(result: Reconciled) -> dict[str, int]:
    return {str(finding): count for finding, count in result.found.items() if count}


def by_hand(path, *statements: tuple) -> None:
    with duckdb.connect(str(path)) as connection:
        for sql, *parameters in statements:
            connection.execute(sql, parameters)


@pytest.fixture(scope="module")
def drifted(shared_simulator, tmp_path_factory):
    """A warehouse and a portal that differ in every way there is; tests only read the portal."""
    running = shared_simulator(contacts=400, calls=30, seed=4)
    path = tmp_path_factory.mktemp("drifted") / WAREHOUSE
    synced_an_hour_ahead(running, path)
    portal = running.portal
    live, archived = (list(getattr(portal.records["contacts"], k)) for k in ("live", "archived"))
    broken = next(i for i, _, _ in portal.broken("contacts") if i in live)
    live.remove(broken)
    for gone in (live[2], archived[0], broken):
        portal.delete("contacts", gone)
    portal.archive("contacts", live[1])
    winner = portal.merge(live[3], live[4])
    portal.merge(live[5], live[6], keep_primary_id=True)
    portal.update("contacts", live[7], {"firstname": "Changed unseen"})
    portal.advance(7200)
    portal.update("contacts", live[8], {"firstname": "Changed since"})
    portal.advance(60)  # search has learnt of it
    by_hand(
        path,
        ("delete from crm.contacts where id in (?, ?)", live[9], archived[1]),
        ("update crm.contacts set archived = true where id = ?", live[10]),
    )
    findings = {
        live[2]: "missing_there", archived[0]: "missing_there", broken: "missing_there",
        live[1]: "archived_there", live[3]: "merged", live[4]: "merged", live[6]: "merged",
        live[5]: "differs", live[7]: "differs", live[8]: "pending", live[9]: "missing_here",
        archived[1]: "missing_here", winner: "missing_here", live[10]: "live_there",
    }  # fmt: skip
    return SimpleNamespace(
        running=running, path=path, findings=findings, broken=broken, winner=winner,
        old_ids={live[3]: winner, live[4]: winner, live[6]: live[5]},
        gone=[live[2], archived[0], broken],
    )  # fmt: skip


@pytest.fixture
def copy(drifted, path):
    """The same warehouse, of this test's own."""
    return shutil.copy(drifted.path, path)


@pytest.fixture(scope="module")
def fixed(drifted, tmp_path_factory):
    """What every --fix has to come to, by the command line; with what it printed."""
    path = tmp_path_factory.mktemp("fixed") / WAREHOUSE
    shutil.copy(drifted.path, path)
    done = crm(
        "reconcile", "contacts", "--fix", "--log-format", "json", "--warehouse", path,
        cwd=path.parent, simulator=drifted.running,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout, done.stderr)
    return SimpleNamespace(path=path, said=json.loads(done.stdout))


# ---------------------------------------------------------------- what is found


@pytest.mark.slow
def test_a_warehouse_that_is_up_to_date_has_no_findings(simulator, path):
    running = simulator(contacts=230, calls=40)
    synced(running, path)
    before = dump(path)

    for object_type in ("contacts", "calls"):
        result = reconciled(running, path, object_type)
        assert (found(result), result.left) == ({}, 0)
        assert result.live == result.total
        assert result.rows == result.live + result.archived

    after = dump(path)
    assert {name: after[name] for name in before} == before
    assert (
        rows(path, "select status, message from crm.runs where command = 'reconcile'")
        == [("complete", "nothing found")] * 2
    )


def test_every_difference_is_found_and_nothing_else_is_changed(drifted, copy):
    """Exit 1, a table on the terminal, and each id in `crm.reconciliation`."""
    before = dump(copy)

    done = crm(
        "reconcile", "contacts", "--warehouse", copy, cwd=copy.parent, simulator=drifted.running
    )

    assert done.returncode == 1, done.stderr
    assert dict(rows(copy, OPEN)) == drifted.findings
    for finding in Finding:
        (line,) = (line for line in done.stdout.splitlines() if line.startswith(f"│ {finding} "))
        count = list(drifted.findings.values()).count(finding)
        assert line.split("│")[2].strip() == str(count)
    assert "it agrees with the list" in done.stdout
    assert "crm reconcile contacts --fix" in done.stdout
    after = dump(copy)
    assert {name: after[name] for name in before} == before


@pytest.mark.slow
def test_the_next_reconcile_replaces_what_an_earlier_one_found(drifted, copy):
    reconciled(drifted.running, copy)
    by_hand(copy, ("delete from crm.contacts where id = ?", drifted.gone[0]))

    reconciled(drifted.running, copy)

    expected = drifted.findings.items() - {(drifted.gone[0], "missing_there")}
    assert set(rows(copy, OPEN)) == expected
    assert rows(copy, "select count(distinct run_id) from crm.reconciliation") == [(1,)]


@pytest.mark.slow
def test_a_reconcile_does_not_make_the_tables_look_fresher(drifted, fixed):
    freshness = (
        "select complete_as_of, last_status, count_loaded from analytics.sync_freshness "
        "order by object_type"
    )

    assert rows(fixed.path, freshness) == rows(drifted.path, freshness)


@pytest.mark.slow
def test_the_next_sync_brings_what_is_pending(drifted, fixed, copy):
    shutil.copy(fixed.path, copy)
    running = drifted.running
    assert found(reconciled(running, copy)) == {"pending": 1}

    before = dump(copy, without=MOMENTS)
    synced(running, copy)

    after = dump(copy, without=MOMENTS)
    columns, cells = before["contacts"]
    changed = {row[columns.index("id")] for row in {*cells} ^ {*after["contacts"][1]}}
    assert changed == {str(i) for i, finding in drifted.findings.items() if finding == "pending"}
    assert {**before, "contacts": 0} == {**after, "contacts": 0}


@pytest.mark.slow
def test_changes_made_meanwhile_are_no_findings(simulator, path):
    """HubSpot is asked once more, id by id: what is so by then counts."""
    running = simulator(contacts=300, calls=5)
    synced(running, path)
    portal = running.portal
    one, two, three = portal.records["contacts"].live[:3]
    by_hand(path, ("delete from crm.contacts where id in (?, ?, ?)", one, two, three))
    running.door.close_after(0)
    results: list[Reconciled] = []
    working = threading.Thread(target=lambda: results.append(reconciled(running, path)))
    working.start()
    wait_until(lambda: running.door._left < 0, what="the suspects are asked for")

    portal.delete("contacts", one)
    portal.archive("contacts", two, at=datetime.now(UTC) + timedelta(hours=1))
    running.door.open()
    working.join()

    assert rows(path, OPEN) == sorted([(two, "pending"), (three, "missing_here")])
    assert results[0].left == 1


@pytest.mark.parametrize("ahead_s", [-86_400, 86_400], ids=["behind", "ahead"])
def test_what_is_pending_goes_by_the_clock_of_hubspot(ahead_s, simulator, path):
    """Ours may be a day off: what changed after the sync is pending, what it missed is not."""
    now = datetime.now(UTC) + timedelta(seconds=ahead_s)
    running = simulator(portal=Portal.build(contacts=60, calls=0, now=now))
    portal = running.portal
    missed, changed, *_ = portal.records["contacts"].live
    portal.update("contacts", missed, {"firstname": "Before"})
    portal.advance(60)
    synced(running, path, ("contacts",))
    by_hand(path, ("delete from crm.contacts where id = ?", missed))
    portal.update("contacts", changed, {"firstname": "Since"})

    reconciled(running, path)

    assert rows(path, OPEN) == sorted([(missed, "missing_here"), (changed, "pending")])


@pytest.mark.slow
def test_search_that_lags_behind_is_told_and_is_no_finding(simulator, path):
    running = simulator(contacts=120, calls=5)
    synced(running, path)
    by_hand(path, ("update crm.contacts set synced_at = synced_at",))
    running.portal.create("contacts", {"firstname": "New"}, at=datetime.now(UTC) + timedelta(1))

    result = reconciled(running, path)

    assert found(result) == {"pending": 1}
    assert (result.total, result.live) in ((120, 121), (121, 121))


# ---------------------------------------------------------------- --fix


def test_fix_makes_the_warehouse_what_a_first_sync_would(drifted, fixed, tmp_path):
    """Besides the rows of what is deleted for good, and the one that is pending."""
    fresh = tmp_path / "fresh.duckdb"
    synced(drifted.running, fresh)
    told = {*drifted.gone, *(i for i, what in drifted.findings.items() if what == "pending")}
    columns = "id, archived, archived_at, created_at, updated_at, firstname, email, hs_object_id"
    of_all = f"select {columns} from crm.contacts order by id"

    def others(path):
        return [row for row in rows(path, of_all) if row[0] not in told]

    assert others(fixed.path) == others(fresh)
    assert len(others(fresh)) > 350
    assert fixed.said["left"] == 0
    assert sum(fixed.said["fixed"].values()) == len(drifted.findings) - 1
    assert rows(fixed.path, OPEN) == [
        (i, what) for i, what in drifted.findings.items() if what == "pending"
    ]
    for (check,) in ((f"select count(*) from crm.{t} group by id having count(*) > 1",) for t in
                     ("contacts", "calls")):  # fmt: skip
        assert rows(fixed.path, check) == []


def test_what_is_deleted_for_good_keeps_its_row_and_none_of_its_values(drifted, fixed):
    """Neither in the table, nor in what dlt staged, nor in `errors`."""
    gone = drifted.gone
    names = [
        name
        for (name,) in rows(
            fixed.path,
            "select column_name from information_schema.columns where table_schema = 'crm' "
            "and table_name = 'contacts' and column_name not in ('id', 'created_at', "
            "'updated_at', 'archived_at', 'archived', 'synced_at')",
        )
    ]
    values = ", ".join(f'"{name}"' for name in names)
    assert len(names) > 40
    assert rows(
        fixed.path, f"select {values} from crm.contacts where id in (select unnest(?))", gone
    ) == [(None,) * len(names)] * len(gone)
    assert rows(
        fixed.path,
        "select count(*) from crm.contacts where id in (select unnest(?)) "
        "and archived and archived_at is not null and created_at is not null",
        gone,
    ) == [(len(gone),)]
    assert sorted(rows(fixed.path, "select object_type, object_id from crm.deletions")) == sorted(
        ("contacts", one) for one in gone
    )
    of_errors = "from {}.errors where object_id = ?"
    raw = "select raw_value, context, resolved_at is null "
    assert rows(drifted.path, raw + of_errors.format("crm"), str(drifted.broken))[0][0]
    assert rows(fixed.path, raw + of_errors.format("crm"), str(drifted.broken)) == [
        (None, None, False)
    ]
    assert rows(
        fixed.path,
        "select (select count(*) from crm_staging.contacts where id in (select unnest($1))), "
        "(select count(*) from crm_staging.errors where raw_value is not null "
        "and object_id::bigint in (select unnest($1)))",
        gone,
    ) == [(0, 0)]


def test_merged_rows_go_and_their_ids_lead_to_the_winner(drifted, fixed):
    found = dict(rows(fixed.path, "select old_id, current_id from crm.id_aliases"))

    assert found.items() >= drifted.old_ids.items()
    assert rows(
        fixed.path,
        "select count(*) from crm.contacts where id in (select unnest(?))",
        list(drifted.old_ids),
    ) == [(0,)]
    assert rows(fixed.path, "select count(*) from crm.contacts where id = ?", drifted.winner) == [
        (1,)
    ]


@pytest.mark.slow
def test_an_id_merged_twice_leads_to_the_row_there_is(simulator, path):
    """Or a join through `id_aliases` would end at an id without a row."""
    running = simulator(contacts=30, calls=1)
    synced_an_hour_ahead(running, path)
    one, two, three = running.portal.records["contacts"].live[:3]
    first = running.portal.merge(one, two)
    reconciled(running, path, is_fix=True)
    last = running.portal.merge(first, three)

    assert found(reconciled(running, path, is_fix=True)) == {"merged": 2, "missing_here": 1}

    assert set(rows(path, "select old_id, current_id from crm.id_aliases")) >= {
        (one, last), (two, last), (first, last), (three, last),
    }  # fmt: skip


def test_a_second_fix_changes_nothing(drifted, fixed, copy):
    shutil.copy(fixed.path, copy)
    before = dump(copy, without=BY_THE_CLOCK | {"seen_at"})

    result = reconciled(drifted.running, copy, is_fix=True)

    assert result.left == 0
    assert_same(dump(copy, without=BY_THE_CLOCK | {"seen_at"}), before)


@pytest.mark.slow
def test_full_syncs_after_a_fix_change_nothing(simulator, path):
    """In particular they do not bring back what was deleted."""
    running = simulator(contacts=120, calls=5)
    synced_an_hour_ahead(running, path)
    live = list(running.portal.records["contacts"].live)
    running.portal.delete("contacts", live[0])
    running.portal.merge(live[1], live[2])
    running.portal.archive("contacts", live[3])
    assert reconciled(running, path, is_fix=True).left == 0
    before = dump(path)

    synced(running, path, is_full=True)

    assert_same(dump(path), before)
    assert found(reconciled(running, path)) == {}


@pytest.mark.slow
def test_a_record_that_is_back_is_no_deletion_any_more(simulator, path):
    running = simulator(contacts=60, calls=1)
    synced(running, path)
    records = running.portal.records["contacts"]
    record = records.by_id[records.live[0]]
    running.portal.delete("contacts", record.id)
    assert found(reconciled(running, path, is_fix=True)) == {"missing_there": 1}
    emails = f"select email is not null from crm.contacts where id = {record.id}"
    assert rows(path, emails) == [(False,)]
    records.add(record)

    assert found(reconciled(running, path, is_fix=True)) == {"live_there": 1}

    assert rows(path, emails) == [(True,)]
    assert rows(path, "select * from crm.deletions") == []
    assert found(reconciled(running, path)) == {}


@pytest.mark.slow
def test_the_token_of_another_portal_empties_nothing(simulator, path):
    """Every row would be missing there, and every value gone."""
    synced(simulator(contacts=150, calls=1, seed=1), path)
    other = simulator(contacts=150, calls=1, seed=2)
    before = dump(path)

    result = reconciled(other, path, is_fix=True)

    assert result.left > 200
    assert not any(result.fixed.values())
    assert "another portal" in " ".join(result.remarks())
    after = dump(path)
    assert {name: after[name] for name in before} == before


# ---------------------------------------------------------------- when HubSpot fails


@pytest.mark.slow
@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(("503=0.2", "429-rolling=0.1", "reset-in-body=0.1"), id="failing"),
        pytest.param(("left-out=0.5", "shuffled=0.5", "twice=0.5"), id="odd batches"),
        pytest.param(("all-missing=0.5",), id="all missing"),
        pytest.param(("errors-in-200=0.5",), id="errors in 200", marks=pytest.mark.slow),
        pytest.param(("status-pending=0.5",), id="pending", marks=pytest.mark.slow),
        pytest.param(("unasked=0.5",), id="unasked", marks=pytest.mark.slow),
    ],
)
def test_faults_change_no_finding(faults, drifted, fixed, copy, simulator):
    """A record may fail to be read in one --fix; the same command again mends it."""
    running = simulator(portal=drifted.running.portal, faults=Faults(*faults, seed=3))

    reconciled(running, copy)

    assert dict(rows(copy, OPEN)) == drifted.findings
    while reconciled(running, copy, is_fix=True).left:
        assert rows(copy, "select count(*) from crm.runs")[0][0] < 12
    tables, expected = (dump(one, without=MOMENTS) for one in (copy, fixed.path))
    for table in ("contacts", "calls", "id_aliases", "deletions"):
        assert tables[table] == expected[table]


@pytest.mark.slow
def test_a_record_that_cannot_be_read_stays_a_finding(simulator, path):
    """Exit 1; nothing that HubSpot did not call deleted is emptied."""
    running = simulator(contacts=80, calls=1)
    synced(running, path)
    live = list(running.portal.records["contacts"].live)
    by_hand(path, ("delete from crm.contacts where id = ?", live[0]))
    poisoned = simulator(portal=running.portal, faults=Faults(Fault("poison", share=1.0)))

    done = crm(
        "reconcile", "contacts", "--fix", "--warehouse", path, cwd=path.parent, simulator=poisoned
    )

    assert done.returncode == 4, (done.stdout, done.stderr)
    assert rows(path, "select count(*) from crm.deletions") == [(0,)]
    assert rows(path, "select status from crm.runs where command = 'reconcile'") == [
        ("incomplete",)
    ]


@pytest.mark.slow
def test_a_list_that_cannot_be_had_is_no_proof_of_anything(simulator, path):
    """Exit 4: with half a list every other row would look deleted."""
    running = simulator(contacts=250, calls=1)
    synced(running, path)
    before = dump(path)
    broken = simulator(
        portal=running.portal,
        faults=Faults(Fault("wrong-shape", share=1.0, hits=10**6, endpoint="list")),
    )

    with pytest.raises(HubSpotError):
        reconciled(broken, path, is_fix=True, bounds=IMPATIENT)

    after = dump(path)
    assert {name: after[name] for name in before} == before
    assert rows(path, "select status from crm.runs where command = 'reconcile'") == [
        ("incomplete",)
    ]


# ---------------------------------------------------------------- wrong use, and ends


def test_what_cannot_be_compared_is_one_line(simulator, tmp_path):
    running = simulator(contacts=5, calls=1)
    path = tmp_path / WAREHOUSE

    def failing(*arguments):
        return crm("reconcile", *arguments, "--warehouse", path, cwd=tmp_path, simulator=running)

    assert_one_line(failing("contact"), 2, "contact", "did you mean 'contacts'")
    assert_one_line(failing(), 2, "OBJECT")
    assert_one_line(failing("contacts"), 5, "run `crm sync contacts` first")
    assert not path.exists()
    assert running.statistics.count == 0


def test_findings_that_are_left_are_a_line_even_if_it_shall_be_quiet(drifted, copy):
    """Or cron would mail an exit code and nothing else."""
    done = crm(
        "reconcile", "contacts", "--quiet", "--warehouse", copy,
        cwd=copy.parent, simulator=drifted.running,
    )  # fmt: skip

    assert_one_line(done, 1, "3 merged", "crm reconcile contacts --fix")
    assert done.stdout == ""


def test_an_object_type_that_was_never_synced_is_told_so(simulator, path):
    running = simulator(contacts=5, calls=5)
    synced(running, path, ("contacts",))

    with pytest.raises(WarehouseError, match="run `crm sync calls` first"):
        reconciled(running, path, "calls")


@pytest.mark.slow
def test_a_missing_scope_ends_it_at_once(simulator, path):
    running = simulator(contacts=5, calls=5)
    synced(running, path)
    refusing = simulator(portal=running.portal, scopes=())

    done = crm("reconcile", "contacts", "--warehouse", path, cwd=path.parent, simulator=refusing)

    assert_one_line(done, 3, "crm.objects.contacts.read")
    assert rows(path, "select status from crm.runs where command = 'reconcile'") == [("failed",)]


@pytest.mark.slow
def test_a_stop_changes_nothing_and_is_written_down(drifted, copy):
    stop = threading.Event()
    stop.set()
    before = dump(copy)

    with pytest.raises(Interrupted):
        reconciled(drifted.running, copy, is_fix=True, stop=stop)

    after = dump(copy)
    assert {name: after[name] for name in before} == before
    assert rows(copy, "select status from crm.runs where command = 'reconcile'") == [
        ("interrupted",)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "packages",
    [
        pytest.param(n, marks=() if n in {3, 6} else pytest.mark.slow, id=f"{n} packages landed")
        for n in range(9)
    ],
)
def test_killed_anywhere_the_same_command_ends_with_the_same_tables(packages, drifted, fixed, copy):
    """Each step lands a package: findings, what was read, aliases, deletions, the end."""
    command = (*CRM, "reconcile", "contacts", "--fix", "--warehouse", copy)
    with started(*command, cwd=copy.parent, simulator=drifted.running) as process:
        wait_until(
            lambda: landed(copy) >= packages or process.poll() is not None,
            what=f"{packages} packages have landed",
        )
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL

    result = reconciled(drifted.running, copy, is_fix=True)

    assert result.left == 0
    assert_same(dump(copy, without=MOMENTS), dump(fixed.path, without=MOMENTS))
    assert rows(copy, OPEN) == rows(fixed.path, OPEN)
    assert rows(copy, "select count(*) from crm.runs where status = 'running'") == [(0,)]


def landed(path) -> int:
    """How many load packages of a running process are in the warehouse."""
    return len(list(path.with_name(path.name + ".work").glob("dlt/*/load/loaded/*")))


@pytest.mark.slow
def test_a_portal_without_records_is_compared_like_any_other(simulator, path):
    """Its lists are empty, and that is an answer."""
    running = simulator(portal=Portal.build(contacts=1, calls=3))
    synced(running, path)
    calls = [*running.portal.records["calls"].by_id]
    for call in calls:
        running.portal.delete("calls", call)

    result = reconciled(running, path, "calls", is_fix=True)

    assert (result.live, result.archived, result.left) == (0, 0, 0)
    assert found(result) == {"missing_there": len(calls)}
