"""The token and people's values stay where they belong, whatever goes wrong.

Every command runs under every fault, those that send nothing on the warehouses it left behind;
then everything that was printed and everything that is on disk is searched.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from dlt.pipeline.state_sync import decompress_state
from harness import HERE, TIMEOUT_S, crm, environment, kept_open, rows, synced
from pyarrow import parquet

from pipelines.hubspot.paths import API_VERSIONS
from pipelines.simulator.faults import KINDS, Fault, Faults
from pipelines.simulator.oauth import OAuthApp
from pipelines.simulator.portal import Portal

pytestmark = pytest.mark.slow

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
NO_NUMBER = "tel. 0171 555 0199 (mobile)"
"""In a property of numbers, so that it is a row of `errors`."""
WITH_ERRORS, NEW = "with_errors.duckdb", "new.duckdb"
ASKING = [
    (("retry", "--warehouse", WITH_ERRORS), "batch_read"),
    (("sync", "--warehouse", NEW), "batch_read"),
    (("sync", "--plan", "--warehouse", NEW), "search"),
    (("backfill", "contacts", "--all", "--warehouse", WITH_ERRORS), "batch_read"),
    (("reconcile", "contacts", "--fix", "--warehouse", WITH_ERRORS), "list"),
    (("doctor", "--warehouse", NEW), "list"),
    (("doctor", "--warehouse", NEW, "--compare"), "batch_read"),
]
"""Commands that ask HubSpot; and the endpoint where faults that end a run do so."""
READING = [
    (*command, "--warehouse", warehouse)
    for warehouse in (WITH_ERRORS, NEW)
    for command in (("status",), ("errors",), ("query", "select * from crm.runs"))
]
PERSONAL_TABLES = {"contacts", "calls", "errors"}
"""The only ones in which people's values may be."""


@dataclass(frozen=True)
class Planted:
    """A portal, values in it that only people have, and a warehouse of it with errors."""

    portal: Portal
    personal: list[str]
    warehouse: Path


@pytest.fixture(scope="module")
def planted(shared_simulator, tmp_path_factory) -> Planted:
    portal = Portal.build(contacts=40, calls=10, seed=9)
    portal.update("contacts", 512, {"property_number": NO_NUMBER})
    path = tmp_path_factory.mktemp("secrets") / WITH_ERRORS
    synced(shared_simulator(portal=portal), path)
    with_errors(path)
    return Planted(portal, personal_values(portal), path)


def personal_values(portal: Portal) -> list[str]:
    """Those that are too long to turn up by chance."""
    names = {"contacts": ("email", "phone", "mobilephone"), "calls": ("hs_call_body",)}
    found = {
        record["properties"].get(name)
        for object_type, wanted in names.items()
        for record in portal.truth(object_type)
        for name in wanted
    }
    broken = {raw for _, _, raw in portal.broken("contacts")}
    values = [value for value in found | broken | {NO_NUMBER} if value and len(value) >= 9]
    assert len(values) > 40
    return values


def with_errors(path: Path) -> None:
    """As if HubSpot had not returned every third contact, which `crm retry` may mend."""
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "insert into crm.errors (error_id, object_type, object_id, stage, category, "
            "is_retryable, first_seen_at, last_seen_at) select 'e' || id, 'contacts', id::varchar, "
            "'read', 'NOT_RETURNED', true, now(), now() from crm.contacts where id % 3 = 0"
        )
        connection.execute("delete from crm.contacts where id % 3 = 0")


def fault(name: str, last: str) -> Fault:
    """In every request at first; what ends a run ends it at the endpoint `last`."""
    is_end = name.startswith("429-daily") or KINDS[name].of in {"from n", "old tokens"}
    share = 0.05 if KINDS[name].of == "ids" else 1.0
    # With OAuth the first request is for a token, which none can be older than.
    begin = 2 if KINDS[name].of == "old tokens" else 1
    return Fault(name, share=share, begin=begin, endpoint=last if is_end else None, seconds=0.2)


def contents(file: Path) -> str:
    """What a file says, packed or not."""
    match file.suffix:
        case ".parquet":
            return "\n".join(map(str, parquet.read_table(file).to_pylist()))
        case ".gz":
            return gzip.decompress(file.read_bytes()).decode(errors="replace")
    return file.read_bytes().decode(errors="replace")


