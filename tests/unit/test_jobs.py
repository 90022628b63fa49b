"""A run that goes on: what the one before it had landed is counted first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipelines import ledger
from pipelines.errors import IncompleteError
from pipelines.jobs import recheck
from pipelines.landing import Landing
from pipelines.ledger import AliasRow
from pipelines.steps import CutOff
from pipelines.warehouse import Warehouse

EARLIER = datetime(2026, 1, 1, tzinfo=UTC)
BEGAN = EARLIER + timedelta(days=1)
THREE_READ = CutOff(
    "live",
    None,
    BEGAN,
    BEGAN,
    check={"step": "live", "since": BEGAN.isoformat(), "least": 3, "most": 3},
)


@pytest.fixture
def warehouse(tmp_path):
    with Warehouse(tmp_path / "hubspot.duckdb") as opened:
        opened.execute(
            "create schema crm; create table crm.contacts (id bigint, synced_at timestamptz)"
        )
        opened.execute("insert into crm.contacts values (0, ?)", EARLIER)
        yield opened


def landed(warehouse: Warehouse, *ids: int) -> None:
    for one in ids:
        warehouse.execute("insert into crm.contacts values (?, ?)", one, BEGAN)


@pytest.mark.parametrize("ids", [(1, 2, 3), (1, 2, 3, 4, 5)], ids=["alone", "beside another run"])
def test_what_was_read_is_there(ids, warehouse):
    """A sync may work between two steps of a backfill, and lands rows of its own."""
    landed(warehouse, *ids)

    recheck(warehouse, "contacts", THREE_READ)


def test_what_was_merged_away_since_is_not_lost(warehouse):
    """Its row is gone, and `id_aliases` says so."""
    landed(warehouse, 1, 2)
    aliases = [AliasRow("contacts", 3, 1, BEGAN), AliasRow("calls", 2, 1, BEGAN)]
    warehouse.land([Landing("id_aliases", ledger.table_of(aliases, ledger.ID_ALIASES))])

    recheck(warehouse, "contacts", THREE_READ)


@pytest.mark.parametrize(
    "ids", [(1, 2), (1, 2, 3, 3)], ids=["a row is lost", "a row is there twice"]
)
def test_anything_else_is_told(ids, warehouse):
    """Then everything is read anew."""
    landed(warehouse, *ids)

    with pytest.raises(IncompleteError):
        recheck(warehouse, "contacts", THREE_READ)


def test_aliases_seen_before_are_no_excuse(warehouse):
    landed(warehouse, 1, 2)
    aliases = [AliasRow("contacts", 3, 1, EARLIER)]
    warehouse.land([Landing("id_aliases", ledger.table_of(aliases, ledger.ID_ALIASES))])

    with pytest.raises(IncompleteError):
        recheck(warehouse, "contacts", THREE_READ)
