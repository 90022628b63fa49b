"""`kill -9` at any point loses at most a chunk's work and never data; Ctrl-C loses nothing.

The processes killed here run `crm sync` with chunks of 100 records (`small_chunks.py`),
so that a small portal has many checkpoints; those interrupted are `crm sync` itself.
"""

from __future__ import annotations

import shutil
import signal
import threading
from contextlib import suppress

import pytest
from harness import (
    BY_THE_CLOCK,
    CRM,
    SMALL_CHUNKS,
    TIMEOUT_S,
    WAREHOUSE,
    assert_same,
    crm,
    dump,
    rows,
    rows_deleted,
    settings_for,
    started,
    synced,
    wait_until,
)

from pipelines.errors import Interrupted
from pipelines.progress import Silent
from pipelines.settings import OBJECT_TYPES
from pipelines.sync import sync
from pipelines.warehouse import Warehouse
from pipelines.workfolder import is_package_pending

CHUNK = 100
LEAST_S, MOST_S = 0.9, 3.6
"""When a process is killed: from about where it has opened the warehouse to after its end."""


@pytest.fixture(scope="module")
def still(shared_simulator):
    """A portal of some chunks, in which nothing changes."""
    return shared_simulator(contacts=400, calls=110, seed=5)


@pytest.fixture(scope="module")
def undisturbed(after_sync):
    """What every killed and resumed run has to come to."""
    return dump(after_sync, without=BY_THE_CLOCK)


def small_chunks(running, path, *objects):
    return started(*SMALL_CHUNKS, path, CHUNK, 20, *objects, cwd=path.parent, simulator=running)


def run_to_the_end(running, path) -> str:
    with small_chunks(running, path) as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return errors


def killed_at(running, path, seconds: float) -> bool:
    """Start a run and kill it after so long; whether it was still running."""
    with small_chunks(running, path) as process:
        pause = threading.Event()
        timer = threading.Timer(seconds, pause.set)
        timer.start()
        wait_until(lambda: pause.is_set() or process.poll() is not None, what="the moment to kill")
        timer.cancel()
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), errors
    return process.returncode != 0


def batch_reads(running) -> int:
    return running.statistics.requests["batch_read"]


def work_folder(path):
    return path.with_name(path.name + ".work")


def assert_complete(path, undisturbed) -> None:
    """The same tables, no id twice, and no run left behind that seems to be running."""
    assert_same(dump(path, without=BY_THE_CLOCK), undisturbed)
    for table in ("contacts", "calls"):
        assert rows(path, f"select count(*) - count(distinct id) from crm.{table}") == [(0,)]
    assert rows(path, "select count(*) - count(distinct batch_id) from crm.batches") == [(0,)]
    assert rows(path, "select count(*) from crm.runs where status = 'running'") == [(0,)]
    assert rows(path, "select status, message from crm.runs order by started_at desc limit 1")[0][
        0
    ] == ("complete")


# ---------------------------------------------------------------- SIGKILL, where it hurts


@pytest.mark.slow
def test_a_killed_run_goes_on_at_its_checkpoint(still, undisturbed, path):
    """What has landed is not read again, and the killed run is not left as `running`."""
    with small_chunks(still, path) as process:
        wait_until(lambda: packages_landed(path) >= 3, what="three chunks have landed")
        process.kill()
    sent = batch_reads(still)

    errors = run_to_the_end(still, path)

    assert "going on where the last run stopped" in errors
    assert batch_reads(still) - sent <= 6  # of 9
    assert_complete(path, undisturbed)
    assert ("interrupted",) in rows(path, "select distinct status from crm.runs")


def packages_landed(path) -> int:
    """How many load packages of a running process are in the warehouse."""
    return len(list(work_folder(path).glob("dlt/*/load/loaded/*")))


