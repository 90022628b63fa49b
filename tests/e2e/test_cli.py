"""The command line as people and schedulers use it: what is printed where, and how it ends."""

from __future__ import annotations

import csv
import io
import re
import sys
import sysconfig
from pathlib import Path

import pytest
from harness import CRM, crm, is_listening, json_lines, rows, started, wait_until

from pipelines.simulator.portal import Portal

WAREHOUSE = "hubspot.duckdb"
SECRET_EMAIL = "jane.doe.personal@private.example"
SECRET_NUMBER = "tel. 0171 555 0199 (mobile)"


def portal_with_oddities() -> Portal:
    portal = Portal.build(contacts=120, calls=50, seed=2)
    odd = {"firstname": "NUL\x00 and 🏳️‍🌈", "contract_end_date": "569035756800000"}
    portal.create("contacts", odd | {"closedate": "253402300800000", "city": 'a "b",\nc'})
    portal.update("contacts", 512, {"email": SECRET_EMAIL, "property_number": SECRET_NUMBER})
    return portal


@pytest.fixture(scope="module")
def running(shared_simulator):
    return shared_simulator(portal=portal_with_oddities())


@pytest.fixture(scope="module")
def folder(running, tmp_path_factory):
    """A folder with a synced warehouse under its default name; the tests here only read it."""
    made = tmp_path_factory.mktemp("cli")
    done = crm("sync", "--quiet", cwd=made, simulator=running)
    (made / "printed").write_text(f"{done.returncode}{done.stdout}{done.stderr}")
    return made


# ---------------------------------------------------------------- demo and sync


@pytest.mark.asks_nothing
def test_demo_needs_no_account_and_its_three_queries_work(tmp_path):
    """The README's first minute."""
    done = crm("demo", "--contacts", 80, "--calls", 30, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    path = tmp_path / "crm_demo.duckdb"
    assert rows(path, "select count(*) from analytics.contacts") == [(80,)]
    assert rows(path, "select count(*) from analytics.calls") == [(30,)]
    queries = re.findall(r'crm query --warehouse (\S+) "(.+)"', done.stdout + done.stderr)
    assert len(queries) == 3
    for warehouse, query in queries:
        assert (tmp_path / warehouse) == path
        assert len(rows(path, query)) > 0


@pytest.mark.asks_nothing
@pytest.mark.slow
def test_a_second_demo_into_the_same_file_works(tmp_path):
    """People run it twice; another portal size is another portal."""
    assert crm("demo", "--contacts", 40, "--calls", 5, "--quiet", cwd=tmp_path).returncode == 0

    done = crm("demo", "--contacts", 60, "--calls", 5, cwd=tmp_path)

    assert done.returncode == 0, done.stderr


def test_the_console_script_reads_its_settings_and_prints_a_statement(running, tmp_path):
    """`crm` beside the interpreter is what cron calls; the statement adds up to the tables."""
    script = Path(sysconfig.get_path("scripts")) / "crm"
    with started(script, "sync", cwd=tmp_path, simulator=running) as process:
        out, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    path = tmp_path / WAREHOUSE
    assert str(WAREHOUSE) in out
    account = {
        label.strip(): [int(cell.replace(",", "")) for cell in cells]
        for label, *cells in (line.split("│")[1:-1] for line in out.splitlines() if "│" in line)
        if all(cell.strip().replace(",", "").isdigit() for cell in cells)
    }
    contacts, calls = (
        rows(path, f"select count(*) from crm.{name}")[0][0] for name in ("contacts", "calls")
    )
    rejected = rows(path, "select count(*) from crm.errors")[0][0]
    assert account["ids asked for"] == [contacts, calls, contacts + calls]
    assert account["= rows landed"] == [contacts, calls, contacts + calls]
    assert account["+ unaccounted for"] == [0, 0, 0]
    assert account["values rejected, in errors"][-1] == rejected > 0
    (archived,) = rows(path, "select count(*) from crm.contacts where archived")[0]
    assert archived
    assert re.search(r"\d+ of the rows are archived", out)
    assert re.search(r"seconds; \d+% of", " ".join(out.split()))


def test_quiet_prints_nothing_on_success(folder):
    """Cron mails every line."""
    assert (folder / "printed").read_text() == "0"
    assert (folder / WAREHOUSE).exists()


def test_json_is_one_object_a_line_on_both_streams(running, tmp_path):
    """For log collectors: what is not JSON is lost there."""
    done = crm("sync", "--log-format", "json", cwd=tmp_path, simulator=running)

    assert done.returncode == 0
    contacts, calls = json_lines(done.stdout)
    assert (contacts["object_type"], contacts["status"]) == ("contacts", "complete")
    assert calls["requested_ids"] == calls["loaded_rows"] > 50
    assert all({"at", "level", "message"} <= line.keys() for line in json_lines(done.stderr))


def test_a_failure_is_a_json_line_too(running, tmp_path):
    """The line that matters most may not be the one that the collector drops."""
    env = {"SOURCES__HUBSPOT__ACCESS_TOKEN": "pat-wrong"}

    done = crm("sync", "--log-format", "json", cwd=tmp_path, simulator=running, env=env)

    assert done.returncode == 3
    assert "SOURCES__HUBSPOT__ACCESS_TOKEN" in json_lines(done.stderr)[-1]["message"]
    assert all(line["status"] == "failed" for line in json_lines(done.stdout))


@pytest.mark.parametrize(
    ("is_broken", "exit_code"), [(True, 1), pytest.param(False, 0, marks=pytest.mark.slow)]
)
def test_fail_on_errors_ends_with_1_only_if_there_are_errors(
    is_broken, exit_code, simulator, tmp_path
):
    """Rows in `errors` are data; who wants them to fail the job says so."""
    portal = Portal.build(contacts=10, calls=1)
    for record_id, name, _ in portal.broken("contacts"):
        portal.update("contacts", record_id, {name: ""})
    if is_broken:
        portal.update("contacts", 512, {"property_number": "twelve"})
    running = simulator(portal=portal)

    done = crm("sync", "contacts", "--fail-on-errors", cwd=tmp_path, simulator=running)

    assert done.returncode == exit_code, done.stderr
    assert "Traceback" not in done.stderr


def test_progress_is_plain_lines_where_there_is_no_terminal(simulator, tmp_path):
    """A run of more than two seconds says how far it is; ids, records, rows, rate, time left."""
    running = simulator(contacts=1000, calls=5, latency_ms=250)

    done = crm("sync", "contacts", cwd=tmp_path, simulator=running)

    assert done.returncode == 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("contacts: ")]
    assert lines
    assert re.fullmatch(
        r"contacts: [\d,]+ of 1,000 ids found, [\d,]+ read, [\d,]+ landed, [\d,]+/s(, .+ left)?",
        lines[-1],
    )
    assert "\x1b" not in done.stderr
    assert "\r" not in done.stderr


