"""What a run asks a warehouse about earlier runs, also one that has never had any."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from pipelines import ledger, property_columns, recall
from pipelines.landing import Landing
from pipelines.ledger import AliasRow, ErrorRow, RunRow
from pipelines.warehouse import Warehouse
from transforms.definitions import Kind

EARLIER = datetime(2026, 1, 1, tzinfo=UTC)
NOW = EARLIER + timedelta(days=1)


@pytest.fixture
def warehouse(tmp_path):
    with Warehouse(tmp_path / "hubspot.duckdb") as opened:
        yield opened


def made(warehouse: Warehouse, sql: str) -> None:
    warehouse.execute(f"create schema if not exists crm; {sql}")


def test_a_new_warehouse_remembers_nothing(warehouse):
    """No table is there yet; asking may not fail."""
    assert property_columns.known_columns(warehouse, "contacts") == {}
    assert recall.count_rows(warehouse, "contacts") == 0
    assert recall.count_rows(warehouse, "contacts", synced_since=NOW) == 0
    recall.resolve_errors(warehouse, "contacts", since=EARLIER, now=NOW)
    recall.close_stale_runs(warehouse, now=NOW)
    assert warehouse.state == {}


def test_rows_are_counted_all_or_since_a_moment(warehouse):
    """The second is the check of a run against the table."""
    made(warehouse, "create table crm.contacts (id bigint, synced_at timestamptz)")
    warehouse.execute("insert into crm.contacts values (1, ?), (2, ?), (3, ?)", EARLIER, NOW, NOW)

    assert recall.count_rows(warehouse, "contacts") == 3
    assert recall.count_rows(warehouse, "contacts", synced_since=NOW) == 2


def test_known_columns_come_by_kind_with_the_one_in_use_last(warehouse):
    """`columns` names new ones so that none changes its type."""
    made(
        warehouse,
        "create table crm.properties (object_type text, name text, column_name text, "
        "column_type text, previous_columns json); insert into crm.properties values "
        "('contacts', 'a', 'a', 'DOUBLE', null), "
        "('contacts', 'b', 'b__v_text', 'VARCHAR', "
        """ '[{"column_name": "b", "column_type": "DATE"}]'), """
        """('contacts', 'gone', null, null, '[{"column_name": "gone", "column_type": "JSON"}]'), """
        "('contacts', 'unread', null, null, null), ('calls', 'c', 'c', 'BIGINT', null)",
    )

    known = property_columns.known_columns(warehouse, "contacts")

    assert known == {
        "a": {Kind.NUMBER: "a"},
        "b": {Kind.DATE: "b", Kind.TEXT: "b__v_text"},
        "gone": {Kind.LIST: "gone"},
    }
    assert list(known["b"]) == [Kind.DATE, Kind.TEXT]
    assert property_columns.known_columns(warehouse, "calls") == {"c": {Kind.INTEGER: "c"}}


def test_a_run_that_nobody_is_at_is_called_interrupted(warehouse):
    """After `kill -9` its row still says running; an ended run stays as it ended."""
    ended = RunRow(
        run_id="e", command="sync", object_type="calls", started_at=EARLIER, as_of=EARLIER
    )
    ended.status, ended.finished_at = "complete", EARLIER
    killed = RunRow(
        run_id="k", command="sync", object_type="calls", started_at=EARLIER, as_of=EARLIER
    )
    warehouse.land([Landing("runs", ledger.table_of([ended, killed], ledger.RUNS))])

    recall.close_stale_runs(warehouse, now=NOW)

    found = warehouse.query(
        "select run_id, status, finished_at, message is null as silent from crm.runs order by 1"
    )
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        ("e", "complete", EARLIER, True),
        ("k", "interrupted", NOW, False),
    ]


def test_errors_are_resolved_only_for_records_that_landed_since(warehouse):
    """Of this object type, not failed again in this way, and there: anything else stays open."""
    failed = [
        ErrorRow(object_type=object_type, stage=stage, category="X", object_id=object_id)
        for object_type, object_id, stage in [
            ("contacts", "1", "normalise"), ("contacts", "2", "normalise"),
            ("contacts", "text", "normalise"), ("contacts", None, "normalise"),
            ("calls", "1", "normalise"), ("contacts", "merged", "read"), ("contacts", "7", "read"),
            ("contacts", "8", "read"), ("contacts", "9", "read"), ("contacts", "9", "normalise"),
        ]
    ]  # fmt: skip
    again = ErrorRow(object_type="contacts", stage="read", category="Y", object_id="9")
    early = ledger.errors_table(failed, run_id="r", seen_at=EARLIER)
    late = ledger.errors_table([again], run_id="s", seen_at=NOW)
    aliases = [AliasRow("contacts", 7, 1, NOW), AliasRow("contacts", 8, 1, EARLIER)]
    warehouse.land([Landing("errors", pa.concat_tables([early, late]))])
    warehouse.land([Landing("id_aliases", ledger.table_of(aliases, ledger.ID_ALIASES))])
    made(warehouse, "create table crm.contacts (id bigint, synced_at timestamptz)")
    warehouse.execute("insert into crm.contacts values (1, ?), (2, ?)", NOW, EARLIER)

    recall.resolve_errors(warehouse, "contacts", since=NOW, now=NOW)

    found = warehouse.query(
        "select object_id, stage, category from crm.errors where resolved_at = ? order by 1", NOW
    )
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        ("1", "normalise", "X"),
        ("7", "read", "X"),
        ("9", "read", "X"),
    ]


def test_an_error_is_resolved_that_was_seen_by_a_run_cut_off_and_mended_before_it_went_on(
    warehouse,
):
    """Both ran since the first of them began; what was seen and read together stays open."""
    hours = [NOW + timedelta(hours=number) for number in range(3)]
    failed = [
        ErrorRow(object_type="contacts", stage="normalise", category="X", object_id=object_id)
        for object_id in ("1", "2", "7", "8")
    ]
    again = ErrorRow(object_type="contacts", stage="read", category="Y", object_id="9")
    before = ErrorRow(object_type="contacts", stage="read", category="X", object_id="9")
    seen = ledger.errors_table([*failed, before], run_id="r", seen_at=hours[1])
    late = ledger.errors_table([again], run_id="s", seen_at=hours[2])
    aliases = [AliasRow("contacts", 7, 1, hours[2]), AliasRow("contacts", 8, 1, hours[1])]
    warehouse.land([Landing("errors", pa.concat_tables([seen, late]))])
    warehouse.land([Landing("id_aliases", ledger.table_of(aliases, ledger.ID_ALIASES))])
    made(warehouse, "create table crm.contacts (id bigint, synced_at timestamptz)")
    warehouse.execute("insert into crm.contacts values (1, ?), (2, ?)", hours[2], hours[1])

    recall.resolve_errors(warehouse, "contacts", since=NOW, now=hours[2])

    found = warehouse.query(
        "select object_id, category from crm.errors where resolved_at is not null order by 1"
    )
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        ("1", "X"),
        ("7", "X"),
        ("9", "X"),
    ]


def test_reading_some_properties_resolves_only_their_own_errors(warehouse):
    """What could not be read of a record in whole is still to be read, so `crm retry` needs it."""
    failed = [
        ErrorRow(
            object_type="contacts", stage=stage, category="X", object_id="1", property=name,
            is_retryable=stage == "read",
        )
        for stage, name in [("read", None), ("normalise", "score"), ("normalise", "amount")]
    ]  # fmt: skip
    rows = ledger.errors_table(failed, run_id="r", seen_at=EARLIER)
    warehouse.land([Landing("errors", rows)])
    warehouse.land([Landing("id_aliases", ledger.table_of([], ledger.ID_ALIASES))])
    made(warehouse, "create table crm.contacts (id bigint, synced_at timestamptz)")
    warehouse.execute("insert into crm.contacts values (1, ?)", NOW)

    recall.resolve_errors(warehouse, "contacts", since=NOW, now=NOW, only=("score",))

    found = warehouse.query("select property from crm.errors where resolved_at = ?", NOW)
    assert found["property"].to_pylist() == ["score"]
    assert recall.retryable_ids(warehouse, "contacts") == ["1"]


def test_rows_of_merged_records_go_whichever_run_saw_the_merge(warehouse):
    """The one that saw it may have been killed before; a row read later is a record again."""
    aliases = [
        AliasRow("contacts", 1, 9, EARLIER + timedelta(hours=1)),
        AliasRow("contacts", 2, 9, EARLIER),
        AliasRow("calls", 3, 9, NOW),
    ]
    warehouse.land([Landing("id_aliases", ledger.table_of(aliases, ledger.ID_ALIASES))])
    made(warehouse, "create table crm.contacts (id bigint, synced_at timestamptz)")
    warehouse.execute(
        "insert into crm.contacts values (1, ?), (2, ?), (3, ?), (9, ?)",
        EARLIER, NOW, EARLIER, EARLIER,
    )  # fmt: skip

    recall.retire_merged(warehouse, "contacts")

    assert recall.ids_in(warehouse, "contacts").to_list() == [2, 3, 9]
