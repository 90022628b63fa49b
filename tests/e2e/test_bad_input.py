"""What bad input gets: one line that says what to do, the exit code of the contract, nothing lost.

Every command is a process of its own, started in a folder that is not the project's.
"""

from __future__ import annotations

import resource
import signal
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from harness import (
    BY_THE_CLOCK,
    CRM,
    assert_one_line,
    assert_same,
    crm,
    dump,
    held_open,
    is_listening,
    let_go,
    rows,
    started,
    synced,
    wait_until,
)

from pipelines.simulator.app import ALL_SCOPES

PREFIX = "SOURCES__HUBSPOT__"
WAREHOUSE = "warehouse.duckdb"
MOST_BYTES = 800_000


@pytest.fixture(scope="module")
def portal(shared_simulator):
    """A small portal for commands that reach HubSpot, or that must not."""
    return shared_simulator(contacts=60, calls=30)


@pytest.fixture(scope="module")
def warehouse(portal, tmp_path_factory):
    """A good warehouse, for commands that fail on it and must leave it as it is."""
    path = tmp_path_factory.mktemp("good") / WAREHOUSE
    synced(portal, path)
    return path


@pytest.fixture
def unused_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def website(status: int, api_version: str):
    """A web server that answers every path with a page, as asked through one API version."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", "27")
            self.end_headers()
            self.wfile.write(b"<html><p>Welcome</p></html>")

        do_POST = do_GET  # noqa: N815  (the name that http.server calls)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield SimpleNamespace(
            base_url=f"http://127.0.0.1:{server.server_port}", token="any", api_version=api_version
        )
        server.shutdown()
        thread.join()


def assert_nothing_half_written(path) -> None:
    """No warehouse, or one that opens, holds no record, and says why."""
    if not path.exists():
        return
    tables = {name for (name,) in rows(path, "select table_name from information_schema.tables")}
    for table in tables & {"contacts", "calls"}:
        assert rows(path, f"select count(*) from crm.{table}") == [(0,)]
    if "runs" in tables:
        statuses = rows(path, "select distinct status, message is not null from crm.runs")
        assert set(statuses) <= {("failed", True), ("incomplete", True)}


# ---------------------------------------------------------------- usage and settings: 2


@pytest.mark.asks_nothing
@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        pytest.param(["sync", "deals"], "deals", id="unknown object"),
        pytest.param(
            ["sync", "contact"],
            "did you mean 'contacts'?",
            id="misspelt object",
            marks=pytest.mark.slow,
        ),
        pytest.param(["errors", "--object", "leads"], "leads", id="unknown object in a filter"),
        pytest.param(["sync", "--nope"], "--nope", id="unknown option"),
        pytest.param(["synch"], "synch", id="unknown command"),
        pytest.param(["sync", "--wait", "soon"], "number", id="text for a number"),
        pytest.param(["query"], "SQL", id="argument left out"),
        pytest.param(
            ["simulate", "--contacts", "0"],
            "contacts",
            id="number out of range",
            marks=pytest.mark.slow,
        ),
        pytest.param(["simulate", "--port", "99999"], "99999", id="port out of range"),
    ],
)
def test_wrong_usage_ends_with_2_before_anything_is_sent(arguments, word, tmp_path, portal):
    """A typing error in a crontab must read as one."""
    before = portal.statistics.count

    assert_one_line(crm(*arguments, cwd=tmp_path, simulator=portal), 2, word)

    assert portal.statistics.count == before
    assert not any(tmp_path.iterdir())


@pytest.mark.asks_nothing
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"ACCESS_TOKEN": ""}, ["SOURCES__HUBSPOT__ACCESS_TOKEN"], id="no token"),
        pytest.param(
            {"BASE_URL": "api.hubapi.com"},
            ["base_url", "https://"],
            id="no scheme",
            marks=pytest.mark.slow,
        ),
        pytest.param({"BASE_URL": "http://"}, ["base_url"], id="no host", marks=pytest.mark.slow),
        pytest.param({"BASE_URL": "http://host:port"}, ["base_url"], id="no number as port"),
        pytest.param(
            {"BASEURL": "https://api.hubapi.com"}, ["baseurl", "base_url"], id="unknown key"
        ),
        pytest.param(
            {"CONTACTS__PROPERTY": '["email"]'},
            ["contacts.property"],
            id="unknown key of an object",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"DEALS__PROPERTIES": '["*"]'}, ["deals"], id="unknown object", marks=pytest.mark.slow
        ),
        pytest.param({"REQUESTS_PER_10S": "fast"}, ["requests_per_10s"], id="text for a number"),
        pytest.param(
            {"API_VERSION": "v4"},
            ["api_version", "2026-03"],
            id="unknown version",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"CONTACTS__PROPERTIES": "email"},
            ["contacts.properties"],
            id="no list",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"CONTACTS__TYPES": '{"email": "varchar32"}'}, ["varchar32", "text"], id="no type"
        ),
    ],
)
def test_a_setting_that_cannot_work_ends_with_2_before_anything_is_sent(
    settings, words, tmp_path, portal
):
    """The line names the setting and what would be right; no warehouse is made for it."""
    before = portal.statistics.count
    env = {PREFIX + name: value for name, value in settings.items()}

    assert_one_line(crm("sync", cwd=tmp_path, simulator=portal, env=env), 2, *words)

    assert portal.statistics.count == before
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param(
            {"CONTACTS__PROPERTIES": '["emial"]'}, ["did you mean 'email'?"], id="to read"
        ),
        pytest.param(
            {"CALLS__EXCLUDE_PROPERTIES": '["hs_boddy"]'},
            ["'hs_boddy', which"],
            id="to leave out",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"CONTACTS__TYPES": '{"emaill": "text"}'},
            ["'emaill', which"],
            id="to type",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_property_that_hubspot_does_not_define_ends_with_2(settings, words, tmp_path, portal):
    """HubSpot ignores unknown names in silence; a typo would be a column that is always empty."""
    before = portal.statistics.requests["batch_read"]
    env = {PREFIX + name: value for name, value in settings.items()}
    command = ("sync", "--warehouse", WAREHOUSE)

    assert_one_line(crm(*command, cwd=tmp_path, simulator=portal, env=env), 2, *words)

    assert portal.statistics.requests["batch_read"] == before
    assert_nothing_half_written(tmp_path / WAREHOUSE)


# ---------------------------------------------------------------- HubSpot says no: 3 and 4


def test_a_bad_token_ends_with_3_and_leaves_the_warehouse_as_it_was(portal, warehouse):
    """The token is not quoted; every table stays, so analysts notice nothing."""
    before, sent = dump(warehouse, without=frozenset()), portal.statistics.count
    secret = "pat-eu1-deadbeef-0000-0000-0000-000000000000"

    done = crm(
        "sync", "--warehouse", warehouse,
        cwd=warehouse.parent, simulator=portal, env={PREFIX + "ACCESS_TOKEN": secret},
    )  # fmt: skip

    line = assert_one_line(done, 3, "SOURCES__HUBSPOT__ACCESS_TOKEN")
    assert secret not in line + done.stdout
    assert portal.statistics.count - sent <= 5
    assert_same(dump(warehouse, without=frozenset()), before)
    assert rows(
        warehouse,
        "select status, message is not null from crm.runs order by started_at desc limit 1",
    ) == [("failed", True)]


@pytest.mark.parametrize(
    ("scopes", "words"),
    [
        pytest.param({"oauth"}, ["crm.schemas.contacts.read"], id="nothing may be read"),
        pytest.param(
            {"oauth", "crm.schemas.contacts.read", "crm.schemas.calls.read"},
            ["crm.objects.contacts.read"],
            id="definitions but no records",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_missing_scope_ends_with_3_and_names_it(scopes, words, tmp_path, simulator):
    """The line is what a person copies into HubSpot's app settings."""
    assert scopes <= ALL_SCOPES
    done = crm(
        "sync", "--warehouse", WAREHOUSE,
        cwd=tmp_path, simulator=simulator(contacts=20, calls=5, scopes=scopes),
    )  # fmt: skip

    assert_one_line(done, 3, "scope", *words)

    assert_nothing_half_written(tmp_path / WAREHOUSE)


