"""Sign-in by OAuth against a real server on loopback: one refresh for all, and no secret told."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import pytest
from hubspot_server import Clock, Reply, everything_told, served
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import AuthError, DailyLimitError, HubSpotError, TerminalError, TransientError
from pipelines.hubspot import decode
from pipelines.hubspot.answers import Answer
from pipelines.hubspot.auth import OAuthCredentials
from pipelines.hubspot.client import HubSpotClient, open_http
from pipelines.hubspot.limits import Limits
from pipelines.hubspot.oauth import OAuthToken, token_for
from pipelines.hubspot.paths import Paths
from pipelines.hubspot.retry import RetryPolicy

CLIENT_ID = "7fff1e36-2d40-4ae1-bbb1-5266d59564fb"
CLIENT_SECRET = "61bd0df5-7ba9-4a1c-9eb0-ac4f2b9e0b4a"
REFRESH_TOKEN = "na1-2e1d/refresh+token=="
ACCESS_TOKEN = "CJSP5qf1KhICAQEYs-gDIIGOBii1hQIyGQAf3xBKmlwHjX7OIpuIFEavB2-qYAGQsF4"
SECRETS = (CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, ACCESS_TOKEN)
CREDENTIALS = OAuthCredentials(
    client_id=CLIENT_ID, client_secret=CLIENT_SECRET, refresh_token=REFRESH_TOKEN
)
MANY = 24

ACCOUNT = Reply(body={"portalId": 5})
EXPIRED = Reply(
    401,
    {
        "status": "error",
        "message": "The OAuth token used to make this call expired 5 minute(s) ago.",
        "category": "EXPIRED_AUTHENTICATION",
        "context": {"expire time": ["2026-05-01T00:00:00Z"]},
    },
)


def issued(token=ACCESS_TOKEN, **more):
    return Reply(
        body={
            "access_token": token,
            "expires_in": 1800,
            "refresh_token": REFRESH_TOKEN,
            "token_type": "bearer",
            **more,
        }
    )


class Portal:
    """A server that knows one token at a time, and gives another whenever it is asked."""

    def __init__(self, **more):
        self.more = more
        self.given = 0
        self.is_expired = False
        self.asked_for_token = []

    def __call__(self, request):
        if request.target.startswith("/oauth/"):
            self.asked_for_token.append(request)
            self.given += 1
            self.is_expired = False
            return issued(f"token-{self.given}", **self.more)
        good = f"Bearer token-{self.given}"
        is_good = request.headers["authorization"] == good and not self.is_expired
        return ACCOUNT if is_good else EXPIRED


@asynccontextmanager
async def oauth_client(url, *, clock=None, version="v3", timeout_s=5.0, **retry):
    clock = clock or Clock()
    policy = RetryPolicy(clock=clock, sleep=clock.sleep, random=lambda: 1.0, **retry)
    paths = Paths(version)
    async with open_http(base_url=url, timeout_s=timeout_s) as http:
        token = OAuthToken(http, CREDENTIALS, path=paths.token(), retry=policy)
        yield HubSpotClient(http, token=token, limits=Limits(), paths=paths, retry=policy)


def exchange(call, *script, **options):
    """Let `call(client)` run against a server with `script`; gives its result and the server."""

    async def main():
        async with served(*script) as server, oauth_client(server.url, **options) as client:
            return await call(client), server

    return asyncio.run(main())


def failure(*script, **options):
    """What the first request raises, and the server that made it."""

    async def call(client):
        with pytest.raises(HubSpotError) as caught:
            await client.account()
        return caught.value, repr(client._sender._token), repr(client)

    (error, *told), server = exchange(call, *script, **options)
    return error, server, told


def account(client):
    return client.account()


def targets(server):
    return [request.target.rpartition("/")[2] for request in server.requests]


# ---------------------------------------------------------------- the request


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ("v3", "/oauth/v1/token"),
        ("2026-03", "/oauth/2026-03/token"),
        ("2026-09", "/oauth/2026-03/token"),
    ],
)
def test_a_token_is_fetched_with_a_form_and_used(version, path):
    """Secrets go into the body: an address is written to logs on the way."""
    found, server = exchange(account, issued(), ACCOUNT, version=version)

    asked, used = server.requests
    assert found.portal_id == 5
    assert (asked.method, asked.target) == ("POST", path)
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in asked.headers
    assert parse_qs(asked.body.decode(), strict_parsing=True) == {
        "grant_type": ["refresh_token"],
        "client_id": [CLIENT_ID],
        "client_secret": [CLIENT_SECRET],
        "refresh_token": [REFRESH_TOKEN],
    }
    assert used.headers["authorization"] == f"Bearer {ACCESS_TOKEN}"


def test_requests_for_tokens_take_no_place_in_the_limits_and_are_counted():
    async def call(client):
        await client.account()
        usage = client.usage
        return client._limits.main._sent, usage.requests, usage.retries, usage.rate_limited

    found, server = exchange(call, Reply(429, {}), Reply(503), issued(), ACCOUNT)

    assert found == (1, 4, 2, 1)
    assert len(server.requests) == 4


def test_without_credentials_the_token_given_is_used():
    async def main():
        async with served(ACCOUNT) as server, open_http(base_url=server.url) as http:
            paths = Paths("v3")
            token = token_for(http, access_token="pat-x", oauth=None, paths=paths)
            client = HubSpotClient(http, token=token, limits=Limits(), paths=paths)
            await client.account()
            return server.requests

    (request,) = asyncio.run(main())

    assert request.headers["authorization"] == "Bearer pat-x"


# ---------------------------------------------------------------- how long a token is used


@pytest.mark.parametrize(
    ("expires_in", "used_s"),
    [
        (1800, 1500),
        (60, 50),
        (None, 1500),
        (0, 1500),
        (-5, 1500),
        ("1800", 1500),
        ([], 1500),
        (10**400, 72_000),
    ],
    ids=lambda value: str(value)[:10],
)
def test_a_token_is_renewed_before_it_expires(expires_in, used_s):
    """Some minutes early, and after half an hour at most where HubSpot says nothing usable."""
    clock, portal = Clock(), Portal(expires_in=expires_in)

    async def call(client):
        given = []
        for now in (0, used_s - 1, used_s, used_s + 1, 2 * used_s - 1, 2 * used_s):
            clock.now = now
            await client.account()
            given.append(portal.given)
        return given

    given, _ = exchange(call, portal, clock=clock)

    assert given == [1, 1, 2, 2, 2, 3]


def test_a_token_that_hubspot_calls_expired_is_renewed_and_the_request_sent_again():
    """Its clock counts, not ours."""
    found, server = exchange(account, issued("a"), EXPIRED, issued("b"), ACCOUNT)

    assert found.portal_id == 5
    assert targets(server) == ["token", "details", "token", "details"]
    assert server.requests[3].headers["authorization"] == "Bearer b"


def test_a_request_sent_again_counts_in_the_limits():
    async def call(client):
        await client.account()
        return client._limits.main._sent, client.usage.requests

    found, _ = exchange(call, issued("a"), EXPIRED, issued("b"), ACCOUNT)

    assert found == (2, 4)  # the tokens are counted, too


def test_a_new_token_that_is_refused_too_is_final():
    """Or a revoked app would be asked for ever."""
    error, server, _ = failure(issued("a"), EXPIRED, issued("b"), EXPIRED)

    assert isinstance(error, AuthError)
    assert error.exit_code == 3
    assert error.category == "EXPIRED_AUTHENTICATION"
    assert "SOURCES__HUBSPOT__REFRESH_TOKEN" in str(error)
    assert "ACCESS_TOKEN" not in str(error)
    assert targets(server) == ["token", "details"] * 2


def test_a_missing_scope_is_granted_to_the_app_not_to_a_token():
    body = {"category": "MISSING_SCOPES", "context": {"requiredGranularScopes": ["x.read"]}}
    error, server, _ = failure(issued(), Reply(403, body))

    assert "grant the scopes x.read to the app that SOURCES__HUBSPOT__CLIENT_ID" in str(error)
    assert len(server.requests) == 2


def test_another_refresh_token_replaces_the_one_of_the_settings():
    def script(request):
        return issued("a", refresh_token="second") if "oauth" in request.target else EXPIRED

    _, server, _ = failure(script)

    sent = [parse_qs(r.body.decode())["refresh_token"] for r in server.requests if r.body]
    assert sent == [[REFRESH_TOKEN], ["second"]]


# ---------------------------------------------------------------- many at once


def test_many_requests_share_one_fetch_and_one_renewal():
    """Twenty-four are under way when a token expires; HubSpot is asked once."""
    portal = Portal()

    async def call(client):
        await asyncio.gather(*(client.account() for _ in range(MANY)))
        portal.is_expired = True
        await asyncio.gather(*(client.account() for _ in range(MANY)))

    _, server = exchange(call, portal)

    assert portal.given == 2
    assert targets(server).count("details") >= 2 * MANY + 1


def test_who_was_refused_with_an_older_token_gets_the_present_one():
    async def call(client):
        token = client._sender._token
        first = await token.bearer()
        second = await token.renewed(first)
        return first, second, await token.renewed(first), await token.bearer()

    (first, second, *later), server = exchange(call, Portal())

    assert first is not second
    assert later == [second, second]
    assert len(server.requests) == 2


def test_a_fetch_that_was_broken_off_is_made_by_the_next_who_waits():
    """Ctrl-C and time limits cancel requests; the others go on."""

    async def call(client):
        first, second = (asyncio.ensure_future(client.account()) for _ in range(2))
        await asyncio.sleep(0)  # both are off: one has sent, the other waits
        assert client._sender._token._turn.locked()
        first.cancel()
        return await second

    found, _ = exchange(call, Portal())

    assert found.portal_id == 5


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("status", "error", "setting"),
    [
        ("BAD_REFRESH_TOKEN", "invalid_grant", "SOURCES__HUBSPOT__REFRESH_TOKEN"),
        ("BAD_CLIENT_ID", "invalid_client", "SOURCES__HUBSPOT__CLIENT_ID"),
        ("BAD_CLIENT_SECRET", "invalid_client", "SOURCES__HUBSPOT__CLIENT_SECRET"),
        ("BAD_HUB", None, "SOURCES__HUBSPOT__CLIENT_ID"),
        (None, "invalid_grant", "SOURCES__HUBSPOT__REFRESH_TOKEN"),
        (None, "invalid_client", "SOURCES__HUBSPOT__CLIENT_SECRET"),
        ("error", None, "SOURCES__HUBSPOT__REFRESH_TOKEN"),
    ],
)
def test_a_refusal_names_the_setting_to_look_at(status, error, setting):
    body = {"status": status, "error": error, "error_description": "it is\nrevoked"}
    refused, server, _ = failure(Reply(400, {k: v for k, v in body.items() if v}))

    assert isinstance(refused, AuthError)
    assert refused.exit_code == 3
    assert refused.http_status == 400
    assert str(refused).startswith("HubSpot refused to sign in: it is revoked (")
    assert setting in str(refused)
    assert len(server.requests) == 1
    if status != "error":
        assert refused.category == (status or error)


def test_the_message_of_hubspot_is_quoted_as_it_is():
    body = {
        "status": "BAD_REFRESH_TOKEN",
        "message": "missing or unknown refresh token",
        "error": "invalid_grant",
        "error_description": "refresh token is invalid, expired or revoked",
    }
    error, _, _ = failure(Reply(400, body))

    assert str(error) == (
        "HubSpot refused to sign in: missing or unknown refresh token (BAD_REFRESH_TOKEN); install "
        "the app again and set SOURCES__HUBSPOT__REFRESH_TOKEN to its new refresh token"
    )
    assert error.context["error"] == "invalid_grant"


@pytest.mark.parametrize("status", [401, 403, 404, 405, 409, 422])
def test_every_4xx_in_json_is_about_the_credentials(status):
    error, server, _ = failure(Reply(status, {"message": "no"}))

    assert isinstance(error, AuthError)
    assert error.http_status == status
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [200, 301, 404])
def test_html_in_place_of_a_token_means_a_wrong_base_url(status):
    """Not the fault of the records asked for, as a TerminalError would be."""
    error, server, _ = failure(Reply(status, b"<html><p>Welcome</p></html>"))

    assert not isinstance(error, TerminalError | TransientError)
    assert error.exit_code == 4
    assert str(error) == (
        f"cannot sign in: the base URL {server.url} answered HTML, not HubSpot JSON, "
        "to POST /oauth/v1/token: set sources.hubspot.base_url"
        + (", or sources.hubspot.api_version" if status == 404 else "")
    )
    assert len(server.requests) == 1


def test_the_days_limit_is_not_repeated():
    error, server, _ = failure(Reply(429, {"policyName": "DAILY"}))

    assert isinstance(error, DailyLimitError)
    assert len(server.requests) == 1


# ---------------------------------------------------------------- repeated


@pytest.mark.parametrize(
    "bad",
    [
        *(Reply(status, b"<p>Bad gateway</p>") for status in (423, 429, 477, 500, 503, 524)),
        Reply(200, {"access_token": ACCESS_TOKEN}, cut=0),
        Reply(200, {"access_token": ACCESS_TOKEN}, cut=150),
        Reply(200, b'{"access_token": "CJ'),
        Reply(200, {"access_token": ""}),
        Reply(200, {"access_token": "two words"}),
        Reply(200, {"access_token": 5}),
        Reply(200, {"expires_in": 1800}),
        Reply(200, []),
    ],
    ids=range(14),
)
def test_a_fetch_that_may_succeed_is_repeated(bad):
    found, server = exchange(account, bad, issued(), ACCOUNT)

    assert found.portal_id == 5
    assert len(server.requests) == 3


def test_no_answer_in_time_is_repeated():
    found, server = exchange(account, None, issued(), ACCOUNT, timeout_s=0.2)

    assert found.portal_id == 5
    assert len(server.requests) == 3


def test_retry_after_is_kept():
    clock = Clock()
    exchange(account, Reply(429, {}, {"Retry-After": "7"}), issued(), ACCOUNT, clock=clock)

    assert clock.sleeps == [7.0]


def test_repeats_are_bounded_once_for_all_who_wait():
    """Eight attempts, not eight for each request, nor eight times eight."""

    async def call(client):
        waiting = (client.account() for _ in range(MANY))
        return await asyncio.gather(*waiting, return_exceptions=True)

    errors, server = exchange(call, Reply(503, b"<p>Bad gateway</p>"))

    assert len(server.requests) == 8
    assert {type(error) for error in errors} == {HubSpotError}
    assert {error.exit_code for error in errors} == {4}
    assert str(errors[0]).startswith("cannot sign in: HubSpot answered 503 to POST /oauth/v1/token")


def test_a_refusal_is_not_asked_for_again():
    async def call(client):
        waiting = (client.account() for _ in range(MANY))
        return await asyncio.gather(*waiting, return_exceptions=True)

    errors, server = exchange(call, Reply(400, {"status": "BAD_REFRESH_TOKEN"}))

    assert len(server.requests) == 1
    assert {type(error) for error in errors} == {AuthError}


def test_an_unreachable_host_is_told_soon():
    """Signing in is the first thing that a run sends."""
    clock = Clock()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

        async def main():
            async with oauth_client(url, clock=clock) as client:
                with pytest.raises(HubSpotError) as caught:
                    await client.account()
            return caught.value

        error = asyncio.run(main())

    assert error.category == "UNREACHABLE"
    assert "sources.hubspot.base_url" in str(error)
    assert clock.now <= 5


# ---------------------------------------------------------------- secrets

ECHO = {
    "status": "BAD_REFRESH_TOKEN",
    "message": f"you sent {REFRESH_TOKEN} and {CLIENT_SECRET}",
    "context": {"form": f"client_id={CLIENT_ID}&refresh_token=na1-2e1d%2Frefresh%2Btoken%3D%3D"},
}


@pytest.mark.parametrize(
    "script",
    [
        [Reply(400, ECHO)],
        [Reply(401, ECHO)],
        [Reply(404, f"<p>{REFRESH_TOKEN}</p>".encode())],
        [Reply(200, f"<p>{CLIENT_SECRET} {REFRESH_TOKEN}</p>".encode())],
        [Reply(429, {**ECHO, "policyName": "DAILY"})],
        [Reply(503, ECHO)],
        [Reply(200, {"access_token": 1, "refresh_token": REFRESH_TOKEN})],
        [Reply(200, {"access_token": f"{ACCESS_TOKEN} x", "refresh_token": REFRESH_TOKEN})],
        [Reply(200, {"token": ACCESS_TOKEN})],
        [Reply(200, f'{{"access_token": "{ACCESS_TOKEN}"'.encode())],
        [Reply(200, {"access_token": ACCESS_TOKEN}, cut=0)],
        [Reply(200, {"access_token": ACCESS_TOKEN}, cut=120)],
        [Reply(200, b"no gzip", {"Content-Encoding": "gzip"})],
        [Reply(200, b"{}", {"Content-Length": "many"})],
        [issued(), EXPIRED, issued(), EXPIRED],
        [issued(), EXPIRED, Reply(400, ECHO)],
        [issued(), Reply(401, {"message": ACCESS_TOKEN})],
        [issued(), Reply(403, {"message": ACCESS_TOKEN})],
        [issued(), Reply(404, f"<p>{ACCESS_TOKEN}</p>".encode())],
        [issued(), Reply(503, {"message": ACCESS_TOKEN})],
        [issued(), Reply(200, [ACCESS_TOKEN], cut=3)],
    ],
    ids=range(21),
)
def test_no_secret_is_told_to_anybody(script, caplog):
    """Not even by a server that sends it back, nor by the frames and causes of an error."""
    caplog.set_level(logging.DEBUG)
    error, server, told = failure(*script, attempts=2)
    everything = everything_told(error, *told) + caplog.text

    assert REFRESH_TOKEN in parse_qs(server.requests[0].body.decode())["refresh_token"]
    assert "na1-2e1d%2F" not in everything
    assert [secret for secret in SECRETS if secret in everything] == []


def test_credentials_do_not_show_in_print():
    assert repr(CREDENTIALS) == "OAuthCredentials()"


TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


@given(TEXT, TEXT, TEXT)
def test_any_credentials_arrive_as_they_are(client_id, client_secret, refresh_token):
    """Whatever characters a secret has, the form holds it whole."""
    credentials = OAuthCredentials(
        client_id=client_id, client_secret=client_secret, refresh_token=refresh_token
    )

    async def main():
        async with served(issued()) as server, open_http(base_url=server.url) as http:
            await OAuthToken(http, credentials, path="/token").bearer()
            return parse_qs(server.requests[0].body.decode(), strict_parsing=True)

    form = asyncio.run(main())

    assert form["client_id"] == [client_id]
    assert form["client_secret"] == [client_secret]
    assert form["refresh_token"] == [refresh_token]


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12))
def test_a_secret_that_comes_back_is_blotted_out_in_every_form(secret):
    """As it is, in a form, and inside JSON."""
    body = json.dumps({"message": f"you sent {secret}"}).encode()

    blotted = Answer(400, {}, body, "POST /token", "http://x").without(secret)

    assert json.loads(blotted.body)["message"] == "you sent ***"


JSON = st.recursive(
    # No NaN: it is not JSON, and makes all of an answer unreadable.
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.fixed_dictionaries(
        {}, optional={"access_token": JSON, "expires_in": JSON, "refresh_token": JSON}
    )
)
def test_any_answer_is_a_token_or_unreadable(answer):
    """Whatever a server sends, the words of the failure hold none of it."""
    body = json.dumps({**answer, "id_token": ACCESS_TOKEN}).encode()

    if not isinstance(answer.get("access_token"), str) or not answer["access_token"]:
        with pytest.raises(decode.UnreadableError) as caught:
            decode.issued_token(body)
        assert ACCESS_TOKEN not in str(caught.value)
        return
    token = decode.issued_token(body)

    assert token.access_token == answer["access_token"]
    assert isinstance(token.expires_in, int | None)
    assert isinstance(token.refresh_token, str | None)
