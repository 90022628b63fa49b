"""The simulator is faithful: HubSpot's own Python client works against it, unchanged."""

from datetime import UTC, datetime

import hubspot
import pytest
from hubspot.crm import contacts as crm_contacts
from hubspot.crm import properties as crm_properties
from hubspot.crm.associations import v4 as crm_associations
from hubspot.crm.objects import calls as crm_calls
from hubspot.utils.objects import fetch_all

from pipelines.simulator.portal import Portal
from pipelines.simulator.variants import Variants

pytestmark = pytest.mark.own_version  # the client speaks no other than v3


@pytest.fixture(scope="module")
def running(shared_simulator):
    return shared_simulator(contacts=230, calls=110)


@pytest.fixture(scope="module")
def client(running):
    return client_of(running)


def client_of(running):
    """The official client, set up by its own options: a token and another host."""
    return hubspot.Client.create(access_token=running.token, host=running.base_url)


def batch(ids, properties, history=(), id_property=None):
    return crm_contacts.BatchReadInputSimplePublicObjectId(
        inputs=[{"id": str(one)} for one in ids],
        properties=list(properties),
        properties_with_history=list(history),
        id_property=id_property,
    )


def test_reads_the_documented_record(client):
    record = client.crm.contacts.basic_api.get_by_id(
        "512", properties=["property_number", "property_multiple_checkboxes"]
    )

    assert record.id == "512"
    assert record.properties["property_number"] == "17"
    assert record.properties["property_multiple_checkboxes"] == "chocolate;strawberry"
    assert record.created_at == datetime(2019, 10, 30, 3, 30, 17, 883000, tzinfo=UTC)
    assert record.archived is False


def test_a_record_that_is_not_there_is_an_api_exception(client):
    with pytest.raises(crm_contacts.ApiException) as caught:
        client.crm.contacts.basic_api.get_by_id("100")

    assert caught.value.status == 404
    assert "resource not found" in caught.value.body


def test_pages_through_all_contacts_and_calls(client, running):
    contacts = client.crm.contacts.get_all(properties=["firstname"])
    calls = fetch_all(client.crm.objects.calls.basic_api, properties=["hs_call_title"])

    truth = {
        kind: {
            record["id"]: record["properties"]
            for record in running.portal.truth(kind)
            if not record["archived"]
        }
        for kind in ("contacts", "calls")
    }
    assert {c.id: c.properties["firstname"] for c in contacts} == {
        key: properties["firstname"] for key, properties in truth["contacts"].items()
    }
    assert {c.id: c.properties["hs_call_title"] for c in calls} == {
        key: properties["hs_call_title"] for key, properties in truth["calls"].items()
    }


def test_lists_archived_records(client, running):
    page = client.crm.contacts.basic_api.get_page(archived=True)

    archived = [r["id"] for r in running.portal.truth("contacts") if r["archived"]]
    assert [record.id for record in page.results] == archived
    assert all(record.archived and record.archived_at for record in page.results)


def test_searches_page_by_page(client, running):
    request = crm_contacts.PublicObjectSearchRequest(
        filter_groups=[
            {"filters": [{"propertyName": "lifecyclestage", "operator": "EQ", "value": "lead"}]}
        ],
        sorts=["createdate"],
        properties=["lifecyclestage"],
        limit=10,
    )
    found = []
    while True:
        answer = client.crm.contacts.search_api.do_search(public_object_search_request=request)
        found += [record.id for record in answer.results]
        if answer.paging is None:
            break
        request.after = answer.paging.next.after

    leads = {
        r["id"]
        for r in running.portal.truth("contacts")
        if r["properties"]["lifecyclestage"] == "lead" and not r["archived"]
    }
    assert len(found) == answer.total
    assert set(found) == leads


def test_reads_property_definitions(client, running):
    definitions = client.crm.properties.core_api.get_all("contacts").results
    archived = client.crm.properties.core_api.get_all("contacts", archived=True).results
    stage = client.crm.properties.core_api.get_by_name("contacts", "lifecyclestage")
    batch_answer = client.crm.properties.batch_api.read(
        "calls",
        crm_properties.BatchReadInputPropertyName(
            archived=False, inputs=[{"name": "hs_call_duration"}]
        ),
    )
    groups = client.crm.properties.groups_api.get_all("calls").results

    assert {one.name for one in definitions} == {
        one["name"]
        for one in running.portal.properties("contacts")
        if one["dataSensitivity"] == "non_sensitive"
    }
    assert [one.name for one in archived] == ["old_score"]
    assert stage.field_type == "radio"
    assert "customer" in {option.value for option in stage.options}
    assert batch_answer.results[0].type == "number"
    assert {group.name for group in groups} == {"call", "engagement"}


def test_batch_read_gives_the_good_half_and_names_the_missing_ids(client):
    answer = client.crm.contacts.batch_api.read(batch([512, 100, 101_010], ["property_string"]))

    assert [record.id for record in answer.results] == ["512"]
    assert answer.results[0].properties["property_string"] == "value"
    assert answer.num_errors == 1
    assert answer.errors[0].category == "OBJECT_NOT_FOUND"
    assert answer.errors[0].context == {"ids": ["100", "101010"]}


def test_batch_read_of_calls(client, running):
    ids = [r["id"] for r in running.portal.truth("calls") if not r["archived"]][:100]
    answer = client.crm.objects.calls.batch_api.read(
        crm_calls.BatchReadInputSimplePublicObjectId(
            inputs=[{"id": one} for one in ids],
            properties=["hs_call_duration"],
            properties_with_history=[],
        )
    )

    assert {record.id for record in answer.results} == set(ids)
    assert answer.status == "COMPLETE"