# ---------------------------------------------------------------- doctor


def test_doctor_says_ok_for_everything(running, tmp_path):
    """Token, portal, both objects, version, limits, warehouse: one line each, nothing made."""
    done = crm("doctor", cwd=tmp_path, simulator=running)

    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert [line[:16].split(maxsplit=1)[1].strip() for line in lines] == [
        "token", "portal", "contacts", "calls", "api version", "limits", "warehouse"
    ]  # fmt: skip
    assert all(line.startswith("ok ") for line in lines)
    assert "44237313" in lines[1]
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("host", "code"), [("{}", 0), ("{} x", 2)], ids=["right", "wrong"])
def test_doctor_shows_no_password_of_the_address(host, code, running, tmp_path):
    address = running.base_url.replace("//", "//me:hunter2@")
    env = {"SOURCES__HUBSPOT__BASE_URL": host.format(address)}

    done = crm("doctor", cwd=tmp_path, simulator=running, env=env)

    assert done.returncode == code
    assert "127.0.0.1" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def test_doctor_names_a_bad_token_and_goes_on_with_the_warehouse(running, folder):
    """One run of it tells everything that is wrong."""
    env = {"SOURCES__HUBSPOT__ACCESS_TOKEN": "pat-wrong-1234"}

    done = crm("doctor", cwd=folder, simulator=running, env=env)

    assert done.returncode == 3
    assert "NO  token" in done.stdout
    assert "SOURCES__HUBSPOT__ACCESS_TOKEN" in done.stdout
    assert "ok  warehouse" in done.stdout
    assert "pat-wrong-1234" not in done.stdout + done.stderr


@pytest.mark.slow
def test_doctor_without_a_token_ends_with_2(tmp_path):
    """And says which setting it is."""
    done = crm("doctor", cwd=tmp_path)

    assert done.returncode == 2
    assert "SOURCES__HUBSPOT__ACCESS_TOKEN" in done.stdout


# ---------------------------------------------------------------- status and errors


