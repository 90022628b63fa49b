"""The simulator's other records, their owners, outcomes, groups, schemas and histories."""

import pytest

from pipelines.simulator.account import ARCHIVED_OWNER, DELETED_DISPOSITION
from pipelines.simulator.app import ALL_SCOPES
from pipelines.simulator.call_properties import FORGOTTEN_DISPOSITION
from pipelines.simulator.portal import Portal
from pipelines.simulator.variants import Variants

pytestmark = pytest.mark.own_version  # paths are written out

COUNTS = {"companies": 150, "deals": 120, "tickets": 110, "machines": 105}
OWNED = ("contacts", "calls", *COUNTS)


@pytest.fixture(scope="module")
def running(shared_simulator):
    """One simulator for all tests that only read."""
    portal = Portal.build(contacts=250, calls=250, **COUNTS)
    return shared_simulator(portal=portal, search_requests_per_s=10_000)


def inputs(*ids):
    return {"inputs": [{"id": str(one)} for one in ids]}


# ---------------------------------------------------------------- companies, deals, tickets, custom


@pytest.mark.parametrize("object_type", COUNTS)
@pytest.mark.parametrize("archived", [False, True])
def test_the_list_and_batch_read_give_what_the_portal_has(running, http, object_type, archived):
    truth = [r for r in running.portal.truth(object_type) if r["archived"] == archived]
    names = [one["name"] for one in running.portal.properties(object_type)]
    is_archived = {"archived": str(archived).lower()}
    path, listed, after = f"/crm/v3/objects/{object_type}", [], "0"
    while after:
        page = http.get(path, params={"limit": 100, "after": after, **is_archived}).json()
        listed += [one["id"] for one in page["results"]]
        after = page.get("paging", {}).get("next", {}).get("after")
    read = [
        one
        for start in range(0, len(listed), 100)
        for one in http.post(
            f"{path}/batch/read",
            params=is_archived,
            json={**inputs(*listed[start : start + 100]), "properties": names},
        ).json()["results"]
    ]

    assert read == truth
    assert archived or len(truth) == COUNTS[object_type]


@pytest.mark.parametrize(
    ("object_type", "created"),
    [("companies", "createdate"), ("deals", "createdate"), ("tickets", "createdate"),
     ("machines", "hs_createdate")],
)  # fmt: skip
def test_search_finds_what_was_modified_since(running, http, object_type, created):
    live = [r for r in running.portal.truth(object_type) if not r["archived"]]
    since = sorted(r["updatedAt"] for r in live)[len(live) // 2]
    filters = [{"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": since}]

    found = http.post(
        f"/crm/v3/objects/{object_type}/search",
        json={"filterGroups": [{"filters": filters}], "limit": 200, "properties": ["x"]},
    ).json()["results"]

    assert {r["id"] for r in found} == {r["id"] for r in live if r["updatedAt"] >= since}
    assert {"hs_lastmodifieddate", "hs_object_id", created} == found[0]["properties"].keys()
    assert found[0]["properties"][created] == found[0]["createdAt"]


@pytest.mark.parametrize(
    ("named", "object_type"),
    [("0-2", "companies"), ("0-3", "deals"), ("0-5", "tickets"), ("2-7701234", "machines"),
     ("p44237313_machines", "machines"), ("p_machines", "machines")],
)  # fmt: skip
@pytest.mark.parametrize(
    "base", ["/crm/v3/objects", "/crm/objects/2026-03", "/crm/objects/2026-09"]
)
def test_every_type_has_several_names_in_every_version(http, base, named, object_type):
    assert (
        http.get(f"{base}/{named}").json()["results"]
        == http.get(f"/crm/v3/objects/{object_type}").json()["results"]
    )


@pytest.mark.parametrize("named", ["company", "contact", "machine"])
def test_singulars_are_for_associations_alone(http, named):
    answer = http.get(f"/crm/v3/objects/{named}")

    assert answer.status_code == 400
    assert answer.json()["message"] == f"Unable to infer object type from: {named}"


def test_a_plain_name_may_be_no_name_of_a_custom_object(connect):
    _, http = connect(variants=Variants(custom_object_by_name="400"))

    assert http.get("/crm/v3/objects/machines").status_code == 400
    assert http.get("/crm/v3/objects/p44237313_machines").status_code == 200
    assert http.get("/crm/v3/objects/companies").status_code == 200


def test_missing_records_are_named_by_their_singular(http):
    answer = http.post("/crm/v3/objects/companies/batch/read", json=inputs(1))

    assert answer.status_code == 207
    assert "some COMPANY objects" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("object_type", "name"), [("companies", "external_id"), ("machines", "serial_number")]
)
def test_unique_properties_find_records(running, http, object_type, name):
    record = next(running.portal.truth(object_type))
    body = {**inputs(record["properties"][name]), "idProperty": name}

    found = http.post(f"/crm/v3/objects/{object_type}/batch/read", json=body).json()["results"]

    assert [one["id"] for one in found] == [record["id"]]


