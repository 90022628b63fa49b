"""The simulator answers as HubSpot is documented and recorded to answer."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from pipelines.errors import ConfigError
from pipelines.simulator.app import app
from pipelines.simulator.limits import RollingWindow
from pipelines.simulator.portal import Portal
from pipelines.simulator.server import serve
from pipelines.simulator.variants import Deviation, Variants

pytestmark = pytest.mark.own_version  # paths are written out

CONTACTS = "/crm/v3/objects/contacts"
BATCH_READ = f"{CONTACTS}/batch/read"
SEARCH = f"{CONTACTS}/search"


@pytest.fixture(scope="module")
def running(shared_simulator):
    """One simulator for all tests that only read."""
    return shared_simulator(search_requests_per_s=10_000)


def inputs(*ids):
    return {"inputs": [{"id": str(one)} for one in ids]}


def search(*filters, **more):
    return {"filterGroups": [{"filters": list(filters)}], "limit": 200, **more}


def where(name, operator, value=None, **more):
    return {"propertyName": name, "operator": operator, "value": value, **more}


def live(portal, object_type="contacts"):
    return [r for r in portal.truth(object_type) if not r["archived"]]


# ---------------------------------------------------------------- batch/read


def test_batch_read_answers_200_with_records_as_the_portal_has_them(running, http):
    truth = live(running.portal)[:100]
    asked = sorted(truth[0]["properties"])[:60]

    answer = http.post(BATCH_READ, json={**inputs(*(r["id"] for r in truth)), "properties": asked})

    assert answer.status_code == 200
    body = answer.json()
    assert sorted(body) == ["completedAt", "results", "startedAt", "status"]
    assert body["status"] == "COMPLETE"
    always = {"createdate", "hs_object_id", "lastmodifieddate", *asked}
    for got, expected in zip(body["results"], truth, strict=True):
        wanted = {k: v for k, v in expected["properties"].items() if k in always}
        assert got == {**expected, "properties": wanted}


def test_batch_read_does_not_follow_the_order_of_the_inputs(connect):
    _, by_id = connect()
    _, shuffled = connect(variants=Variants(result_order="shuffled"))
    ids = [int(r["id"]) for r in by_id.get(CONTACTS, params={"limit": 20}).json()["results"]]

    def order(http):
        results = http.post(BATCH_READ, json=inputs(*reversed(ids))).json()["results"]
        return [int(record["id"]) for record in results]

    assert order(by_id) == ids
    assert sorted(order(shuffled)) == ids
    assert order(shuffled) not in (ids, ids[::-1])


def test_batch_read_answers_207_with_one_error_for_all_missing_ids(http):
    answer = http.post(BATCH_READ, json=inputs(512, 100, "abc"))

    body = answer.json()
    assert answer.status_code == 207
    assert [r["id"] for r in body["results"]] == ["512"]
    assert body["numErrors"] == 1
    assert body["errors"] == [
        {
            "status": "error",
            "category": "OBJECT_NOT_FOUND",
            "message": "Could not get some CONTACT objects, they may be deleted or not exist. "
            "Check that ids are valid.",
            "context": {"ids": ["100", "abc"]},
        }
    ]


@pytest.mark.parametrize(("count", "history", "maximum"), [(101, [], "100"), (51, ["email"], "50")])
def test_batch_read_refuses_too_many_inputs(http, count, history, maximum):
    body = {**inputs(*range(count)), "propertiesWithHistory": history}
    answer = http.post(BATCH_READ, json=body)

    assert answer.status_code == 400
    assert answer.json()["category"] == "VALIDATION_ERROR"
    assert f"is {maximum}. Please reduce" in answer.json()["message"]


def test_batch_read_gives_default_properties_when_none_are_named(http):
    contact = http.post(BATCH_READ, json=inputs(512)).json()["results"][0]
    listed = http.get("/crm/v3/objects/calls", params={"limit": 1}).json()["results"][0]

    assert list(contact["properties"]) == [
        "createdate",
        "email",
        "firstname",
        "hs_object_id",
        "lastmodifieddate",
        "lastname",
    ]
    assert list(listed["properties"]) == ["hs_createdate", "hs_lastmodifieddate", "hs_object_id"]


def test_batch_read_drops_unknown_archived_and_sensitive_properties_silently(http):
    body = {**inputs(512), "properties": ["no_such", "old_score", "risk_note", "zip"]}

    properties = http.post(BATCH_READ, json=body).json()["results"][0]["properties"]

    assert list(properties) == ["createdate", "hs_object_id", "lastmodifieddate"]


def test_batch_read_answers_a_merged_pair_with_one_record(running, http):
    old, current = next(iter(running.portal.aliases("contacts").items()))

    answer = http.post(BATCH_READ, json=inputs(old, current))

    assert answer.status_code == 200
    assert [r["id"] for r in answer.json()["results"]] == [str(current)]


def test_batch_read_keeps_archived_and_live_records_apart(running, http):
    archived = next(r["id"] for r in running.portal.truth("contacts") if r["archived"])

    alive = http.post(BATCH_READ, json=inputs(512, archived)).json()
    gone = http.post(BATCH_READ, params={"archived": "true"}, json=inputs(512, archived)).json()

    assert ([r["id"] for r in alive["results"]], alive["errors"][0]["context"]["ids"]) == (
        ["512"],
        [archived],
    )
    assert ([r["id"] for r in gone["results"]], gone["errors"][0]["context"]["ids"]) == (
        [archived],
        ["512"],
    )
    assert gone["results"][0]["archived"] is True
    assert "archivedAt" in gone["results"][0]


def test_batch_read_finds_a_contact_by_secondary_email_too(running, http):
    record = next(r for r in live(running.portal) if r["properties"]["hs_additional_emails"])
    secondary = record["properties"]["hs_additional_emails"].split(";")[1]
    body = {**inputs(secondary.upper(), "nobody@example.com"), "idProperty": "email"}

    answer = http.post(BATCH_READ, json=body).json()

    assert [r["id"] for r in answer["results"]] == [record["id"]]
    assert answer["results"][0]["properties"]["email"] != secondary
    assert answer["errors"][0]["context"]["ids"] == ["nobody@example.com"]


@pytest.mark.parametrize("name", ["firstname", "hs_object_id", "no_such"])
def test_batch_read_refuses_an_id_property_that_is_not_unique(http, name):
    answer = http.post(BATCH_READ, json={**inputs("x"), "idProperty": name})

    assert answer.status_code == 400
    assert f"non-unique 0-1 property {name}" in answer.json()["message"]


def test_batch_read_keeps_a_history_of_changes(connect):
    running, http = connect()
    running.portal.update("contacts", 512, {"firstname": "New"})
    body = {**inputs(512), "propertiesWithHistory": ["firstname", "fax"]}

    record = http.post(BATCH_READ, json=body).json()["results"][0]

    history = record["propertiesWithHistory"]
    assert sorted(history) == ["fax", "firstname"]
    assert history["firstname"][0]["value"] == "New"
    assert history["firstname"][0]["timestamp"] == record["updatedAt"]


@pytest.mark.parametrize(
    ("variants", "body", "status", "count"),
    [
        (Variants(), inputs(), 200, 0),
        (Variants(empty_inputs="400"), inputs(), 400, None),
        (Variants(), inputs(512, 512), 200, 1),
        (Variants(duplicate_ids="400"), inputs(512, 512), 400, None),
        (Variants(), inputs("x"), 207, 0),
        (Variants(not_numeric_id="400"), inputs("x"), 400, None),
    ],
)
def test_unknown_behaviours_of_batch_read_are_settings(connect, variants, body, status, count):
    _, http = connect(variants=variants)

    answer = http.post(BATCH_READ, json=body)

    assert answer.status_code == status
    assert count is None or len(answer.json()["results"]) == count


def test_unset_properties_can_be_left_out(connect):
    running, http = connect(variants=Variants(unset_property="absent"))
    names = [one["name"] for one in running.portal.properties("contacts")]

    record = http.post(BATCH_READ, json={**inputs(512), "properties": names}).json()["results"][0]

    assert None not in record["properties"].values()


@pytest.mark.parametrize("body", [b"[1]", b"{", b'{"inputs": [{"no": 1}]}', b"{}", b"\xff"])
def test_a_body_of_the_wrong_shape_is_400_in_json(http, body):
    answer = http.post(BATCH_READ, content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 400
    assert answer.json()["message"].startswith("Invalid input JSON")


# ---------------------------------------------------------------- list and one


@pytest.mark.parametrize("archived", [False, True])
def test_list_pages_by_id_until_paging_is_absent(connect, archived):
    running, http = connect(contacts=500)
    found, after = [], None
    while True:
        params = {"limit": 3 if archived else 100, "archived": str(archived).lower()}
        page = http.get(CONTACTS, params=params | ({"after": after} if after else {})).json()
        if after:
            assert page["results"][0]["id"] == after
        found += [r["id"] for r in page["results"]]
        if "paging" not in page:
            break
        after = page["paging"]["next"]["after"]
        assert page["paging"]["next"]["link"].endswith(f"after={after}")

    assert found == [r["id"] for r in running.portal.truth("contacts") if r["archived"] == archived]


def test_list_starts_at_the_first_id_from_after_on(http):
    page = http.get(CONTACTS, params={"after": "511", "limit": 1}).json()

    assert page["results"][0]["id"] == "512"


def test_list_takes_properties_as_comma_list_or_repeated(http):
    comma = http.get(CONTACTS, params={"properties": "city,email"}).json()["results"]
    repeated = http.get(CONTACTS, params={"properties": ["city", "email"]}).json()["results"]

    assert comma == repeated
    assert len(comma) == 10
    assert "city" in comma[0]["properties"]


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 101},
        {"limit": 0},
        {"limit": "ten"},
        {"limit": 51, "propertiesWithHistory": "city"},
        {"after": "abc"},
    ],
)
def test_list_refuses_what_it_cannot_do(http, params):
    assert http.get(CONTACTS, params=params).status_code == 400


@pytest.mark.parametrize(
    ("record_id", "message", "category"),
    [
        ("100", "resource not found", None),
        ("0", "Object not found. objectId is usually positive.", "OBJECT_NOT_FOUND"),
        ("ab", "Object not found.  objectId are usually numeric.", "OBJECT_NOT_FOUND"),
    ],
)
def test_one_that_is_not_there_is_404(http, record_id, message, category):
    answer = http.get(f"{CONTACTS}/{record_id}")

    assert answer.status_code == 404
    assert answer.json()["message"] == message
    assert answer.json().get("category") == category


def test_type_ids_stand_for_names(http):
    by_name = http.get(f"{CONTACTS}/512").json()

    assert http.get("/crm/v3/objects/0-1/512").json() == by_name
    assert http.get("/crm/v3/objects/0-48").status_code == 200


def test_an_unknown_object_type_cannot_be_inferred(http):
    answer = http.get("/crm/v3/objects/butterflies")

    assert answer.status_code == 400
    assert answer.json()["message"] == "Unable to infer object type from: butterflies"


# ---------------------------------------------------------------- search


def matches(http, *filters, **more):
    answer = http.post(SEARCH, json=search(*filters, **more))
    assert answer.status_code == 200, answer.text
    return {r["id"] for r in answer.json()["results"]}


def every_page(http, *filters):
    """All records that match, across pages."""
    found, after = [], "0"
    while after:
        page = http.post(SEARCH, json=search(*filters, after=after)).json()
        found += page["results"]
        after = page.get("paging", {}).get("next", {}).get("after")
    return found


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (where("lifecyclestage", "EQ", "lead"), lambda p: p["lifecyclestage"] == "lead"),
        (where("lifecyclestage", "EQ", "LEAD"), lambda _: False),
        (where("city", "EQ", "BERLIN"), lambda p: p["city"] == "Berlin"),
        (where("city", "NEQ", "Berlin"), lambda p: p["city"] not in (None, "", "Berlin")),
        (where("num_notes", "GTE", "30"), lambda p: int(p["num_notes"] or -1) >= 30),
        (where("num_notes", "LT", 10), lambda p: int(p["num_notes"] or 99) < 10),
        (
            where("num_notes", "BETWEEN", "10", highValue="20"),
            lambda p: 10 <= int(p["num_notes"] or -1) <= 20,
        ),
        (
            where("lifecyclestage", "IN", values=["lead", "customer"]),
            lambda p: p["lifecyclestage"] in {"lead", "customer"},
        ),
        (
            where("lifecyclestage", "NOT_IN", values=["lead"]),
            lambda p: p["lifecyclestage"] not in {None, "", "lead"},
        ),
        (
            where("hs_buying_role", "EQ", "CHAMPION"),
            lambda p: "CHAMPION" in (p["hs_buying_role"] or "").split(";"),
        ),
        (where("email", "HAS_PROPERTY"), lambda p: bool(p["email"])),
        (where("email", "NOT_HAS_PROPERTY"), lambda p: not p["email"]),
        (where("jobtitle", "CONTAINS_TOKEN", "sales"), lambda p: p["jobtitle"] == "Sales Manager"),
        (where("email", "CONTAINS_TOKEN", "*@EXAMPLE.com"), lambda p: bool(p["email"])),
        (
            where("createdate", "GTE", "2022-01-01T00:00:00Z"),
            lambda p: p["createdate"] >= "2022-01-01",
        ),
        (
            where("lastmodifieddate", "LT", "1640995200000"),
            lambda p: p["lastmodifieddate"] < "2022-01-01",
        ),
    ],
)
def test_search_operators(running, http, condition, expected):
    broken = {str(one[0]) for one in running.portal.broken("contacts")}

    found = {r["id"] for r in every_page(http, condition)}

    wanted = {
        r["id"] for r in live(running.portal) if r["id"] not in broken and expected(r["properties"])
    }
    assert found - broken == wanted


def test_search_groups_are_alternatives_and_filters_conditions(http):
    lead = where("lifecyclestage", "EQ", "lead")
    customer = where("lifecyclestage", "EQ", "customer")
    valued = where("city", "HAS_PROPERTY")

    either = http.post(
        SEARCH,
        json={"filterGroups": [{"filters": [lead, valued]}, {"filters": [customer]}], "limit": 200},
    ).json()

    found = {r["id"] for r in either["results"]}
    assert found == matches(http, lead, valued) | matches(http, customer)
    assert either["total"] == len(found)


def test_search_pages_by_offset_and_by_key_to_the_same_records(connect):
    running, http = connect(contacts=950, search_requests_per_s=1000)
    by_offset, after = [], "0"
    while after:
        page = http.post(SEARCH, json={"limit": "200", "after": after}).json()
        by_offset += [r["id"] for r in page["results"]]
        after = page.get("paging", {}).get("next", {}).get("after")
    by_key, last = [], "0"
    while page := http.post(
        SEARCH,
        json=search(where("hs_object_id", "GT", last), sorts=["hs_object_id"]),
    ).json()["results"]:
        by_key += [r["id"] for r in page]
        last = by_key[-1]

    truth = [r["id"] for r in live(running.portal)]
    assert by_key == truth
    assert sorted(by_offset, key=int) == truth
    assert page == []


def test_search_sorts_by_one_property(http):
    sorts = [{"propertyName": "lastmodifieddate", "direction": "DESCENDING"}]

    results = http.post(SEARCH, json={"limit": 200, "sorts": sorts}).json()["results"]

    times = [r["updatedAt"][:19] for r in results]
    assert times == sorted(times, reverse=True)


def test_search_sees_a_change_at_once_and_never_archived_records(connect):
    running, http = connect(search_requests_per_s=100)
    condition = where("firstname", "EQ", "Fresh")

    before = matches(http, condition)
    running.portal.update("contacts", 512, {"firstname": "Fresh"})
    changed = matches(http, condition)
    running.portal.archive("contacts", 512)

    assert (before, changed, matches(http, condition)) == (set(), {"512"}, set())


def test_search_can_lag_behind(connect):
    running, http = connect(variants=Variants(search_index_lag_s=30))
    running.portal.update("contacts", 512, {"firstname": "Late"})
    condition = where("firstname", "EQ", "Late")

    early = matches(http, condition)
    running.portal.advance(31)

    assert (early, matches(http, condition)) == (set(), {"512"})


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 201},
        {"limit": 200, "after": "9900"},
        {"after": "x"},
        {"filterGroups": [{"filters": []}] * 6},
        search(*[where("city", "HAS_PROPERTY")] * 7),
        {"filterGroups": [{"filters": [where("city", "HAS_PROPERTY")] * 5}] * 4},
        search(where("no_such", "EQ", "1")),
        search(where("phone", "EQ", " ")),
        search(where("num_notes", "EQ", "many")),
        search(where("num_notes", "LIKE", "1")),
        search(where("num_notes", "BETWEEN", "5", highValue="1")),
        search(where("num_notes", "IN")),
        {"sorts": ["city", "email"]},
    ],
)
def test_search_refuses_what_it_cannot_do(http, body):
    answer = http.post(SEARCH, json=body)

    assert answer.status_code == 400
    assert answer.json()["status"] == "error"


def test_search_takes_top_level_filters_and_a_query(http):
    by_filter = http.post(SEARCH, json={"filters": [where("hs_object_id", "EQ", "512")]}).json()
    by_query = http.post(SEARCH, json={"query": "contact.512@"}).json()

    assert [r["id"] for r in by_filter["results"]] == ["512"]
    assert [r["id"] for r in by_query["results"]] == ["512"]


# ---------------------------------------------------------------- properties, account, versions


def test_properties_are_listed_live_archived_or_sensitive(running, http):
    def names(**params):
        results = http.get("/crm/v3/properties/contacts", params=params).json()["results"]
        return {one["name"] for one in results}

    assert names(archived="true") == {"old_score"}
    assert names(dataSensitivity="sensitive") == {"risk_note"}
    assert names() == {d["name"] for d in running.portal.properties("contacts")} - {"risk_note"}
    assert http.get("/crm/v3/properties/contacts/no_such").status_code == 404


@pytest.mark.parametrize("version", ["2026-03", "2026-09"])
def test_dated_paths_answer_like_v3(http, version):
    objects, properties = f"/crm/objects/{version}", f"/crm/properties/{version}"

    assert http.get(f"{objects}/contacts/512").json() == http.get(f"{CONTACTS}/512").json()
    assert http.post(f"{objects}/0-1/batch/read", json=inputs(512, 1)).status_code == 207
    assert http.post(f"{objects}/calls/search", json={}).json()["total"] == 120
    assert http.get(f"{properties}/calls/hs_call_duration").json()["type"] == "number"
    assert http.get(f"/account-info/{version}/details").json()["timeZone"] == "US/Eastern"


def test_2026_09_may_fold_207_into_200_and_drops_display_hints(connect):
    _, http = connect(variants=Variants(missing_ids_2026_09=200))

    answer = http.post("/crm/objects/2026-09/contacts/batch/read", json=inputs(512, 1))
    duration = http.get("/crm/properties/2026-09/calls/hs_call_duration").json()

    assert (answer.status_code, answer.json()["numErrors"]) == (200, 1)
    assert "numberDisplayHint" not in duration


def test_2026_09_may_fold_partial_answers_of_properties_too(connect):
    _, http = connect(variants=Variants(missing_ids_2026_09=200))
    asked = {"inputs": [{"name": "email"}, {"name": "no_such"}]}

    answers = [
        http.post(f"/crm/properties/{path}/batch/read", json=asked)
        for path in ("2026-09/contacts", "2026-03/contacts")
    ]

    assert [answer.status_code for answer in answers] == [200, 207]
    assert [answer.json()["numErrors"] for answer in answers] == [1, 1]


def test_records_may_have_warnings_until_2026_09(connect):
    _, http = connect(variants=Variants(warnings=True))

    found = [http.get(f"{path}/contacts/512").json() for path in ("/crm/v3/objects",
             "/crm/objects/2026-03", "/crm/objects/2026-09")]  # fmt: skip

    assert ["warnings" in record for record in found] == [True, True, False]


def test_errors_may_lack_every_field_but_the_message(connect):
    _, http = connect(variants=Variants(error_fields="message only"))

    refused = http.post(BATCH_READ, json=inputs(*range(101))).json()
    partial = http.post(BATCH_READ, json=inputs(512, 1)).json()

    assert list(refused) == ["message"]
    assert [list(entry) for entry in partial["errors"]] == [["message"]]


def test_a_version_that_is_not_served_is_an_unknown_path(connect):
    _, http = connect(versions=["v3"])

    retired = http.get("/crm/properties/2026-09/contacts")

    assert http.get("/crm/v3/properties/contacts").status_code == 200
    assert (retired.status_code, retired.headers["content-type"][:9]) == (404, "text/html")


def test_one_version_may_deviate_from_the_others(connect):
    deviation = Deviation(
        version="2026-03",
        undefined=frozenset({"city"}),
        kinds={"email": "number/number"},
        values={512: {"lastname": "Other"}},
        unlisted=frozenset({512}),
    )
    _, http = connect(variants=Variants(deviation=deviation))
    asked = {**inputs(512), "properties": ["city", "lastname"]}

    def said(objects, properties):
        (record,) = http.post(f"{objects}/contacts/batch/read", json=asked).json()["results"]
        listed = http.get(f"{objects}/contacts").json()["results"]
        email = http.get(f"{properties}/contacts/email").json()
        is_listed = "512" in {one["id"] for one in listed}
        return "city" in record["properties"], record["properties"]["lastname"], is_listed, email

    *same, there = said("/crm/objects/2026-09", "/crm/properties/2026-09")
    *other, here = said("/crm/objects/2026-03", "/crm/properties/2026-03")
    assert (same[0], same[2], there["type"]) == (True, True, "string")
    assert (*other, here["type"]) == (False, "Other", False, "number")


def test_daily_usage_counts_what_was_let_in(connect):
    _, http = connect()
    http.get(f"{CONTACTS}/512")
    [usage] = http.get("/account-info/v3/api-usage/daily/private-apps").json()["results"]

    assert (usage["usageLimit"], usage["currentUsage"]) == (625_000, 2)


# ---------------------------------------------------------------- sign-in, limits, errors


def test_ordinary_answers_tell_the_limits_and_search_only_the_daily_one(connect):
    _, http = connect()
    ordinary = http.get(f"{CONTACTS}/512").headers
    found = http.post(SEARCH, json={}).headers

    assert ordinary["content-type"] == "application/json;charset=utf-8"
    assert ordinary["X-HubSpot-RateLimit-Interval-Milliseconds"] == "10000"
    assert ordinary["X-HubSpot-RateLimit-Max"] == "10000"
    assert ordinary["X-HubSpot-RateLimit-Remaining"] == "9999"
    assert ordinary["X-HubSpot-RateLimit-Daily-Remaining"] == "624999"
    assert found["X-HubSpot-RateLimit-Daily-Remaining"] == "624998"
    assert "X-HubSpot-RateLimit-Remaining" not in found


def test_the_ten_second_window_rolls():
    """Two bursts astride a fixed window's border do not get through."""
    window = RollingWindow(limit=3, window_s=10)

    admitted = [window.admit(at_s) for at_s in (0, 9, 9.5, 9.9, 10, 10.1, 18.9, 19, 19.1)]

    assert admitted == [True, True, True, False, True, False, False, True, False]


