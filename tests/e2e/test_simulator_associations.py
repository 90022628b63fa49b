"""The simulator answers about associations as HubSpot is documented and recorded to answer."""

from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, unquote

import pytest

from pipelines.simulator.links import Link
from pipelines.simulator.pair import BUSIEST
from pipelines.simulator.portal import Portal
from pipelines.simulator.variants import Variants

pytestmark = pytest.mark.own_version  # paths are written out

TO_CALLS = "/crm/v4/associations/contacts/calls"
TO_COMPANIES = "/crm/v4/associations/contacts/companies"
SMALL_PAGES = Variants(association_page_size=3)
NO_SUCH = 100


def small_portal():
    return Portal.build(contacts=60, calls=40, companies=25, deals=10, tickets=10, machines=10)


@pytest.fixture
def connect(connect):
    """The same, of a small portal unless another is given."""
    return lambda **options: connect(**{"portal": small_portal(), **options})


@pytest.fixture(scope="module")
def running(shared_simulator):
    """One simulator, of small pages, for all tests that only read."""
    return shared_simulator(portal=small_portal(), variants=SMALL_PAGES)


def inputs(*ids):
    return {"inputs": [{"id": str(one)} for one in ids]}


def read(http, path, *ids):
    return http.post(f"{path}/batch/read", json=inputs(*ids))


def every_link(http, path, ids):
    """What a client has that follows each cursor of each id."""
    found, asked = [], [{"id": str(one)} for one in ids]
    while asked:
        results = http.post(f"{path}/batch/read", json={"inputs": asked}).json()["results"]
        asked = []
        for result in results:
            from_id = result["from"]["id"]
            found += [
                Link(int(from_id), to["toObjectId"], one["category"], one["typeId"], one["label"])
                for to in result["to"]
                for one in to["associationTypes"]
            ]
            if "paging" in result:
                asked.append({"id": from_id, "after": result["paging"]["next"]["after"]})
    return sorted(found, key=str)


def partners(portal, from_type, from_id, to_type):
    return {link.to_id for link in portal.associations(from_type, to_type) if link[0] == from_id}


@pytest.mark.parametrize(
    ("from_type", "to_type"),
    [
        ("contacts", "calls"), ("calls", "contacts"), ("contacts", "companies"),
        ("companies", "contacts"), ("calls", "companies"), ("deals", "calls"),
        ("calls", "tickets"), ("machines", "contacts"),
    ],
)  # fmt: skip
def test_every_page_of_every_record_is_what_the_portal_has(running, http, from_type, to_type):
    path = f"/crm/v4/associations/{from_type}/{to_type}"

    found = every_link(http, path, running.portal.records[from_type].by_id)

    truth = running.portal.associations(from_type, to_type)
    assert found == sorted(truth, key=str)
    assert len(truth) > 5


def test_a_page_has_so_many_and_says_whether_there_are_more(running, http):
    partner_ids = sorted(partners(running.portal, "contacts", 512, "calls"))

    (result,) = read(http, TO_CALLS, 512).json()["results"]
    cursor = result["paging"]["next"]["after"]

    assert [to["toObjectId"] for to in result["to"]] == partner_ids[:3]
    assert b64decode(unquote(cursor)).decode().startswith("0-48-")
    for after in (cursor, unquote(cursor)):
        asked = {"inputs": [{"id": "512", "after": after}]}
        (more,) = http.post(f"{TO_CALLS}/batch/read", json=asked).json()["results"]
        assert [to["toObjectId"] for to in more["to"]] == partner_ids[3:6]


def test_a_page_is_of_500_unless_told_otherwise(connect):
    _, http = connect(portal=Portal.build(contacts=5, calls=2 * BUSIEST))

    (result,) = read(http, TO_CALLS, 512).json()["results"]

    assert len(result["to"]) == 500
    assert "paging" in result


def test_one_entry_has_every_type_of_its_pair(connect):
    """Ids of records are texts on one side and numbers on the other."""
    running, http = connect()
    contact, company = running.portal.create("contacts", {}), running.portal.create("companies", {})
    running.portal.link("contacts", contact, "companies", company, labels=["Primary", "Employer"])

    answer, back = (
        read(http, TO_COMPANIES, contact),
        read(http, "/crm/v4/associations/companies/contacts", company),
    )

    assert answer.status_code == 200
    assert sorted(answer.json()) == ["completedAt", "results", "startedAt", "status"]
    assert answer.json()["results"] == [
        {
            "from": {"id": str(contact)},
            "to": [
                {
                    "toObjectId": company,
                    "associationTypes": [
                        {"category": "HUBSPOT_DEFINED", "typeId": 1, "label": "Primary"},
                        {"category": "USER_DEFINED", "typeId": 101, "label": "Employer"},
                        {"category": "HUBSPOT_DEFINED", "typeId": 279, "label": None},
                    ],
                }
            ],
        }
    ]
    assert [one["label"] for one in back.json()["results"][0]["to"][0]["associationTypes"]] == [
        "Primary", "Employee", None,
    ]  # fmt: skip