@pytest.mark.parametrize(
    ("place", "after"),
    [
        pytest.param(
            "normalize/extracted/*", 0, id="first package extracted", marks=pytest.mark.slow
        ),
        pytest.param("normalize/extracted/*", 2, id="extracted", marks=pytest.mark.slow),
        pytest.param("load/new/*", 1, id="being normalized", marks=pytest.mark.slow),
        pytest.param(
            "load/normalized/*/started_jobs/*.parquet", 0, id="job begun", marks=pytest.mark.slow
        ),
        pytest.param("load/normalized/*/.pending_transitions/contacts*", 0, id="rows committed"),
        pytest.param(
            "load/normalized/*/completed_jobs/contacts*", 2, id="rows in", marks=pytest.mark.slow
        ),
        pytest.param(
            "load/normalized/*/completed_jobs/calls*", 6, id="calls in", marks=pytest.mark.slow
        ),
    ],
)
def test_killed_at_each_step_of_a_load_package(place, after, still, undisturbed, path):
    """dlt drops some packages and repeats others; neither may lose or double a row."""
    with small_chunks(still, path) as process:
        wait_until(
            lambda: (
                (packages_landed(path) >= after and any(work_folder(path).glob(f"dlt/*/{place}")))
                or process.poll() is not None
            ),
            what=place,
        )
        process.kill()
    assert process.returncode == -signal.SIGKILL

    run_to_the_end(still, path)

    assert_complete(path, undisturbed)


@pytest.mark.parametrize(
    "left",
    [
        pytest.param(None, id="whole", marks=pytest.mark.slow),
        pytest.param("schema.json", id="half deleted"),
    ],
)
def test_killed_before_dlt_deleted_what_it_had_normalized(left, still, undisturbed, path, tmp_path):
    """A package is in two places for a moment; every later run would fail on that for ever.

    The moment is too short to be met by chance, so the package is put back where it was.
    """
    dlt, aside = work_folder(path) / "dlt" / "crm", tmp_path / "aside"

    def is_normalized() -> bool:
        for package in dlt.glob("normalize/extracted/*"):
            with suppress(OSError, shutil.Error):  # it goes while it is copied
                shutil.copytree(package, aside / package.name)
        return any((dlt / "load" / "normalized" / copy.name).is_dir() for copy in aside.glob("*"))

    with small_chunks(still, path) as process:
        wait_until(is_normalized, what="a package is normalized of which there is a copy")
        process.kill()
    for copy in aside.glob("*"):
        if (dlt / "load" / "normalized" / copy.name).is_dir():
            back = dlt / "normalize" / "extracted" / copy.name
            shutil.rmtree(back, ignore_errors=True)
            shutil.copytree(
                copy, back, ignore=lambda _, names: {*names} - {left} if left else set()
            )

    run_to_the_end(still, path)

    assert_complete(path, undisturbed)


@pytest.mark.slow
def test_killed_and_the_working_folder_deleted(still, undisturbed, path):
    """The state is in the warehouse; packages that had not landed are read again."""
    with small_chunks(still, path) as process:
        wait_until(lambda: packages_landed(path) >= 2, what="two packages have landed")
        process.kill()
    assert process.returncode == -signal.SIGKILL
    shutil.rmtree(work_folder(path))

    run_to_the_end(still, path)

    assert_complete(path, undisturbed)


@pytest.mark.slow
def test_what_changed_between_a_kill_and_the_next_run_arrives(simulator, path):
    """The list goes on at an id: a record that was read already and has changed comes next time."""
    running = simulator(contacts=230, calls=5)
    with small_chunks(running, path, "contacts") as process:
        wait_until(lambda: packages_landed(path) >= 1, what="a chunk has landed")
        process.kill()
    last = running.portal.records["contacts"].live[-1]
    running.portal.update("contacts", last, {"firstname": "Late"})
    new = running.portal.create("contacts", {"firstname": "New"})

    synced(running, path, ("contacts",))
    synced(running, path, ("contacts",))

    assert rows(
        path, "select firstname from crm.contacts where id in (?, ?) order by id", last, new
    ) == [("Late",), ("New",)]
    other = path.with_name("undisturbed.duckdb")
    synced(running, other, ("contacts",))
    assert_same(dump(path, without=BY_THE_CLOCK), dump(other, without=BY_THE_CLOCK))


