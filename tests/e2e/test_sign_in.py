"""`crm` signed in by OAuth: tokens expire under way, and secrets are told to nobody."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from types import SimpleNamespace

import httpx
import pytest
from harness import assert_one_line, crm, rows

from pipelines.hubspot.paths import Paths
from pipelines.simulator.app import app
from pipelines.simulator.faults import Faults
from pipelines.simulator.oauth import OAuthApp
from pipelines.simulator.portal import Portal
from pipelines.simulator.server import serve

PREFIX = "SOURCES__HUBSPOT__"
WAREHOUSE = "warehouse.duckdb"
SECRETS = {
    "CLIENT_ID": "7fff1e36-2d40-4ae1-bbb1-5266d59564fb",
    "CLIENT_SECRET": "61bd0df5-7ba9-4a1c-9eb0-ac4f2b9e0b4a",
    "REFRESH_TOKEN": "na1-2e1d/refresh+token==",
}
APP = OAuthApp(**{name.lower(): value for name, value in SECRETS.items()})
SIGNED_IN = {PREFIX + name: value for name, value in SECRETS.items()}
FORM = {"grant_type": "refresh_token", **{name.lower(): text for name, text in SECRETS.items()}}
MINUTE_S = 60


@pytest.fixture
def portal_of(api_version):
    """A simulator in which each request takes a minute, and tokens live for `requests` of them.

    `at` says by a request's number what to do with the simulator's state when it arrives;
    `batch_latency_s` holds batch/read back, so that many are under way.
    """
    with ExitStack() as running:

        def start(requests=30, *, at=None, batch_latency_s=0.0, **options):
            changes = dict(at or {})

            def now():
                count = application.state.statistics.count
                for number in [number for number in changes if number <= count]:
                    changes.pop(number)(application.state)
                return count * MINUTE_S

            options = {"contacts": 60, "calls": 30, **options}
            application = app(
                Portal.build(contacts=options.pop("contacts"), calls=options.pop("calls")),
                **{"token": "pat-of-nobody", "requests_per_10s": 10_000, **options},
                oauth_app=APP,
                versions=[api_version],
                expires_in=requests * MINUTE_S,
                clock=now,
            )

            async def served(scope, receive, send):
                await asyncio.sleep(batch_latency_s if "batch" in scope.get("path", "") else 0)
                await application(scope, receive, send)

            base_url = running.enter_context(serve(served))
            return SimpleNamespace(
                base_url=base_url, token="", state=application.state, api_version=api_version
            )

        yield start


def synced(portal, tmp_path, *arguments, **env):
    command = ("sync", "--warehouse", WAREHOUSE, *arguments)
    return crm(*command, cwd=tmp_path, simulator=portal, env={**SIGNED_IN, **env})


def statuses(portal):
    return [one.status for one in portal.state.statistics.arrivals if one.endpoint != "token"]


def assert_all_landed(portal, path):
    landed = [
        rows(path, f"select count(*) from crm.{name}")[0][0] for name in ("contacts", "calls")
    ]
    assert landed == [len(list(portal.state.portal.truth(name))) for name in ("contacts", "calls")]
    assert rows(path, "select distinct status from crm.runs") == [("complete",)]


def assert_told_nowhere(portal, tmp_path, *texts):
    """No secret and no access token in what was printed, nor in any file left behind."""
    secrets = [*SECRETS.values(), *portal.state.oauth.issued]
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert [one for one in secrets if any(one in text for text in texts)] == []
    assert [one for one in secrets if any(one.encode() in file for file in files)] == []


def test_a_sync_signs_in_once_while_its_token_is_good(portal_of, tmp_path):
    """With the three settings and nothing else."""
    portal = portal_of(1000)

    done = synced(portal, tmp_path, "--verbose")

    assert done.returncode == 0, done.stderr
    assert portal.state.statistics.requests["token"] == 1
    assert_all_landed(portal, tmp_path / WAREHOUSE)
    assert_told_nowhere(portal, tmp_path, done.stdout, done.stderr)


def test_a_plan_signs_in_as_a_run_does(portal_of, tmp_path):
    portal = portal_of()

    done = synced(portal, tmp_path, "--plan", "--verbose")

    assert done.returncode == 0, done.stderr
    assert portal.state.statistics.requests["token"] == 1
    assert "contacts" in done.stdout
    assert not (tmp_path / WAREHOUSE).exists()
    assert_told_nowhere(portal, tmp_path, done.stdout, done.stderr)


@pytest.mark.parametrize("requests", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_tokens_that_live_for_a_request_or_two_are_enough(requests, portal_of, tmp_path):
    """One refresh for each expiry, and each request that was refused is sent again once."""
    portal = portal_of(requests)

    done = synced(portal, tmp_path)

    assert done.returncode == 0, done.stderr
    good, refused = statuses(portal).count(200), statuses(portal).count(401)
    tokens = portal.state.statistics.requests["token"]
    assert tokens == -(-good // requests) > 5
    assert refused == tokens - 1
    assert_all_landed(portal, tmp_path / WAREHOUSE)


def expire(state):
    state.oauth.issued = dict.fromkeys(state.oauth.issued, 0)


def test_a_fault_that_expires_tokens_leaves_the_sign_in_alone(portal_of, tmp_path):
    """A new token is what it waits for, so it has to be had."""
    portal = portal_of(faults=Faults("401-expired=5"))

    done = synced(portal, tmp_path)

    assert done.returncode == 0, done.stderr
    assert portal.state.statistics.requests["token"] == 2
    assert_all_landed(portal, tmp_path / WAREHOUSE)


@pytest.mark.slow
def test_a_token_that_expires_under_many_requests_is_refreshed_once(portal_of, tmp_path):
    """All that were under way come back with 401; one of them asks for the new token."""
    portal = portal_of(1000, contacts=2500, at={30: expire}, batch_latency_s=0.1)

    done = synced(portal, tmp_path)

    assert done.returncode == 0, done.stderr
    assert portal.state.statistics.requests["token"] == 2
    assert statuses(portal).count(401) > 2
    assert_all_landed(portal, tmp_path / WAREHOUSE)
    assert_told_nowhere(portal, tmp_path, done.stdout, done.stderr)


@pytest.mark.parametrize("wrong", list(SECRETS))
def test_credentials_that_hubspot_refuses_end_with_3_and_name_the_setting(
    wrong, portal_of, tmp_path
):
    """One line, one request."""
    portal = portal_of()
    bad = f"{SECRETS[wrong][:-2]}xx"

    done = synced(portal, tmp_path, **{PREFIX + wrong: bad})

    line = assert_one_line(done, 3, f"BAD_{wrong}", PREFIX + wrong)
    assert portal.state.statistics.count == 1
    assert_told_nowhere(portal, tmp_path, done.stdout, line)
    assert bad not in line + done.stdout


def uninstall(state):
    state.oauth.app = OAuthApp(client_id="x", client_secret="x", refresh_token="x")


def test_an_app_uninstalled_in_mid_run_ends_with_3_and_keeps_what_was_read(portal_of, tmp_path):
    """The token in use still works until it expires; then the refresh is refused."""
    portal = portal_of(30, contacts=1500, at={20: uninstall})

    done = synced(portal, tmp_path, "--quiet")

    line = assert_one_line(done, 3, "BAD_CLIENT_ID")
    assert portal.state.statistics.requests["token"] == 2
    landed = rows(tmp_path / WAREHOUSE, "select count(*) from crm.contacts")[0][0]
    assert 0 < landed < 1500
    assert_told_nowhere(portal, tmp_path, done.stdout, line)


def test_a_token_given_that_expires_in_mid_run_ends_with_3_and_keeps_what_was_read(
    portal_of, tmp_path
):
    """Nobody can renew it but who made it."""
    portal = portal_of(30, contacts=1500)
    answer = httpx.post(f"{portal.base_url}/oauth/v1/token", data=FORM).json()
    portal.token = answer["access_token"]

    done = crm("sync", "--warehouse", WAREHOUSE, "--quiet", cwd=tmp_path, simulator=portal)

    line = assert_one_line(done, 3, "expired", PREFIX + "ACCESS_TOKEN")
    assert portal.state.statistics.requests["token"] == 1
    landed = rows(tmp_path / WAREHOUSE, "select count(*) from crm.contacts")[0][0]
    assert 0 < landed < 1500
    assert_told_nowhere(portal, tmp_path, done.stdout, line)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"CLIENT_SECRET": ""}, ["set SOURCES__HUBSPOT__CLIENT_SECRET"], id="not all"),
        pytest.param({"ACCESS_TOKEN": "pat-x"}, ["two ways", "remove one"], id="both ways"),
    ],
)
def test_settings_for_half_or_two_sign_ins_end_with_2(settings, words, portal_of, tmp_path):
    portal = portal_of()

    done = synced(portal, tmp_path, **{PREFIX + name: value for name, value in settings.items()})

    line = assert_one_line(done, 2, *words)
    assert portal.state.statistics.count == 0
    assert not any(tmp_path.iterdir())
    assert_told_nowhere(portal, tmp_path, line)


def test_doctor_says_which_way_it_signed_in(portal_of, tmp_path):
    """And has no day's limit to tell: HubSpot states none for OAuth."""
    portal = portal_of()

    done = crm("doctor", cwd=tmp_path, simulator=portal, env=SIGNED_IN)

    assert done.returncode == 0, done.stdout
    assert "sign-in by OAuth" in done.stdout
    assert "left today" not in done.stdout
    assert_told_nowhere(portal, tmp_path, done.stdout, done.stderr)


