"""The client against a real server on loopback: requests, repeats, errors, secrets."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
from datetime import UTC, datetime

import pytest
from hubspot_server import TOKEN, Clock, Reply, client_for, everything_told, served

from pipelines.errors import (
    AuthError,
    ConfigError,
    DailyLimitError,
    HubSpotError,
    TerminalError,
    TransientError,
)
from pipelines.hubspot.auth import StaticToken
from pipelines.hubspot.client import HubSpotClient, open_http
from pipelines.hubspot.limits import Limits
from pipelines.hubspot.paths import Paths
from pipelines.hubspot.retry import RetryPolicy

GOOD = Reply(200, {"status": "COMPLETE", "results": [{"id": "1", "properties": {}}]})
CORRELATED = {"X-HubSpot-Correlation-Id": "01999b0e-header"}


def exchange(call, *script, clock=None, version="v3", **retry):
    """Let `call(client)` run against a server with `script`; gives its result, both ends."""

    async def main():
        async with (
            served(*script) as server,
            client_for(server.url, clock=clock, version=version, **retry) as client,
        ):
            return await call(client), client, server

    return asyncio.run(main())


def failure(*script, **retry):
    """What batch/read raises, and the server that made it."""
    caught = None

    async def call(client):
        nonlocal caught
        with pytest.raises(HubSpotError) as info:
            await client.batch_read("contacts", ["1"])
        caught = info.value

    _, client, server = exchange(call, *script, **retry)
    return caught, client, server


def read(client):
    return client.batch_read("contacts", ["1"])


def test_batch_read_sends_what_was_asked():
    async def call(client):
        return await client.batch_read(
            "contacts",
            ["a@b.co", "c@d.co"],
            properties=["email"],
            properties_with_history=["lifecyclestage"],
            id_property="email",
            archived=True,
        )

    _, _, server = exchange(call, GOOD)
    (request,) = server.requests

    assert (request.method, request.target) == (
        "POST",
        "/crm/v3/objects/contacts/batch/read?archived=true",
    )
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "gzip"
    assert request.json == {
        "inputs": [{"id": "a@b.co"}, {"id": "c@d.co"}],
        "properties": ["email"],
        "propertiesWithHistory": ["lifecyclestage"],
        "idProperty": "email",
    }


@pytest.mark.parametrize("status", [200, 207])
def test_batch_read_answer(status):
    """207 is a partial answer, not a failure."""
    body = {
        "status": "COMPLETE",
        "results": [{"id": "1"}],
        "numErrors": 1,
        "errors": [{"category": "OBJECT_NOT_FOUND", "context": {"ids": ["2"]}}],
    }
    began = datetime.now(UTC)
    answer, client, _ = exchange(read, Reply(status, body, CORRELATED))

    assert answer.http_status == status
    assert answer.correlation_id == "01999b0e-header"
    assert answer.attempts == 1
    assert began <= answer.requested_at <= datetime.now(UTC)
    assert json.loads(answer.body)["results"] == [{"id": "1"}]
    assert answer.ids == ["1"]
    assert answer.envelope.errors[0].context == {"ids": ["2"]}
    assert (client.usage.requests, client.usage.retries) == (1, 0)


@pytest.mark.parametrize(
    ("ids", "history"),
    [
        ([], []),
        ([str(n) for n in range(101)], []),
        ([str(n) for n in range(51)], ["email"]),
        (["1", "2", "1"], []),
    ],
    ids=["none", "101", "51 with history", "twice"],
)
def test_ids_that_cannot_be_sent_are_a_bug_of_the_caller(ids, history):
    async def call(client):
        with pytest.raises(ValueError, match="batch/read takes"):
            await client.batch_read("contacts", ids, properties_with_history=history)

    _, _, server = exchange(call, GOOD)

    assert server.requests == []


def test_other_endpoints():
    async def call(client):
        return [
            await client.list_page("calls", after="12", archived=True, properties=["a", "b c"]),
            await client.search("calls", {"limit": 200}),
            await client.properties("p_my object"),
            await client.properties("calls", archived=True),
            await client.account(),
            await client.daily_usage(),
        ]

    (page, found, properties, _, account, usage), _, server = exchange(
        call,
        Reply(body={"results": [{"id": "7"}], "paging": {"next": {"after": "8"}}}),
        Reply(body={"total": 9, "results": [{"id": "7"}]}),
        Reply(body={"results": [{"name": "email"}]}),
        Reply(body={"results": []}),
        Reply(body={"portalId": 5}),
        Reply(body={"results": [{"usageLimit": 10}]}),
        version="2026-03",
    )

    assert (page.ids, page.after) == (["7"], "8")
    assert (found.total, found.ids, found.after) == (9, ["7"], None)
    assert properties == [{"name": "email"}]
    assert account.portal_id == 5
    assert usage[0].usage_limit == 10
    assert [f"{request.method} {request.target}" for request in server.requests] == [
        "GET /crm/objects/2026-03/calls?limit=100&archived=true&after=12&properties=a%2Cb+c",
        "POST /crm/objects/2026-03/calls/search",
        "GET /crm/properties/2026-03/p_my%20object",
        "GET /crm/properties/2026-03/calls?archived=true",
        "GET /account-info/2026-03/details",
        "GET /account-info/2026-03/api-usage/daily/private-apps",
    ]
    assert server.connections == 1


def test_compressed_answers():
    plain = json.dumps(GOOD.body).encode()
    answer, _, _ = exchange(
        read, Reply(body=gzip.compress(plain), headers={"Content-Encoding": "gzip"})
    )

    assert answer.envelope.status == "COMPLETE"


def test_limits_learn_from_answers():
    headers = {"X-HubSpot-RateLimit-Max": "190", "X-HubSpot-RateLimit-Daily": "625000"}
    _, client, _ = exchange(read, Reply(body=GOOD.body, headers=headers))

    assert client._limits.main.limit == 190
    assert client._limits.day.limit == 625000


HTML = b"<html><body>Bad gateway</body></html>"


@pytest.mark.parametrize("status", [423, 429, 477, 500, 502, 503, 504, 520, 521, 524, 526, 530])
def test_repeated(status):
    clock = Clock()
    answer, client, server = exchange(read, Reply(status, HTML), GOOD, clock=clock)

    assert answer.http_status == 200
    assert answer.attempts == 2
    assert len(server.requests) == 2
    assert server.requests[0].body == server.requests[1].body
    assert client.usage.retries == 1
    assert client.usage.rate_limited == (status == 429)
    assert client.usage.waited_s == sum(clock.sleeps)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405, 408, 409, 414, 415, 422])
@pytest.mark.parametrize("body", [{"status": "error", "message": "no"}, HTML, b""])
def test_not_repeated(status, body):
    error, client, server = failure(Reply(status, body), GOOD)

    assert isinstance(error, TerminalError)
    assert error.http_status == status
    assert len(server.requests) == 1
    assert client.usage.retries == 0


@pytest.mark.parametrize("call", ["batch_read", "list_page"])
@pytest.mark.parametrize("cut", [0, 20, 150], ids=["before", "in the head", "in the body"])
def test_a_lost_connection_is_repeated_and_counted(call, cut):
    """Also for GET, which the HTTP library would otherwise repeat behind our back."""

    async def run(client):
        await client.account()  # a kept connection, so that its loss is noticed on use
        if call == "batch_read":
            return await client.batch_read("contacts", ["1"])
        return await client.list_page("contacts")

    good = Reply(body=GOOD.body)
    _, client, server = exchange(run, Reply(body={}), Reply(body=GOOD.body, cut=cut), good)

    assert len(server.requests) == client.usage.requests == 3
    assert client.usage.retries == 1


def test_cut_off_json_is_repeated():
    answer, _, _ = exchange(read, Reply(body=b'{"results":[{"id":'), GOOD)

    assert answer.attempts == 2


def test_a_body_that_stays_unreadable():
    """Its text is not quoted: it may hold what people wrote."""
    error, _, server = failure(Reply(body=b'{"results":{"email":"a@b.co"}}', headers=CORRELATED))

    assert isinstance(error, TransientError)
    assert error.category == "MALFORMED_RESPONSE"
    assert error.http_status == 200
    assert error.correlation_id == "01999b0e-header"
    assert "a@b.co" not in str(error)
    assert "30 bytes of application/json" in str(error)
    assert len(server.requests) == 8


def test_no_answer_in_time():
    clock = Clock()

    async def main():
        async with served(None) as server, open_http(base_url=server.url, timeout_s=0.05) as http:
            client = HubSpotClient(
                http,
                token=StaticToken(TOKEN),
                limits=Limits(),
                paths=Paths("v3"),
                retry=RetryPolicy(attempts=2, clock=clock, sleep=clock.sleep),
            )
            with pytest.raises(TransientError) as caught:
                await read(client)
            return caught.value, client.usage.requests

    error, requests = asyncio.run(main())

    assert error.category == "TIMEOUT"
    assert requests == 2


@pytest.mark.parametrize("value", ["7", "Sun, 01 Mar 2026 12:00:07 GMT"], ids=["seconds", "date"])
def test_retry_after(value):
    clock = Clock()
    headers = {"Retry-After": value, "Date": "Sun, 01 Mar 2026 12:00:00 GMT"}
    exchange(read, Reply(429, {}, headers), GOOD, clock=clock)

    assert clock.sleeps == [7.0]


def test_an_account_on_the_move_for_hours():
    clock = Clock()
    error, _, server = failure(Reply(477, {}, {"Retry-After": "7200"}), clock=clock)

    assert isinstance(error, TransientError)
    assert error.retry_after == 7200
    assert (len(server.requests), clock.sleeps) == (1, [])


def test_waiting_for_a_place_in_the_limits_leaves_time_for_repeats():
    """Else, where others use most of the limit, the first 503 would be the last word."""
    clock = Clock()

    async def main():
        limits = Limits(requests_per_10s=1, clock=clock, sleep=clock.sleep)
        async with (
            served(GOOD, Reply(503, HTML), GOOD) as server,
            client_for(server.url, clock=clock, limits=limits, total_s=5) as client,
        ):
            await client.account()
            await client.account()
            return len(server.requests), clock.now

    requests, seconds = asyncio.run(main())

    assert requests == 3
    assert seconds >= 20


def test_attempts_are_bounded():
    clock = Clock()
    error, client, server = failure(Reply(503, HTML), clock=clock)

    assert isinstance(error, TransientError)
    assert (error.http_status, error.category) == (503, "HTTP_503")
    assert "Bad gateway" in str(error)
    assert len(server.requests) == client.usage.requests == 8
    assert clock.now <= 120


def test_an_unreachable_host_is_told_soon():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

        async def main():
            clock = Clock()
            async with client_for(url, clock=clock) as client:
                with pytest.raises(TransientError) as caught:
                    await read(client)
            return caught.value, client.usage.requests, clock.now

        error, requests, seconds = asyncio.run(main())

    assert error.category == "UNREACHABLE"
    assert url in str(error)
    assert "sources.hubspot.base_url" in str(error)
    assert requests <= 3
    assert seconds <= 5


def test_a_host_that_was_there_is_given_time():
    """Once it has answered, a refused connection is an outage, not a wrong setting."""

    async def main():
        last = Reply(body=GOOD.body, headers={"Connection": "close"})
        async with served(last) as server, client_for(server.url) as client:
            await read(client)
            server.stop()
            with pytest.raises(TransientError) as caught:
                await read(client)
            return caught.value.category, client.usage.requests

    assert asyncio.run(main()) == ("UNREACHABLE", 1 + 8)


def test_unauthorised():
    body = {
        "status": "error",
        "message": "Authentication credentials not found.",
        "correlationId": "c-1",
        "category": "INVALID_AUTHENTICATION",
    }
    error, _, _ = failure(Reply(401, body))

    assert isinstance(error, AuthError)
    assert error.exit_code == 3
    assert error.category == "INVALID_AUTHENTICATION"
    assert error.correlation_id == "c-1"
    assert str(error) == (
        "HubSpot refused the token: Authentication credentials not found.; set "
        "SOURCES__HUBSPOT__ACCESS_TOKEN to a valid private-app token or service key"
    )


@pytest.mark.parametrize(
    "where",
    [
        {"errors": [{"context": {"requiredGranularScopes": ["crm.objects.contacts.read"]}}]},
        {"context": {"requiredGranularScopes": ["crm.objects.contacts.read"]}},
        {"context": {"requiredScopes": ["crm.objects.contacts.read"]}},
    ],
)
def test_missing_scope_is_named(where):
    error, _, _ = failure(Reply(403, {"category": "MISSING_SCOPES", "message": "No.", **where}))

    assert isinstance(error, AuthError)
    assert "grant the scopes crm.objects.contacts.read to the app" in str(error)


RATE_LIMIT = {
    "status": "error",
    "errorType": "RATE_LIMIT",
    "message": "You have reached your limit.",
}


@pytest.mark.parametrize(("name", "slower"), [("main", 98), ("search", 3)])
def test_a_429_slows_the_limit_down_that_it_is_about(name, slower):
    async def read_or_search(client):
        if name == "main":
            return await client.batch_read("contacts", ["1"])
        return await client.search("contacts", {"limit": 1})

    script = Reply(429, RATE_LIMIT), Reply(200, {"total": 0, "results": []})
    _, client, _ = exchange(read_or_search, *script)
    windows = {"main": client._limits.main, "search": client._limits.search}
    most = {key: window._most(window._clock()) for key, window in windows.items()}

    assert most == {"main": 100, "search": 5} | {name: slower}


def test_daily_limit_is_not_repeated():
    error, client, server = failure(Reply(429, {**RATE_LIMIT, "policyName": "DAILY"}))

    assert isinstance(error, DailyLimitError)
    assert error.exit_code == 4
    assert error.context == {"errorType": "RATE_LIMIT", "policyName": "DAILY"}
    assert len(server.requests) == client.usage.rate_limited == 1


@pytest.mark.parametrize(
    "body",
    [
        {**RATE_LIMIT, "policyName": "TEN_SECONDLY_ROLLING", "groupName": "publicapi:x"},
        {**RATE_LIMIT, "policyName": "SECONDLY"},
        {"status": "error", "message": "…", "category": "RATE_LIMITS"},
        HTML,
    ],
)
def test_every_other_429_is_repeated(body):
    answer, client, _ = exchange(read, Reply(429, body), Reply(429, body), GOOD)

    assert answer.attempts == 3
    assert client.usage.rate_limited == 2


def test_everything_hubspot_said_is_in_the_error():
    body = {
        "status": "error",
        "message": "Property values\nwere not valid",
        "correlationId": "c-2",
        "category": "VALIDATION_ERROR",
        "subCategory": "crm.X",
        "context": {"ids": ["1"]},
        "links": {"help": "https://x"},
        "errors": [{"message": "m", "code": "INVALID", "in": "email", "context": {"p": ["x"]}}],
    }
    error, _, _ = failure(Reply(400, body))

    assert type(error) is TerminalError
    assert error.category == "VALIDATION_ERROR"
    assert error.sub_category == "crm.X"
    assert error.correlation_id == "c-2"
    assert error.context["context"] == {"ids": ["1"]}
    assert error.context["links"] == {"help": "https://x"}
    (detail,) = error.context["errors"]
    assert (detail["code"], detail["in"], detail["context"]) == ("INVALID", "email", {"p": ["x"]})
    assert str(error) == (
        "HubSpot answered 400 VALIDATION_ERROR to POST /crm/v3/objects/contacts/batch/read: "
        "Property values were not valid (correlation id c-2)"
    )


@pytest.mark.parametrize("status", [200, 404, 405])
def test_html_means_a_wrong_base_url(status):
    error, _, server = failure(Reply(status, b"\n <!DOCTYPE html>\n<p>Welcome</p>"))

    assert type(error) is TerminalError
    assert str(error) == (
        f"the base URL {server.url} answered HTML, not HubSpot JSON, "
        "to POST /crm/v3/objects/contacts/batch/read: set sources.hubspot.base_url"
        + (", or sources.hubspot.api_version" if status == 404 else "")
    )
    assert error.context == {"body": "<!DOCTYPE html> <p>Welcome</p>"}


@pytest.mark.parametrize("url", ["", "api.hubapi.com", "ftp://x", "https://", "http://[", "a b"])
def test_base_urls_that_cannot_be(url):
    with pytest.raises(ConfigError, match=r"sources\.hubspot\.base_url"):
        open_http(base_url=url)


@pytest.mark.parametrize("proxied", ["127.0.0.1", "localhost"])
def test_no_proxy_to_this_machine(monkeypatch, proxied):
    """`crm demo` must work where everything else goes through a proxy."""
    monkeypatch.setenv("http_proxy", "http://user:secret@proxy.invalid:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    async def main():
        async with open_http(base_url=f"http://{proxied}:1") as local:
            assert local._proxy is None
        async with open_http(base_url="http://api.invalid") as far:
            assert far._proxy == "http://proxy.invalid:3128"
            assert far._proxy_headers == {"Proxy-Authorization": "Basic dXNlcjpzZWNyZXQ="}

    asyncio.run(main())


@pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
def test_paths(version):
    paths = Paths(version)
    crm = "/crm/v3/{}/contacts" if version == "v3" else f"/crm/{{}}/{version}/contacts"

    assert paths.objects("contacts") == crm.format("objects")
    assert paths.batch_read("contacts") == crm.format("objects") + "/batch/read"
    assert paths.search("contacts") == crm.format("objects") + "/search"
    assert paths.properties("contacts") == crm.format("properties")
    assert paths.account() == f"/account-info/{version}/details"


def test_unknown_version_names_the_known_ones():
    with pytest.raises(ConfigError, match="v3, 2026-03, 2026-09"):
        Paths("v4")


@pytest.mark.parametrize("value", ["", "  ", "a b", "tok\nen", "tök", "tok…"])
def test_tokens_that_cannot_be_sent(value):
    with pytest.raises(ConfigError) as caught:
        StaticToken(value)

    assert value.strip() == "" or value not in str(caught.value)


ECHO = {"message": f"you sent Bearer {TOKEN}", "context": {"headers": [TOKEN]}}


@pytest.mark.parametrize(
    "reply",
    [
        Reply(400, ECHO),
        Reply(401, ECHO),
        Reply(403, ECHO),
        Reply(404, f"<p>{TOKEN}</p>".encode()),
        Reply(200, f"<p>{TOKEN}</p>".encode()),
        Reply(429, {**ECHO, "policyName": "DAILY"}),
        Reply(503, ECHO, {"Retry-After": "9999"}),
        Reply(200, {"results": 1}),
        Reply(200, {"results": []}, cut=5),
        Reply(200, {"results": []}, cut=0),
        Reply(200, b"no gzip", {"Content-Encoding": "gzip"}),
        Reply(200, b"{}", {"Content-Length": "many"}),
        Reply(200, b"{}", {"A Header": "\x00"}),
    ],
    ids=range(13),
)
def test_the_token_is_told_to_nobody(reply, caplog):
    """Not even by a server that sends it back, nor by the causes of an error."""
    caplog.set_level(logging.DEBUG)
    error, client, server = failure(reply, attempts=2)
    told = everything_told(error, client, client._sender, client._sender._token) + caplog.text

    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in told


def test_the_token_is_not_told_when_nobody_answers(caplog):
    caplog.set_level(logging.DEBUG)

    async def main():
        async with client_for("http://127.0.0.1:1") as client:
            with pytest.raises(TransientError) as caught:
                await read(client)
            return caught.value

    assert TOKEN not in everything_told(asyncio.run(main())) + caplog.text