@pytest.mark.slow
def test_the_days_limit_ends_with_4_and_keeps_what_was_read(tmp_path, simulator):
    """Nothing helps until midnight: stop at once, say so, and go on there tomorrow."""
    path = tmp_path / WAREHOUSE
    busy = simulator(contacts=1500, calls=40, requests_per_day=20)

    done = crm(
        "sync", "--warehouse", path, "--quiet",
        cwd=tmp_path, simulator=busy, env={"SOURCES__HUBSPOT__DAILY_RESERVE_PCT": "0"},
    )  # fmt: skip

    assert_one_line(done, 4, "quota", "midnight")
    assert busy.statistics.refused["DAILY"] <= 26  # those under way at that moment
    landed = rows(path, "select count(*) from crm.contacts")[0][0]
    assert 0 < landed < 1500
    assert rows(
        path, "select status, loaded_rows from crm.runs where object_type = 'contacts'"
    ) == [("incomplete", landed)]


def test_an_unreachable_host_ends_with_4(tmp_path, unused_port, api_version):
    """Not reachable is not a wrong setting: the next scheduled run may do."""
    nobody = SimpleNamespace(
        base_url=f"http://127.0.0.1:{unused_port}", token="any", api_version=api_version
    )

    done = crm("sync", "--warehouse", WAREHOUSE, "--quiet", cwd=tmp_path, simulator=nobody)

    assert_one_line(done, 4, str(unused_port), "base_url")
    assert_nothing_half_written(tmp_path / WAREHOUSE)