@pytest.mark.parametrize(("object_type", "word"), [("deals", "deals"), ("machines", "custom")])
def test_each_type_has_a_scope_of_its_own(connect, object_type, word):
    _, http = connect(scopes=ALL_SCOPES - {f"crm.objects.{word}.read"})

    refused = http.get(f"/crm/v3/objects/{object_type}")

    assert refused.status_code == 403
    assert f"crm.objects.{word}.read" in refused.text
    assert http.get("/crm/v3/objects/contacts").status_code == 200
    assert http.get(f"/crm/v3/properties/{object_type}").status_code == 200


# ---------------------------------------------------------------- schemas and groups


@pytest.mark.parametrize(
    "path",
    ["/crm/v3/schemas", "/crm-object-schemas/v3/schemas", "/crm-object-schemas/2026-03/schemas",
     "/crm-object-schemas/2026-09/schemas"],
)  # fmt: skip
def test_schemas_tell_of_custom_objects(running, http, path):
    (schema,) = http.get(path).json()["results"]

    assert (schema["objectTypeId"], schema["name"]) == ("2-7701234", "machines")
    assert schema["fullyQualifiedName"] == "p44237313_machines"
    assert schema["labels"] == {"singular": "Machine", "plural": "Machines"}
    assert schema["primaryDisplayProperty"] == "serial_number"
    assert schema["requiredProperties"] == ["serial_number"]
    assert {one["name"] for one in schema["properties"]} == {
        one["name"] for one in running.portal.properties("machines")
    }
    assert {one["fromObjectTypeId"] for one in schema["associations"]} == {"2-7701234", "0-1"}
    assert http.get(f"{path}/2-7701234").json() == schema
    assert http.get(f"{path}/contacts").status_code == 404
    assert http.get(path, params={"archived": "true"}).json() == {"results": []}


@pytest.mark.parametrize("object_type", OWNED)
@pytest.mark.parametrize("base", ["/crm/v3/properties", "/crm/properties/2026-09"])
def test_every_property_is_in_a_group(running, http, base, object_type):
    groups = http.get(f"{base}/{object_type}/groups").json()["results"]

    assert [one.keys() for one in groups] == [
        {"name", "label", "displayOrder", "archived"} for _ in groups
    ]
    assert [one["displayOrder"] for one in groups] == list(range(len(groups)))
    assert {one["groupName"] for one in running.portal.properties(object_type)} <= {
        one["name"] for one in groups
    }


# ---------------------------------------------------------------- owners and outcomes of calls


def values(portal, object_type, name):
    return {r["properties"].get(name) for r in portal.truth(object_type)} - {None, ""}


@pytest.mark.parametrize("path", ["/crm/v3/owners", "/crm/owners/2026-03", "/crm/owners/2026-09/"])
def test_owners_of_records_are_listed_one_of_them_as_archived(running, http, path):
    live = http.get(path).json()["results"]
    archived = http.get(path, params={"archived": "true"}).json()["results"]

    assert [one["archived"] for one in (*live, *archived)] == [False, False, False, True]
    assert archived[0]["userId"] is None
    assert archived[0]["userIdIncludingInactive"] > 0
    assert live[0]["teams"][0].keys() == {"id", "name", "primary"}
    assert "teams" not in archived[0]
    listed = {one["id"] for one in (*live, *archived)}
    for object_type in OWNED:
        used = values(running.portal, object_type, "hubspot_owner_id")
        assert ARCHIVED_OWNER in used <= listed


def test_owners_come_page_by_page(http):
    found, after = [], None
    while after != "end":
        page = http.get(
            "/crm/v3/owners", params={"limit": 2, **({"after": after} if after else {})}
        )
        found += page.json()["results"]
        after = page.json().get("paging", {}).get("next", {}).get("after", "end")

    assert found == http.get("/crm/v3/owners", params={"limit": 500}).json()["results"]
    assert http.get("/crm/v3/owners", params={"limit": 501}).status_code == 400


def test_outcomes_of_calls_are_a_bare_list_that_lacks_one(running, http):
    listed = http.get("/calling/v1/dispositions").json()
    used = values(running.portal, "calls", "hs_call_disposition")

    assert {one["id"] for one in listed if one["deleted"]} == {DELETED_DISPOSITION}
    assert {one["label"] for one in listed} >= {"Busy", "Connected", "Wrong number"}
    assert used - {one["id"] for one in listed} == {FORGOTTEN_DISPOSITION}
    assert DELETED_DISPOSITION in used