def test_whoever_has_none_is_an_error_each_and_not_among_the_results(connect):
    running, http = connect()
    alone = running.portal.create("contacts", {})

    answer = read(http, TO_COMPANIES, alone, 512, NO_SUCH, "abc")

    body = answer.json()
    assert answer.status_code == 207
    assert [one["from"]["id"] for one in body["results"]] == ["512"]
    assert body["numErrors"] == 3
    assert [one["context"]["fromObjectId"] for one in body["errors"]] == [
        [str(alone)], ["100"], ["abc"],
    ]  # fmt: skip
    assert body["errors"][1] == {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "message": "No company is associated with contact 100.",
        "context": {
            "fromObjectId": ["100"],
            "fromObjectType": ["contact"],
            "toObjectType": ["company"],
        },
    }


def test_results_do_not_follow_the_order_of_the_inputs(connect):
    running, by_id = connect()
    _, shuffled = connect(variants=Variants(result_order="shuffled"))
    found = read(by_id, TO_CALLS, *running.portal.records["contacts"].live).json()["results"]
    ids = [one["from"]["id"] for one in found]

    def order(http):
        return [one["from"]["id"] for one in read(http, TO_CALLS, *ids[::-1]).json()["results"]]

    assert order(by_id) == ids
    assert order(shuffled) not in (ids, ids[::-1])
    assert sorted(order(shuffled), key=int) == ids


@pytest.mark.parametrize("names", ["contacts/calls", "contact/call", "0-1/0-48", "contact/0-48"])
@pytest.mark.parametrize(
    "base",
    ["/crm/v4/associations", "/crm/associations/2026-03", "/crm/associations/2026-09"],
)
def test_types_have_several_names_and_versions_several_paths(http, base, names):
    plain, same = read(http, TO_CALLS, 512, NO_SUCH), read(http, f"{base}/{names}", 512, NO_SUCH)

    assert same.status_code == 207
    for key in ("results", "errors"):
        assert same.json()[key] == plain.json()[key]


def test_a_custom_object_goes_by_its_type_id_and_its_qualified_name(running, http):
    ids = running.portal.records["machines"].live

    answers = [
        read(http, f"/crm/v4/associations/{name}/contacts", *ids).json()["results"]
        for name in ("2-7701234", "p44237313_machines", "machine")
    ]

    assert answers[0]
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize(
    "base",
    ["/crm/v4/associations", "/crm/associations/v4", "/crm/associations/2026-03",
     "/crm/associations/2026-09"],
)  # fmt: skip
def test_labels_are_those_of_one_direction(connect, base):
    running, http = connect()
    running.portal.add_label("companies", "contacts", "Trains", "Trained by")

    there = http.get(f"{base}/company/contact/labels").json()["results"]
    here = http.get(f"{base}/contacts/companies/labels").json()["results"]

    assert here[:2] == [
        {"category": "HUBSPOT_DEFINED", "typeId": 279, "label": None},
        {"category": "HUBSPOT_DEFINED", "typeId": 1, "label": "Primary"},
    ]
    assert [one["label"] for one in there] == [
        None, "Primary", "Employee", "Billing contact", "Trains",
    ]  # fmt: skip
    assert here[-1]["label"] == "Trained by"
    assert here[-1]["category"] == "USER_DEFINED"
    assert here[-1]["typeId"] != there[-1]["typeId"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (TO_CALLS, inputs(*range(1001))),
        (TO_CALLS, {}),
        (TO_CALLS, {"inputs": [{"id": "512", "after": "abc"}]}),
        (TO_CALLS, {"inputs": [{"id": "512", "after": quote("MC0yLTE1OTc0MDA2NTg=")}]}),
        ("/crm/v4/associations/contacts/butterflies", inputs(512)),
        ("/crm/v4/associations/butterflies/contacts", inputs(512)),
    ],
    ids=["1,001 inputs", "no inputs", "no cursor", "a cursor of companies", "to what", "from what"],
)
def test_what_cannot_be_is_400(http, path, body):
    answer = http.post(f"{path}/batch/read", json=body)

    assert answer.status_code == 400
    assert answer.json()["status"] == "error"


def test_a_thousand_inputs_are_not_too_many(http):
    body = read(http, TO_CALLS, *range(1000)).json()

    assert len(body["results"]) + body["numErrors"] == 1000


@pytest.mark.parametrize(
    ("variants", "status", "count"),
    [
        (Variants(), 207, 1),
        (Variants(archived_from="400"), 400, None),
        (Variants(missing_ids_2026_09=200), 200, 1),
    ],
)
def test_an_archived_record_has_none_or_spoils_the_request(connect, variants, status, count):
    running, http = connect(variants=variants)
    archived = running.portal.records["contacts"].archived[0]

    answer = read(http, "/crm/associations/2026-09/contacts/calls", archived, 512)

    assert answer.status_code == status
    assert count is None or len(answer.json()["results"]) == count


