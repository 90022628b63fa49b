"""README, settings files and comments say what is so: each is held against the code."""

from __future__ import annotations

import ast
import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
import typer
import yaml

from pipelines import cli, dagster_assets, demo, errors, findings, output, settings, views
from pipelines.duckdb_file import check_name
from pipelines.hubspot.limits import DEFAULT_REQUESTS_PER_10S
from pipelines.hubspot.paths import API_VERSIONS
from pipelines.progress import Silent
from pipelines.reader import Reader
from pipelines.reconcile import reconcile
from pipelines.settings import OBJECT_TYPES, Settings
from pipelines.simulator.app import app as simulator
from pipelines.simulator.fault_kinds import DEFAULT_POISONED, DEFAULT_SHARE, KINDS
from pipelines.simulator.faults import Fault
from pipelines.simulator.portal import Portal
from pipelines.simulator.server import serve
from pipelines.sync import sync
from pipelines.warehouse import Warehouse
from transforms.definitions import Kind

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAIN_JOB = "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/crm demo"
TESTS = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/python -m pytest"
FIRST_SCREEN_LINES = 24
COMMANDS: dict[str, Any] = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]  # a group

_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`crm ([^`]+)`")
_CALL = re.compile(r"(?<![\w.-])crm (.*)")
_SHELL_ENDS = re.compile(r"&&|>>|[|;]")


def fenced(language: str) -> list[str]:
    return [text for found, text in _FENCED.findall(README) if found == language]


def python_with(words: str) -> str:
    """The one Python block that has these words."""
    (found,) = [text for text in fenced("python") if words in text]
    return found


def table(heading: str) -> dict[str, list[str]]:
    """Rows of the first table below a heading's first column `heading`, by their first cell."""
    lines = iter(README.splitlines())
    next(line for line in lines if line.startswith(f"| {heading} |"))
    next(lines)  # the rule below the head
    found = {}
    for line in lines:
        if not line.startswith("|"):
            break
        first, *others = (cell.strip() for cell in line.strip("|").split(" | "))
        found[first.strip("`")] = [cell.strip("`") for cell in others]
    return found


def calls_in(text: str) -> list[list[str]]:
    """Arguments of every `crm …` of a text, as a shell would split them."""
    found = [match[1] for line in text.splitlines() for match in _CALL.finditer(line)]
    return [shlex.split(_unquoted_until_end(call)) for call in found]


def _unquoted_until_end(call: str) -> str:
    quoted = call.count('"') or call.count("'")
    return call if quoted else _SHELL_ENDS.split(call)[0]


# ---------------------------------------------------------------- the commands


def test_the_first_screen_has_the_two_commands_word_for_word():
    first_screen = README.splitlines()[:FIRST_SCREEN_LINES]

    assert MAIN_JOB in first_screen
    assert TESTS in first_screen


def test_ci_runs_the_tests_as_the_readme_says():
    script = ROOT / ".ci" / "run"

    assert TESTS in script.read_text(encoding="utf-8").splitlines()
    assert os.access(script, os.X_OK)


def test_every_command_has_a_section_and_every_section_a_command():
    sections = re.findall(r"^### crm (\w+)$", README, re.MULTILINE)

    assert sections == list(COMMANDS)


def test_every_section_of_a_command_begins_with_an_example():
    for name in COMMANDS:
        section = README.split(f"### crm {name}\n", 1)[1].split("\n#", 1)[0]

        assert section.startswith(f"\n```sh\ncrm {name}")


@pytest.mark.parametrize(
    "arguments",
    [
        call
        for language in ("sh", "text", "crontab", "ini", "yaml")
        for text in fenced(language)
        for call in calls_in(text)
        if call
    ]
    + [shlex.split(call) for call in _INLINE.findall(README)]
    + [call for command in COMMANDS.values() for call in calls_in(command.epilog)],
    ids=shlex.join,
)
def test_every_line_that_calls_crm_is_one_that_crm_takes(arguments: list[str]):
    name, *rest = arguments

    given = COMMANDS[name].make_context(name, rest).params
    if given.get("warehouse") is not None:
        check_name(given["warehouse"])


