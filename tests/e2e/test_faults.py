"""Faults as a plain HTTP client sees them: each one, together, and the same ones each time."""

import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ConfigError
from pipelines.simulator.app import app
from pipelines.simulator.fault_answers import LISTED_NOT_RETURNED, RETURNED_NOT_LISTED
from pipelines.simulator.faults import ALWAYS, KINDS, NO_FAULTS, Fault, Faults
from pipelines.simulator.portal import Portal
from pipelines.simulator.server import serve
from tests.e2e.harness import CRM, assert_one_line, crm, is_listening, started, wait_until

pytestmark = pytest.mark.own_version  # paths are written out

CONTACTS = "/crm/v3/objects/contacts"
BATCH_READ = f"{CONTACTS}/batch/read"
ONE = f"{CONTACTS}/512"
PORTAL = Portal.build(contacts=60, calls=5, seed=1)
IDS = [record["id"] for record in PORTAL.truth("contacts") if not record["archived"]]
LINKED = Portal.build(contacts=60, calls=200, companies=10, seed=1)
LINKED_IDS = sorted({str(one.from_id) for one in LINKED.associations("contacts", "calls")}, key=int)
ASSOCIATIONS = "/crm/v4/associations/contacts/calls/batch/read"
BATCHES = {"batch_read", "associations_batch_read"}
HOLDS_S = 30
IMPATIENT = httpx.Timeout(HOLDS_S, read=0.5)
"""Waits as long as it takes until the server has the request, and not for the answer."""
NO_SUCH = "100"


def test_every_fault_is_tried_here():
    """A fault that nobody looks at may have stopped working."""
    tried = Path(__file__).read_text(encoding="utf-8")

    assert [name for name in KINDS if f'"{name}"' not in tried] == []


@pytest.fixture
def connect(simulator):
    """Start a simulator with faults, and give it with a signed-in HTTP client."""
    clients = []

    def start(*faults, seed=1, portal=PORTAL, **options):
        running = simulator(portal=portal, faults=Faults(*faults, seed=seed), **options)
        client = httpx.Client(base_url=running.base_url, headers=running.headers, timeout=HOLDS_S)
        clients.append(client)
        return running, client

    yield start
    for client in clients:
        client.close()


def certain(name, **more):
    """A fault that hits every request once."""
    return Fault(name, **{"share": 1, "hits": 1, **more})


def batch(http, ids=tuple(IDS[:20]), properties=("email",)):
    """What batch/read answers to these ids."""
    body = {"inputs": [{"id": str(one)} for one in ids], "properties": list(properties)}
    return http.post(BATCH_READ, json=body)


def ids_of(answer):
    return [record["id"] for record in answer.json()["results"]]


# ---------------------------------------------------------------- errors in place of answers

ROLLING = {"errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING"}
DAILY = {"errorType": "RATE_LIMIT", "policyName": "DAILY"}
SECONDLY = {"category": "RATE_LIMITS", "message": "You have reached your secondly limit."}


@pytest.mark.parametrize(
    ("name", "status", "said", "retry_after"),
    [
        ("429-rolling", 429, ROLLING, None),
        ("429-rolling-retry-after", 429, ROLLING, "7"),
        ("429-secondly", 429, SECONDLY, None),
        ("429-secondly-retry-after", 429, SECONDLY, "7"),
        ("429-daily", 429, DAILY, None),
        ("429-daily-retry-after", 429, DAILY, "7"),
        ("423", 423, {"category": "LOCKED"}, None),
        ("477", 477, {"status": "error"}, "7"),
    ],
)
def test_errors_in_json_are_let_through_the_next_time(connect, name, status, said, retry_after):
    running, http = connect(certain(name, seconds=7))

    refused, admitted = http.get(ONE), http.get(ONE)

    body = refused.json()
    assert (refused.status_code, admitted.status_code) == (status, 200)
    assert {key: body[key] for key in said} == said
    assert body["correlationId"] == refused.headers["X-HubSpot-Correlation-Id"]
    assert refused.headers.get("Retry-After") == retry_after
    assert running.statistics.faults == {name: 1}
    assert running.statistics.rate_limited == (status == 429)