def test_answers_may_have_every_field_of_the_reference(connect):
    _, http = connect(variants=Variants(batch_fields="all"))

    body = read(http, TO_CALLS, 512, NO_SUCH).json()
    record = http.post("/crm/v3/objects/contacts/batch/read", json=inputs(512, NO_SUCH)).json()

    for one in (body, record):
        (error,) = one["errors"]
        assert {"requestedAt", "links", "numErrors"} <= one.keys()
        assert {"id", "category", "context", "errors", "links", "message", "status"} <= error.keys()
        assert error["errors"][0].keys() == {"code", "context", "in", "message", "subCategory"}


def test_links_come_go_and_change_without_any_modified_date(connect):
    running, http = connect()
    portal = running.portal
    contact, company = portal.create("contacts", {}), portal.create("companies", {})
    before = [portal.records[name].revision for name in ("contacts", "companies")]

    def labels():
        results = read(http, TO_COMPANIES, contact).json()["results"]
        return [one["label"] for r in results for one in r["to"][0]["associationTypes"]]

    seen = [labels()]
    portal.link("companies", company, "contacts", contact)
    seen.append(labels())
    portal.relabel("contacts", contact, "companies", company, "Employer")
    seen.append(labels())
    portal.relabel("contacts", contact, "companies", company, "Billing contact", "Primary")
    seen.append(labels())
    portal.unlink("contacts", contact, "companies", company)
    seen.append(labels())

    assert seen == [[], [None], ["Employer", None], ["Primary", "Billing contact", None], []]
    assert before == [portal.records[name].revision for name in ("contacts", "companies")]


def test_what_is_archived_vanishes_from_the_other_side_until_it_is_restored(connect):
    running, http = connect()
    call = min(partners(running.portal, "contacts", 512, "calls"))

    def calls_of_512():
        (result,) = read(http, TO_CALLS, 512).json()["results"]
        return {to["toObjectId"] for to in result["to"]}

    before = calls_of_512()
    running.portal.archive("calls", call)
    without = calls_of_512()
    running.portal.restore("calls", call)
    restored = calls_of_512()
    running.portal.delete("calls", call)

    assert call in before
    assert without == before - {call} == calls_of_512()
    assert restored == before


def test_pages_go_on_where_they_were_when_links_go_meanwhile(connect):
    """The cursor's own record may be gone, and everything behind it."""
    running, http = connect(variants=SMALL_PAGES)
    ids = sorted(partners(running.portal, "contacts", 512, "calls"))
    (first,) = read(http, TO_CALLS, 512).json()["results"]
    asked = {"inputs": [{"id": "512", "after": first["paging"]["next"]["after"]}]}

    running.portal.unlink("contacts", 512, "calls", ids[2], ids[3])
    (second,) = http.post(f"{TO_CALLS}/batch/read", json=asked).json()["results"]
    running.portal.unlink("contacts", 512, "calls", *ids[4:])
    last = http.post(f"{TO_CALLS}/batch/read", json=asked)

    assert [to["toObjectId"] for to in second["to"]] == ids[4:7]
    assert (last.status_code, last.json()["results"]) == (200, [{"from": {"id": "512"}, "to": []}])


def test_links_may_change_while_they_are_read(connect):
    """Tests do so between runs, and in the midst of them: an answer has a change or has it not."""
    portal = Portal.build(contacts=5, calls=1500)
    _, http = connect(portal=portal, variants=Variants(association_page_size=5000))
    contact, calls = portal.create("contacts", {}), list(portal.records["calls"].live)

    def change():
        for _ in range(30):
            portal.link("contacts", contact, "calls", *calls)
            portal.unlink("contacts", contact, "calls", *calls)

    seen = set()
    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(change)
        while not changing.done():
            results = read(http, TO_CALLS, contact).json()["results"]
            seen.add(len(results[0]["to"]) if results else 0)
        changing.result()

    assert seen <= {0, len(calls)}


def test_associations_count_in_the_main_limit(connect):
    running, http = connect(requests_per_10s=2, clock=lambda: 0.0)

    answers = [read(http, TO_CALLS, 512) for _ in range(3)]

    assert [one.status_code for one in answers] == [200, 200, 429]
    assert answers[0].headers["X-HubSpot-RateLimit-Remaining"] == "1"
    assert answers[2].json()["policyName"] == "TEN_SECONDLY_ROLLING"
    assert running.statistics.requests == {"associations_batch_read": 3}
    assert {one.object_type for one in running.statistics.arrivals} == {"contacts"}


def test_associations_need_the_scope_of_the_records_they_start_from(connect):
    _, http = connect(scopes={"crm.objects.contacts.read"})

    refused = read(http, "/crm/v4/associations/company/contact", 512)

    assert read(http, TO_CALLS, 512).status_code == 200
    assert refused.status_code == 403
    assert "crm.objects.companies.read" in refused.text
