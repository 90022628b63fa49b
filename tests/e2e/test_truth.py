"""Everything in the portal arrives, and nothing else: cell by cell, told by an independent reader.

The portal says what its records are (`Portal.truth`), `slow_decoder` says what each
value means, one at a time and in plain Python; neither knows the code under test.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness import columns_of, crm, rows

from pipelines.simulator.portal import Portal
from pipelines.simulator.variants import Variants

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from slow_decoder import Reject, decode

ENVELOPE = ("id", "created_at", "updated_at", "archived_at", "archived", "synced_at")
SQL_TYPES = {
    "text": {"VARCHAR"},
    "number": {"DOUBLE"},
    "integer": {"BIGINT"},
    "boolean": {"BOOLEAN"},
    "date": {"DATE"},
    "datetime": {"TIMESTAMP WITH TIME ZONE"},
    "list": {"JSON"},
}
KIND_OF_COLUMN_TYPE = {
    "VARCHAR": "text",
    "DOUBLE": "number",
    "BIGINT": "integer",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMPTZ": "datetime",
    "JSON": "list",
}
MANY_VALUED_SELECTS = {
    "hs_additional_emails", "hs_all_owner_ids", "hs_all_team_ids", "hs_all_accessible_team_ids",
    "hs_all_contact_vids", "hs_calculated_merged_vids", "hs_at_mentioned_owner_ids",
    "hs_queue_membership_ids", "hs_merged_object_ids", "hs_user_ids_of_all_owners",
}  # fmt: skip
READ = {
    "date": "date_diff('day', date '1970-01-01', {0})",
    "datetime": "epoch_us({0})",
    "list": "{0}::varchar",
}
"""How a column is read so that years beyond Python's calendar survive."""

ODD_VALUES = {
    "contacts": [
        {"birthday": "-125798400000", "property_date": "0", "contract_end_date": "569035756800000"},
        {"birthday": "1900-02-28", "property_date": "2000-02-29"},
        {"contract_end_date": "9999-12-31"},
        {"closedate": "253402300800000", "hubspot_owner_assigneddate": "-62135596800001"},
        {"closedate": "2024-02-29T23:59:59.999999Z", "hubspot_owner_assigneddate": "0"},
        {"closedate": "2024-11-03T01:30:00-07:00"},
        {"property_number": "-0", "annual_budget": " 1e-7\u00a0", "hs_latitude": "1e308"},
        {"property_number": "0.200000000000000011102230246251565404236316680908203125"},
        {"associatedcompanyid": "9223372036854775807", "hs_analytics_num_visits": "1.50"},
        {"property_string": "a\x00b", "message": "🏳️‍🌈" * 9000},
        {"lastname": "\u202e\u05e9\u05dc\u05d5\u05dd"},
        {"property_string": " ", "message": "\n", "firstname": "\u200b", "city": "null"},
        {"property_multiple_checkboxes": ";vanilla;; straw\"berry\\ ;\x00;", "hs_buying_role": ";"},
        {"newsletter": " TRUE ", "property_checkbox": "False", "hs_email_optout": ""},
        {"lifecyclestage": "not an option", "hs_lead_status": "New", "id": "007"},
        {"lifecyclestage": "", "property_date": "", "property_number": "", "newsletter": ""},
    ],
    "calls": [
        {"hs_timestamp": "4102444800000", "archived_at": "1969-12-31", "hs_call_duration": "3800"},
        {"hs_call_body": "<p>" + "x" * 65_000 + "</p>", "hs_call_title": "'; drop table calls; --"},
        {"topics": "pricing;support;renewal", "hs_call_transcription_id": "1234567890123456789"},
    ],
}  # fmt: skip
LOSSES = {
    "contacts": [
        {"property_number": "0.12345678901234567890"},
        {"closedate": "2024-05-31T12:00:00.1234567Z"},
        {"annual_budget": "9007199254740993"},
        {"associatedcompanyid": "9223372036854775808"},
    ],
    "calls": [{"hs_call_callee_object_id": "1.5"}],
}
"""Values that are of their type, but that the column cannot hold exactly."""


def portal_with_oddities(*, contacts: int, calls: int) -> Portal:
    portal = Portal.build(contacts=contacts, calls=calls, seed=11)
    for odd in (ODD_VALUES, LOSSES):
        for object_type, all_values in odd.items():
            for values in all_values:
                portal.create(object_type, values)
    first = portal.create("contacts", {"email": "one@merge.example", "firstname": "One"})
    second = portal.create("contacts", {"lastname": "Two"})
    portal.merge(first, second)
    portal.archive("calls", portal.create("calls", {"hs_call_title": "archived later"}))
    return portal


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((1500, 700, Variants()), id="usual"),
        pytest.param(
            (210, 205, Variants(warnings=True, missing_ids_2026_09=200)), id="warnings, 200 for 207"
        ),
        pytest.param(
            (300, 200, Variants(result_order="shuffled", unset_property="absent")),
            id="shuffled, unset keys absent",
            marks=pytest.mark.slow,
        ),
    ],
)
def landed(request, shared_simulator, tmp_path_factory):
    """A portal, and the warehouse that `crm sync` made of it."""
    contacts, calls, variants = request.param
    portal = portal_with_oddities(contacts=contacts, calls=calls)
    simulator = shared_simulator(portal=portal, variants=variants)
    folder = tmp_path_factory.mktemp("truth")
    done = crm("sync", "--warehouse", "hubspot.duckdb", cwd=folder, simulator=simulator)
    assert done.returncode == 0, done.stderr
    return simulator.portal, folder / "hubspot.duckdb"


