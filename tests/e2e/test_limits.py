"""HubSpot's limits, kept by whole processes: the ten seconds together, the day with a reserve."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from harness import assert_one_line, crm, json_lines, rows, started, synced, wait_until

from pipelines.simulator.app import ALL_SCOPES

ROOT = Path(__file__).parent.parent.parent
KNOWN_IDS = (sys.executable, "-m", "tests.bench.known_ids")


@pytest.mark.slow
def test_processes_with_one_token_share_one_budget(tmp_path, simulator):
    """Three on one machine, two of them with 24 requests at once, one killed: no 429."""
    portal = simulator(contacts=2500, calls=0, requests_per_10s=40, latency_ms=120, token=None)
    ids = [str(record_id) for record_id in portal.portal.records["contacts"].live]

    def reader(name: str, count: int):
        (tmp_path / name).write_text("\n".join(ids[:count]))
        return started(
            *KNOWN_IDS,
            *("--api-version", portal.api_version, portal.base_url, tmp_path / name),
            cwd=ROOT,
            env={"TMPDIR": str(tmp_path)},
        )

    with ExitStack() as running:
        killed, *others = (
            running.enter_context(reader(name, count))
            for name, count in (("killed", 500), ("one", 2500), ("two", 2500))
        )
        for process in (killed, *others):
            assert process.stdout.readline() == "ready\n"
        killed.stdin.write("\n")
        killed.stdin.flush()
        wait_until(lambda: portal.statistics.requests["batch_read"] > 3, what="reads")
        killed.kill()
        for process in others:
            process.stdin.write("\n")
            process.stdin.flush()
        accounts = [json.loads(process.communicate(timeout=120)[0]) for process in others]

    assert [(one["requests"], one["rate_limited"]) for one in accounts] == [(27, 0)] * 2
    assert portal.statistics.rate_limited == 0
    assert portal.statistics.greatest_in_10s <= 40


def test_a_run_stops_before_the_days_reserve_and_goes_on_the_next_day(tmp_path, simulator):
    """Nothing is refused, what was read has landed, and the line says how much and until when."""
    portal = simulator(contacts=4000, calls=5, requests_per_day=60)

    def sync():
        return crm("sync", "contacts", "--quiet", cwd=tmp_path, simulator=portal, env=reserve)

    reserve = {"SOURCES__HUBSPOT__DAILY_RESERVE_PCT": "20"}
    done = sync()

    line = assert_one_line(done, 4, "of 60 requests are used and 12 kept", "daily_reserve_pct = 20")
    assert "midnight in the account's time zone US/Eastern: 20" in line
    assert portal.statistics.rate_limited == 0
    assert portal.statistics.count <= 60 - 12
    assert portal.statistics.requests["account_details"] == 1
    landed = rows(tmp_path / "hubspot.duckdb", "select count(*) from crm.contacts")[0][0]
    assert 0 < landed < 4000
    assert rows(
        tmp_path / "hubspot.duckdb", "select distinct status, loaded_rows from crm.runs"
    ) == [("incomplete", landed)]

    before = portal.statistics.count
    assert "US/Eastern" in assert_one_line(sync(), 4, "kept for other apps")
    assert portal.statistics.count == before + 2  # to see where it stands, and what time it is

    reserve["SOURCES__HUBSPOT__DAILY_RESERVE_PCT"] = "0"
    portal.limits.used_today, portal.limits.per_day = 0, 600
    assert sync().returncode == 0
    assert rows(tmp_path / "hubspot.duckdb", "select count(*) >= 4000 from crm.contacts")[0][0]


def planned(cwd, simulator, *arguments, **env):
    """What `crm sync --plan` says in JSON, by object type; its process."""
    done = crm(
        "sync", *arguments, "--plan", "--log-format", "json",
        cwd=cwd, simulator=simulator, env=env,
    )  # fmt: skip
    return {line["object_type"]: line for line in json_lines(done.stdout)}, done


def test_a_plan_sends_a_handful_of_requests_and_writes_nothing(tmp_path, simulator):
    portal = simulator(contacts=450, calls=120)

    plan, done = planned(tmp_path, portal)

    assert (done.returncode, done.stderr) == (0, "")
    assert portal.statistics.requests == {"account_details": 1, "search": 2}
    assert list(tmp_path.iterdir()) == []
    assert list(plan) == ["contacts", "calls", "together"]
    assert (plan["contacts"]["live"], plan["contacts"]["archived"]) == (450, None)
    assert plan["together"]["asked"] == 3
    assert plan["together"]["left"] == plan["together"]["quota"] - 3


def test_the_run_takes_what_the_plan_says(tmp_path, simulator):
    """Once the warehouse knows how many records are archived, and which definitions there are."""
    portal = simulator(contacts=450, calls=120)
    synced(portal, tmp_path / "hubspot.duckdb")
    before = (tmp_path / "hubspot.duckdb").read_bytes()

    plan, done = planned(tmp_path, portal, "--full")

    assert done.returncode == 0
    assert (tmp_path / "hubspot.duckdb").read_bytes() == before
    outcome = synced(portal, tmp_path / "hubspot.duckdb", is_full=True)
    saved = len(outcome.runs)  # archived definitions, which are known
    assert sum(row.requests for row in outcome.runs) == plan["together"]["requests"] - saved
    for row in outcome.runs:
        found = plan[row.object_type]
        assert row.requested_ids == found["live"] + found["archived"]


def test_a_plan_of_what_has_changed_is_of_no_more_than_that(tmp_path, simulator):
    """To the request, when nothing of it was read before."""
    portal = simulator(contacts=450, calls=120)
    synced(portal, tmp_path / "hubspot.duckdb")
    for record_id in portal.portal.records["contacts"].live[:230]:
        portal.portal.update("contacts", record_id, {"firstname": "New"})

    plan, done = planned(tmp_path, portal)

    assert done.returncode == 0
    outcome = synced(portal, tmp_path / "hubspot.duckdb")
    assert [row.requests for row in outcome.runs] == [
        plan[row.object_type]["requests"] for row in outcome.runs
    ]
    assert plan["contacts"]["live"] == 230 == outcome.runs[0].requested_ids
    assert plan["contacts"]["requests"] == 8  # definitions, 2 searches, a count, a list, 3 reads


def test_a_plan_that_does_not_fit_into_the_day_ends_with_4(tmp_path, simulator):
    """With the message of the run that would be stopped, and the plan all the same."""
    portal = simulator(contacts=1500, calls=5, requests_per_day=30)

    done = crm("sync", "contacts", "--plan", cwd=tmp_path, simulator=portal)

    line = assert_one_line(done, 4, "3", "of 30 requests are used and 2 kept for other apps")
    assert "midnight in the account's time zone US/Eastern" in line
    assert "unknown" in done.stdout
    assert "2 requests were sent to find this out" in done.stdout


def test_a_plan_without_the_accounts_scope_knows_the_limits_all_the_same(tmp_path, simulator):
    portal = simulator(contacts=20, calls=5, scopes=ALL_SCOPES - {"oauth"})

    plan, done = planned(tmp_path, portal, "contacts")

    assert done.returncode == 0
    assert plan["together"]["quota"] is not None
