"""Settings are read from files and environment, checked at once, and never show the token."""

from __future__ import annotations

import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from pipelines.errors import ConfigError
from pipelines.hubspot.auth import OAuthCredentials
from pipelines.settings import (
    ObjectSettings,
    Settings,
    known_object_types,
    load_settings,
    warehouse_path,
)

PREFIX = "SOURCES__HUBSPOT__"
TOKEN = "pat-na1-11111111-2222-3333-4444-555555555555"
OAUTH = {"CLIENT_ID": "id-7fff1e36", "CLIENT_SECRET": "s-61bd0df5", "REFRESH_TOKEN": "na1-2e1d"}


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


def test_oauth_takes_the_place_of_the_token(settings_of):
    """All three, and blanks around them are no part of them."""
    settings = settings_of(**{**OAUTH, "CLIENT_SECRET": " s-61bd0df5\n"}, ACCESS_TOKEN="")

    assert settings.access_token == ""
    assert settings.oauth == OAuthCredentials(
        client_id="id-7fff1e36", client_secret="s-61bd0df5", refresh_token="na1-2e1d"
    )
    assert not [secret for secret in OAUTH.values() if secret in repr(settings)]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"ACCESS_TOKEN": "", **OAUTH, "CLIENT_SECRET": ""},
            "set SOURCES__HUBSPOT__CLIENT_SECRET too",
        ),
        (
            {"ACCESS_TOKEN": "", "REFRESH_TOKEN": "na1-2e1d"},
            "set SOURCES__HUBSPOT__CLIENT_ID and SOURCES__HUBSPOT__CLIENT_SECRET too",
        ),
        (
            OAUTH,
            "sources.hubspot.access_token and client_id and client_secret and refresh_token for",
        ),
        ({"CLIENT_ID": "id-7fff1e36"}, "two ways to sign in are set"),
        ({"ACCESS_TOKEN": "pat na1"}, "access_token contains blanks"),
        ({"ACCESS_TOKEN": "", **OAUTH, "REFRESH_TOKEN": "na1 2e1d"}, "REFRESH_TOKEN to it as"),
        ({"ACCESS_TOKEN": "", **OAUTH, "CLIENT_SECRET": "s-ö"}, "client_secret contains blanks or"),
        ({**OAUTH, "ACCESS_TOKEN": "", "BASE_URL": "ftp://x"}, "base_url"),
        ({"API_VERSION": "v4"}, "2026-03"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "+".join(k for k, v in value.items() if v),
)
def test_a_sign_in_that_cannot_work_is_refused_without_telling_it(settings_of, values, words):
    """Not even to a traceback that shows locals: those are what crash reporters send."""
    secrets = [values.get("ACCESS_TOKEN", TOKEN), *(values.get(name) for name in OAUTH)]
    with pytest.raises(ConfigError) as caught:
        settings_of(**values)

    # Below the first frames, which are this test's own.
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in told.stack if frame.filename != __file__]
    shown = [str(caught.value), *(str(frame.locals) for frame in ours)]
    assert ours
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not [secret for secret in secrets if secret and secret in "".join(shown)]


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


TELL = """
import traceback
from pipelines.settings import load_settings
try:
    load_settings()
except Exception as exc:
    print("".join(traceback.TracebackException.from_exception(exc, capture_locals=True).format()))
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[sources.hubspot]\naccess_token = "pat-secret"\ncontacts = 5\n', "contacts is 5"),
        ('[sources]\nhubspot = "pat-secret"\n', "must be a table"),
        ('[sources.hubspot]\naccess_token = "pat-secret"\nrefresh_token = "x"\n', "two ways"),
        ('[sources.hubspot]\naccess_token = ["pat-secret"]\n', "access_token is not text"),
    ],
    ids=["an object that is no table", "no table", "two ways", "no text"],
)
def test_a_file_that_cannot_work_is_refused_without_telling_its_secrets(tmp_path, text, words):
    """Nor by a crash report, which has the locals of every frame."""
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "secrets.toml").write_text(text)

    told = subprocess.run(
        [sys.executable, "-c", TELL],
        cwd=tmp_path, env={"PATH": "", **paths()},
        capture_output=True, text=True, check=False, timeout=60,
    ).stdout  # fmt: skip

    assert words in told
    assert "pat-secret" not in told


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