def test_batch_read_of_an_archived_record(client, running):
    archived = next(r["id"] for r in running.portal.truth("contacts") if r["archived"])

    live = client.crm.contacts.batch_api.read(batch([archived], []))
    gone = client.crm.contacts.batch_api.read(batch([archived], []), archived=True)

    assert live.results == []
    assert [record.id for record in gone.results] == [archived]
    assert gone.results[0].archived_at is not None


def test_a_merged_id_answers_under_its_winner(client, running):
    old, current = next(iter(running.portal.aliases("contacts").items()))

    one = client.crm.contacts.basic_api.get_by_id(str(old))
    many = client.crm.contacts.batch_api.read(batch([old, current], ["hs_merged_object_ids"]))

    assert one.id == str(current)
    assert [record.id for record in many.results] == [str(current)]
    assert str(old) in many.results[0].properties["hs_merged_object_ids"]


def test_batch_read_by_email(client):
    answer = client.crm.contacts.batch_api.read(
        batch(["CONTACT.512@example.com"], ["email"], id_property="email")
    )

    assert [record.id for record in answer.results] == ["512"]


def test_history_is_newest_first(simulator):
    running = simulator(contacts=2, calls=0)
    client = client_of(running)
    running.portal.update("contacts", 512, {"lifecyclestage": "customer"})

    answer = client.crm.contacts.batch_api.read(batch([512], [], history=["lifecyclestage"]))

    history = answer.results[0].properties_with_history["lifecyclestage"]
    assert history[0].value == "customer"
    assert [h.timestamp for h in history] == sorted((h.timestamp for h in history), reverse=True)


def test_owners(client):
    owners = client.crm.owners.get_all()
    (archived,) = client.crm.owners.get_all(archived=True)

    assert len(owners) == 3
    assert all(owner.email for owner in owners)
    assert [team.primary for team in owners[0].teams] == [True, False]
    assert (archived.user_id, archived.archived) == (None, True)


# ---------------------------------------------------------------- associations, other objects


@pytest.fixture(scope="module")
def linked(shared_simulator):
    portal = Portal.build(contacts=60, calls=40, companies=230, machines=110)
    return shared_simulator(portal=portal, variants=Variants(association_page_size=5))


@pytest.fixture(scope="module")
def reader(linked):
    return client_of(linked)


def association_inputs(*inputs):
    return crm_associations.BatchInputPublicFetchAssociationsBatchRequest(inputs=list(inputs))


@pytest.mark.parametrize(
    ("named", "from_type", "to_type"),
    [("contacts/calls", "contacts", "calls"), ("0-2/contact", "companies", "contacts")],
)
def test_follows_every_page_of_associations(reader, linked, named, from_type, to_type):
    asked = [{"id": str(record_id)} for record_id in linked.portal.records[from_type].live]
    found = set()
    while asked:
        answer = reader.crm.associations.v4.batch_api.get_page(
            *named.split("/"), association_inputs(*asked)
        )
        asked = []
        for result in answer.results:
            found |= {
                (int(result._from.id), int(to.to_object_id), one.category, one.type_id, one.label)
                for to in result.to
                for one in to.association_types
            }
            if result.paging:
                asked.append({"id": result._from.id, "after": result.paging.next.after})

    assert found == {tuple(link) for link in linked.portal.associations(from_type, to_type)}


def test_whoever_has_no_associations_is_told_as_an_error(reader, linked):
    alone = linked.portal.create("contacts", {})

    answer = reader.crm.associations.v4.batch_api.get_page(
        "contacts", "calls", association_inputs({"id": "512"}, {"id": str(alone)})
    )

    assert [result._from.id for result in answer.results] == ["512"]
    assert answer.num_errors == 1
    assert answer.errors[0].context["fromObjectId"] == [str(alone)]
    assert answer.errors[0].sub_category == "crm.associations.NO_ASSOCIATIONS_FOUND"


def test_labels_of_associations(reader):
    found = reader.crm.associations.v4.schema.definitions_api.get_all("contacts", "companies")

    assert {(one.category, one.type_id, one.label) for one in found.results} >= {
        ("HUBSPOT_DEFINED", 279, None),
        ("HUBSPOT_DEFINED", 1, "Primary"),
        ("USER_DEFINED", 101, "Employer"),
    }


def test_pages_through_companies_and_a_custom_object(reader, linked):
    companies = reader.crm.companies.get_all(properties=["name"])
    machines = reader.crm.objects.get_all("2-7701234", properties=["serial_number"])

    for object_type, name, found in (
        ("companies", "name", companies),
        ("machines", "serial_number", machines),
    ):
        assert {one.id: one.properties[name] for one in found} == {
            record["id"]: record["properties"][name]
            for record in linked.portal.truth(object_type)
            if not record["archived"]
        }


def test_groups_and_schemas(reader, linked):
    groups = reader.crm.properties.groups_api.get_all("companies").results
    (schema,) = reader.crm.schemas.core_api.get_all().results

    assert {group.name for group in groups} == {"companyinformation", "account_properties"}
    assert all(group.archived is False for group in groups)
    assert schema.object_type_id == "2-7701234"
    assert schema.fully_qualified_name == "p44237313_machines"
    assert {one.name for one in schema.properties} == {
        one["name"] for one in linked.portal.properties("machines")
    }
