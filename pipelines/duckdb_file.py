"""The DuckDB file itself: opening it, names in it, and what goes wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import stamina
from dlt.common.exceptions import DltException

from pipelines.errors import ConfigError, CrmError, WarehouseError

DATASET = "crm"
ANALYTICS = "analytics"
DEFAULT_LOCK_WAIT_S = 60.0
HAS_TABLE = "select 1 from information_schema.tables where table_schema = ? and table_name = ?"
STORAGE_VERSION = "v1.2.0"
"""Files in this format open in DuckDB 1.2 and later; DuckDB 2 would write one that 1.x refuses."""

MEMORY_MB = 192
"""For DuckDB's buffers; what does not fit goes to disk, so the memory of a query is bounded."""
LOAD_MB, LOAD_MB_A_COLUMN = 40, 0.6
"""The same while rows land. Of each column of the widest table DuckDB needs a block or two of
256 KB at a time, or it gives up; and more where texts are long."""
USUAL_LOAD_MB, LOAD_MB_A_MB = 24, 4

_DISK_FULL = ("No space left", "File too large", "Disk quota exceeded", "not enough disk space")
_HOLDER = re.compile(r"held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")


def connect(
    path: Path,
    *,
    lock_wait_s: float,
    read_only: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> duckdb.DuckDBPyConnection:
    """The file opened, once no other process has it open for writing.

    Raises:
        duckdb.Error: That takes longer than `lock_wait_s`, or it cannot be opened.
    """
    config: dict[str, str | bool | int | float | list[str]] = (
        {} if path.exists() else {"storage_compatibility_version": STORAGE_VERSION}
    )
    is_told = False
    for attempt in stamina.retry_context(
        on=is_locked,
        attempts=None if lock_wait_s else 1,
        timeout=lock_wait_s or None,
        wait_initial=0.1,
        wait_max=1.0,
    ):
        with attempt:
            if attempt.num > 1 and not is_told:
                tell(f"waiting for {path}, which another program has open")
                is_told = True
            return duckdb.connect(str(path), read_only=read_only, config=config)
    raise AssertionError("stamina either returns or raises")


def all_or_none(connection: duckdb.DuckDBPyConnection, statements: Iterable[str]) -> None:
    """Run all of the statements, or none."""
    connection.begin()
    try:
        for statement in statements:
            connection.execute(statement)
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


@contextmanager
def named_failures(path: Path, *, is_fetched: bool = False) -> Iterator[None]:
    """Turn what DuckDB, dlt and the file system raise into one line that says what to do."""
    try:
        yield
    except CrmError:
        raise
    except (duckdb.Error, OSError, DltException) as exc:
        kept = "; what was fetched is kept for it" if is_fetched else ""
        raise WarehouseError(explained(path, exc) + kept) from exc


def is_locked(exc: Exception) -> bool:
    """Whether the failure is that another process has the file open."""
    return "lock on file" in str(_root(exc))


def will_pass(exc: Exception) -> bool:
    """Whether the same may succeed later: the file is open elsewhere, or the disk is full."""
    return is_locked(exc) or any(words in str(_root(exc)) for words in _DISK_FULL)


def explained(path: Path, exc: BaseException) -> str:
    """One line: what is wrong with the warehouse, and what would help."""
    again = "then run the same command again"
    text = str(_root(exc))
    if holder := _HOLDER.search(text):
        program = Path(holder["program"]).name
        return f"{path} is open in {program} (process {holder['pid']}): close it there, {again}"
    if any(words in text for words in _DISK_FULL):
        return f"no room to write {path}: free some space on that disk, {again}"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent} for the warehouse: make it, {again}"
    return (
        f"the warehouse {path} cannot be used ({first_line(text)}): "
        f"name a DuckDB file that can be written with --warehouse, {again}"
    )


def check_name(path: Path) -> None:
    """Refuse a path that DuckDB or dlt cannot work with.

    DuckDB names the catalog after the file. In `crm.duckdb` it refuses `crm.contacts`, which
    might be a table `contacts` of the catalog `crm`, and so every view over it.

    Raises:
        ConfigError: It has a character that ends a text in SQL, or it is the name of a schema.
    """
    if set("';") & set(str(path.absolute())):
        raise ConfigError(
            f"the path of a warehouse cannot hold ' or ;: {path} would end up in SQL as text; "
            "choose another name or folder"
        )
    if path.stem.lower() in (DATASET, ANALYTICS, f"{DATASET}_staging"):
        raise ConfigError(
            f"a warehouse cannot be called {path.name}: DuckDB names the catalog after the file, "
            f"and then takes {path.stem}.contacts for a table of that catalog; "
            "choose another name, such as hubspot.duckdb"
        )


def memory_limit(columns: int, *, load_bytes: int | None = None) -> str:
    """The statement that bounds DuckDB's memory, for tables of up to so many columns.

    `load_bytes`: what is about to be loaded, uncompressed; None: nothing is.
    """
    megabytes = LOAD_MB + round(LOAD_MB_A_COLUMN * columns)
    if load_bytes is None:
        megabytes = max(megabytes, MEMORY_MB)
    else:
        megabytes += round(LOAD_MB_A_MB * max(load_bytes / 1e6 - USUAL_LOAD_MB, 0))
    return f"set global memory_limit = '{megabytes}MB'"


def quoted(identifier: str) -> str:
    """A SQL identifier, whatever characters are in it."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A SQL text literal, for the statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"


def _root(exc: BaseException) -> BaseException:
    while exc.__cause__ is not None:
        exc = exc.__cause__
    return exc


def first_line(text: str) -> str:
    """The first line of a message of DuckDB's; the others quote the statement."""
    return next(iter(text.strip().splitlines()), "no reason given")