@pytest.mark.parametrize("name", ["sync", "backfill"])
def test_every_option_is_explained(name: str):
    """Of the commands that read for hours nothing may be found out by accident."""
    options = {option for param in COMMANDS[name].params for option in param.opts}

    assert {
        option for option in options if option.startswith("--") and option not in README
    } == set()


def test_readme_has_every_fault_in_the_words_of_the_code():
    assert table("fault") == {name: [kind.what.strip("`")] for name, kind in KINDS.items()}
    assert f"requests: {DEFAULT_SHARE} unless" in README
    assert f"ids, {DEFAULT_POISONED} unless" in README


def test_every_fault_in_an_example_is_one_that_simulate_takes():
    written = re.findall(r"--fault ([\w=.-]+)", README)

    assert len(written) > 2
    assert {Fault.parse(one).name for one in written} <= KINDS.keys()


def test_readme_has_every_finding_in_the_words_of_the_code():
    assert {name: cells[0] for name, cells in table("finding").items()} == findings.MEANINGS


def test_readme_has_every_exit_code():
    codes = {0, 1} | {kind.exit_code for kind in _below(errors.CrmError)}

    assert {int(code) for code in table("code")} == codes


def _below(kind: type[errors.CrmError]) -> Iterator[type[errors.CrmError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def test_the_statement_in_the_readme_has_the_lines_of_a_real_one():
    shown = re.findall(r"^│ (.+?) +│", README, re.MULTILINE)

    assert shown == [label for label, _ in output._LINES][: len(shown)]
    assert len(shown) > 4


def test_links_lead_somewhere():
    anchors = {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target[1:] in anchors if target.startswith("#") else (ROOT / target).is_file()


# ---------------------------------------------------------------- the schedules


def units() -> dict[str, configparser.ConfigParser]:
    """The systemd units, by the word their file's name ends in."""
    found = {}
    for text in fenced("ini"):
        parsed = configparser.ConfigParser(interpolation=None)
        parsed.optionxform = str  # type: ignore[assignment,method-assign]  # as systemd reads them
        parsed.read_string(text)
        found["timer" if parsed.has_section("Timer") else "service"] = parsed
    return found


def test_the_crontab_line_is_five_fields_and_a_command():
    """Each field is a number in its range, or any; `%` would end the command."""
    (line,) = fenced("crontab")
    *fields, command = line.strip().split(maxsplit=5)

    ranges = (range(60), range(24), range(1, 32), range(1, 13), range(8))
    assert len(fields) == 5
    assert all(
        field == "*" or int(field) in allowed for field, allowed in zip(fields, ranges, strict=True)
    )
    assert "%" not in command
    assert command.startswith("cd /srv/hubspot && .venv/bin/crm ")


def test_the_systemd_units_belong_together():
    """The names are those that the text gives; the timer starts the service of its name."""
    service, timer = units()["service"], units()["timer"]

    assert "`/etc/systemd/system/crm-sync.service` and `crm-sync.timer`" in README
    assert "Unit" not in timer["Timer"]
    assert service["Service"]["Type"] == "oneshot"
    program = service["Service"]["ExecStart"].split()[0]
    assert program == f"{service['Service']['WorkingDirectory']}/.venv/bin/crm"
    assert service["Service"]["SuccessExitStatus"] == str(errors.Interrupted.exit_code)


ANALYZE = shutil.which("systemd-analyze")


@pytest.mark.skipif(ANALYZE is None, reason="systemd is not here")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path):
    """As written, but for the program and the user, which this machine does not have."""
    files = []
    for kind, parsed in units().items():
        if kind == "service":
            parsed["Service"]["ExecStart"] = f"{sys.executable} sync --log-format json"
            del parsed["Service"]["User"]
        files.append(tmp_path / f"crm-sync.{kind}")
        with files[-1].open("w", encoding="utf-8") as file:
            parsed.write(file, space_around_delimiters=False)

    checked = subprocess.run(
        [str(ANALYZE), "verify", "--man=no", "--recursive-errors=no", *files],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_workflow_keeps_the_warehouse_and_names_its_secrets():
    """What is fetched is what is put back, also after a failure, and one run at a time."""
    (text,) = fenced("yaml")
    workflow = yaml.safe_load(text)
    (job,) = workflow["jobs"].values()
    fetch, sync_, keep = [step for step in job["steps"] if "run" in step][1:]

    assert workflow[True]["schedule"][0]["cron"].count(" ") == 4  # YAML 1.1: `on` is true
    assert workflow["concurrency"]["cancel-in-progress"] is False
    for name, given in job["env"].items():
        key = name.lower().replace("__", ".")
        assert key in known_settings() or f"${name}" in fetch["run"] + keep["run"]
        assert key not in SECRETS or re.fullmatch(r"\$\{\{ secrets\.\w+ \}\}", given)
    path = job["env"]["DESTINATION__DUCKDB__CREDENTIALS"]
    assert keep["run"] == (f'test ! -f {path} || aws s3 cp {path} "$BUCKET/{Path(path).name}"')
    assert f"mkdir {Path(path).parent} &&" in fetch["run"]
    assert keep["if"] == f"always() && steps.{fetch['id']}.outcome == 'success'"
    assert [name for name, *_ in calls_in(sync_["run"])] == ["sync"]
    assert sync_["timeout-minutes"] < 6 * 60


def test_every_program_of_the_workflow_is_one_that_a_runner_has():
    """Beside `crm`, which `pip install .` puts on the path."""
    (text,) = fenced("yaml")
    (job,) = yaml.safe_load(text)["jobs"].values()
    lines = [step["run"] for step in job["steps"] if "run" in step]

    programs = {
        part.split()[0] for line in lines for part in re.split(r"&&|\|\|", line) if part.strip()
    }
    assert programs == {"pip", "mkdir", "aws", "crm", "test"}
    assert "crm" in PROJECT["project"]["scripts"]


def test_the_airflow_example_runs_each_object_and_retries_what_may_pass():
    """Airflow is no dependency, so it is read, not run."""
    tree = ast.parse(python_with("airflow.sdk"))
    command = next(
        node.value.elts
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.List)
        and ast.unparse(node.targets[0]) == "command"
    )
    loop = next(node for node in ast.walk(tree) if isinstance(node, ast.For))
    constants = {
        ast.unparse(node.targets[0]): node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
    }

    assert ast.unparse(command[0]) == "f'{FOLDER}/.venv/bin/crm'"
    assert ast.literal_eval(loop.iter) == OBJECT_TYPES
    for name in OBJECT_TYPES:
        _, verb, *rest = [
            part.value if isinstance(part, ast.Constant) else name for part in command
        ]
        assert COMMANDS[verb].make_context(verb, rest).params["objects"] == [name]
    assert ast.literal_eval(constants["WORTH_RETRYING"]) == dagster_assets.RETRIED_CODES
    assert "max_active_runs=1" in README


def test_the_dagster_example_is_a_code_location_that_loads():
    """And what is said below it is so."""
    found: dict[str, Any] = {}
    exec(python_with("crm_schedule"), found)  # noqa: S102  (the README's own)

    defs = found["defs"]
    dg.Definitions.validate_loadable(defs)
    keys = {key.to_user_string() for key in defs.resolve_all_asset_keys()}
    assert keys == {f"crm/{name}" for name in OBJECT_TYPES}
    assert all(f"`{key}`" in README for key in keys)
    assert f"`{dagster_assets.CHECK}`" in README
    delays = [dagster_assets.DEFAULT_RETRIES.calculate_delay(n + 1) / 60 for n in range(3)]
    assert dagster_assets.DEFAULT_RETRIES.max_retries == len(delays)
    assert "after {:.0f}, {:.0f} and {:.0f} minutes".format(*delays) in README
    assert "up to an hour" in README
    assert dagster_assets.DEFAULT_WAIT_S == 3600


def test_what_a_scheduler_should_do_is_said_of_every_exit_code():
    said = " ".join(table("exit"))

    assert sorted(re.findall(r"\d+", said), key=int) == sorted(table("code"), key=int)


# ---------------------------------------------------------------- the settings

GENERAL = {"destination.duckdb.credentials", "runtime.dlthub_telemetry"}


def known_settings() -> set[str]:
    """Every key there is; `<object>` stands for each object type."""
    general = {f"{settings.SECTION}.{key}" for key in settings._KEYS}
    return general | GENERAL | {f"{settings.SECTION}.<object>.{k}" for k in settings._OBJECT_KEYS}


def test_readme_has_every_setting_and_no_other():
    assert table("key").keys() == known_settings()


def test_readme_names_settings_in_the_environment_as_dlt_does():
    assert {key: cells[0] for key, cells in table("key").items()} == {
        key: key.upper().replace(".", "__") for key in known_settings()
    }


def test_readme_has_the_defaults_of_the_code():
    defaults = {key: cells[1] for key, cells in table("key").items()}

    assert defaults["sources.hubspot.base_url"] == settings.DEFAULT_BASE_URL
    assert defaults["sources.hubspot.api_version"] == settings.DEFAULT_API_VERSION
    assert defaults["sources.hubspot.search_requests_per_s"] == str(
        settings.DEFAULT_SEARCH_REQUESTS_PER_S
    )
    assert defaults["sources.hubspot.daily_reserve_pct"] == str(settings.DEFAULT_DAILY_RESERVE_PCT)
    assert defaults["sources.hubspot.overlap_minutes"] == str(settings.DEFAULT_OVERLAP_MINUTES)
    assert f"{DEFAULT_REQUESTS_PER_10S} until" in defaults["sources.hubspot.requests_per_10s"]
    assert defaults["destination.duckdb.credentials"] == settings.DEFAULT_WAREHOUSE


def test_readme_has_the_words_for_types_and_versions():
    assert f"`{'`, `'.join([*Kind][:-1])}` and `{[*Kind][-1]}`" in README
    assert all(f"`{version}`" in README for version in API_VERSIONS)


def spelt_out(name: str) -> str:
    """A settings file with every key that is commented out put in."""
    text = (ROOT / ".dlt" / name).read_text(encoding="utf-8")
    return re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)


def keys_of(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        below = f"{path}.{key}".strip(".")
        if isinstance(value, Mapping) and key != "types":
            yield from keys_of(value, below)
        else:
            yield below, value


def test_config_toml_explains_every_setting_and_no_other():
    """What signs in is no key of it: that file is committed."""
    keys = {key for key, _ in keys_of(tomllib.loads(spelt_out("config.toml")))}
    wanted = known_settings() - SECRETS

    assert keys == {
        key.replace("<object>", object_type) for key in wanted for object_type in OBJECT_TYPES
    }


def test_config_toml_shows_the_defaults_of_the_code():
    shown = dict(keys_of(tomllib.loads(spelt_out("config.toml"))))

    assert shown["sources.hubspot.base_url"] == settings.DEFAULT_BASE_URL
    assert shown["sources.hubspot.api_version"] == settings.DEFAULT_API_VERSION
    assert shown["sources.hubspot.requests_per_10s"] == DEFAULT_REQUESTS_PER_10S
    assert shown["sources.hubspot.search_requests_per_s"] == settings.DEFAULT_SEARCH_REQUESTS_PER_S
    assert shown["sources.hubspot.daily_reserve_pct"] == settings.DEFAULT_DAILY_RESERVE_PCT
    assert shown["sources.hubspot.overlap_minutes"] == settings.DEFAULT_OVERLAP_MINUTES
    assert shown["sources.hubspot.contacts.properties"] == ["*"]
    assert shown["destination.duckdb.credentials"] == settings.DEFAULT_WAREHOUSE
    assert shown["runtime.dlthub_telemetry"] is False


SECRETS = {f"{settings.SECTION}.{key}" for key in settings.SECRET_KEYS}
EXAMPLE = (ROOT / ".dlt" / "example.secrets.toml").read_text(encoding="utf-8")


def test_example_secrets_toml_has_what_signs_in_and_nothing_else():
    """The token; OAuth is commented out, for both together are refused."""
    spelt = spelt_out("example.secrets.toml")

    assert [key for key, _ in keys_of(tomllib.loads(EXAMPLE))] == ["sources.hubspot.access_token"]
    assert {key for key, _ in keys_of(tomllib.loads(spelt))} == SECRETS


_PRINT_SETTINGS = """
from pipelines.settings import load_settings, warehouse_path
settings = load_settings()
print(settings.access_token, settings.requests_per_10s, warehouse_path(None))
print(*settings.of("contacts").properties, *settings.of("contacts").types)
"""


def test_the_settings_files_are_read(tmp_path: Path):
    """Each key as the files spell it, so that a copied line works."""
    folder = tmp_path / ".dlt"
    folder.mkdir()
    config = spelt_out("config.toml").replace("10s = 100", "10s = 77").replace('["*"]', '["email"]')
    (folder / "config.toml").write_text(config, encoding="utf-8")
    (folder / "secrets.toml").write_text(EXAMPLE, encoding="utf-8")

    assert python(_PRINT_SETTINGS, tmp_path).split("\n") == [
        f"pat-na1-00000000-0000-0000-0000-000000000000 77 {settings.DEFAULT_WAREHOUSE}",
        "email external_id",
    ]


def test_the_example_of_oauth_is_read_as_it_says(tmp_path: Path):
    """Without the line of the token, and without the `#` of the three."""
    folder = tmp_path / ".dlt"
    folder.mkdir()
    spelt = re.sub("^access_token = .*$", "", spelt_out("example.secrets.toml"), flags=re.MULTILINE)
    (folder / "secrets.toml").write_text(spelt, encoding="utf-8")
    code = "from pipelines.settings import load_settings; print(load_settings().oauth.client_id)"

    assert python(code, tmp_path) == "00000000-0000-0000-0000-000000000000"


def test_settings_are_read_from_the_environment(tmp_path: Path):
    """Lists and tables too: they are written there as JSON."""
    printed = python(
        _PRINT_SETTINGS,
        tmp_path,
        SOURCES__HUBSPOT__ACCESS_TOKEN="token",
        SOURCES__HUBSPOT__REQUESTS_PER_10S="77",
        SOURCES__HUBSPOT__CONTACTS__PROPERTIES='["email", "hs_*"]',
        SOURCES__HUBSPOT__CONTACTS__TYPES='{"external_id": "text"}',
        DESTINATION__DUCKDB__CREDENTIALS="other.duckdb",
    )

    assert printed.split("\n") == ["token 77 other.duckdb", "email hs_* external_id"]


def python(code: str, folder: Path, **environment: str) -> str:
    """What a Python process prints that begins in `folder`, with no settings but those given."""
    ours = ("SOURCES__", "DESTINATION__", "RUNTIME__", "DLT_")
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=inherited | {"DLT_DATA_DIR": str(folder / "dlt")} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


# ---------------------------------------------------------------- the warehouse


@pytest.fixture(scope="module")
def portal() -> Portal:
    return Portal.build(contacts=300, calls=100, seed=1)


@pytest.fixture(scope="module")
def base_url(portal: Portal) -> Iterator[str]:
    with serve(simulator(portal, requests_per_10s=10_000)) as url:
        yield url


@pytest.fixture(scope="module")
def warehouse(base_url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small portal, synced as `crm demo` does, and reconciled: that makes two more tables."""
    path = tmp_path_factory.mktemp("docs") / "docs.duckdb"
    portal_of = Settings(access_token="any", base_url=base_url)
    with Warehouse(path) as opened:
        outcome = sync(portal_of, opened, OBJECT_TYPES, view=Silent(), stop=threading.Event())
        reconcile(portal_of, opened, "contacts", views=Silent, stop=threading.Event())
    assert outcome.failure is None
    return path


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.sql(sql).fetchall()


def test_readme_has_every_table_and_view_and_no_other(warehouse: Path):
    tables = rows(
        warehouse,
        "select schema_name || '.' || table_name from duckdb_tables() where schema_name = 'crm'",
    )
    shown = rows(
        warehouse,
        "select schema_name || '.' || view_name from duckdb_views() "
        "where schema_name = 'analytics'",
    )

    assert table("table").keys() == {name for (name,) in tables}
    assert table("view").keys() == {name for (name,) in shown}


@pytest.mark.parametrize(
    "sql",
    [*fenced("sql"), *demo.QUERIES]
    + [call[1] for text in fenced("sh") for call in calls_in(text) if call[0] == "query"],
)
def test_every_query_shown_gives_rows(warehouse: Path, sql: str):
    with Reader(warehouse) as reader:
        assert reader.rows("", sql.strip().removesuffix(";")).rows


def test_the_python_example_lands_every_record(base_url: str, tmp_path: Path):
    example = python_with("dlt.pipeline(")

    python(
        example,
        tmp_path,
        SOURCES__HUBSPOT__ACCESS_TOKEN="any",
        SOURCES__HUBSPOT__BASE_URL=base_url,
        RUNTIME__DLTHUB_TELEMETRY="false",
    )

    (path,) = tmp_path.glob("*.duckdb")
    landed = rows(
        path,
        f"select (select count(*) from {path.stem}.crm.contacts where not archived), "
        f"(select count(*) from {path.stem}.crm.calls where not archived)",
    )
    assert landed == [(300, 100)]


def test_every_table_view_and_column_has_a_comment(warehouse: Path):
    """Views are made anew after each load, which drops theirs: they must come back."""
    bare = rows(
        warehouse,
        """
        select schema_name || '.' || table_name as name
        from duckdb_tables()
        where schema_name in ('crm', 'analytics') and coalesce(comment, '') = ''
        union all
        select schema_name || '.' || view_name
        from duckdb_views()
        where schema_name in ('crm', 'analytics') and coalesce(comment, '') = ''
        union all
        select schema_name || '.' || table_name || '.' || column_name
        from duckdb_columns()
        where schema_name in ('crm', 'analytics') and coalesce(comment, '') = ''
        """,
    )

    assert bare == []


def test_every_comment_is_on_a_table_that_exists(warehouse: Path):
    """Comments on tables that are not there yet are left out in silence: a typo would be, too."""
    text = "".join(text for _, text in views.sql_files("comments"))
    tables = rows(warehouse, "select table_name from duckdb_tables() where schema_name = 'crm'")

    assert set(re.findall(r"comment on table crm\.(\w+) is", text)) == {name for (name,) in tables}
    assert set(re.findall(r"crm\.(\w+)\.\w+ is", text)) == {name for (name,) in tables}


def test_every_view_begins_with_its_grain_and_has_a_file_of_its_own():
    for name, text in views.sql_files("views"):
        assert text.startswith("-- One row per ")
        assert re.findall(r"create or replace view analytics\.(\w+) as", text) == [name]


def test_every_check_passes_on_a_fresh_warehouse(warehouse: Path):
    """A check returns the rows that offend."""
    for _, sql in views.sql_files("checks"):
        assert rows(warehouse, sql) == []