def expected_kinds(definition: dict) -> set[str]:
    """How the design's table reads a property; a number may be one of two."""
    name, type_, field_type = definition["name"], definition["type"], definition["fieldType"]
    if type_ == "number":
        is_id = name == "hs_object_id" or definition.get("referencedObjectType")
        return {"integer"} if is_id else {"number", "integer"}
    if type_ == "enumeration":
        if field_type == "booleancheckbox":
            return {"boolean"}
        return {"list"} if field_type == "checkbox" or name in MANY_VALUED_SELECTS else {"text"}
    return {{"bool": "boolean", "date": "date", "datetime": "datetime"}.get(type_, "text")}


def columns_by_property(path: Path, object_type: str) -> dict[str, tuple[str, str]]:
    return {
        name: (column, KIND_OF_COLUMN_TYPE[type_])
        for name, column, type_ in rows(
            path,
            "select name, column_name, column_type from crm.properties "
            "where object_type = ? and column_name is not null",
            object_type,
        )
    }


def read_cells(path: Path, table: str, column: str, kind: str) -> dict[int, object]:
    """A column by record id, each value as the slow decoder tells it."""
    cell = READ.get(kind, "{0}").format('"' + column.replace('"', '""') + '"')
    found = dict(rows(path, f"select id, {cell} from crm.{table}"))
    if kind == "list":
        return {key: None if text is None else json.loads(text) for key, text in found.items()}
    return found


def rejects_told(portal: Portal, object_type: str, kinds: dict[str, tuple[str, str]]) -> set:
    return {
        (record["id"], name, raw, told.value)
        for record in portal.truth(object_type)
        for name, raw in record["properties"].items()
        if isinstance(told := decode(kinds[name][1], raw), Reject)
    }


@pytest.mark.parametrize("object_type", ["contacts", "calls"])
def test_every_cell_is_the_portals_value_or_an_error_with_its_raw_text(landed, object_type):
    """No silent cell: a value is typed and equal, or null and in `errors`."""
    portal, path = landed
    kinds = columns_by_property(path, object_type)
    truth = list(portal.truth(object_type))
    told_names = {name for record in truth for name in record["properties"]}

    wrong = []
    assert told_names <= kinds.keys()
    for name, (column, kind) in kinds.items():
        cells = read_cells(path, object_type, column, kind)
        for record in truth:
            told = decode(kind, record["properties"].get(name))
            expected = None if isinstance(told, Reject) else told
            got = cells.get(int(record["id"]), "no such row")
            if got != expected or type(got) is not type(expected):
                wrong.append((record["id"], name, record["properties"].get(name), expected, got))

    assert wrong == []
    assert len(truth) > 200


@pytest.mark.parametrize("object_type", ["contacts", "calls"])
def test_errors_are_exactly_the_values_that_no_column_can_hold(landed, object_type):
    """Nothing is rejected that could be kept, and nothing is dropped that could not."""
    portal, path = landed

    found = rows(
        path,
        "select object_id, property, raw_value, category from crm.errors where object_type = ?",
        object_type,
    )

    assert len(found) == len(set(found))
    assert set(found) == rejects_told(portal, object_type, columns_by_property(path, object_type))
    unparseable = {
        (int(id_), name, raw) for id_, name, raw, word in found if word == "UNPARSEABLE_VALUE"
    }
    assert unparseable == set(portal.broken(object_type))
    lost = sorted((name, raw) for _, name, raw, word in found if word == "PRECISION_LOSS")
    assert lost == sorted(pair for odd in LOSSES[object_type] for pair in odd.items())


@pytest.mark.parametrize("object_type", ["contacts", "calls"])
def test_rows_are_the_portals_records_with_their_envelope(landed, object_type):
    """No record is missing, doubled or invented; live and archived ones say which they are."""
    portal, path = landed

    found = rows(
        path,
        "select id, epoch_us(created_at), epoch_us(updated_at), archived, epoch_us(archived_at) "
        f"from crm.{object_type} order by id",
    )

    assert found == sorted(
        (
            int(record["id"]),
            decode("datetime", record["createdAt"]),
            decode("datetime", record["updatedAt"]),
            record["archived"],
            decode("datetime", record.get("archivedAt")),
        )
        for record in portal.truth(object_type)
    )


