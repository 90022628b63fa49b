"""HubSpot's limits, kept by whole processes: the ten seconds together, the day with a reserve."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from harness import started, wait_until

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