def tables_of(path: Path) -> dict[str, str]:
    """What each table of a warehouse says, dlt's own too."""
    found = {}
    for schema, table in rows(
        path,
        "select table_schema, table_name from information_schema.tables "
        "where table_type = 'BASE TABLE'",
    ):
        cells = [str(one) for row in rows(path, f'from "{schema}"."{table}"') for one in row]
        if table == "_dlt_pipeline_state":
            states = rows(path, f'select state from "{schema}"."{table}"')
            cells += [str(decompress_state(state)) for (state,) in states]
        found[table] = "\n".join(cells)
    return found


def assert_told_nowhere(folder: Path, printed: str, *, secrets: list[str], personal: list[str]):
    """Nothing of it in what was printed, nor on the disk but for people's values in tables."""
    anything = secrets + personal
    assert not [one for one in anything if one in printed]
    for file in folder.rglob("*"):
        if file.suffix == ".duckdb":
            with kept_open(file):
                tables = tables_of(file)
            for table, text in tables.items():
                kept_out = secrets if table in PERSONAL_TABLES else anything
                assert not [one for one in kept_out if one in text], table
        elif file.is_file():
            assert not [one for one in anything if one in contents(file)], file


CASES = [
    *((name, {}) for name in sorted(KINDS)),
    *((name, BY_OAUTH) for name in ("401-expired", "403-errors", "500", "reset-in-body")),
]


@pytest.mark.parametrize(
    ("name", "sign_in"), CASES, ids=[name + "-oauth" * bool(more) for name, more in CASES]
)
def test_no_command_gives_a_secret_away_under_any_fault(
    name, sign_in, simulator, planted, tmp_path
):
    """Logs, tables, dlt's folders, exceptions; personal values may be in tables only."""
    shutil.copy(planted.warehouse, tmp_path)
    asked, commands = [], []
    for command, last in ASKING:
        faults = Faults(fault(name, last), seed=3)
        running = simulator(
            portal=planted.portal, faults=faults, oauth_app=OAUTH, versions=API_VERSIONS
        )
        asked.append(running)
        others = [version for version in API_VERSIONS if version != running.api_version]
        compared = others[:1] if command[-1] == "--compare" else []
        settings = {"SOURCES__HUBSPOT__BASE_URL": running.base_url}
        commands.append((settings, [*command, *compared, "--verbose"]))
    commands += [({}, command) for command in READING]

    done = subprocess.run(
        [sys.executable, HERE / "hurried.py", "exceptions.txt"],
        cwd=tmp_path,
        env=environment(
            asked[0],
            COLUMNS="10000",  # or what is looked for would be cut in two
            HOME=str(tmp_path),
            TMPDIR=str(tmp_path),
            RUNTIME__LOG_LEVEL="DEBUG",
            **sign_in,
        ),
        input="\n".join(map(json.dumps, commands)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=len(ASKING) * TIMEOUT_S,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stdout, done.stdout
    said = done.stdout.split("$ crm ")[1:]
    assert [one.partition(" ")[0] for one in said] == [command[0] for _, command in commands]
    assert all(one.partition("\n")[2].strip() for one in said), done.stdout
    met = [bool(one.statistics.faults[name]) for one in asked]
    assert any(met) if KINDS[name].endpoints else all(met), met
    secrets = [asked[0].token, OAUTH.client_secret, OAUTH.refresh_token]
    secrets += [token for one in asked for token in one.oauth.issued]
    assert_told_nowhere(tmp_path, done.stdout, secrets=secrets, personal=planted.personal)


def test_the_demo_tells_nothing_of_the_account_it_does_not_use(tmp_path):
    """Somebody's token may well be set where it is tried out."""
    secrets = ["pat-eu1-deadbeef-0000-0000-0000-000000000000", OAUTH.refresh_token]
    env = BY_OAUTH | {"SOURCES__HUBSPOT__ACCESS_TOKEN": secrets[0], "RUNTIME__LOG_LEVEL": "DEBUG"}

    done = crm("demo", "--contacts", 40, "--calls", 10, "--verbose", cwd=tmp_path, env=env)

    assert done.returncode == 0, done.stderr
    assert_told_nowhere(tmp_path, done.stdout + done.stderr, secrets=secrets, personal=[])
