"""One regression test for each trap that dlt, DuckDB and polars set; the numbers are the design's.

What only costs time (upsert, many tiny loads, dlt's row path) is watched by the benchmarks.
"""

from __future__ import annotations

import json
import subprocess
import threading
import venv
from types import SimpleNamespace

import pyarrow as pa
import pytest
from harness import (
    BY_THE_CLOCK,
    CRM,
    SMALL_CHUNKS,
    WAREHOUSE,
    assert_one_line,
    assert_same,
    columns_of,
    crm,
    dump,
    held_open,
    let_go,
    rows,
    settings_for,
    started,
    synced,
    wait_until,
)

from pipelines.landing import Landing
from pipelines.progress import Silent
from pipelines.settings import ObjectSettings
from pipelines.simulator.portal import Portal
from pipelines.stream import Bounds
from pipelines.sync import sync
from pipelines.warehouse import Warehouse
from pipelines.workfolder import is_package_pending


@pytest.fixture(scope="module")
def settled(shared_simulator, tmp_path_factory):
    """A warehouse after two runs, for tests that only read it: the second as a command."""
    running = shared_simulator(contacts=40, calls=60)
    path = tmp_path_factory.mktemp("settled") / WAREHOUSE
    synced(running, path)
    before = comments(path)
    done = crm("sync", "--verbose", "--warehouse", path, cwd=path.parent, simulator=running)
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(running=running, path=path, before=before, stderr=done.stderr)


def live(portal: Portal, count: int, object_type: str = "contacts") -> list[int]:
    """The first live ids, contact 512 (an example with fixed values) aside."""
    ids = [record_id for record_id in portal.records[object_type].live if record_id != 512]
    return ids[:count]


def column_of(path, name: str, object_type: str = "contacts") -> tuple[str, str]:
    return rows(
        path,
        "select column_name, column_type from crm.properties where object_type = ? and name = ?",
        object_type,
        name,
    )[0]


def value(path, column: str, record_id: int) -> object:
    return rows(path, f'select "{column}" from crm.contacts where id = ?', record_id)[0][0]


# ---------------------------------------------------------------- a thousand columns


def test_a_table_of_a_thousand_columns_lands_and_lands_again(path):
    """DuckDB needs memory for each column of a load, and gives up where its limit is too low."""
    count, names = 3_000, [f"property_{number}" for number in range(1_000)]
    texts = pa.array([f"some text {number}" for number in range(count)])
    key = pa.field("id", pa.int64(), nullable=False)
    contacts = pa.Table.from_arrays(
        [pa.array(range(count)), *[texts] * len(names)],
        schema=pa.schema([key, *((name, pa.string()) for name in names)]),
    )

    with Warehouse(path) as warehouse:
        warehouse.land([Landing("contacts", contacts, append=True)])
        warehouse.land([Landing("contacts", contacts)])

    assert rows(path, "select count(*), count(property_999) from crm.contacts") == [(count, count)]


def test_a_chunk_of_long_texts_lands(path):
    """DuckDB reads a column of a file in one piece, however low its limit is."""
    count = 5_000
    texts = pa.array([f"{number:06}" * 4_000 for number in range(count)])
    key = pa.field("id", pa.int64(), nullable=False)
    calls = pa.Table.from_arrays(
        [pa.array(range(count)), texts], schema=pa.schema([key, ("body", pa.string())])
    )

    with Warehouse(path) as warehouse:
        warehouse.land([Landing("calls", calls, append=True)])

    assert rows(path, "select count(*), min(length(body)) from crm.calls") == [(count, 24_000)]


# ---------------------------------------------------------------- 1: a column changes its type


