"""One frozen object with every setting, read through dlt and checked before the first request."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipelines import configured
from pipelines.configured import SECTION
from pipelines.errors import ConfigError
from pipelines.hubspot.auth import OAuthCredentials
from pipelines.hubspot.paths import API_VERSIONS
from transforms.definitions import Kind

OBJECT_TYPES = ("contacts", "calls")
"""What can be synced, as HubSpot names it in its paths."""

DEFAULT_BASE_URL = "https://api.hubapi.com"
DEFAULT_API_VERSION = "v3"
DEFAULT_SEARCH_REQUESTS_PER_S = 5  # HubSpot: per account, shared by all its apps
DEFAULT_DAILY_RESERVE_PCT = 5
DEFAULT_OVERLAP_MINUTES = 10  # search shows records late, up to 30 s by what users report
DEFAULT_WAREHOUSE = "hubspot.duckdb"  # not crm.duckdb: see `duckdb_file.check_name`

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
    _check_keys()
    _check_sign_in()
    overlap = configured.count("overlap_minutes", least=1, most=_MAX_OVERLAP_MINUTES)
    daily_pct = configured.count("daily_reserve_pct", least=0, most=99)
    return Settings(
        # In one expression: a traceback that shows locals shows no secret.
        access_token=configured.secret("access_token"),
        oauth=_oauth(),
        base_url=configured.url("base_url", DEFAULT_BASE_URL),
        api_version=configured.one_of("api_version", API_VERSIONS, DEFAULT_API_VERSION),
        requests_per_10s=configured.count("requests_per_10s"),
        reserve_per_10s=configured.count("reserve_per_10s", least=0) or 0,
        daily_reserve_pct=DEFAULT_DAILY_RESERVE_PCT if daily_pct is None else daily_pct,
        search_requests_per_s=configured.count("search_requests_per_s")
        or DEFAULT_SEARCH_REQUESTS_PER_S,
        overlap_minutes=DEFAULT_OVERLAP_MINUTES if overlap is None else overlap,
        refresh_calculated_hours=configured.count("refresh_calculated_hours"),
        objects={object_type: _object_settings(object_type) for object_type in OBJECT_TYPES},
    )


def _check_sign_in() -> None:
    """One of two ways, and all that it needs."""
    has_token = bool(configured.secret("access_token"))
    given = [key for key in _OAUTH_KEYS if configured.secret(key)]
    if has_token and given:
        raise ConfigError(
            f"two ways to sign in are set, {SECTION}.access_token and {' and '.join(given)} for "
            "OAuth: remove one of them"
        )
    if given and len(given) < len(_OAUTH_KEYS):
        missing = " and ".join(
            configured.in_environment(key) for key in _OAUTH_KEYS if key not in given
        )
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
    if not configured.secret("client_id"):
        return None
    return OAuthCredentials(**{key: configured.secret(key) for key in _OAUTH_KEYS})


def warehouse_path(given: Path | None) -> Path:
    """The DuckDB file to use: the one given, else the configured one, else `hubspot.duckdb`."""
    if given is not None:
        return given
    value = configured.of_dlt("destination.duckdb.credentials")
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


def _object_settings(object_type: str) -> ObjectSettings:
    types = configured.table(f"{object_type}.types")
    for name, word in types.items():
        try:
            Kind.parse(str(word))
        except ValueError as exc:
            raise ConfigError(f"{SECTION}.{object_type}.types.{name}: {exc}") from exc
    return ObjectSettings(
        properties=configured.names(f"{object_type}.properties", ["*"]),
        exclude_properties=configured.names(f"{object_type}.exclude_properties", []),
        types={str(name): str(word) for name, word in types.items()},
    )


def _check_keys() -> None:
    """Refuse what nobody reads: a misspelt key would otherwise do nothing, in silence."""
    for path in configured.keys(OBJECT_TYPES):
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


def _meant(wrong: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(wrong, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