# ---------------------------------------------------------------- history


def history(http, object_type, record_id, *names, archived=False):
    (record,) = http.post(
        f"/crm/v3/objects/{object_type}/batch/read",
        params={"archived": str(archived).lower()},
        json={**inputs(record_id), "propertiesWithHistory": names},
    ).json()["results"]
    return record["propertiesWithHistory"]


@pytest.mark.parametrize("object_type", OWNED)
@pytest.mark.parametrize("archived", [False, True])
def test_history_is_newest_first_and_begins_with_the_value(running, http, object_type, archived):
    names = [one["name"] for one in running.portal.properties(object_type)]
    records = [r for r in running.portal.truth(object_type) if r["archived"] == archived][:50]
    found = http.post(
        f"/crm/v3/objects/{object_type}/batch/read",
        params={"archived": str(archived).lower()},
        json={**inputs(*(r["id"] for r in records)), "propertiesWithHistory": names},
    ).json()["results"]

    for got, record in zip(found, records, strict=True):
        past = got["propertiesWithHistory"]
        assert past == running.portal.history(object_type, int(record["id"]), names)
        for name, value in record["properties"].items():
            times = [one["timestamp"][:19] for one in past[name]]
            assert times == sorted(times, reverse=True)
            assert (past[name][0]["value"] if past[name] else None) == value


def test_only_three_fields_of_history_are_certain(running):
    entries = [
        entry
        for record in running.portal.truth("contacts")
        for entry in running.portal.history("contacts", int(record["id"]), ["lifecyclestage"])[
            "lifecyclestage"
        ]
    ]

    assert all({"value", "timestamp", "sourceType"} <= one.keys() for one in entries)
    assert {key for one in entries for key in one} == {
        "value", "timestamp", "sourceType", "sourceId", "sourceLabel", "updatedByUserId",
    }  # fmt: skip
    assert any(len(one) == 3 for one in entries)


def test_a_change_adds_to_the_history_and_moves_no_other(connect):
    """Whoever reads twice must find every entry again that was there."""
    running, http = connect()
    names = ("city", "lastname", "lifecyclestage", "hs_object_id")
    before = history(http, "contacts", 512, *names)

    running.portal.update("contacts", 512, {"city": "Aix", "lifecyclestage": "lead"})
    running.portal.update("contacts", 512, {"city": "Aix", "lifecyclestage": "customer"})
    after = history(http, "contacts", 512, *names)

    assert [one["value"] for one in after["city"]] == [
        "Aix", *(one["value"] for one in before["city"]),
    ]  # fmt: skip
    assert [one["value"] for one in after["lifecyclestage"][:2]] == ["customer", "lead"]
    for name in names:
        kept = len(before[name])
        assert after[name][len(after[name]) - kept :] == before[name]
    assert after["lastname"] == before["lastname"]


@pytest.mark.parametrize("keep_primary_id", [True, False])
def test_a_merge_is_in_the_history_of_what_it_changed(connect, keep_primary_id):
    running, http = connect()
    portal = running.portal
    first = portal.create("contacts", {"city": "Aix"})
    second = portal.create("contacts", {"city": "Bonn", "fax": "12"})

    winner = portal.merge(first, second, keep_primary_id=keep_primary_id)
    found = history(http, "contacts", winner, "city", "fax")

    (record,) = (r for r in portal.truth("contacts") if r["id"] == str(winner))
    assert [found[name][0]["value"] for name in ("city", "fax")] == ["Aix", "12"]
    assert found["fax"][0]["timestamp"] == record["updatedAt"]


def test_history_goes_on_while_a_record_is_archived_and_restored(connect):
    running, http = connect()
    before = history(http, "contacts", 512, "property_string")

    running.portal.archive("contacts", 512)
    archived = history(http, "contacts", 512, "property_string", archived=True)
    running.portal.restore("contacts", 512)

    assert archived == before == history(http, "contacts", 512, "property_string")
    assert before["property_string"][0]["value"] == "value"


def test_a_property_without_history_is_an_empty_list_or_absent(connect):
    _, usual = connect()
    _, other = connect(variants=Variants(unset_history="absent"))
    names = ("hs_lastmodifieddate", "property_string")

    assert history(usual, "contacts", 512, *names)["hs_lastmodifieddate"] == []
    assert history(other, "contacts", 512, *names).keys() == {"property_string"}
