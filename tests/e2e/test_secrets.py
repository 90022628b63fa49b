"""The token and people's values stay where they belong, whatever goes wrong.

Every command that asks HubSpot runs under every fault; then everything that was printed and
everything that is on disk is searched.
"""

from __future__ import annotations

import pytest
from harness import crm

from pipelines.simulator.faults import KINDS, Fault, Faults
from pipelines.simulator.oauth import OAuthApp
from pipelines.simulator.portal import Portal

pytestmark = pytest.mark.slow

WAREHOUSE = "warehouse.duckdb"
OAUTH = OAuthApp(
    client_id="planted-client-id",
    client_secret="planted-client-secret",
    refresh_token="planted-refresh-token",
)
BY_OAUTH = {
    "SOURCES__HUBSPOT__ACCESS_TOKEN": "",
    "SOURCES__HUBSPOT__CLIENT_ID": OAUTH.client_id,
    "SOURCES__HUBSPOT__CLIENT_SECRET": OAUTH.client_secret,
    "SOURCES__HUBSPOT__REFRESH_TOKEN": OAUTH.refresh_token,
}
TAKES_LONG = {"no-answer", "poison-500"}
"""Minutes each, in which the client waits; what it says then is said under others too."""


@pytest.fixture(scope="module")
def planted() -> tuple[Portal, list[str]]:
    """A portal, and values in it that only people have, too long to turn up by chance."""
    portal = Portal.build(contacts=40, calls=10, seed=9)
    names = {"contacts": ("email", "phone", "mobilephone"), "calls": ("hs_call_body",)}
    found = {
        record["properties"].get(name)
        for object_type, wanted in names.items()
        for record in portal.truth(object_type)
        for name in wanted
    }
    broken = {raw for _, _, raw in portal.broken("contacts")}
    values = [value for value in found | broken if value and len(value) >= 9]
    assert len(values) > 40
    return portal, values


def fault(name: str) -> Fault:
    if KINDS[name].of in {"from n", "old tokens"}:
        return Fault(name, begin=6)
    return Fault(name, share=1.0 if KINDS[name].share == 1 else 0.3, seconds=0.2)


CASES = [
    *((name, {}) for name in sorted(KINDS.keys() - TAKES_LONG)),
    *((name, BY_OAUTH) for name in ("401-expired", "403-errors", "500", "reset-in-body")),
]


@pytest.mark.parametrize(
    ("name", "sign_in"), CASES, ids=[name + "-oauth" * bool(more) for name, more in CASES]
)
def test_no_command_gives_a_secret_away_under_any_fault(
    name, sign_in, simulator, planted, tmp_path
):
    """Logs, tables, dlt's folders, exceptions; personal values may be in tables only."""
    portal, personal = planted
    running = simulator(portal=portal, faults=Faults(fault(name), seed=3), oauth_app=OAUTH)
    commands = [
        ("sync", "--verbose", "--warehouse", WAREHOUSE),
        ("retry", "--verbose", "--log-format", "json", "--warehouse", WAREHOUSE),
        ("doctor", "--verbose", "--warehouse", WAREHOUSE),
    ]

    printed = ""
    for command in commands if sign_in or name[0] in "45" else commands[::2]:
        done = crm(
            *command,
            cwd=tmp_path,
            simulator=running,
            env=sign_in | {"RUNTIME__LOG_LEVEL": "DEBUG"},
        )
        printed += done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr

    assert printed
    secrets = [running.token, OAUTH.client_secret, OAUTH.refresh_token, *running.oauth.issued]
    for secret in (*secrets, *personal):
        assert secret not in printed
    for file in tmp_path.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        for secret in secrets:
            assert secret.encode() not in content, file
        if WAREHOUSE + ".work" in str(file):
            assert not [value for value in personal if value.encode() in content], file
