"""HubSpot's limits, kept by whole processes: the ten seconds together, the day with a reserve."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from harness import assert_one_line, crm, rows, started, wait_until

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
            *KNOWN_IDS, portal.base_url, tmp_path / name, cwd=ROOT, env={"TMPDIR": str(tmp_path)}
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
    portal = simulator(contacts=1500, calls=5, requests_per_day=40)

    def sync():
        return crm("sync", "contacts", "--quiet", cwd=tmp_path, simulator=portal, env=reserve)

    reserve = {"SOURCES__HUBSPOT__DAILY_RESERVE_PCT": "20"}
    done = sync()

    line = assert_one_line(done, 4, "of 40 requests are used and 8 kept", "daily_reserve_pct = 20")
    assert "midnight in the account's time zone US/Eastern: 20" in line
    assert portal.statistics.rate_limited == 0
    assert portal.statistics.count <= 40 - 8
    assert portal.statistics.requests["account_details"] == 1
    landed = rows(tmp_path / "hubspot.duckdb", "select count(*) from crm.contacts")[0][0]
    assert 0 < landed < 1500
    assert rows(
        tmp_path / "hubspot.duckdb", "select distinct status, loaded_rows from crm.runs"
    ) == [("incomplete", landed)]

    reserve["SOURCES__HUBSPOT__DAILY_RESERVE_PCT"] = "0"
    portal.limits.used_today = 0
    assert sync().returncode == 0
    assert rows(tmp_path / "hubspot.duckdb", "select count(*) >= 1500 from crm.contacts")[0][0]
