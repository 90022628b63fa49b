"""What a suspicion comes to, once HubSpot was asked for the id itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import suspects
from pipelines.findings import (
    Answer,
    Finding,
    Reconciled,
    State,
    Suspect,
    confirmed,
    is_pending,
)
from pipelines.idfiles import LISTED, suspects_in
from pipelines.ledger import DELETIONS
from pipelines.warehouse import Warehouse

BEFORE = datetime(2026, 3, 1, tzinfo=UTC)
AS_OF = BEFORE + timedelta(days=1)
LATER = AS_OF + timedelta(days=1)
SUSPECT = Suspect(
    1, Finding.DIFFERS, archived_here=False, updated_at_here=BEFORE, updated_at_there=BEFORE
)
ANSWER = Answer(State.LIVE, updated_at=BEFORE, changed_at=BEFORE)


def here(archived: bool | None) -> Suspect:
    return replace(SUSPECT, archived_here=archived)


@pytest.mark.parametrize(
    ("suspect", "answer", "finding"),
    [
        (here(None), ANSWER, Finding.MISSING_HERE),
        (here(None), replace(ANSWER, state=State.ARCHIVED), Finding.MISSING_HERE),
        (here(False), replace(ANSWER, state=State.ARCHIVED), Finding.ARCHIVED_THERE),
        (here(True), ANSWER, Finding.LIVE_THERE),
        (here(False), replace(ANSWER, updated_at=AS_OF), Finding.DIFFERS),
        (here(False), Answer(State.MERGED, current_id=2), Finding.MERGED),
        (
            replace(SUSPECT, finding=Finding.MISSING_THERE),
            Answer(State.GONE),
            Finding.MISSING_THERE,
        ),
        # What the lists said is not so any more, or was never worth a row.
        (here(False), ANSWER, None),
        (here(False), replace(ANSWER, updated_at=None), None),
        (here(None), Answer(State.GONE), None),
        (here(False), Answer(State.GONE), None),  # it was listed, so the next one has to say
        (here(None), Answer(State.MERGED, current_id=2), None),
    ],
)  # fmt: skip
def test_the_answer_decides_and_not_the_list(suspect, answer, finding):
    assert confirmed(suspect, answer, as_of=AS_OF) is finding


@pytest.mark.parametrize("finding", Finding)
def test_an_answer_that_proves_nothing_leaves_the_suspicion(finding):
    suspect = replace(SUSPECT, finding=finding)

    assert confirmed(suspect, Answer(State.UNKNOWN), as_of=AS_OF) is finding


@pytest.mark.parametrize(
    ("suspect", "answer"),
    [
        (here(None), Answer(State.LIVE, LATER, LATER)),
        (here(False), Answer(State.LIVE, LATER, LATER)),
        (here(False), Answer(State.ARCHIVED, BEFORE, LATER)),
    ],
    ids=["created", "modified", "archived"],
)
def test_what_changed_after_the_last_complete_sync_is_pending(suspect, answer):
    """And everything is, before the first complete one."""
    assert confirmed(suspect, answer, as_of=AS_OF) is Finding.PENDING
    assert confirmed(suspect, answer, as_of=LATER) is not Finding.PENDING
    assert confirmed(suspect, answer, as_of=None) is Finding.PENDING


@given(
    changed_at=st.none() | st.sampled_from([BEFORE, AS_OF, LATER]),
    as_of=st.none() | st.just(AS_OF),
    finding=st.sampled_from([Finding.MISSING_THERE, Finding.MERGED]),
)
def test_no_sync_takes_a_row_away_so_one_that_is_gone_is_never_pending(changed_at, as_of, finding):
    assert not is_pending(finding, changed_at, as_of)


def test_only_what_is_pending_leaves_nothing_to_do():
    result = Reconciled(
        object_type="contacts", run_id="r", live=5, archived=1, rows=6, total=7, unnumbered=0,
        undated=0, found={Finding.PENDING: 3, Finding.DIFFERS: 2, Finding.MERGED: 1},
    )  # fmt: skip

    assert result.left == 3
    assert replace(result, fixed={Finding.DIFFERS: 2}).left == 1
    assert replace(result, fixed={Finding.DIFFERS: 2, Finding.MERGED: 1}).left == 0
    assert "2 more than the list" in result.remarks()[1]
    assert "1 fewer than the list" in replace(result, total=4).remarks()[1]
    assert "agrees" in replace(result, total=5).remarks()[1]
    assert "--fix" in result.remarks()[-1]


# ---------------------------------------------------------------- the comparison in SQL


@pytest.fixture
def warehouse(tmp_path):
    with Warehouse(tmp_path / "hubspot.duckdb") as opened:
        opened.execute(
            "create schema if not exists crm; create table crm.contacts "
            "(id bigint, archived boolean, updated_at timestamptz); create table crm.deletions "
            "(object_type text, object_id bigint, seen_at timestamptz, run_id text)"
        )
        assert DELETIONS.names == ["object_type", "object_id", "seen_at", "run_id"]
        yield opened


def compared(warehouse: Warehouse, folder: Path, *listed: tuple) -> dict[int, Finding]:
    """Findings by id, for ids listed as `(id, archived, updated_at)`."""
    into, out = folder / "listed.parquet", folder / "suspects.parquet"
    columns = list(zip(*listed, strict=True)) or [(), (), ()]
    pq.write_table(pa.table(list(map(pa.array, columns)), names=LISTED.names).cast(LISTED), into)
    suspects.write(warehouse, "contacts", into, out)
    return {one.id: one.finding for part in suspects_in(out) for one in part}


def test_every_way_to_differ_is_a_suspicion_and_nothing_else(warehouse, tmp_path):
    for row in [
        (1, False, BEFORE), (2, True, BEFORE), (3, False, BEFORE), (4, True, BEFORE),
        (5, False, BEFORE), (6, False, BEFORE), (7, False, None), (8, None, BEFORE),
        (9, False, BEFORE),
    ]:  # fmt: skip
        warehouse.execute("insert into crm.contacts values (?, ?, ?)", *row)

    found = compared(
        warehouse, tmp_path,
        (1, False, BEFORE), (2, True, BEFORE), (3, True, BEFORE), (4, False, BEFORE),
        (5, False, LATER), (7, False, BEFORE), (8, False, BEFORE), (9, False, None),
        (10, False, BEFORE), (11, True, BEFORE),
    )  # fmt: skip

    assert found == {
        3: Finding.ARCHIVED_THERE,
        4: Finding.LIVE_THERE,
        5: Finding.DIFFERS,
        6: Finding.MISSING_THERE,
        7: Finding.DIFFERS,
        10: Finding.MISSING_HERE,
        11: Finding.MISSING_HERE,
    }


def test_an_id_in_both_lists_was_archived_between_them(warehouse, tmp_path):
    """Live records are listed first; the moment that is known of either counts."""
    warehouse.execute("insert into crm.contacts values (1, false, ?), (2, true, ?)", BEFORE, LATER)

    found = compared(
        warehouse, tmp_path,
        (1, False, BEFORE), (1, True, LATER), (2, False, None), (2, True, LATER),
    )  # fmt: skip

    assert found == {1: Finding.ARCHIVED_THERE}
    assert suspects.counts(warehouse, tmp_path / "listed.parquet") == {
        "live": 0, "archived": 2, "undated": 0,
    }  # fmt: skip


def test_an_emptied_row_is_as_it_should_be_until_its_record_is_back(warehouse, tmp_path):
    warehouse.execute("insert into crm.contacts values (1, true, ?), (2, true, ?)", BEFORE, BEFORE)
    warehouse.execute("insert into crm.deletions values ('contacts', 1, ?, 'r')", BEFORE)
    warehouse.execute("insert into crm.deletions values ('calls', 2, ?, 'r')", BEFORE)

    assert compared(warehouse, tmp_path, (3, True, BEFORE)) == {
        2: Finding.MISSING_THERE,
        3: Finding.MISSING_HERE,
    }
    assert compared(warehouse, tmp_path, (1, False, BEFORE)) == {
        1: Finding.LIVE_THERE,
        2: Finding.MISSING_THERE,
    }
    assert warehouse.query("select object_type from crm.deletions").to_pylist() == [
        {"object_type": "calls"}
    ]


def test_a_portal_without_records_leaves_every_row_in_doubt(warehouse, tmp_path):
    warehouse.execute("insert into crm.contacts values (1, false, ?)", BEFORE)

    assert compared(warehouse, tmp_path) == {1: Finding.MISSING_THERE}
