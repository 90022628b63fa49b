"""The Dagster assets, materialized for real: each is one `crm sync` into the same warehouse."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial

import dagster as dg
import pytest
from harness import HERE, environment, rows, started, wait_until

from pipelines.dagster_assets import CHECK, crm_assets, crm_schedule
from pipelines.settings import OBJECT_TYPES

WAREHOUSE = "hubspot.duckdb"
AT_ONCE = dg.RetryPolicy(max_retries=1, delay=0)


@pytest.fixture(scope="module")
def running(shared_simulator):
    return shared_simulator(contacts=150, calls=60)


def use(patch, home, simulator, **more: str) -> None:
    """Have the environment of this process, which is Dagster's, say which simulator to read."""
    given = {"DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "yes", **more}
    for name, value in environment(simulator, **given).items():
        patch.setenv(name, value)


@pytest.fixture
def at(monkeypatch, tmp_path):
    return partial(use, monkeypatch, tmp_path)


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def assert_every_record_is_there(simulator, path, name: str) -> None:
    assert rows(path, f"select count(*) from crm.{name}") == [
        (len(list(simulator.portal.truth(name))),)
    ]


def restarts(result) -> int:
    return sum(event.event_type_value == "STEP_RESTARTED" for event in result.all_events)


@pytest.fixture(scope="module")
def materialized(running, tmp_path_factory):
    """Both assets, in one run; the calls without properties that have broken values."""
    folder = tmp_path_factory.mktemp("folder")
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        use(patch, folder, running, SOURCES__HUBSPOT__CALLS__PROPERTIES='["hs_call_title"]')
        return dg.materialize(crm_assets(folder), instance=instance), folder / WAREHOUSE


def test_each_asset_is_a_sync_of_its_object_and_tells_its_account(running, materialized):
    """What Dagster shows is what `runs` has, and the tables are HubSpot's."""
    result, path = materialized
    shown = "run_id", "status", "requested_ids", "loaded_rows", "rejected_values", "requests"

    assert result.success
    for name in OBJECT_TYPES:
        assert_every_record_is_there(running, path, name)
        key = dg.AssetKey(["crm", name])
        (event,) = (e for e in result.get_asset_materialization_events() if e.asset_key == key)
        metadata = event.materialization.metadata
        run = f"select {', '.join(shown)} from crm.runs where object_type = ?"
        assert rows(path, run, name) == [tuple(metadata[column].value for column in shown)]
        assert metadata["loaded_rows"].value == metadata["requested_ids"].value > 50
        assert metadata["seconds"].value > 0


def test_the_check_of_an_asset_warns_of_what_went_into_errors(materialized):
    """Rows in `errors` are data: the asset is there, and whoever looks after it is told."""
    result, path = materialized
    found = {one.asset_key.path[-1]: one for one in result.get_asset_check_evaluations()}
    errors = dict(rows(path, "select object_type, count(*) from crm.errors group by object_type"))

    assert set(errors) == {"contacts"}
    assert {one.check_name for one in found.values()} == {CHECK}
    assert {name: one.passed for name, one in found.items()} == {"contacts": False, "calls": True}
    assert found["contacts"].metadata["rejected_values"].value == errors["contacts"]
    assert found["contacts"].severity is dg.AssetCheckSeverity.WARN


def test_a_refused_token_fails_the_asset_at_once_with_the_line_that_crm_prints(
    running, at, instance, tmp_path
):
    """Exit 3 needs a person: trying again would only ask HubSpot to refuse it again."""
    at(running, SOURCES__HUBSPOT__ACCESS_TOKEN="pat-wrong")

    result = dg.materialize(
        crm_assets(tmp_path, objects=["contacts"], retries=AT_ONCE),
        instance=instance,
        raise_on_error=False,
    )

    assert not result.success
    (failed,) = (e for e in result.all_events if e.event_type_value == "STEP_FAILURE")
    failure = failed.step_failure_data.user_failure_data
    assert failure.metadata["exit_code"].value == 3
    assert "ACCESS_TOKEN" in failure.description
    assert "pat-wrong" not in failure.description
    assert restarts(result) == 0
    assert result.get_asset_materialization_events() == []


def test_a_warehouse_that_cannot_be_used_is_tried_again(running, at, instance, tmp_path):
    """Exit 5 may be over when somebody has closed the file, or made room."""
    at(running)
    absent = ["--warehouse", str(tmp_path / "not yet" / "there.duckdb")]

    result = dg.materialize(
        crm_assets(tmp_path, objects=["calls"], options=absent, retries=AT_ONCE),
        instance=instance,
        raise_on_error=False,
    )

    assert not result.success
    assert restarts(result) == 1
    (failed,) = (e for e in result.all_events if e.event_type_value == "STEP_FAILURE")
    assert failed.step_failure_data.user_failure_data.metadata["exit_code"].value == 5


def both_at_once() -> dg.JobDefinition:
    """For Dagster's own processes, which have to make the job anew."""
    assets = crm_assets(os.environ["TEST_FOLDER"])
    return dg.Definitions(
        assets=assets, jobs=[dg.define_asset_job("both", selection=assets)]
    ).resolve_job_def("both")


@pytest.mark.slow
def test_both_assets_at_once_share_the_warehouse(simulator, at, monkeypatch, tmp_path):
    """Dagster's default executor gives each asset a process; neither harms the other."""
    running = simulator(contacts=150, calls=60, latency_ms=100)
    at(running)
    monkeypatch.chdir(HERE)  # where Dagster's processes find this module
    folder, home = tmp_path / "folder", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    monkeypatch.setenv("TEST_FOLDER", str(folder))

    with dg.DagsterInstance.local_temp(str(home)) as instance:
        result = dg.execute_job(dg.reconstructable(both_at_once), instance=instance)

    assert result.success
    assert rows(folder / WAREHOUSE, "select object_type, status from crm.runs order by 1") == [
        ("calls", "complete"),
        ("contacts", "complete"),
    ]
    for name in OBJECT_TYPES:
        assert_every_record_is_there(running, folder / WAREHOUSE, name)


MATERIALIZE = """
import sys
import dagster as dg
from pipelines.dagster_assets import crm_assets

with dg.DagsterInstance.ephemeral() as instance:
    dg.materialize(crm_assets(sys.argv[1], objects=["contacts"]), instance=instance)
"""


@pytest.mark.slow
def test_a_terminated_run_of_dagster_ends_crm_with_a_checkpoint(simulator, tmp_path):
    """No `crm` is left behind that goes on without anybody."""
    running = simulator(contacts=350, calls=5)
    running.door.close_after(batch_reads=1)
    env = {"DAGSTER_HOME": str(tmp_path), "DAGSTER_DISABLE_TELEMETRY": "yes"}
    command = (sys.executable, "-c", MATERIALIZE, tmp_path)
    with started(*command, cwd=tmp_path, simulator=running, env=env) as process:
        wait_until(lambda: running.statistics.requests["batch_read"], what="crm reads")
        process.send_signal(signal.SIGTERM)
        next(line for line in process.stderr if "stopping: " in line)
        running.door.open()
        _, errors = process.communicate(timeout=60)

    assert process.returncode != 0
    assert "STEP_UP_FOR_RETRY" not in errors
    assert rows(tmp_path / WAREHOUSE, "select status from crm.runs") == [("interrupted",)]


@pytest.mark.asks_nothing
def test_the_schedule_starts_both_and_skips_while_a_run_is_under_way(tmp_path):
    """A run that takes longer than an hour is no reason for a queue of them."""
    assets = crm_assets(tmp_path)
    schedule = crm_schedule(assets, "15 * * * *")
    defs = dg.Definitions(assets=assets, schedules=[schedule])
    job = defs.resolve_job_def("crm_sync")

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        context = dg.build_schedule_context(instance, repository_def=defs.get_repository_def())
        before = schedule.evaluate_tick(context)
        run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        meanwhile = schedule.evaluate_tick(context)
        instance.report_run_failed(run)
        after = schedule.evaluate_tick(context)

    assert schedule.cron_schedule == "15 * * * *"
    assert {key.path[-1] for key in job.asset_layer.executable_asset_keys} == set(OBJECT_TYPES)
    assert [len(tick.run_requests) for tick in (before, meanwhile, after)] == [1, 0, 1]
    assert "under way" in meanwhile.skip_message