def test_type_change_in_hubspot_gives_a_new_column_and_back_the_old_one(simulator, path):
    """A text sent to a DOUBLE column would fail that load and block every later one."""
    running = simulator(contacts=30, calls=5)
    portal, (record_id, *_) = running.portal, live(running.portal, 1)
    portal.update("contacts", record_id, {"annual_budget": "12.5"})
    synced(running, path, ("contacts",))

    portal.change_property_type("contacts", "annual_budget", "string/text")
    portal.update("contacts", record_id, {"annual_budget": "a lot"})
    changed = synced(running, path, ("contacts",))

    assert column_of(path, "annual_budget") == ("annual_budget__v_text", "VARCHAR")
    assert value(path, "annual_budget__v_text", record_id) == "a lot"
    assert value(path, "annual_budget", record_id) == 12.5  # what it held while it was a number
    assert columns_of(path, "contacts")["annual_budget"] == "DOUBLE"
    assert any(
        "annual_budget" in note and "annual_budget__v_text" in note for note in changed.notes
    )
    previous = rows(
        path, "select previous_columns from crm.properties where name = 'annual_budget'"
    )
    assert json.loads(previous[0][0]) == [{"column_name": "annual_budget", "column_type": "DOUBLE"}]

    portal.change_property_type("contacts", "annual_budget", "number/number")
    portal.update("contacts", record_id, {"annual_budget": "-3"})
    again = synced(running, path, ("contacts",))

    assert column_of(path, "annual_budget") == ("annual_budget", "DOUBLE")
    assert value(path, "annual_budget", record_id) == -3.0
    assert value(path, "annual_budget__v_text", record_id) == "a lot"
    assert [note for note in again.notes if "annual_budget" in note]
    assert not synced(running, path, ("contacts",)).notes
    assert not rows(
        path,
        "select * from crm.errors where property = 'annual_budget' and raw_value = 'a lot'",
    )


@pytest.mark.parametrize(
    "kind",
    [
        "date/date",
        pytest.param("enumeration/checkbox", marks=pytest.mark.slow),
        pytest.param("bool/booleancheckbox", marks=pytest.mark.slow),
    ],
)
def test_no_change_of_type_wedges_the_next_runs(kind, simulator, path):
    """Each kind has its own Arrow type; whatever does not fit goes to `errors`."""
    running = simulator(contacts=30, calls=5)
    running.portal.update("contacts", live(running.portal, 1)[0], {"property_string": "tomorrow"})
    synced(running, path, ("contacts",))

    running.portal.change_property_type("contacts", "property_string", kind)
    outcome = synced(running, path, ("contacts",))

    column, _ = column_of(path, "property_string")
    assert column.startswith("property_string__v_")
    filled = rows(path, f'select count("{column}") from crm.contacts')[0][0]
    rejected = rows(path, "select count(*) from crm.errors where property = 'property_string'")[0][
        0
    ]
    told = [
        record["properties"].get("property_string") for record in running.portal.truth("contacts")
    ]
    assert filled + rejected == sum(1 for raw in told if raw)
    assert outcome.runs[0].status == "complete"


# ---------------------------------------------------------------- 2: whole numbers first


def test_whole_numbers_first_then_a_fraction_keeps_the_fraction(simulator, path):
    """A column made from whole numbers would store 1.5 as 2, in silence."""
    running = simulator(contacts=350, calls=5)
    ids = running.portal.records["contacts"].live
    for record_id in ids[:250]:
        running.portal.update("contacts", record_id, {"property_number": "7"})
    running.portal.update("contacts", ids[-1], {"property_number": "1.5"})

    synced(running, path, ("contacts",), bounds=Bounds(chunk_records=100, slice_records=100))

    assert column_of(path, "property_number") == ("property_number", "DOUBLE")
    assert value(path, "property_number", ids[0]) == 7.0
    assert value(path, "property_number", ids[-1]) == 1.5


@pytest.mark.slow
def test_large_whole_numbers_first_then_a_fraction_rejects_it_and_names_the_setting(
    simulator, path
):
    """A BIGINT column cannot hold 1.5: it is in `errors`, not rounded, and the mend is named."""
    running = simulator(contacts=350, calls=5)
    ids = running.portal.records["contacts"].live
    running.portal.add_property("contacts", "big_number", "number/number")
    running.portal.update("contacts", ids[0], {"big_number": "9007199254740993"})
    running.portal.update("contacts", ids[-1], {"big_number": "1.5"})
    small = Bounds(chunk_records=100, slice_records=100)

    synced(running, path, ("contacts",), bounds=small)

    assert column_of(path, "big_number") == ("big_number", "BIGINT")
    assert value(path, "big_number", ids[0]) == 9007199254740993
    assert value(path, "big_number", ids[-1]) is None
    assert rows(
        path,
        "select object_id, raw_value, category, expected_type, "
        "message like '%sources.hubspot.contacts.types = {big_number = \"double\"}%' "
        "from crm.errors where property = 'big_number'",
    ) == [(str(ids[-1]), "1.5", "PRECISION_LOSS", "BIGINT", True)]