# ---------------------------------------------------------------- Ctrl-C and SIGTERM


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_ctrl_c_lands_what_was_read_and_the_next_run_goes_on(number, simulator, path):
    """A clean stop with a checkpoint, exit 130; containers are stopped with SIGTERM."""
    running = simulator(contacts=900, calls=5, latency_ms=150)
    command = (*CRM, "sync", "contacts", "--warehouse", path)
    with started(*command, cwd=path.parent, simulator=running) as process:
        wait_until(lambda: batch_reads(running) >= 4, what="some batches are read")
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "stopping" in errors
    (landed,) = rows(path, "select count(*) from crm.contacts")[0]
    assert 0 < landed < 900
    assert rows(
        path, "select status, loaded_rows from crm.runs where object_type = 'contacts'"
    ) == [("interrupted", landed)]

    sent = batch_reads(running)
    synced(running, path, ("contacts",))
    remaining = batch_reads(running) - sent
    other = path.with_name("undisturbed.duckdb")
    sent = batch_reads(running)
    synced(running, other, ("contacts",))
    assert remaining <= batch_reads(running) - sent - landed // 100
    assert_same(dump(path, without=BY_THE_CLOCK), dump(other, without=BY_THE_CLOCK))


def test_a_second_ctrl_c_ends_at_once(simulator, path):
    """HubSpot may be slow to answer; who presses twice does not want to wait for it."""
    running = simulator(contacts=300, calls=10)
    running.door.close_after(batch_reads=0)  # there is no answer before the end of the test
    with started(*CRM, "sync", "--warehouse", path, cwd=path.parent, simulator=running) as process:
        assert running.door.is_knocked_at.wait(TIMEOUT_S)
        process.send_signal(signal.SIGINT)
        for line in process.stderr:
            if "stopping" in line:
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=1.5)

    assert process.returncode == 130


def test_an_interrupt_before_anything_was_read_leaves_nothing_half_done(still, path):
    """The stop may come in the first second."""
    stop = threading.Event()
    stop.set()
    with Warehouse(path) as warehouse:
        outcome = sync(settings_for(still), warehouse, ("contacts",), view=Silent(), stop=stop)

    assert isinstance(outcome.failure, Interrupted)
    assert [row.status for row in outcome.runs] == ["interrupted"]
    assert rows(path, "select status, requested_ids from crm.runs") == [("interrupted", 0)]


# ---------------------------------------------------------------- what nobody expected


class Breaks(Silent):
    """A view with a bug, which is as good as any other bug."""

    def begin(self, counters) -> None:
        raise ZeroDivisionError(f"somebody's value in {counters.object_type}")


def test_an_error_that_nobody_expected_is_one_line_and_closes_the_run(still, path):
    """Its text may hold somebody's values, so only its kind and place are told."""
    with Warehouse(path) as warehouse:
        outcome = sync(
            settings_for(still), warehouse, OBJECT_TYPES, view=Breaks(), stop=threading.Event()
        )

    assert outcome.failure.exit_code == 4
    assert "ZeroDivisionError in test_resume.py" in str(outcome.failure)
    assert "somebody" not in str(outcome.failure)
    assert rows(path, "select distinct status from crm.runs") == [("incomplete",)]


@pytest.mark.slow
def test_a_run_whose_sums_differ_is_read_anew_by_the_next(simulator, path, tmp_path):
    """Going on from its last chunk, the next run would call itself complete without the rows."""
    running = simulator(contacts=580, calls=5)
    running.door.close_after(batch_reads=1)
    command = (*SMALL_CHUNKS, path, 100, 30, "contacts")

    with started(*command, cwd=tmp_path, simulator=running) as process:
        wait_until(lambda: rows_deleted(path), what="somebody deletes the first rows")
        running.door.open()
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 4, errors
    assert "the table has" in errors.splitlines()[-1]

    done = crm("sync", "contacts", "--warehouse", path, cwd=tmp_path, simulator=running)
    assert done.returncode == 0, done.stderr
    truth = {int(record["id"]) for record in running.portal.truth("contacts")}
    assert {row[0] for row in rows(path, "select id from crm.contacts")} == truth


