"""What is set under `sources.hubspot`, as dlt reads it: which keys, and values of one form."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from pipelines.errors import ConfigError
from pipelines.hubspot.auth import WHOLE_TOKEN, unsendable

# dlt reads these from the environment: the first when it is imported, the others for each step.
os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
os.environ.setdefault("ENABLE_RUNTIME_TRACE", "false")  # 40 ms for each chunk, and nobody reads it
os.environ.setdefault("LOAD__RAISE_ON_MAX_RETRIES", "1")  # what fails once it is locked fails again
os.environ.setdefault("EXTRACT__FUTURES_POLL_INTERVAL", "0.001")  # slept once for each resource
os.environ.setdefault("NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION", "true")  # state: a few lines
os.environ.setdefault("LOAD__DELETE_COMPLETED_JOBS", "true")  # or all rows stay beside the file

SECTION = "sources.hubspot"
MAX_COUNT = 10_000


def keys(tables: Collection[str]) -> list[tuple[str, ...]]:
    """Every key set under `sources.hubspot`, from files and environment, as (key, sub-key).

    Args:
        tables: The keys that have sub-keys.

    Raises:
        ConfigError: dlt cannot read a file, or what must be a table is a single value.
    """
    from dlt.common.configuration.container import Container
    from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

    found: list[tuple[str, ...]] = []
    with _readable():
        for provider in Container()[PluggableRunContext].providers.providers:
            for key, value in _items(provider):
                if key in tables and not isinstance(value, Mapping):
                    raise wrong(key, value, f"a table, [{SECTION}.{key}]")
                below = value if key in tables else {}
                found += [(key, sub_key) for sub_key in below] or [(key,)]
    prefix = SECTION.upper().replace(".", "__") + "__"
    for name in os.environ:
        if name.startswith(prefix):
            found.append(tuple(name.removeprefix(prefix).lower().split("__")))
    return found


def secret(key: str) -> str:
    """A secret, empty where none is set; messages do not quote it.

    Raises:
        ConfigError: It is nothing that can be sent.
    """
    value = _get(key, "")
    why = unsendable(value) if isinstance(value, str) else "is not text"
    if why:
        del value  # a traceback that shows locals shows no secret
        right = f"set {in_environment(key)} to it as HubSpot shows it"
        raise ConfigError(
            f"{SECTION}.{key} {why}: {WHOLE_TOKEN if key == 'access_token' else right}"
        )
    return str(value).strip()


def url(key: str, default: str) -> str:
    """An address without the slashes at its end.

    Raises:
        ConfigError: It is none, or has no host.
    """
    value = _get(key, default)
    if not isinstance(value, str):
        raise ConfigError(f"{SECTION}.{key} must be text")
    try:
        parts = urlsplit(value)
        is_whole = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole or any(character.isspace() for character in value):
        shown = re.sub("//.*@", "//***@", value)  # a password does not belong there, nor here
        raise wrong(key, shown, f"an address such as {default}")
    return value.rstrip("/")


def one_of(key: str, allowed: Iterable[str], default: str) -> str:
    """One of the words that are allowed.

    Raises:
        ConfigError: It is another.
    """
    value, words = _get(key, default), tuple(allowed)
    if value not in words:
        raise wrong(key, value, "one of " + ", ".join(words))
    return str(value)


def count(key: str, *, least: int = 1, most: int = MAX_COUNT) -> int | None:
    """A whole number, None where none is set.

    Raises:
        ConfigError: It is none, or not from `least` to `most`.
    """
    value = _get(key)
    if value is None:
        return None
    try:
        number = int(str(value))
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise wrong(key, value, f"a whole number from {least} to {most}")
    return number


def names(key: str, default: list[str]) -> tuple[str, ...]:
    """A list of names.

    Raises:
        ConfigError: It is none.
    """
    value = _get_parsed(key, default)
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise wrong(key, value, 'a list of property names or globs such as ["email", "hs_*"]')
    return tuple(value)


def table(key: str) -> Mapping[Any, Any]:
    """A table, empty where none is set; its keys and values are anything.

    Raises:
        ConfigError: It is none.
    """
    value = _get_parsed(key, {})
    if not isinstance(value, Mapping):
        raise wrong(key, value, 'a table such as {hs_call_app_id = "text"}')
    return value


def of_dlt(key: str) -> Any:
    """A setting of dlt's own, None where it is not set.

    Raises:
        ConfigError: dlt cannot read a file.
    """
    import dlt  # slow to import, and `--help` does not need it

    with _readable():
        return dlt.config.get(key)


def wrong(key: str, value: object, right: str) -> ConfigError:
    """That a key has a value that cannot work, and what could."""
    return ConfigError(f"{SECTION}.{key} is {value!r}: it must be {right}")


def in_environment(key: str) -> str:
    """What a key is called in the environment."""
    return f"{SECTION}.{key}".upper().replace(".", "__")


def _get_parsed(key: str, default: object) -> Any:
    """A list or table; in the environment it is written as JSON."""
    value = _get(key, default)
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return json.loads(value)
    return value


def _get(key: str, default: object = None) -> Any:
    import dlt  # slow to import, and `--help` does not need it

    value: Any = dlt.secrets.get(f"{SECTION}.{key}")
    if value is None:
        value = dlt.config.get(f"{SECTION}.{key}")
    return default if value is None else value


def _items(provider: Any) -> list[tuple[str, Any]]:
    """What one provider has under `sources.hubspot`.

    A function of its own: a traceback that shows locals shows no secret.
    """
    tree, _ = provider.get_value("hubspot", dict, "", "sources")
    if tree is not None and not isinstance(tree, Mapping):
        del tree  # a token put here by mistake is a token still
        raise ConfigError(f"{SECTION} is a single value: it must be a table, [{SECTION}]")
    return list((tree or {}).items())


@contextmanager
def _readable() -> Iterator[None]:
    """Say on one line what dlt cannot read, without the quotes of what it read."""
    try:
        yield
    except _unreadable() as exc:
        said = " ".join(str(exc).split())[:200]
        raise ConfigError(f"dlt cannot read its settings: {said}") from exc


def _unreadable() -> type[Exception]:
    from dlt.common.configuration.providers.toml import TomlProviderReadException

    return TomlProviderReadException