# ---------------------------------------------------------------- 3: fewer or more columns


def test_a_new_property_gets_a_column_and_its_values(simulator, path):
    """Properties are added every week; no run may need a migration for it."""
    running = simulator(contacts=30, calls=5)
    synced(running, path, ("contacts",))
    (record_id,) = live(running.portal, 1)

    running.portal.add_property("contacts", "loyalty_since", "date/date")
    running.portal.update("contacts", record_id, {"loyalty_since": "2020-02-29"})
    synced(running, path, ("contacts",))

    assert columns_of(path, "contacts")["loyalty_since"] == "DATE"
    assert rows(
        path, "select id, loyalty_since::varchar from crm.contacts where loyalty_since is not null"
    ) == [(record_id, "2020-02-29")]
    assert "loyalty_since" in columns_of(path, "contacts", "analytics")


def test_an_archived_property_keeps_its_column_with_its_values(simulator, path):
    """Queries that name the column go on working; `properties` says that it is archived."""
    running = simulator(contacts=30, calls=5)
    synced(running, path, ("contacts",))
    held = rows(path, "select id, newsletter from crm.contacts order by id")

    running.portal.archive_property("contacts", "newsletter")
    outcome = synced(running, path, ("contacts",))

    assert {value for _, value in held} == {True, False, None}
    assert rows(path, "select id, newsletter from crm.contacts order by id") == held
    assert outcome.runs[0].status == "complete"
    assert columns_of(path, "contacts")["newsletter"] == "BOOLEAN"
    assert rows(
        path,
        "select archived, archived_at is not null, column_name, previous_columns::varchar "
        "from crm.properties where name = 'newsletter'",
    ) == [(True, True, None, '[{"column_name": "newsletter", "column_type": "BOOLEAN"}]')]


@pytest.mark.slow
def test_properties_left_out_by_a_setting_lose_neither_column_nor_values(simulator, path):
    """Settings change; the table must take a run with fewer columns than it has."""
    running = simulator(contacts=30, calls=5)
    synced(running, path, ("contacts",))
    columns = columns_of(path, "contacts")

    synced(
        running, path, ("contacts",), objects={"contacts": ObjectSettings(properties=("email",))}
    )
    assert columns_of(path, "contacts") == columns
    other = path.with_name("other.duckdb")
    synced(running, other, ("contacts",))
    kept, full = dump(path, without=BY_THE_CLOCK), dump(other, without=BY_THE_CLOCK)
    assert kept["contacts"] == full["contacts"]


# ---------------------------------------------------------------- 4: names

ODD_NAMES = (
    "foo_", "foox", "Camel", "camel", "CAMEL", "9lives", "created_at", "updated_at", "archived",
    "synced_at", "_dlt_id", "_dlt_load_id", "select", 'quo"ted', "semi;colon", "with space",
    "naïve", "x" * 100, "a__v_text", "a",
)  # fmt: skip


def test_names_that_collide_each_have_a_column_of_their_own(simulator, path):
    """dlt would make some of these one name, or rename them, or fail to extract."""
    running = simulator(contacts=30, calls=5)
    (record_id,) = live(running.portal, 1)
    for name in ODD_NAMES:
        running.portal.add_property("contacts", name)
    running.portal.update("contacts", record_id, {name: f"value of {name}" for name in ODD_NAMES})

    synced(running, path, ("contacts",))
    columns = {name: column_of(path, name)[0] for name in ODD_NAMES}
    synced(running, path, ("contacts",))

    assert {name: value(path, columns[name], record_id) for name in ODD_NAMES} == {
        name: f"value of {name}" for name in ODD_NAMES
    }
    assert len({column.lower() for column in columns.values()}) == len(ODD_NAMES)
    assert {name: column_of(path, name)[0] for name in ODD_NAMES} == columns
    plain = {"foo_", "foox", "camel", "9lives", "select", "a__v_text", "a"}
    assert {name for name in ODD_NAMES if columns[name] == name} >= plain
    assert rows(path, f'select "{columns["CAMEL"]}" from analytics.contacts where id = {record_id}')


