"""The dlt source on its own, as in the README: the same tables, within the same limit."""

from __future__ import annotations

import dlt
import pytest
from harness import rows, settings_for, synced

from pipelines.source import hubspot

WAREHOUSE = "own.duckdb"


def extract(running, folder, **settings) -> None:
    """A pipeline of somebody's, which runs the source once."""
    pipeline = dlt.pipeline(
        "own",
        pipelines_dir=str(folder / "dlt"),
        destination=dlt.destinations.duckdb(str(folder / WAREHOUSE)),
        dataset_name="crm",
    )
    try:
        pipeline.run(hubspot(settings=settings_for(running, **settings)))
    finally:
        pipeline.deactivate()


def test_it_lands_what_a_sync_lands(simulator, tmp_path):
    """dlt takes turns with the two resources, which share a limit."""
    running = simulator(contacts=250, calls=120)
    synced(running, tmp_path / "synced.duckdb")

    extract(running, tmp_path)

    for table in ("contacts", "calls"):
        sql = f"select id, hs_object_id, created_at from crm.{table} order by id"
        assert rows(tmp_path / WAREHOUSE, sql) == rows(tmp_path / "synced.duckdb", sql)
    sums = "select object_type, requested_ids - loaded_rows - merged_ids - error_ids, status"
    assert rows(tmp_path / WAREHOUSE, f"{sums} from crm.runs order by 1") == [
        ("calls", 0, "complete"), ("contacts", 0, "complete"),
    ]  # fmt: skip


@pytest.mark.slow
def test_both_resources_together_keep_to_one_limit(simulator, tmp_path):
    """Each alone would stay below it; HubSpot counts them together."""
    running = simulator(contacts=900, calls=900)

    extract(running, tmp_path, requests_per_10s=36)

    assert 20 < running.statistics.count <= 72  # one wait of ten seconds
    assert running.statistics.greatest_in_10s <= 36