def test_a_burst_is_refused_until_the_window_has_room(connect):
    now = [0.0]
    running, http = connect(requests_per_10s=2, clock=lambda: now[0])
    statuses = [http.get(f"{CONTACTS}/512").status_code for _ in range(3)]
    refused = http.get(f"{CONTACTS}/512")
    now[0] = 10.0

    assert statuses == [200, 200, 429]
    assert refused.json()["policyName"] == "TEN_SECONDLY_ROLLING"
    assert refused.json()["errorType"] == "RATE_LIMIT"
    assert "Retry-After" not in refused.headers
    assert http.get(f"{CONTACTS}/512").status_code == 200
    assert running.statistics.rate_limited == 2
    assert running.statistics.greatest_in_10s == 4
    assert [one.status for one in running.statistics.arrivals] == [200, 200, 429, 429, 200]


def test_search_has_a_limit_of_its_own(connect):
    _, http = connect(requests_per_10s=1, clock=lambda: 0.0, variants=Variants(retry_after=1))
    answers = [http.post(SEARCH, json={}) for _ in range(6)]

    assert [one.status_code for one in answers] == [200] * 5 + [429]
    assert answers[5].json()["category"] == "RATE_LIMITS"
    assert "policyName" not in answers[5].json()
    assert answers[5].headers["Retry-After"] == "1"
    assert http.get(f"{CONTACTS}/512").status_code == 200