@pytest.mark.parametrize("name", ["500", "502", "503", "504", "520", "524"])
def test_errors_of_the_front_door_are_pages(connect, name):
    running, http = connect(certain(name))

    refused, admitted = http.get(ONE), http.get(ONE)

    assert (refused.status_code, admitted.status_code) == (int(name), 200)
    assert refused.headers["content-type"].startswith("text/html")
    assert name in refused.text
    assert running.statistics.faults == {name: 1}
    assert [one.status for one in running.statistics.arrivals] == [int(name), 200]


def test_a_token_expires_in_mid_run_until_there_is_a_new_one(connect):
    _, http = connect(Fault("401-expired", begin=3), token=None)

    answers = [http.get(ONE) for _ in range(4)]
    renewed = http.get(ONE, headers={"Authorization": "Bearer new"})

    assert [one.status_code for one in answers] == [200, 200, 401, 401]
    assert answers[2].json()["category"] == "EXPIRED_AUTHENTICATION"
    assert answers[2].json()["context"].keys() == {"expire time"}
    assert renewed.status_code == 200
    assert http.get(ONE).status_code == 401


def test_a_token_may_expire_for_one_request_only(connect):
    _, http = connect(Fault("401-expired", begin=2, hits=1))

    assert [http.get(ONE).status_code for _ in range(4)] == [200, 401, 200, 200]


@pytest.mark.parametrize("name", ["403-errors", "403-context"])
def test_a_scope_is_taken_away_in_mid_run(connect, name):
    _, http = connect(Fault(name, begin=2))

    answers = [http.get(ONE) for _ in range(3)]

    body = answers[1].json()
    holder = body["errors"][0] if name == "403-errors" else body
    assert [one.status_code for one in answers] == [200, 403, 403]
    assert body["category"] == "MISSING_SCOPES"
    assert holder["context"]["requiredGranularScopes"] == ["crm.objects.contacts.read"]


# ---------------------------------------------------------------- the connection