@pytest.mark.parametrize("object_type", ["contacts", "calls"])
def test_columns_are_the_envelope_and_one_per_live_property(landed, object_type):
    """A column more or less, or one of another type than the design's, breaks every query."""
    portal, path = landed
    kinds = columns_by_property(path, object_type)
    columns = columns_of(path, object_type)
    visible = {
        definition["name"]: definition
        for definition in portal.properties(object_type)
        if definition["dataSensitivity"] == "non_sensitive"
    }

    assert kinds.keys() == visible.keys()
    assert all(kinds[name][1] in expected_kinds(visible[name]) for name in kinds)
    assert list(columns)[:6] == list(ENVELOPE)
    assert columns.keys() == {*ENVELOPE, *(column for column, _ in kinds.values())}
    assert all(columns[column] in SQL_TYPES[kind] for column, kind in kinds.values())
    renamed = {name: column for name, (column, _) in kinds.items() if name != column}
    assert renamed.keys() == ({"id"} if object_type == "contacts" else {"archived_at"})


def test_numbers_beyond_a_double_land_in_a_bigint_whole(landed):
    """The first values seen decide once, so 19 digits keep their last one."""
    _, path = landed

    assert columns_by_property(path, "calls")["hs_call_transcription_id"][1] == "integer"
    assert rows(
        path, "select count(*) from crm.calls where hs_call_transcription_id = 1234567890123456789"
    ) == [(1,)]


def test_errors_say_where_what_and_when(landed):
    """An analyst must be able to find the record, the column's type and the run."""
    _, path = landed

    assert rows(
        path,
        "select distinct errors.stage, errors.resolved_at, errors.is_retryable, "
        "errors.message is not null, errors.first_seen_at = errors.last_seen_at, "
        "errors.object_type = runs.object_type, "
        "errors.last_seen_at between runs.started_at and runs.finished_at "
        "from crm.errors left join crm.runs on runs.run_id = errors.run_id",
    ) == [("normalise", None, False, True, True, True, True)]
    assert set(rows(path, "select distinct property, expected_type from crm.errors")) <= {
        (name, type_) for name, type_ in rows(path, "select name, column_type from crm.properties")
    }


def test_lists_cast_to_text_lists_with_the_same_items(landed):
    """JSON text is what lands; `VARCHAR[]` is what an analyst uses."""
    portal, path = landed
    raws = {
        int(record["id"]): record["properties"].get("property_multiple_checkboxes")
        for record in portal.truth("contacts")
    }

    found = dict(rows(path, "select id, property_multiple_checkboxes::varchar[] from crm.contacts"))

    assert found == {record_id: decode("list", raw) for record_id, raw in raws.items()}


def test_the_run_accounts_for_every_id(landed):
    """Requested = loaded + merged + errors, and each equals what the portal has."""
    portal, path = landed

    found = rows(
        path,
        "select object_type, status, requested_ids, loaded_rows, merged_ids, error_ids, "
        "rejected_values from crm.runs order by object_type",
    )

    for object_type, status, requested, loaded, merged, failed, rejected in found:
        truth = list(portal.truth(object_type))
        kinds = columns_by_property(path, object_type)
        assert (status, requested, loaded) == ("complete", len(truth), len(truth))
        assert (merged, failed) == (0, 0)
        assert rejected == len(rejects_told(portal, object_type, kinds))
    assert [row[0] for row in found] == ["calls", "contacts"]


def test_every_request_with_ids_is_in_batches(landed):
    """The table of batches adds up to the runs, and says when HubSpot answered."""
    _, path = landed

    found = rows(
        path,
        "select runs.requested_ids, sum(batches.inputs), sum(batches.results), "
        "count(distinct batch_id) = count(*), bool_and(batches.status = 'COMPLETE'), "
        "max(batches.inputs), bool_and(batches.http_status = 200), "
        "bool_and(batches.endpoint = 'batch/read') "
        "from crm.batches inner join crm.runs on runs.run_id = batches.run_id "
        "group by runs.run_id, runs.requested_ids",
    )

    assert len(found) == 2
    for requested, *rest in found:
        assert rest == [requested, requested, True, True, 100, True, True]


def test_properties_table_is_the_portals_definitions(landed):
    """Archived definitions too; labels and options for decoding."""
    portal, path = landed

    found = set(
        rows(
            path, "select object_type, name, label, type, field_type, archived from crm.properties"
        )
    )
    options = set(
        rows(path, 'select object_type, property, "value", label, hidden from crm.property_options')
    )

    defined = [
        (object_type, definition)
        for object_type in ("contacts", "calls")
        for archived in (False, True)
        for definition in portal.properties(object_type, archived=archived)
        if definition["dataSensitivity"] == "non_sensitive"
    ]
    assert found == {
        (o, d["name"], d["label"], d["type"], d["fieldType"], d.get("archived", False))
        for o, d in defined
    }
    assert options == {
        (o, d["name"], option["value"], option["label"], option["hidden"])
        for o, d in defined
        for option in d["options"]
    }


def test_moments_of_the_run_are_of_today(landed):
    """`synced_at` is our clock, not the portal's."""
    _, path = landed

    earliest, latest = rows(path, "select min(synced_at), max(synced_at) from crm.contacts")[0]

    assert abs((datetime.now(UTC) - earliest).total_seconds()) < 600
    assert latest >= earliest