@pytest.mark.parametrize("status", [200, pytest.param(404, marks=pytest.mark.slow)])
def test_a_base_url_that_answers_html_ends_with_4(status, api_version, tmp_path):
    """A proxy's login page must not be taken for an empty portal."""
    with website(status, api_version) as site:
        done = crm("sync", "--warehouse", WAREHOUSE, "--quiet", cwd=tmp_path, simulator=site)

    assert_one_line(done, 4, site.base_url, "HTML", "sources.hubspot.base_url")
    assert_nothing_half_written(tmp_path / WAREHOUSE)


# ---------------------------------------------------------------- the warehouse: 5


@pytest.fixture
def odd_path(request, tmp_path):
    """A place where no warehouse can be."""
    path = tmp_path / WAREHOUSE
    match request.param:
        case "folder":
            path.mkdir()
        case "text":
            path.write_text("id,email\n1,a@b.example\n" * 1000)
        case "under a file":
            (tmp_path / "file").write_text("")
            path = tmp_path / "file" / WAREHOUSE
        case "missing folder":
            path = tmp_path / "missing" / WAREHOUSE
    return path


@pytest.mark.asks_nothing
@pytest.mark.parametrize(
    "odd_path", ["folder", "text", "under a file", "missing folder"], indirect=True
)
def test_a_warehouse_that_cannot_be_ends_with_5_before_anything_is_sent(odd_path, tmp_path, portal):
    """A mistyped path must not cost requests, and must not be overwritten."""
    before = portal.statistics.count
    content = odd_path.read_bytes() if odd_path.is_file() else None

    done = crm("sync", "--warehouse", odd_path, "--wait", "0", cwd=tmp_path, simulator=portal)

    line = assert_one_line(done, 5, str(odd_path if odd_path.exists() else odd_path.parent))
    assert "what was fetched is kept" not in line  # nothing was fetched
    assert portal.statistics.count == before
    assert (odd_path.read_bytes() if odd_path.is_file() else None) == content


@pytest.mark.asks_nothing
@pytest.mark.parametrize(
    "command", ["status", "query", pytest.param("errors", marks=pytest.mark.slow)]
)
def test_reading_without_a_warehouse_ends_with_5_and_makes_none(command, tmp_path):
    """An empty file made by a look would be taken for a warehouse by the next person."""
    arguments = [command, *(["select 1"] if command == "query" else [])]

    done = crm(*arguments, "--warehouse", WAREHOUSE, cwd=tmp_path)

    assert_one_line(done, 5, str(tmp_path / WAREHOUSE), "crm sync")
    assert not any(tmp_path.iterdir())


@pytest.mark.asks_nothing
def test_reading_what_is_no_duckdb_file_ends_with_5(tmp_path):
    """The line names the file."""
    (tmp_path / WAREHOUSE).write_text("not a database " * 1000)

    done = crm("status", "--warehouse", WAREHOUSE, "--wait", "0", cwd=tmp_path)

    assert_one_line(done, 5, str(tmp_path / WAREHOUSE))


