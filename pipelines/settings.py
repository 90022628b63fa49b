"""One frozen object with every setting, read through dlt and checked before the first request."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipelines.errors import ConfigError
from pipelines.hubspot.auth import WHOLE_TOKEN, OAuthCredentials, unsendable
from pipelines.hubspot.paths import API_VERSIONS
from transforms.definitions import Kind

# dlt reads these from the environment: the first when it is imported, the others for each step.
os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
os.environ.setdefault("ENABLE_RUNTIME_TRACE", "false")  # 40 ms for each chunk, and nobody reads it
os.environ.setdefault("LOAD__RAISE_ON_MAX_RETRIES", "1")  # what fails once it is locked fails again
os.environ.setdefault("EXTRACT__FUTURES_POLL_INTERVAL", "0.001")  # slept once for each resource
os.environ.setdefault("NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION", "true")  # state: a few lines
os.environ.setdefault("LOAD__DELETE_COMPLETED_JOBS", "true")  # or all rows stay beside the file

OBJECT_TYPES = ("contacts", "calls")
"""What can be synced, as HubSpot names it in its paths."""

DEFAULT_BASE_URL = "https://api.hubapi.com"
DEFAULT_API_VERSION = "v3"
DEFAULT_SEARCH_REQUESTS_PER_S = 5  # HubSpot: per account, shared by all its apps
DEFAULT_DAILY_RESERVE_PCT = 5
DEFAULT_OVERLAP_MINUTES = 10  # search shows records late, up to 30 s by what users report
DEFAULT_WAREHOUSE = "hubspot.duckdb"  # not crm.duckdb: see `duckdb_file.check_name`
SECTION = "sources.hubspot"

_OAUTH_KEYS = ("client_id", "client_secret", "refresh_token")
SECRET_KEYS = frozenset({"access_token", *_OAUTH_KEYS})
_KEYS = SECRET_KEYS | {
    "base_url",
    "api_version",
    "daily_reserve_pct",
    "overlap_minutes",
    "refresh_calculated_hours",
    "requests_per_10s",
    "reserve_per_10s",
    "search_requests_per_s",
}
_OBJECT_KEYS = frozenset({"properties", "exclude_properties", "types"})
_MAX_OVERLAP_MINUTES = 7 * 24 * 60
_MAX_REQUESTS_PER_10S = 10_000


@dataclass(frozen=True, slots=True)
class ObjectSettings:
    """What to read of one object type; names and globs are HubSpot's property names."""

    properties: tuple[str, ...] = ("*",)
    exclude_properties: tuple[str, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of a run. What signs in is masked wherever this is printed.

    It is `access_token` or `oauth`; the token is empty where there are credentials for OAuth.
    `requests_per_10s` None means: 100 until HubSpot's answers state the app's limit;
    `refresh_calculated_hours` None: calculated properties are not read on their own.
    """

    access_token: str = field(default="", repr=False)
    oauth: OAuthCredentials | None = None
    base_url: str = DEFAULT_BASE_URL
    api_version: str = DEFAULT_API_VERSION
    requests_per_10s: int | None = None
    reserve_per_10s: int = 0
    daily_reserve_pct: int = DEFAULT_DAILY_RESERVE_PCT
    search_requests_per_s: int = DEFAULT_SEARCH_REQUESTS_PER_S
    overlap_minutes: int = DEFAULT_OVERLAP_MINUTES
    refresh_calculated_hours: int | None = None
    objects: Mapping[str, ObjectSettings] = field(default_factory=dict)

    def of(self, object_type: str) -> ObjectSettings:
        """The settings of one object type; the defaults where none are set."""
        return self.objects.get(object_type, ObjectSettings())


def load_settings() -> Settings:
    """The settings from `.dlt/config.toml`, `.dlt/secrets.toml` and the environment.

    The environment wins, then secrets, then config: dlt's own order.

    Raises:
        ConfigError: A key is unknown, missing, or has a value that cannot work.
    """
    try:
        _check_keys()
    except _config_provider_exception() as exc:
        raise ConfigError(f"dlt cannot read its settings: {first_line(exc)}") from exc
    _check_sign_in()
    overlap = _optional_count("overlap_minutes", least=1, most=_MAX_OVERLAP_MINUTES)
    daily_pct = _optional_count("daily_reserve_pct", least=0, most=99)
    return Settings(
        # In one expression: a traceback that shows locals shows no secret.
        access_token=_secret("access_token"),
        oauth=_oauth(),
        base_url=_url(_text("base_url", _get("base_url", DEFAULT_BASE_URL))),
        api_version=_one_of("api_version", _get("api_version", DEFAULT_API_VERSION), API_VERSIONS),
        requests_per_10s=_optional_count("requests_per_10s"),
        reserve_per_10s=_optional_count("reserve_per_10s", least=0) or 0,
        daily_reserve_pct=DEFAULT_DAILY_RESERVE_PCT if daily_pct is None else daily_pct,
        search_requests_per_s=_optional_count("search_requests_per_s")
        or DEFAULT_SEARCH_REQUESTS_PER_S,
        overlap_minutes=DEFAULT_OVERLAP_MINUTES if overlap is None else overlap,
        refresh_calculated_hours=_optional_count("refresh_calculated_hours"),
        objects={object_type: _object_settings(object_type) for object_type in OBJECT_TYPES},
    )


def _check_sign_in() -> None:
    """One of two ways, and all that it needs."""
    has_token = bool(_secret("access_token"))
    given = [key for key in _OAUTH_KEYS if _secret(key)]
    if has_token and given:
        raise ConfigError(
            f"two ways to sign in are set, {SECTION}.access_token and {' and '.join(given)} for "
            "OAuth: remove one of them"
        )
    if given and len(given) < len(_OAUTH_KEYS):
        missing = " and ".join(_in_environment(key) for key in _OAUTH_KEYS if key not in given)
        raise ConfigError(
            f"sign-in by OAuth needs {SECTION}.client_id, client_secret and refresh_token: "
            f"set {missing} too"
        )
    if not has_token and not given:
        raise ConfigError(
            "no HubSpot token: set SOURCES__HUBSPOT__ACCESS_TOKEN, or access_token under "
            "[sources.hubspot] in .dlt/secrets.toml (or try `crm demo`, which needs no account)"
        )


def _oauth() -> OAuthCredentials | None:
    if not _secret("client_id"):
        return None
    return OAuthCredentials(**{key: _secret(key) for key in _OAUTH_KEYS})


def _secret(key: str) -> str:
    """A secret, empty where none is set; messages do not quote it."""
    value = _get(key, "")
    wrong = unsendable(value) if isinstance(value, str) else "is not text"
    if wrong:
        del value  # a traceback that shows locals shows no secret
        right = f"set {_in_environment(key)} to it as HubSpot shows it"
        raise ConfigError(
            f"{SECTION}.{key} {wrong}: {WHOLE_TOKEN if key == 'access_token' else right}"
        )
    return str(value).strip()


def _in_environment(key: str) -> str:
    return f"{SECTION}.{key}".upper().replace(".", "__")


def warehouse_path(given: Path | None) -> Path:
    """The DuckDB file to use: the one given, else the configured one, else `hubspot.duckdb`."""
    if given is not None:
        return given
    import dlt  # slow to import, and `--help` does not need it

    try:
        value: Any = dlt.config.get("destination.duckdb.credentials")
    except _config_provider_exception() as exc:
        raise ConfigError(f"dlt cannot read its settings: {first_line(exc)}") from exc
    if isinstance(value, Mapping):  # dlt's own table form
        value = value.get("database")
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise ConfigError(
            f"destination.duckdb.credentials is {value!r}: "
            "it must be the path of a DuckDB file, such as hubspot.duckdb"
        )
    return Path(value or DEFAULT_WAREHOUSE)


def known_object_types(names: Iterable[str]) -> tuple[str, ...]:
    """The object types named, without repeats; all of them when none is named.

    Raises:
        ConfigError: A name is not one of `OBJECT_TYPES`.
    """
    wanted = tuple(dict.fromkeys(names)) or OBJECT_TYPES
    for name in wanted:
        if name not in OBJECT_TYPES:
            raise ConfigError(
                f"no object type {name!r}{_meant(name, OBJECT_TYPES)}: "
                f"crm syncs {' and '.join(OBJECT_TYPES)}"
            )
    return wanted


def _get(key: str, default: object = None) -> Any:
    import dlt  # slow to import, and `--help` does not need it

    value: Any = dlt.secrets.get(f"{SECTION}.{key}")
    if value is None:
        value = dlt.config.get(f"{SECTION}.{key}")
    return default if value is None else value


def _get_parsed(key: str, default: object) -> Any:
    """A list or table; in the environment it is written as JSON."""
    value = _get(key, default)
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return json.loads(value)
    return value


def _object_settings(object_type: str) -> ObjectSettings:
    types = _get_parsed(f"{object_type}.types", {})
    if not isinstance(types, Mapping):
        raise _wrong(f"{object_type}.types", types, 'a table such as {hs_call_app_id = "text"}')
    for name, word in types.items():
        try:
            Kind.parse(str(word))
        except ValueError as exc:
            raise ConfigError(f"{SECTION}.{object_type}.types.{name}: {exc}") from exc
    return ObjectSettings(
        properties=_names(f"{object_type}.properties", ["*"]),
        exclude_properties=_names(f"{object_type}.exclude_properties", []),
        types={str(name): str(word) for name, word in types.items()},
    )


def _names(key: str, default: list[str]) -> tuple[str, ...]:
    value = _get_parsed(key, default)
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise _wrong(key, value, 'a list of property names or globs such as ["email", "hs_*"]')
    return tuple(value)


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{SECTION}.{key} must be text")
    return value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        is_whole = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole or any(character.isspace() for character in value):
        shown = re.sub("//.*@", "//***@", value)  # a password does not belong there, nor here
        raise _wrong("base_url", shown, f"an address such as {DEFAULT_BASE_URL}")
    return value.rstrip("/")


def _one_of(key: str, value: object, allowed: Iterable[str]) -> str:
    words = tuple(allowed)
    if value not in words:
        raise _wrong(key, value, "one of " + ", ".join(words))
    return str(value)


def _optional_count(key: str, *, least: int = 1, most: int = _MAX_REQUESTS_PER_10S) -> int | None:
    value = _get(key)
    if value is None:
        return None
    try:
        count = int(str(value))
    except ValueError:
        count = least - 1
    if not least <= count <= most:
        raise _wrong(key, value, f"a whole number from {least} to {most}")
    return count


def _wrong(key: str, value: object, right: str) -> ConfigError:
    return ConfigError(f"{SECTION}.{key} is {value!r}: it must be {right}")


def _check_keys() -> None:
    """Refuse what nobody reads: a misspelt key would otherwise do nothing, in silence."""
    for path in _configured():
        head, *rest = path
        if head not in OBJECT_TYPES:
            known: Iterable[str] = {*_KEYS, *OBJECT_TYPES}
            wrong = head if head not in _KEYS else None
        else:
            known, wrong = _OBJECT_KEYS, rest[0] if rest and rest[0] not in _OBJECT_KEYS else None
        if wrong is not None:
            raise ConfigError(
                f"no setting {SECTION}.{'.'.join(path[: len(path)])}{_meant(wrong, known)}; "
                f"the settings here are {', '.join(sorted(known))}"
            )


def _configured() -> list[tuple[str, ...]]:
    """Every key set under `sources.hubspot`, from files and environment, as (key, sub-key)."""
    from dlt.common.configuration.container import Container
    from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

    found: list[tuple[str, ...]] = []
    for provider in Container()[PluggableRunContext].providers.providers:
        for key, value in _items(provider):
            if key in OBJECT_TYPES and not isinstance(value, Mapping):
                raise _wrong(key, value, f"a table, [{SECTION}.{key}]")
            below = value if key in OBJECT_TYPES else {}
            found += [(key, sub_key) for sub_key in below] or [(key,)]
    prefix = SECTION.upper().replace(".", "__") + "__"
    for name in os.environ:
        if name.startswith(prefix):
            found.append(tuple(name.removeprefix(prefix).lower().split("__")))
    return found


def _items(provider: Any) -> list[tuple[str, Any]]:
    """What one provider has under `sources.hubspot`.

    A function of its own: a traceback that shows locals shows no secret.
    """
    tree, _ = provider.get_value("hubspot", dict, "", "sources")
    if tree is not None and not isinstance(tree, Mapping):
        del tree  # a token put here by mistake is a token still
        raise ConfigError(f"{SECTION} is a single value: it must be a table, [{SECTION}]")
    return list((tree or {}).items())


def _config_provider_exception() -> type[Exception]:
    from dlt.common.configuration.providers.toml import TomlProviderReadException

    return TomlProviderReadException


def first_line(exc: BaseException) -> str:
    """The message of an exception on one line, without the quotes of what it read."""
    return " ".join(str(exc).split())[:200]


def _meant(wrong: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(wrong, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