def raw(running, path=ONE, body=None):
    """Everything one request gets on a socket of its own, and the error that ended it."""
    at = urlsplit(running.base_url)
    content = json.dumps(body).encode() if body else b""
    head = (
        f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: {at.netloc}\r\n"
        f"Authorization: Bearer {running.token}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    got = b""
    with socket.socket() as connection:
        connection.settimeout(HOLDS_S)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # the server has to wait
        connection.connect((at.hostname, at.port))
        connection.sendall(head.encode() + content)
        try:
            while more := connection.recv(1 << 16):
                got += more
        except OSError as exc:
            return got, type(exc)
    return got, None


def parted(got):
    """Status, promised length and body of raw bytes."""
    head, _, body = got.partition(b"\r\n\r\n")
    promised = re.search(rb"(?i)content-length: (\d+)", head)
    return int(head.split()[1]), int(promised[1]), body


def everything():
    """A body of some hundred kilobytes."""
    names = [one["name"] for one in PORTAL.properties("contacts")]
    return {"inputs": [{"id": one} for one in IDS], "properties": names}


def test_a_reset_before_the_answer_sends_not_a_byte(connect, capfd):
    running, http = connect(certain("reset-before", hits=2))

    assert raw(running) == (b"", ConnectionResetError)
    with pytest.raises(httpx.TransportError):
        http.get(ONE)
    assert http.get(ONE).status_code == 200
    assert [one.status for one in running.statistics.arrivals] == [0, 0, 200]
    assert capfd.readouterr().err == ""


def test_a_reset_in_the_body_leaves_half_of_it(connect, capfd):
    running, http = connect(certain("reset-in-body"))

    got, ended = raw(running, BATCH_READ, everything())
    status, promised, body = parted(got)

    assert (status, len(body), ended) == (200, promised // 2, ConnectionResetError)
    with pytest.raises(httpx.TransportError):
        http.get(ONE)
    assert http.get(ONE).status_code == 200
    assert capfd.readouterr().err == ""


def test_a_reset_after_the_body_leaves_all_of_it(connect):
    """A pooled connection is dead then, without having said that it would close."""
    running, http = connect(certain("reset-after", hits=2))

    got, ended = raw(running, BATCH_READ, everything())
    status, promised, body = parted(got)

    assert (status, len(body), ended) == (200, promised, ConnectionResetError)
    assert json.loads(body)["status"] == "COMPLETE"
    assert b"connection: close" not in got.lower()
    assert http.get(ONE).json()["id"] == "512"


def test_a_slow_answer_is_late_and_holds_up_no_other(connect):
    _, http = connect(certain("slow", seconds=0.3, endpoint="read"))

    with ThreadPoolExecutor(1) as pool:
        began_at = time.perf_counter()
        late = pool.submit(lambda: (http.get(ONE), time.perf_counter() - began_at))
        http.get(CONTACTS)
        other_s = time.perf_counter() - began_at
        answer, took_s = late.result()

    assert answer.json()["id"] == "512"
    assert other_s < 0.3 <= took_s


def test_whoever_cannot_wait_for_a_slow_answer_may_ask_again(connect):
    _, http = connect(certain("slow", seconds=HOLDS_S))

    with pytest.raises(httpx.ReadTimeout):
        http.get(ONE, timeout=IMPATIENT)
    assert http.get(ONE).status_code == 200


def test_no_answer_lasts_until_the_client_gives_up(connect):
    running, http = connect(certain("no-answer"))

    with pytest.raises(httpx.ReadTimeout):
        http.get(ONE, timeout=IMPATIENT)
    assert http.get(ONE).status_code == 200
    assert running.statistics.faults == {"no-answer": 1}


@pytest.mark.parametrize("name", ["no-answer", "slow"])
def test_the_server_stops_while_an_answer_is_held_back(name, capfd):
    faults = Faults(Fault(name, share=1, hits=ALWAYS, seconds=HOLDS_S))
    made = app(PORTAL, faults=faults)

    with ThreadPoolExecutor(1) as pool:
        with serve(made) as base_url:
            held = pool.submit(
                httpx.get, base_url + ONE, headers={"Authorization": "Bearer x"}, timeout=HOLDS_S
            )
            wait_until(lambda: faults.injected, what="the request is there")
            began_at = time.perf_counter()
        took_s = time.perf_counter() - began_at

        assert isinstance(held.exception(), httpx.TransportError)
    assert took_s < 3
    assert capfd.readouterr().err == ""  # uvicorn would print that it had to cancel something


# ---------------------------------------------------------------- bodies


def test_a_truncated_body_keeps_its_promise_of_a_length(connect):
    _, http = connect(certain("truncated"))

    cut, whole = batch(http), batch(http)

    assert cut.status_code == 200
    assert int(cut.headers["content-length"]) == len(cut.content) < len(whole.content)
    assert whole.content.startswith(cut.content[:20])
    with pytest.raises(ValueError):  # noqa: PT011  (json names no narrower one)
        json.loads(cut.content)


def test_a_body_may_not_be_utf8(connect):
    _, http = connect(certain("not-utf8"))

    odd, good = batch(http), batch(http)

    assert odd.status_code == 200
    with pytest.raises(UnicodeDecodeError):
        odd.content.decode()
    assert odd.content.count(b"\xff\xfe") == 1
    mended = json.loads(odd.content.replace(b"\xff\xfe", b""))
    assert mended["results"] == good.json()["results"]


def test_a_body_may_be_json_of_another_shape(connect):
    _, http = connect(Fault("wrong-shape", share=1, hits=ALWAYS))

    answers = [batch(http, IDS[:count]) for count in range(1, 21)]

    assert {one.status_code for one in answers} == {200}
    assert len({one.text for one in answers}) > 3
    for answer in answers:
        body = answer.json()
        results = body.get("results") if isinstance(body, dict) else None
        assert not isinstance(results, list) or not all(isinstance(one, dict) for one in results)


# ---------------------------------------------------------------- batch/read


def test_missing_ids_may_be_told_with_200(connect):
    _, http = connect(certain("errors-in-200"))

    odd, good = (batch(http, [*IDS[:3], NO_SUCH]) for _ in range(2))

    assert (odd.status_code, good.status_code) == (200, 207)
    assert odd.json()["errors"] == good.json()["errors"]
    assert odd.json()["numErrors"] == 1


def test_200_may_tell_of_an_id_that_is_there(connect):
    _, http = connect(certain("errors-in-200"))

    odd, good = batch(http), batch(http)

    (error,) = odd.json()["errors"]
    assert odd.status_code == 200
    assert sorted([*ids_of(odd), *error["context"]["ids"]]) == sorted(ids_of(good))
    assert len(error["context"]["ids"]) == 1
    assert "errors" not in good.json()


def test_every_id_may_be_missing_for_a_while(connect):
    _, http = connect(certain("all-missing"))

    odd, good = batch(http), batch(http)

    (error,) = odd.json()["errors"]
    assert (odd.status_code, good.status_code) == (207, 200)
    assert (ids_of(odd), error["context"]["ids"]) == ([], IDS[:20])
    assert ids_of(good) == IDS[:20]


@pytest.mark.parametrize("ids", [IDS[:3], [*IDS[:3], NO_SUCH]])
def test_the_number_of_errors_may_be_wrong(connect, ids):
    _, http = connect(certain("num-errors-off"))

    odd, good = batch(http, ids).json(), batch(http, ids).json()

    assert odd["numErrors"] > len(odd.get("errors", []))
    assert odd["results"] == good["results"]
    assert good.get("numErrors", 0) == len(good.get("errors", []))


@pytest.mark.parametrize("name", ["status-pending", "status-processing", "status-canceled"])
def test_a_batch_may_be_unfinished_until_it_is_asked_for_again(connect, name):
    _, http = connect(certain(name))

    odd, good = batch(http), batch(http)

    assert odd.status_code == 200
    assert odd.json()["status"] == name.removeprefix("status-").upper()
    assert ids_of(odd) == IDS[:10]
    assert (good.json()["status"], ids_of(good)) == ("COMPLETE", IDS[:20])


def test_a_record_may_be_left_out_for_a_while(connect):
    _, http = connect(certain("left-out"))

    odd, good = batch(http), batch(http)

    assert odd.status_code == 200
    assert "errors" not in odd.json()
    assert len(ids_of(odd)) == 19
    assert set(ids_of(odd)) < set(ids_of(good))


def test_a_record_may_come_that_nobody_asked_for(connect):
    _, http = connect(certain("unasked"))

    odd, good = batch(http), batch(http)

    (more,) = [one for one in odd.json()["results"] if one["id"] not in IDS[:20]]
    assert [one for one in odd.json()["results"] if one != more] == good.json()["results"]
    assert more == batch(http, [more["id"]]).json()["results"][-1]


def test_a_record_may_come_twice(connect):
    _, http = connect(certain("twice"))

    odd, good = batch(http), batch(http)

    assert len(ids_of(odd)) == 21
    assert set(ids_of(odd)) == set(ids_of(good))


def test_records_may_come_in_any_order(connect):
    _, http = connect(certain("shuffled"))

    odd, good = batch(http), batch(http)

    assert ids_of(odd) != ids_of(good)
    assert sorted(ids_of(odd)) == sorted(ids_of(good))


def test_faults_of_batches_leave_other_answers_alone(connect):
    running, http = connect(
        *[certain(name) for name, kind in KINDS.items() if kind.endpoints == BATCHES]
    )

    assert sum(kind.endpoints == BATCHES for kind in KINDS.values()) > 10
    assert http.get(ONE).status_code == 200
    assert ids_of(http.get(CONTACTS)) == IDS[:10]
    assert set(ids_of(http.post(f"{CONTACTS}/search", json={"limit": 200}))) == set(IDS)
    assert running.statistics.faults == {}


@pytest.mark.parametrize("name", ["left-out", "unasked", "twice", "shuffled", "errors-in-200"])
def test_a_fault_without_anything_to_change_is_not_counted(connect, name):
    running, http = connect(certain(name, hits=ALWAYS))

    assert batch(http, []).json()["results"] == []
    assert running.statistics.faults == {}


@pytest.mark.parametrize(("name", "status"), [("poison", 400), ("poison-500", 500)])
def test_a_poisoned_id_spoils_every_batch_and_is_never_named(connect, name, status):
    faults = Faults(Fault(name, share=0.1), seed=2)
    _, http = connect(Fault(name, share=0.1), seed=2)
    poisoned = [one for one in IDS if faults.is_poisoned(one)]
    clean = [one for one in IDS if one not in poisoned]

    assert 1 <= len(poisoned) <= 20
    assert ids_of(batch(http, clean)) == clean
    for bad in poisoned[:2]:
        for asked in ([bad], [bad], [*clean[:5], bad], [bad, *clean[:7]]):
            answer = batch(http, asked)
            assert answer.status_code == status
            assert answer.json()["status"] == "error"
            assert bad not in answer.text.replace(answer.json()["correlationId"], "")


# ---------------------------------------------------------------- associations


def linked(http, ids=tuple(LINKED_IDS[:20])):
    """What batch/read answers about the calls of these contacts."""
    return http.post(ASSOCIATIONS, json={"inputs": [{"id": str(one)} for one in ids]})


def from_ids(answer):
    return [result["from"]["id"] for result in answer.json()["results"]]


def missing_ids(answer):
    errors = answer.json().get("errors", [])
    return [one for error in errors for one in error["context"]["fromObjectId"]]


def test_records_without_associations_may_be_told_with_200(connect):
    _, http = connect(certain("errors-in-200"), portal=LINKED)

    odd, good = (linked(http, [*LINKED_IDS[:3], NO_SUCH]) for _ in range(2))

    assert (odd.status_code, good.status_code) == (200, 207)
    assert odd.json()["errors"] == good.json()["errors"]


def test_200_may_tell_of_no_associations_where_there_are_some(connect):
    _, http = connect(certain("errors-in-200"), portal=LINKED)

    odd, good = linked(http), linked(http)

    assert len(missing_ids(odd)) == 1
    assert sorted([*from_ids(odd), *missing_ids(odd)]) == sorted(from_ids(good))


def test_nobody_may_have_associations_for_a_while(connect):
    _, http = connect(certain("all-missing"), portal=LINKED)

    odd, good = linked(http), linked(http)

    assert (odd.status_code, from_ids(odd)) == (207, [])
    assert missing_ids(odd) == LINKED_IDS[:20] == from_ids(good)
    assert odd.json()["numErrors"] == 20


@pytest.mark.parametrize(
    ("name", "count"),
    [("left-out", 19), ("unasked", 21), ("twice", 21), ("shuffled", 20), ("status-pending", 10)],
)
def test_results_about_associations_go_wrong_as_those_about_records(connect, name, count):
    _, http = connect(certain(name), portal=LINKED)

    odd, good = linked(http), linked(http)

    assert (odd.status_code, good.status_code) == (200, 200)
    assert len(from_ids(odd)) == count
    assert from_ids(odd) != from_ids(good) == LINKED_IDS[:20]
    assert "errors" not in odd.json()
    extra = set(from_ids(odd)) - set(from_ids(good))
    assert len(extra) == (name == "unasked")
    results = [*good.json()["results"], *linked(http, extra).json()["results"]]
    assert all(one in results for one in odd.json()["results"])


def test_the_number_of_errors_about_associations_may_be_wrong(connect):
    _, http = connect(certain("num-errors-off"), portal=LINKED)

    odd, good = (linked(http, [*LINKED_IDS[:3], NO_SUCH]).json() for _ in range(2))

    assert odd["numErrors"] > len(odd["errors"]) == good["numErrors"] == 1


def test_a_poisoned_id_spoils_batches_of_associations_too(connect):
    faults = Faults(Fault("poison", share=0.1), seed=2)
    _, http = connect(Fault("poison", share=0.1), seed=2, portal=LINKED)
    poisoned = [one for one in LINKED_IDS if faults.is_poisoned(one)]
    clean = [one for one in LINKED_IDS if one not in poisoned]

    assert poisoned
    assert from_ids(linked(http, clean)) == clean
    assert linked(http, [*clean[:5], poisoned[0]]).status_code == 400


# ---------------------------------------------------------------- every endpoint

EVERYWHERE = {
    "associations_batch_read": (ASSOCIATIONS, {"inputs": [{"id": "512"}]}),
    "association_labels": ("/crm/v4/associations/contacts/calls/labels", None),
    "owners": ("/crm/v3/owners", None),
    "dispositions": ("/calling/v1/dispositions", None),
    "property_groups": ("/crm/v3/properties/contacts/groups", None),
    "schemas": ("/crm/v3/schemas", None),
    "schema": ("/crm/v3/schemas/2-7701234", None),
    "list": ("/crm/v3/objects/companies", None),
    "batch_read": ("/crm/v3/objects/companies/batch/read", {"inputs": [{"id": "1"}]}),
    "search": ("/crm/v3/objects/companies/search", {"limit": 5}),
}


def ask(http, endpoint):
    path, body = EVERYWHERE[endpoint]
    return http.post(path, json=body) if body else http.get(path)


@pytest.mark.parametrize("endpoint", EVERYWHERE)
def test_every_endpoint_can_go_wrong(connect, endpoint):
    names = ("429-rolling", "503", "423", "reset-before", "truncated", "not-utf8", "wrong-shape")
    faults = [certain(one, endpoint=endpoint) for one in names]
    running, http = connect(*faults, portal=LINKED, search_requests_per_s=100)

    assert [ask(http, endpoint).status_code for _ in range(3)] == [429, 503, 423]
    with pytest.raises(httpx.TransportError):
        ask(http, endpoint)
    truncated, not_utf8, misshapen, good = (ask(http, endpoint) for _ in range(4))

    with pytest.raises(ValueError):  # noqa: PT011  (json names no narrower one)
        json.loads(truncated.content)
    with pytest.raises(UnicodeDecodeError):
        not_utf8.content.decode()
    assert good.status_code in {200, 207}
    assert keys_of(misshapen.json()) != keys_of(good.json())
    assert running.statistics.faults == dict.fromkeys(names, 1)


def keys_of(body):
    """What a client goes by: the kind of a body, of its results, and of what is in them."""
    results = body.get("results", [body]) if isinstance(body, dict) else body
    first = results[0] if isinstance(results, list) and results else results
    return type(body), type(results), sorted(first) if isinstance(first, dict) else type(first)


@pytest.mark.parametrize("endpoint", EVERYWHERE)
def test_unknown_keys_may_be_in_every_answer(connect, endpoint):
    _, http = connect(certain("extra-keys", endpoint=endpoint), portal=LINKED)

    odd, good = ask(http, endpoint), ask(http, endpoint)

    assert "unheardOf" in odd.text
    assert "unheardOf" not in good.text


# ---------------------------------------------------------------- keys and properties


def test_unknown_keys_may_be_anywhere(connect):
    _, http = connect(certain("extra-keys"))

    ids = [*IDS[:3], NO_SUCH]
    odd, good = batch(http, ids).json(), batch(http, ids).json()

    for holder in (odd, odd["results"][0], odd["errors"][0], odd["errors"][0]["context"]):
        assert "unheardOf" in holder
    assert "unheardOf" not in odd["results"][0]["properties"]
    stripped = json.dumps(odd).replace(', "unheardOf": ' + json.dumps(odd["unheardOf"]), "")
    moments = {"startedAt": good["startedAt"], "completedAt": good["completedAt"]}
    assert json.loads(stripped) | moments == good
    nested = http.get("/crm/v3/properties/contacts").json()["results"][0]
    assert "unheardOf" in nested["modificationMetadata"]


def test_a_property_may_be_listed_and_never_returned(connect):
    _, http = connect("listed-not-returned")

    defined = http.get("/crm/v3/properties/contacts").json()["results"]
    archived = http.get("/crm/v3/properties/contacts", params={"archived": "true"}).json()
    record = batch(http, ["512"], [LISTED_NOT_RETURNED, "email"]).json()["results"][0]

    assert LISTED_NOT_RETURNED in {one["name"] for one in defined}
    assert LISTED_NOT_RETURNED not in {one["name"] for one in archived["results"]}
    assert "email" in record["properties"]
    assert LISTED_NOT_RETURNED not in record["properties"]


def test_a_property_may_be_returned_and_never_listed(connect):
    _, http = connect("returned-not-listed")

    defined = http.get("/crm/v3/properties/contacts").json()["results"]
    records = batch(http).json()["results"]
    records += [http.get(ONE).json(), *http.get(CONTACTS).json()["results"]]

    assert RETURNED_NOT_LISTED not in {one["name"] for one in defined}
    assert all(one["properties"][RETURNED_NOT_LISTED] for one in records)


# ---------------------------------------------------------------- merges


def test_merged_away_ids_may_be_listed_beside_the_others(connect):
    """Old and new ids of a merge in one batch, and those of a chain of merges."""
    portal = Portal.build(contacts=60, calls=0, seed=1)
    one, two, three, *_ = (i for i in portal.records["contacts"].live[5:] if i != 512)
    middle = portal.merge(one, two, keep_primary_id=True)
    portal.merge(middle, three, keep_primary_id=True)
    _, http = connect("merged-listed", portal=portal)

    ids = [int(r["id"]) for r in http.get(CONTACTS, params={"limit": "100"}).json()["results"]]
    found = batch(http, [str(i) for i in ids]).json()

    assert {one, two, three} <= set(ids)
    assert ids == sorted(ids)
    assert {two, three}.isdisjoint(int(r["id"]) for r in found["results"])
    assert "errors" not in found


@pytest.mark.parametrize("keep_primary_id", [False, True])
def test_old_and_new_ids_of_a_chain_of_merges_answer_with_one_record(connect, keep_primary_id):
    portal = Portal.build(contacts=20, calls=0, seed=1)
    winners = portal.aliases("contacts").values()
    live = [int(one["id"]) for one in portal.truth("contacts") if not one["archived"]]
    first, second, third = [one for one in live if one not in winners][-3:]
    middle = portal.merge(first, second, keep_primary_id=keep_primary_id)
    last = portal.merge(third, middle, keep_primary_id=keep_primary_id)
    _, http = connect(portal=portal)

    asked = [first, second, third, middle, last]
    (record,) = batch(http, asked, ["hs_merged_object_ids"]).json()["results"]

    assert record["id"] == str(last)
    assert record["properties"]["hs_merged_object_ids"].split(";") == [
        str(one) for one in sorted({*asked} - {last})
    ]
    for one in asked:
        assert ids_of(batch(http, [one])) == [str(last)]


# ---------------------------------------------------------------- which requests, how often


def hit(http, ids, workers=1):
    """The ids that are refused at the first try, asked for by so many threads."""
    with ThreadPoolExecutor(workers) as pool:
        codes = list(pool.map(lambda one: http.get(f"{CONTACTS}/{one}").status_code, ids))
    return {one for one, code in zip(ids, codes, strict=True) if code == 503}


def test_the_same_seed_hits_the_same_requests_in_any_order(connect):
    fault = Fault("503", share=0.3)
    _, forwards = connect(fault, seed=7)
    _, crowded = connect(fault, seed=7)
    _, other = connect(fault, seed=8)

    found = hit(forwards, IDS)

    assert 5 < len(found) < 35
    assert hit(crowded, IDS[::-1], workers=8) == found
    assert hit(other, IDS) != found


def test_method_path_query_and_body_make_a_request_another_one(connect):
    _, http = connect(certain("503"))

    for ask in (
        lambda: http.get(ONE),
        lambda: http.get(ONE, params={"properties": "email"}),
        lambda: http.get(CONTACTS),
        lambda: batch(http, IDS[:2]),
        lambda: batch(http, IDS[1::-1]),
    ):
        assert [ask().status_code for _ in range(2)] == [503, 200]


def test_a_request_is_hit_once_or_twice_unless_told_otherwise(connect):
    usual, http = connect(Fault("503", share=1))
    _, stubborn = connect(Fault("503", share=1, hits=ALWAYS))

    counts = [
        [http.get(f"{CONTACTS}/{one}").status_code for _ in range(3)].count(503) for one in IDS
    ]

    assert set(counts) == {1, 2}
    assert usual.statistics.faults == {"503": sum(counts)}
    assert {stubborn.get(ONE).status_code for _ in range(9)} == {503}


def test_a_fault_may_keep_to_one_endpoint(connect):
    _, http = connect(certain("500", endpoint="list"))

    assert http.get(ONE).status_code == 200
    assert http.get(CONTACTS).status_code == 500


def test_faults_come_one_after_the_other_or_together(connect):
    """An answer has one error at most; changes to a good one add up."""
    running, http = connect(
        certain("left-out"), certain("500"), certain("twice"), certain("slow", seconds=0.01)
    )

    answers = [batch(http) for _ in range(4)]

    assert [one.status_code for one in answers] == [500, 200, 200, 200]
    assert [len(ids_of(one)) for one in answers[1:]] == [20, 20, 20]
    assert [len(set(ids_of(one))) for one in answers[1:]] == [20, 19, 20]
    assert running.statistics.faults == {"500": 1, "slow": 1, "left-out": 1, "twice": 1}


def test_refused_requests_meet_no_fault(connect):
    running, http = connect(certain("500"))

    assert http.get(ONE, headers={"Authorization": "Bearer other"}).status_code == 401
    assert running.statistics.faults == {}


def test_without_faults_nothing_is_kept(connect):
    _, http = connect()

    assert batch(http).status_code == 200
    assert NO_FAULTS.injected == {}


# ---------------------------------------------------------------- names and numbers


@given(name=st.sampled_from(list(KINDS)), share=st.floats(0, 1), begin=st.integers(1, 10**9))
def test_a_fault_is_written_as_name_and_number(name, share, begin):
    counts = name.startswith(("401", "403"))
    number = begin if counts else share

    assert Fault.parse(name) == Fault(name)
    assert Fault.parse(f"{name}={number}") == (
        Fault(name, begin=begin) if counts else Fault(name, share=share)
    )


@given(text=st.text())
def test_any_other_text_is_one_clear_line(text):
    for written in (text, f"500={text}", f"403-errors={text}"):
        try:
            assert Fault.parse(written).name in KINDS
        except ConfigError as exc:
            assert len(str(exc).splitlines()) == 1  # noqa: PT017  (most texts raise, not all)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("nonsense", ["'nonsense'", *KINDS]),
        ("500=often", ["'often'", "500=0.05"]),
        ("500=", ["500=0.05"]),
        ("500=1.5", ["1.5", "0 to 1"]),
        ("500=nan", ["nan", "0 to 1"]),
        ("403-errors=0.5", ["'0.5'", "403-errors=20"]),
        ("401-expired=0", ["1 or more"]),
    ],
)
def test_a_fault_that_cannot_be_says_what_can(written, words):
    with pytest.raises(ConfigError) as caught:
        Faults(written)

    assert [word for word in words if word not in str(caught.value)] == []


# ---------------------------------------------------------------- the command


def test_simulate_refuses_an_unknown_fault_and_names_the_others(tmp_path):
    done = crm("simulate", "--port", 0, "--fault", "teapot", cwd=tmp_path)

    assert_one_line(done, 2, "'teapot'", *KINDS)


def test_simulate_takes_several_faults(tmp_path):
    command = (*CRM, "simulate", "--port", 0, "--contacts", 5, "--calls", 0)
    with started(*command, "--fault", "403-errors=2", "--fault", "502=1", cwd=tmp_path) as process:
        base_url = re.search(r"http://\S+?(?=;)", process.stderr.readline())[0]
        at = urlsplit(base_url)
        wait_until(lambda: is_listening(at.hostname, at.port), what="the simulator answers")
        with httpx.Client(base_url=base_url, headers={"Authorization": "Bearer any"}) as http:
            assert [http.get(ONE).status_code for _ in range(2)] == [502, 403]