# ---------------------------------------------------------------- a working folder with holes


@pytest.fixture(scope="module")
def tiny(shared_simulator):
    """A portal that is read again and again."""
    return shared_simulator(contacts=120, calls=30, seed=6)


@pytest.fixture(scope="module")
def read_once(tiny, tmp_path_factory):
    """A folder with a warehouse that has been read in whole."""
    folder = tmp_path_factory.mktemp("once")
    synced(tiny, folder / WAREHOUSE)
    return folder


@pytest.fixture(scope="module")
def read_in_part(tiny, tmp_path_factory):
    """A folder with a warehouse whose run was killed when a package was about to be loaded."""
    path = tmp_path_factory.mktemp("part") / WAREHOUSE
    with small_chunks(tiny, path) as process:
        jobs = "dlt/crm/load/normalized/*/new_jobs/contacts*"
        wait_until(lambda: any(work_folder(path).glob(jobs)), what="a package is normalized")
        process.kill()
    assert is_package_pending(path)
    return path.parent


def without(hole, folder, place):
    """A copy of a warehouse with a file or folder of dlt's removed."""
    shutil.copytree(folder, place)
    path = place / WAREHOUSE
    target = work_folder(path) / "dlt" / hole
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    return path


def holes(folder) -> list[str]:
    """What dlt needs to find on disk, but for the rows that wait to be loaded."""
    dlt = work_folder(folder / WAREHOUSE) / "dlt"
    found = [path.relative_to(dlt).as_posix() for path in sorted(dlt.rglob("*"))]
    others = ("/loaded/", "/extracted/", "/new_jobs/", "/.restore/")
    return [name for name in found if not any(part in name for part in others)]


def assert_read_in_whole(tiny, path, read_once) -> None:
    synced(tiny, path)
    assert_complete(path, dump(read_once / WAREHOUSE, without=BY_THE_CLOCK))


@pytest.mark.slow
def test_a_working_folder_that_dlt_cannot_read_is_made_anew(tiny, read_once, tmp_path):
    """Left by a process killed while it deleted, it failed every later run, and `crm doctor`."""
    path = without("crm/load/normalized", read_once, tmp_path / "copy")
    left = work_folder(path) / "discarded-1" / "dlt" / "crm"
    left.mkdir(parents=True)
    (left / "state.json").touch()

    found = crm("doctor", "--warehouse", path, cwd=tmp_path, simulator=tiny)

    assert found.returncode == 0, found.stderr
    assert {one.name for one in work_folder(path).iterdir()} == {"dlt", "lock", "turn"}
    assert_read_in_whole(tiny, path, read_once)


@pytest.mark.slow
def test_whatever_of_the_working_folder_is_gone_the_next_run_completes(tiny, read_once, tmp_path):
    """What it held can be read again."""
    for number, hole in enumerate(holes(read_once)):
        path = without(hole, read_once, tmp_path / str(number))
        assert_read_in_whole(tiny, path, read_once)


@pytest.mark.slow
def test_whatever_of_a_pending_package_is_gone_the_next_run_completes(
    tiny, read_once, read_in_part, tmp_path
):
    """It is loaded, or read again from the checkpoint before it."""
    of_the_package = sorted({*holes(read_in_part)} - {*holes(read_once)})
    assert of_the_package
    for number, hole in enumerate(of_the_package):
        path = without(hole, read_in_part, tmp_path / str(number))
        assert_read_in_whole(tiny, path, read_once)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["crm/state.json", "crm/schemas/hubspot.schema.json"])
def test_a_file_of_the_working_folder_that_was_cut_off_is_made_anew(
    name, tiny, read_once, read_in_part, tmp_path
):
    """As a machine leaves it that lost its power."""
    shutil.copytree(read_in_part, tmp_path / "copy")
    path = tmp_path / "copy" / WAREHOUSE
    (work_folder(path) / "dlt" / name).write_bytes(b'{"versi')

    assert_read_in_whole(tiny, path, read_once)
