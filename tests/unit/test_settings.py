"""Settings are read from files and environment, checked at once, and never show the token."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.errors import ConfigError
from pipelines.settings import (
    ObjectSettings,
    Settings,
    known_object_types,
    load_settings,
    warehouse_path,
)

PREFIX = "SOURCES__HUBSPOT__"
TOKEN = "pat-na1-11111111-2222-3333-4444-555555555555"


@pytest.fixture
def settings_of(monkeypatch):
    """Load the settings of an environment with a token and these."""

    def load(**values: str) -> Settings:
        for name, value in {"ACCESS_TOKEN": TOKEN, **values}.items():
            monkeypatch.setenv(PREFIX + name, value)
        return load_settings()

    return load


def test_the_defaults_are_those_of_the_contract(settings_of):
    """A token is all that a first run needs."""
    settings = settings_of()

    assert settings == Settings(
        access_token=TOKEN,
        base_url="https://api.hubapi.com",
        api_version="v3",
        requests_per_10s=settings.requests_per_10s,
        search_requests_per_s=5,
        objects={"contacts": ObjectSettings(), "calls": ObjectSettings()},
    )
    assert settings.requests_per_10s in (None, 100)
    assert settings.of("contacts") == ObjectSettings(("*",), (), {})


def test_every_setting_can_come_from_the_environment(settings_of):
    """Containers have no files: lists and tables are JSON there, as dlt writes them."""
    settings = settings_of(
        BASE_URL="http://127.0.0.1:8999/",
        API_VERSION="2026-09",
        REQUESTS_PER_10S="190",
        SEARCH_REQUESTS_PER_S="4",
        CONTACTS__PROPERTIES='["email", "hs_*"]',
        CONTACTS__EXCLUDE_PROPERTIES='["hs_all_*"]',
        CALLS__TYPES='{"hs_call_app_id": "text"}',
    )

    assert settings == Settings(
        access_token=TOKEN,
        base_url="http://127.0.0.1:8999",
        api_version="2026-09",
        requests_per_10s=190,
        search_requests_per_s=4,
        objects={
            "contacts": ObjectSettings(("email", "hs_*"), ("hs_all_*",)),
            "calls": ObjectSettings(types={"hs_call_app_id": "text"}),
        },
    )


def test_no_reserve_can_be_set(settings_of):
    """0 is a value, not the lack of one."""
    settings = settings_of(DAILY_RESERVE_PCT="0", RESERVE_PER_10S="0")

    assert (settings.daily_reserve_pct, settings.reserve_per_10s) == (0, 0)


def test_the_token_is_masked_wherever_settings_are_printed(settings_of):
    """Tracebacks and logs print objects."""
    settings = settings_of()

    assert TOKEN not in repr(settings)
    assert TOKEN not in str(settings)
    assert "api.hubapi.com" in repr(settings)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"ACCESS_TOKEN": ""}, "no HubSpot token: set SOURCES__HUBSPOT__ACCESS_TOKEN"),
        ({"BASE_URL": "ftp://api.hubapi.com"}, "base_url"),
        ({"BASE_URL": "https://"}, "base_url"),
        ({"BASE_URL": "https://api.hubapi .com"}, "base_url"),
        ({"API_VERSION": "2025-09"}, "v3, 2026-03, 2026-09"),
        ({"REQUESTS_PER_10S": "0"}, "requests_per_10s"),
        ({"REQUESTS_PER_10S": "-5"}, "requests_per_10s"),
        ({"REQUESTS_PER_10S": "1.5"}, "requests_per_10s"),
        ({"RESERVE_PER_10S": "-1"}, "a whole number from 0 to 10000"),
        ({"DAILY_RESERVE_PCT": "100"}, "a whole number from 0 to 99"),
        ({"DAILY_RESERVE_PCT": "half"}, "daily_reserve_pct"),
        ({"SEARCH_REQUESTS_PER_S": "many"}, "search_requests_per_s"),
        ({"CONTACTS__PROPERTIES": "email"}, "contacts.properties"),
        ({"CONTACTS__PROPERTIES": "[1, 2]"}, "contacts.properties"),
        ({"CONTACTS__TYPES": '["text"]'}, "contacts.types"),
        ({"CONTACTS__TYPES": '{"email": "int"}'}, "'int' is not a type; write one of: text"),
        ({"ACCESS_TOKN": "x"}, "did you mean 'access_token'?"),
        ({"CONTACTS__PROPERTYS": "[]"}, "did you mean 'properties'?"),
        ({"COMPANIES__PROPERTIES": "[]"}, "companies"),
    ],
    ids=lambda value: "=".join(*value.items()) if isinstance(value, dict) else "",
)
def test_a_value_that_cannot_work_is_named_with_what_would(settings_of, values, words):
    """Before the first request, and in one line."""
    with pytest.raises(ConfigError) as caught:
        settings_of(**values)

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("word", ["text", "number", "integer", "BIGINT", "double", "list", "date"])
def test_types_are_words_for_kinds_in_any_case(settings_of, word):
    """Both our words and the warehouse's are understood."""
    settings = settings_of(CONTACTS__TYPES=f'{{"email": "{word}"}}')

    assert settings.of("contacts").types == {"email": word}