def test_a_property_called_id_does_not_hide_the_records_id(settled):
    """The simulator's contacts have one; its calls have an `archived_at`."""
    path = settled.path

    column, _ = column_of(path, "id")
    assert column != "id"
    assert value(path, "id", 512) == 512
    olds = rows(path, f"select {column} from crm.contacts where {column} is not null")
    assert olds
    assert all(text.startswith("OLD-") for (text,) in olds)
    column, type_ = column_of(path, "archived_at", "calls")
    assert (column != "archived_at", type_) == (True, "DATE")


# ---------------------------------------------------------------- 5: lists


def test_lists_land_as_json_and_are_text_lists_in_the_views(settled):
    """dlt lands Arrow lists as JSON text; analysts get VARCHAR[]."""
    path, name = settled.path, "property_multiple_checkboxes"

    assert columns_of(path, "contacts")[name] == "JSON"
    assert columns_of(path, "contacts", "analytics")[name] == "VARCHAR[]"
    assert rows(path, f"select {name}, {name}_labels from analytics.contacts where id = 512") == [
        (["chocolate", "strawberry"], ["Chocolate", "Strawberry"])
    ]


# ---------------------------------------------------------------- 6: the file is open elsewhere


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["read-only", pytest.param("read-write", marks=pytest.mark.slow)])
def test_a_warehouse_opened_elsewhere_in_mid_run_ends_with_5_and_keeps_the_data(
    mode, simulator, path, tmp_path
):
    """The load fails at once with a lock error; what was fetched is loaded first next time."""
    running = simulator(contacts=280, calls=5)
    running.door.close_after(batch_reads=1)
    for record_id in live(running.portal, 280)[::20]:  # so that every chunk has rows of `errors`
        running.portal.update("contacts", record_id, {"property_date": "tomorrow"})
    command = (*SMALL_CHUNKS, path, 100)
    work = path.with_name(path.name + ".work")
    with started(*command, 0.3, "contacts", cwd=tmp_path, simulator=running) as process:
        wait_until_landed(path)
        with held_open(path, mode) as holder:
            running.door.open()
            _, errors = process.communicate(timeout=60)
            landed = len(rows(path, "from crm.contacts")) if mode == "read-only" else None
            let_go(holder)

    assert process.returncode == 5
    last = errors.splitlines()[-1]
    assert f"(process {holder.pid})" in last
    assert str(path) in last
    assert "Traceback" not in errors
    assert is_package_pending(path)
    kept = [file for file in work.rglob("contacts.*") if "loaded" not in file.parts]
    assert kept  # the records themselves, not only a row about the run
    assert landed is None or 0 < landed < len(list(running.portal.truth("contacts")))

    sent = running.statistics.requests["batch_read"]
    done = subprocess_of(running, tmp_path, *command, 10, "contacts")
    assert done.returncode == 0, done.stderr
    assert "loading what an earlier run had fetched" in done.stderr
    assert running.statistics.requests["batch_read"] - sent <= 3  # of 4: it went on, not anew
    assert_equals_undisturbed(running, path)


@pytest.mark.slow
def test_a_warehouse_released_in_time_is_waited_for(simulator, path, tmp_path):
    """An analyst's query of some seconds must not fail the nightly run."""
    running = simulator(contacts=580, calls=5)
    running.door.close_after(batch_reads=1)
    command = (*SMALL_CHUNKS, path, 100, 30, "contacts")
    with started(*command, cwd=tmp_path, simulator=running) as process:
        wait_until_landed(path)
        with held_open(path) as holder:
            running.door.open()
            told = next(line for line in process.stderr if "waiting for" in line)
            let_go(holder)
        _, errors = process.communicate(timeout=60)

    assert str(path) in told
    assert process.returncode == 0, errors
    assert_equals_undisturbed(running, path)


@pytest.mark.slow
def test_a_second_crm_on_the_same_warehouse_stops_with_one_line(simulator, path, tmp_path):
    """Two runs that load in turns would delete each other's rows."""
    running = simulator(contacts=150, calls=5)
    running.door.close_after(batch_reads=1)
    command = (*SMALL_CHUNKS, path, 100, 10, "contacts")
    with started(*command, cwd=tmp_path, simulator=running) as process:
        wait_until(lambda: running.statistics.requests["batch_read"], what="the first run reads")
        done = crm("sync", "--warehouse", path, "--wait", 0, cwd=tmp_path, simulator=running)
        running.door.open()
        _, errors = process.communicate(timeout=60)

    assert_one_line(done, 5, "another crm", str(path))
    assert process.returncode == 0, errors
    assert_equals_undisturbed(running, path)