def test_doctor_names_what_is_wrong_with_the_credentials(portal_of, tmp_path):
    """The same line as sync's."""
    portal = portal_of()
    env = {**SIGNED_IN, PREFIX + "REFRESH_TOKEN": "na1-of-another"}

    done = crm("doctor", cwd=tmp_path, simulator=portal, env=env)

    assert done.returncode == 3
    assert "NO  token" in done.stdout
    assert PREFIX + "REFRESH_TOKEN" in " ".join(done.stdout.split())
    assert_told_nowhere(portal, tmp_path, done.stdout, done.stderr)


# ---------------------------------------------------------------- the simulator


@pytest.mark.parametrize("version", ["v1", "v3", "2026-03"])
def test_the_simulator_gives_tokens_as_hubspot_does(version, portal_of):
    portal = portal_of()

    answer = httpx.post(f"{portal.base_url}/oauth/{version}/token", data=FORM)

    body = answer.json()
    assert answer.status_code == 200
    assert list(portal.state.oauth.issued) == [body["access_token"]]
    assert (body["expires_in"], body["token_type"]) == (30 * MINUTE_S, "bearer")
    assert body["refresh_token"] == SECRETS["REFRESH_TOKEN"]
    assert ("hub_id" in body) == (version != "v1")
    assert portal.state.statistics.requests == {"token": 1}
    assert portal.state.statistics.greatest_in_10s == 0


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"grant_type": "password"}, "BAD_GRANT_TYPE"),
        ({"client_id": "x"}, "BAD_CLIENT_ID"),
        ({"client_secret": "x"}, "BAD_CLIENT_SECRET"),
        ({"refresh_token": "x"}, "BAD_REFRESH_TOKEN"),
        ({"refresh_token": ""}, "BAD_REFRESH_TOKEN"),
    ],
)
def test_the_simulator_refuses_in_the_words_of_hubspot(wrong, status, portal_of):
    portal = portal_of()

    answer = httpx.post(f"{portal.base_url}/oauth/v1/token", data={**FORM, **wrong})

    assert answer.status_code == 400
    assert answer.json()["status"] == status
    assert {"message", "error", "error_description"} <= answer.json().keys()
    assert not portal.state.oauth.issued


def test_a_token_of_the_simulator_expires_and_has_no_daily_limit(portal_of):
    """The daily headers are missing with OAuth; the other ones are there."""
    portal = portal_of(1)
    token = httpx.post(f"{portal.base_url}/oauth/v1/token", data=FORM).json()["access_token"]
    url, headers = (
        portal.base_url + Paths(portal.api_version).objects("contacts"),
        {"Authorization": f"Bearer {token}"},
    )

    good, expired = (httpx.get(url, headers=headers) for _ in range(2))

    assert good.status_code == 200
    assert "X-HubSpot-RateLimit-Max" in good.headers
    assert "X-HubSpot-RateLimit-Daily" not in good.headers
    assert expired.status_code == 401
    assert expired.json()["category"] == "EXPIRED_AUTHENTICATION"
    assert "expire time" in expired.json()["context"]