def test_the_day_has_an_end(connect):
    _, http = connect(requests_per_day=1)

    assert http.get(f"{CONTACTS}/512").status_code == 200
    refused = http.post(SEARCH, json={})
    assert refused.status_code == 429
    assert refused.json()["policyName"] == "DAILY"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer other"}, {"Authorization": "x"}])
def test_a_request_without_the_token_is_401(running, headers):
    answer = httpx.get(f"{running.base_url}{CONTACTS}/512", headers=headers)

    assert answer.status_code == 401
    assert answer.json()["category"] == "INVALID_AUTHENTICATION"


@pytest.mark.parametrize("shape", ["errors", "context"])
def test_a_missing_scope_is_named_in_either_shape(connect, shape):
    _, http = connect(scopes={"oauth"}, variants=Variants(missing_scopes=shape))

    answer = http.post(BATCH_READ, json=inputs(512))

    body = answer.json()
    holder = body["errors"][0] if shape == "errors" else body
    assert answer.status_code == 403
    assert body["category"] == "MISSING_SCOPES"
    assert holder["context"]["requiredGranularScopes"] == ["crm.objects.contacts.read"]
    assert http.get("/account-info/v3/details").status_code == 200


def test_errors_carry_their_correlation_id_in_the_body_and_the_header(http):
    first, second = (http.get(f"{CONTACTS}/100") for _ in range(2))

    assert first.json()["correlationId"] == first.headers["X-HubSpot-Correlation-Id"]
    assert first.json()["correlationId"] != second.json()["correlationId"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/crm/v3/objects", 404),
        ("DELETE", f"{CONTACTS}/512", 405),
        ("GET", "/crm/v3/objects/contacts/batch/read", 405),
    ],
)
def test_unknown_paths_and_wrong_methods_answer_with_html(http, method, path, status):
    answer = http.request(method, path)

    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")


def test_a_body_that_is_not_json_by_its_type_is_415(http):
    answer = http.post(BATCH_READ, content=b"<x/>", headers={"Content-Type": "text/xml"})

    assert answer.status_code == 415
    assert answer.headers["content-type"].startswith("text/html")


# ---------------------------------------------------------------- the server


def test_latency_holds_back_each_answer_but_not_the_others(connect):
    _, http = connect(latency_ms=150)

    started = time.perf_counter()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: http.get(f"{CONTACTS}/512"), range(8)))
    took_s = time.perf_counter() - started

    assert {one.status_code for one in answers} == {200}
    assert 0.15 <= took_s < 8 * 0.15


def test_the_server_stops_and_frees_its_port():
    before = {*threading.enumerate()}  # of which some may end meanwhile
    with serve(app(Portal.build(contacts=1, calls=0))) as base_url:
        assert httpx.get(base_url).status_code == 404

    assert {*threading.enumerate()} <= before
    with pytest.raises(httpx.ConnectError):
        httpx.get(base_url)


def test_a_port_in_use_is_one_clear_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 cannot be used"),
            serve(app(Portal.build(contacts=1, calls=0)), port),
        ):
            pytest.fail("the port was free")