@pytest.mark.slow
def test_overlapping_schedules_run_one_after_the_other(simulator, path, tmp_path):
    """The second waits for the first, within `--wait`, and then does its own work."""
    running = simulator(contacts=150, calls=5)
    running.door.close_after(batch_reads=1)
    command = (*CRM, "sync", "contacts", "--warehouse", path)
    with started(*command, "--quiet", cwd=tmp_path, simulator=running) as first:
        wait_until(lambda: running.statistics.requests["batch_read"], what="the first run reads")
        with started(*command, "--wait", 60, cwd=tmp_path, simulator=running) as second:
            told = second.stderr.readline()
            running.door.open()
            _, first_errors = first.communicate(timeout=60)
            _, second_errors = second.communicate(timeout=60)

    assert "another crm" in told
    assert (first.returncode, first_errors) == (0, "")
    assert second.returncode == 0, second_errors
    assert rows(path, "select status from crm.runs") == [("complete",), ("complete",)]
    assert_equals_undisturbed(running, path)


def wait_until_landed(path) -> None:
    """Until the first chunk has: from then on the file is free while HubSpot is waited for."""
    work = path.with_name(path.name + ".work")
    wait_until(lambda: any(work.glob("dlt/*/load/loaded/*")), what="a chunk has landed")


def subprocess_of(running, folder, *command):
    with started(*command, cwd=folder, simulator=running) as process:
        out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def assert_equals_undisturbed(running, path) -> None:
    other = path.with_name("undisturbed.duckdb")
    synced(running, other, ("contacts",))
    assert_same(dump(path, without=BY_THE_CLOCK), dump(other, without=BY_THE_CLOCK))


# ---------------------------------------------------------------- 7, 8: killed; two warehouses


@pytest.mark.slow
def test_a_run_killed_in_a_load_neither_loses_nor_doubles_rows(simulator, path, tmp_path):
    """Between a commit and dlt's note of it, the package looks as if it had not been loaded."""
    running = simulator(contacts=400, calls=20)
    started_jobs = "dlt/crm/load/normalized/*/completed_jobs/*"
    work = path.with_name(path.name + ".work")
    command = (*SMALL_CHUNKS, path, 100, 10, "contacts")
    with started(*command, cwd=tmp_path, simulator=running) as process:
        wait_until(lambda: any(work.glob(started_jobs)), what="a job of a package is done")
        process.kill()

    done = subprocess_of(running, tmp_path, *SMALL_CHUNKS, path, 100, 10, "contacts")

    assert done.returncode == 0, done.stderr
    assert_equals_undisturbed(running, path)


@pytest.mark.slow
def test_two_warehouses_in_one_folder_share_no_state(simulator, tmp_path):
    """dlt keys its working folder by pipeline name alone; a checkpoint belongs to one file."""
    running = simulator(contacts=350, calls=20)
    one, two = tmp_path / "crm_a.duckdb", tmp_path / "crm_a.db"
    stop = threading.Event()
    stop.set()
    small = Bounds(chunk_records=100, slice_records=100)
    with Warehouse(one) as warehouse:
        stopped = sync(
            settings_for(running), warehouse, ("contacts",),
            view=Silent(), stop=stop, bounds=small,
        )  # fmt: skip

    synced(running, two, ("contacts",), bounds=small)
    synced(running, one, ("contacts",), bounds=small)

    assert stopped.failure is not None
    assert_same(dump(one, without=BY_THE_CLOCK), dump(two, without=BY_THE_CLOCK))
    assert rows(two, "select cursor_from from crm.runs") == [(None,)]


# ---------------------------------------------------------------- 9: warnings, comments, format


def test_no_warning_about_column_hints_even_when_libraries_may_speak(settled):
    """One for every chunk and table would drown the log."""
    assert len(settled.stderr.splitlines()) > 20  # dlt does speak
    assert "column hints" not in settled.stderr