def test_status_shows_rows_runs_freshness_errors_and_the_next_run(running, folder):
    """What a person on call wants to know at 3 a.m., without a token."""
    done = crm("status", "--log-format", "json", cwd=folder)

    assert done.returncode == 0, done.stderr
    tables: dict[str, list[dict]] = {}
    for line in json_lines(done.stdout):
        tables.setdefault(line.pop("table"), []).append(line)
    counted = {next(iter(row.values())): int(row["rows"]) for row in tables["Rows"]}
    assert counted == {
        name: len(list(running.portal.truth(name))) for name in ("contacts", "calls")
    }
    assert {row["status"] for row in tables["Last runs"]} == {"complete"}
    assert {next(iter(row.values())) for row in tables["Freshness"]} == {"contacts", "calls"}
    assert sum(int(row["errors"]) for row in tables["Unresolved errors"]) == len(
        rows(folder / WAREHOUSE, "from crm.errors")
    )
    assert len(tables["The next crm sync will"]) == 2
    assert SECRET_EMAIL not in done.stdout


def test_status_of_a_warehouse_in_which_nothing_has_landed_yet(running, tmp_path):
    """The first run was refused, so there is no table of errors."""
    refused = {"SOURCES__HUBSPOT__ACCESS_TOKEN": "pat-wrong"}
    assert crm("sync", cwd=tmp_path, simulator=running, env=refused).returncode == 3

    done = crm("status", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "failed" in done.stdout


@pytest.mark.asks_nothing
@pytest.mark.slow
def test_errors_filters_by_object_category_and_resolution(folder):
    """Each filter shows just what it says."""
    path = folder / WAREHOUSE

    def shown(*filters: str) -> list[dict]:
        done = crm("errors", "--log-format", "json", "--limit", 500, *filters, cwd=folder)
        assert done.returncode == 0, done.stderr
        return json_lines(done.stdout)

    everything = shown()
    assert len(everything) == rows(path, "select count(*) from crm.errors")[0][0] > 0
    contacts = shown("--object", "contacts", "--unresolved")
    assert {row["object"] for row in contacts} == {"contacts"}
    assert len(contacts) == sum(row["object"] == "contacts" for row in everything)
    assert shown("--category", "NO_SUCH_CATEGORY") == []
    assert len(shown("--category", "UNPARSEABLE_VALUE")) == len(everything)


@pytest.mark.asks_nothing
def test_errors_shows_raw_values_only_when_asked_for(folder):
    """They may be personal data, and a terminal is often shared."""
    hidden = crm("errors", "--log-format", "json", cwd=folder)
    shown = crm("errors", "--values", "--log-format", "json", cwd=folder)

    assert SECRET_NUMBER not in hidden.stdout
    assert "property_number" in {row["property"] for row in json_lines(hidden.stdout)}
    assert SECRET_NUMBER in {row["raw_value"] for row in json_lines(shown.stdout)}


# ---------------------------------------------------------------- query

QUERY = (
    "select firstname, contract_end_date, closedate, city, property_multiple_checkboxes, "
    "null as nothing from analytics.contacts where contract_end_date > date '9999-12-31'"
)
CELLS = {
    "firstname": "NUL\x00 and 🏳️‍🌈",
    "contract_end_date": "20002-02-28",
    "closedate": "10000-01-01 00:00:00+00",
    "city": 'a "b",\nc',
    "property_multiple_checkboxes": None,
    "nothing": None,
}


def expected_cells(folder) -> dict[str, str | None]:
    (day,) = rows(
        folder / WAREHOUSE,
        "select contract_end_date::varchar from crm.contacts "
        "where contract_end_date > date '9999-12-31'",
    )[0]
    assert len(day.split("-")[0]) == 5
    return CELLS | {"contract_end_date": day}


@pytest.mark.asks_nothing
def test_query_as_json_gives_an_object_a_line(folder):
    """Dates after 9999, emoji and NUL come through; so do quotes and line breaks."""
    done = crm("query", QUERY, "--format", "json", cwd=folder)

    assert done.returncode == 0, done.stderr
    assert json_lines(done.stdout) == [expected_cells(folder)]


@pytest.mark.asks_nothing
def test_query_as_csv_is_read_back_by_a_csv_reader(folder):
    """The same cells; nothing is the empty cell."""
    done = crm("query", QUERY, "--format", "csv", cwd=folder)

    assert done.returncode == 0, done.stderr
    (read,) = csv.DictReader(io.StringIO(done.stdout, newline=""))
    assert read == {name: cell or "" for name, cell in expected_cells(folder).items()}


@pytest.mark.asks_nothing
def test_query_as_table_shows_no_control_characters(folder):
    """A terminal must not be steered by what somebody typed into a form."""
    done = crm("query", QUERY, cwd=folder)

    assert done.returncode == 0, done.stderr
    assert "\x00" not in done.stdout
    assert "10000-01-01" in done.stdout
    assert "🏳" in done.stdout


@pytest.mark.asks_nothing
@pytest.mark.slow
def test_query_does_not_read_markup_in_values(folder):
    """`[red]` in a value is text."""
    done = crm("query", "select '[red]x[/red] [/]' as value", cwd=folder)

    assert done.returncode == 0, done.stderr
    assert "[red]x[/red] [/]" in done.stdout


@pytest.mark.asks_nothing
def test_query_in_json_logs_is_json_too(folder):
    """One switch for both streams."""
    done = crm("query", "select 1 as n", "--log-format", "json", cwd=folder)

    assert json_lines(done.stdout) == [{"n": "1"}]


@pytest.mark.asks_nothing
@pytest.mark.slow
def test_query_without_rows_still_names_the_columns(folder):
    """An empty result of a script is a file with a header."""
    done = crm(
        "query", "select id, email from crm.contacts where false", "--format", "csv", cwd=folder
    )

    assert (done.returncode, done.stdout.split()) == (0, ["id,email"])


@pytest.mark.asks_nothing
def test_query_output_may_be_cut_off_by_who_reads_it(folder):
    """`crm query … | head` must not end in a traceback."""
    with started(
        *("/bin/sh", "-c", '"$0" -m pipelines.cli query "select * from range(20000)" | head -1'),
        sys.executable,
        cwd=folder,
    ) as process:
        out, err = process.communicate(timeout=60)

    assert len(out.splitlines()) == 1
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


# ---------------------------------------------------------------- secrets and people


@pytest.mark.parametrize(
    "verbose",
    [
        pytest.param((), id="usual", marks=pytest.mark.slow),
        pytest.param(("--verbose",), id="verbose"),
    ],
)
def test_neither_token_nor_personal_values_are_printed_or_kept_beside_the_tables(
    verbose, running, tmp_path
):
    """Logs travel further than the warehouse; working folders are forgotten."""
    done = crm("sync", *verbose, cwd=tmp_path, simulator=running)
    refused = crm(
        "sync", *verbose,
        cwd=tmp_path, simulator=running,
        env={"SOURCES__HUBSPOT__CONTACTS__PROPERTIES": '["emial"]'},
    )  # fmt: skip

    assert (done.returncode, refused.returncode) == (0, 2)
    printed = done.stdout + done.stderr + refused.stdout + refused.stderr
    for secret in (running.token, SECRET_EMAIL, SECRET_NUMBER):
        assert secret not in printed
    kept = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert kept
    for file in kept:
        assert running.token.encode() not in file.read_bytes(), file
    beside = [file for file in kept if ".work" in str(file)]
    assert not [file for file in beside if SECRET_EMAIL.encode() in file.read_bytes()]


@pytest.mark.slow
def test_simulate_serves_a_portal_that_sync_reads(tmp_path):
    """The line it prints is the line to copy."""
    command = (*CRM, "simulate", "--port", 0, "--contacts", 30, "--calls", 5, "--seed", 4)
    with started(*command, cwd=tmp_path) as process:
        line = process.stderr.readline()
        settings = dict(re.findall(r"(SOURCES__\w+)=(\S+)", line))
        host, port = settings["SOURCES__HUBSPOT__BASE_URL"].removeprefix("http://").split(":")
        wait_until(lambda: is_listening(host, int(port)), what="the simulator answers")
        done = crm("sync", "--quiet", cwd=tmp_path, env=settings)

    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / WAREHOUSE, "select count(*) from analytics.contacts") == [(30,)]


@pytest.mark.asks_nothing
def test_help_shows_an_example_for_every_command(tmp_path):
    """A real line is worth a page."""
    top = crm("--help", cwd=tmp_path)
    commands = re.findall(r"^  (\w+)  ", top.stdout, re.MULTILINE)

    assert {"demo", "simulate", "doctor", "sync", "status", "errors", "query"} <= set(commands)
    for command in commands:
        assert f"Example: crm {command}" in crm(command, "--help", cwd=tmp_path).stdout