SHOW = """
from pipelines.settings import load_settings, warehouse_path
settings = load_settings()
print(settings.base_url, settings.access_token, settings.of("contacts").properties,
      dict(settings.of("calls").types), warehouse_path(None))
"""


def shown(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=folder, env={"PATH": "", **paths(), **environment},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def paths() -> dict[str, str]:
    """Where Python finds this project when it is not installed."""
    return {"PYTHONPATH": str(Path(sys.modules["pipelines"].__file__).parents[1])}


def test_files_are_read_from_the_folder_and_the_environment_wins(tmp_path):
    """config.toml is committed, secrets.toml is not, the environment is for one run."""
    folder = tmp_path / ".dlt"
    folder.mkdir()
    (folder / "config.toml").write_text(
        '[sources.hubspot]\nbase_url = "https://config.example"\n'
        '[sources.hubspot.contacts]\nproperties = ["email", "firstname"]\n'
        '[sources.hubspot.calls]\ntypes = {hs_call_app_id = "text"}\n'
        '[destination.duckdb]\ncredentials = "from_config.duckdb"\n'
    )
    (folder / "secrets.toml").write_text('[sources.hubspot]\naccess_token = "from-secrets"\n')

    files = shown(tmp_path)
    environment = shown(tmp_path, SOURCES__HUBSPOT__BASE_URL="https://environment.example")

    rest = "from-secrets ('email', 'firstname') {'hs_call_app_id': 'text'} from_config.duckdb\n"
    assert files.stdout == f"https://config.example {rest}", files.stderr
    assert environment.stdout == f"https://environment.example {rest}"


def test_a_misspelt_key_in_a_file_is_refused(tmp_path):
    """A key that nobody reads would do nothing, in silence."""
    folder = tmp_path / ".dlt"
    folder.mkdir()
    (folder / "secrets.toml").write_text('[sources.hubspot]\naccess_tokn = "x"\n')

    assert "access_tokn" in shown(tmp_path, SOURCES__HUBSPOT__ACCESS_TOKEN="x").stderr


def test_objects_are_named_as_in_hubspots_paths():
    """No names: all of them; a name twice counts once."""
    assert known_object_types(()) == ("contacts", "calls")
    assert known_object_types(["calls", "calls"]) == ("calls",)
    with pytest.raises(ConfigError, match="did you mean 'contacts'"):
        known_object_types(["contact"])


def test_the_warehouse_is_the_one_given_else_the_configured_one(monkeypatch):
    """The option wins over the environment."""
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", "elsewhere.duckdb")

    assert warehouse_path(Path("given.duckdb")) == Path("given.duckdb")
    assert warehouse_path(None) == Path("elsewhere.duckdb")