def comments(path) -> dict[tuple[str, ...], str]:
    found = rows(
        path,
        "select schema_name, table_name, '', comment from duckdb_tables() union all "
        "select schema_name, view_name, '', comment from duckdb_views() where not internal "
        "union all select schema_name, table_name, column_name, comment from duckdb_columns() "
        "where not internal",
    )
    return {
        (schema, *rest): comment
        for schema, *rest, comment in found
        if schema in ("crm", "analytics")
    }


def test_every_table_view_and_column_has_a_comment_that_survives_a_second_run(settled):
    """`create or replace view` and dlt's loads drop comments."""
    before = settled.before

    assert [what for what, comment in before.items() if not comment] == []
    assert comments(settled.path) == before
    assert before["crm", "contacts", "hs_lead_status"] == "Lead Status: Lead Status."
    assert before["analytics", "contacts", "hs_lead_status"] == "Lead Status: Lead Status."


def test_the_file_has_a_format_that_older_duckdb_opens(settled):
    """DuckDB 2 would by itself write a file that 1.x refuses."""
    found = rows(
        settled.path, "select tags['storage_version'] from duckdb_databases() where not internal"
    )

    assert found[0][0].startswith("v1.2.0")


@pytest.mark.slow
def test_duckdb_1_5_5_opens_the_warehouse(simulator, path, tmp_path):
    """Analysts' tools are older than our library."""
    running = simulator(contacts=20, calls=10)
    synced(running, path)
    synced(running, path)
    venv.create(tmp_path / "old", with_pip=True)
    python = tmp_path / "old" / "bin" / "python"
    install = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "duckdb==1.5.5"],
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    if install.returncode and "No matching distribution" not in install.stderr.replace(
        "Could not find a version", ""
    ):
        pytest.skip(f"no package index: {install.stderr[-200:]}")
    script = (
        "import duckdb, sys\n"
        "c = duckdb.connect(sys.argv[1], read_only=True)\n"
        "for table in ('crm.contacts', 'analytics.contacts', 'analytics.calls',\n"
        "              'analytics.errors_by_property', 'analytics.sync_freshness'):\n"
        "    print(len(c.sql(f'from {table}').project('columns(*)::varchar').fetchall()))\n"
        "print(duckdb.__version__)\n"
    )

    done = subprocess.run(
        [python, "-c", script, path], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stderr
    every = len(list(running.portal.truth("contacts")))
    *counts, version = done.stdout.split()
    assert version == "1.5.5"
    assert counts[:2] == [str(every), "20"]


def test_dlts_own_dataset_reads_the_warehouse(settled):
    """With a newer sqlglot `pipeline.dataset()` fails; people use it in notebooks."""
    with Warehouse(settled.path) as warehouse:
        dataset = warehouse.pipeline.dataset()
        names = dataset.contacts.columns
        found = dataset["contacts"].select("id").fetchall()

    assert "email" in names
    assert len(found) == len(list(settled.running.portal.truth("contacts")))


# ---------------------------------------------------------------- 10: names of files


@pytest.mark.parametrize("name", ["crm.duckdb", "analytics.duckdb", "a b'c;d.duckdb"])
def test_any_file_name_works_or_is_refused_before_anything_is_made(name, simulator, tmp_path):
    """DuckDB names the catalog after the file; one named as our schemas is ambiguous in SQL."""
    running = simulator(contacts=20, calls=5)
    option = ["--warehouse", name]

    done = crm("sync", *option, cwd=tmp_path, simulator=running)

    if done.returncode == 2:
        assert_one_line(done, 2, name)
        assert not any(tmp_path.iterdir())
        return
    assert done.returncode == 0, done.stderr
    counted = crm(
        "query", "select count(*) as n from crm.contacts", "--format", "csv", *option, cwd=tmp_path
    )
    assert counted.stdout.split() == ["n", str(len(list(running.portal.truth("contacts"))))]
    (file,) = tmp_path.glob("*b")
    assert rows(file, "select count(*) from analytics.contacts") == [(20,)]


@pytest.mark.slow
def test_a_deleted_file_with_its_old_working_folder_begins_anew(simulator, path):
    """The folder belongs to a file that is gone: its state would skip everything."""
    running = simulator(contacts=30, calls=5)
    synced(running, path, ("contacts",))
    path.unlink()

    synced(running, path, ("contacts",))

    assert_equals_undisturbed(running, path)