@pytest.mark.parametrize("mode", ["read-only", pytest.param("read-write", marks=pytest.mark.slow)])
def test_a_locked_warehouse_ends_with_5_and_names_who_holds_it(mode, portal, warehouse):
    """At 3 a.m. the one question is: which program do I close?"""
    sent = portal.statistics.count
    with held_open(warehouse, mode) as holder:
        done = crm(
            "sync", "--warehouse", warehouse, "--wait", "0", "--quiet",
            cwd=warehouse.parent, simulator=portal,
        )  # fmt: skip
        let_go(holder)

    assert_one_line(done, 5, str(warehouse), "python", f"process {holder.pid}")
    assert portal.statistics.count == sent


@pytest.mark.asks_nothing
def test_reading_a_warehouse_that_is_being_written_ends_with_5(warehouse):
    """The same line for the analyst's side."""
    with held_open(warehouse, "read-write") as holder:
        done = crm(
            "query", "select 1", "--warehouse", warehouse, "--wait", "0", cwd=warehouse.parent
        )
        let_go(holder)

    assert_one_line(done, 5, str(warehouse), f"process {holder.pid}")


def limit_file_size() -> None:
    """In the child: no file grows beyond 800 kB, as on a disk that is nearly full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, resource.RLIM_INFINITY))


@pytest.mark.slow
def test_a_full_disk_ends_with_5_and_the_next_run_completes(tmp_path, simulator):
    """What does not fit is not there by half, and what was there before stays."""
    running = simulator(contacts=900, calls=60)
    path, undisturbed = tmp_path / WAREHOUSE, tmp_path / "undisturbed.duckdb"
    command = ("sync", "--warehouse", path, "--quiet")

    done = crm(*command, cwd=tmp_path, simulator=running, before=limit_file_size)

    assert_one_line(done, 5, str(path))
    assert path.stat().st_size <= MOST_BYTES
    assert crm(*command, cwd=tmp_path, simulator=running).returncode == 0
    synced(running, undisturbed)
    assert_same(dump(path, without=BY_THE_CLOCK), dump(undisturbed, without=BY_THE_CLOCK))


# ---------------------------------------------------------------- queries


@pytest.mark.asks_nothing
@pytest.mark.parametrize(
    ("sql", "words"),
    [
        pytest.param("selec 1", ["syntax"], id="syntax"),
        pytest.param(
            "select emial from crm.contacts", ["emial"], id="unknown column", marks=pytest.mark.slow
        ),
        pytest.param("delete from crm.contacts", ["read"], id="a statement that writes"),
        pytest.param("", [], id="nothing"),
        pytest.param("select 'a'::int", ["'a'"], id="fails while it runs", marks=pytest.mark.slow),
    ],
)
def test_wrong_sql_ends_with_2_and_changes_nothing(sql, words, warehouse):
    """DuckDB's first line is enough; its stack of hints is not one line."""
    before = warehouse.read_bytes()

    done = crm("query", sql, "--warehouse", warehouse, cwd=warehouse.parent)

    assert_one_line(done, 2, *words)
    assert done.stdout == ""
    assert warehouse.read_bytes() == before


# ---------------------------------------------------------------- the simulator


@pytest.mark.asks_nothing
def test_a_port_in_use_ends_with_2_and_names_it(tmp_path):
    """Two simulators on one port would answer for each other."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        done = crm("simulate", "--port", port, "--contacts", 5, "--calls", 0, cwd=tmp_path)

    assert_one_line(done, 2, str(port))


@pytest.mark.asks_nothing
@pytest.mark.slow
def test_ctrl_c_ends_the_simulator_with_130(tmp_path):
    """It is how a person stops it, so it is no failure to trace back."""
    command = (*CRM, "simulate", "--port", "0", "--contacts", "5", "--calls", "0")
    with started(*command, cwd=tmp_path) as process:
        url = process.stderr.readline().split(" at ")[1].split(";")[0]
        host, port = url.removeprefix("http://").split(":")
        wait_until(lambda: is_listening(host, int(port)), what="the simulator answers")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "Traceback" not in errors
