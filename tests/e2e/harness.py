"""What the end-to-end tests share: the command line as a process, and warehouses as plain data."""

from __future__ import annotations

import gc
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from pipelines.errors import Interrupted
from pipelines.outcome import Outcome
from pipelines.progress import Silent
from pipelines.settings import OBJECT_TYPES, Settings
from pipelines.stream import Bounds
from pipelines.sync import sync
from pipelines.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

CRM = (sys.executable, "-m", "pipelines.cli")
HERE = Path(__file__).parent
TIMEOUT_S = 120
WAREHOUSE = "warehouse.duckdb"
ALWAYS_NEW = frozenset({"run_id", "synced_at", "last_seen_at", "seen_at"})
"""Columns that say when and by whom a row was seen last: the only ones a rerun may change."""
BY_THE_CLOCK = ALWAYS_NEW | {"first_seen_at"}
"""Columns in which two warehouses of the same portal may differ."""
LOGS = frozenset({"runs", "batches"})
"""Tables that grow with every run."""

Dump = dict[str, tuple[tuple[str, ...], list[tuple[str | None, ...]]]]


# ---------------------------------------------------------------- processes


def environment(simulator: Any = None, **more: str) -> dict[str, str]:
    """The tests' own environment without settings of ours, and those of this test."""
    ours = re.compile("^(SOURCES__|DESTINATION__|RUNTIME__|DLT_|DESTINATION_)")
    found = {name: value for name, value in os.environ.items() if not ours.match(name)}
    found |= {"PYTHONUNBUFFERED": "1", "COLUMNS": "120"}
    if simulator is not None:
        found["SOURCES__HUBSPOT__BASE_URL"] = simulator.base_url
        found["SOURCES__HUBSPOT__ACCESS_TOKEN"] = simulator.token
        found["SOURCES__HUBSPOT__REQUESTS_PER_10S"] = "10000"
        found["SOURCES__HUBSPOT__API_VERSION"] = simulator.api_version
    return found | more


def crm(
    *arguments: object,
    cwd: Path,
    simulator: Any = None,
    env: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """One command, in a folder, until it ends."""
    return subprocess.run(
        [*CRM, *map(str, arguments)],
        cwd=cwd,
        env=environment(simulator, **(env or {})),
        capture_output=True,
        text=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        timeout=TIMEOUT_S,
        check=False,
        preexec_fn=before,
    )


@contextmanager
def started(*command: object, cwd: Path, simulator: Any = None, env: Any = None):
    """A process that is certainly gone afterwards."""
    with subprocess.Popen(
        [*map(str, command)],
        cwd=cwd,
        env=environment(simulator, **(env or {})),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def wait_until(holds: Callable[[], object], *, what: str, within_s: float = 60.0) -> None:
    """Look again and again until it holds; fail with `what` when it takes too long."""
    pause, deadline = threading.Event(), time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {within_s} s"
        pause.wait(0.002)


def packages_landed(path: Path) -> frozenset[str]:
    """Load packages of runs at work now, or of the last one, that are in the warehouse."""
    work = path.with_name(path.name + ".work")
    return frozenset(package.name for package in work.glob("dlt/*/load/loaded/*"))


def cut_off(running: Any, path: Path, run: Callable[[threading.Event], object]) -> None:
    """Have a run stop in the middle, as Ctrl-C does, once something of it has landed.

    Args:
        running: Its door is closed to something that the run will ask for last.
        path: The warehouse.
        run: Gets the event that stops it.
    """
    stop, failures = threading.Event(), []

    def until_stopped() -> None:
        try:
            run(stop)
        except Interrupted as failure:
            failures.append(failure)

    before = packages_landed(path)
    thread = threading.Thread(target=until_stopped)
    thread.start()
    try:
        assert running.door.is_knocked_at.wait(TIMEOUT_S)
        wait_until(lambda: packages_landed(path) - before, what="a chunk has landed")
    finally:
        stop.set()
        thread.join()
        running.door.open()
    assert failures


def is_listening(host: str, port: int) -> bool:
    """Whether an HTTP server answers there."""
    with socket.socket() as probe:
        if probe.connect_ex((host, port)):
            return False
        probe.settimeout(5)
        probe.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return probe.recv(4) == b"HTTP"


HOLDER = """
import sys, threading, time, duckdb

deadline, pause = time.monotonic() + 60, threading.Event()
while True:
    try:
        connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "read-only")
        break
    except duckdb.IOException:
        assert time.monotonic() < deadline
        pause.wait(0.001)
print("open", flush=True)
sys.stdin.readline()
"""
"""Opens a DuckDB file as soon as nobody else has it, and keeps it open until it is told."""


@contextmanager
def held_open(path: Path, mode: str = "read-only"):
    """The warehouse open in another process; give the process, which ends on a line of input."""
    with started(sys.executable, "-c", HOLDER, path, mode, cwd=path.parent) as process:
        assert process.stdout.readline() == "open\n"
        yield process


SMALL_CHUNKS = (sys.executable, HERE / "small_chunks.py")
"""`crm sync` with chunks of some hundred records, so that a small portal has many of them."""


def let_go(process: subprocess.Popen[str]) -> None:
    """Have the process of `held_open` close the file and end."""
    process.stdin.write("\n")
    process.stdin.flush()
    process.wait(TIMEOUT_S)


def assert_one_line(done: subprocess.CompletedProcess[str], exit_code: int, *words: str) -> str:
    """It ended with this code and one line on stderr, which has these words and no traceback."""
    assert done.returncode == exit_code, (done.returncode, done.stdout, done.stderr)
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0]
    return lines[0]


# ---------------------------------------------------------------- runs in this process


def settings_for(simulator: Any, **more: Any) -> Settings:
    """Settings that reach a simulator."""
    return Settings(
        **{
            "access_token": simulator.token,
            "base_url": simulator.base_url,
            "api_version": simulator.api_version,
            "requests_per_10s": 10_000,
            **more,
        }
    )


def synced(
    simulator: Any,
    path: Path,
    object_types: tuple[str, ...] = OBJECT_TYPES,
    *,
    is_full: bool = False,
    since: datetime | None = None,
    stop: threading.Event | None = None,
    lock_wait_s: float = 10.0,
    bounds: Bounds = Bounds(),
    **settings: Any,
) -> Outcome:
    """`crm sync` without the process around it; fails when the run does."""
    gc.freeze()  # a run collects garbage; what pytest and other tests hold is none of it
    try:
        with Warehouse(path, lock_wait_s=lock_wait_s) as warehouse:
            outcome = sync(
                settings_for(simulator, **settings),
                warehouse,
                object_types,
                view=Silent(),
                stop=stop or threading.Event(),
                is_full=is_full,
                since=since,
                bounds=bounds,
            )
    finally:
        gc.unfreeze()
    if outcome.failure is not None:
        raise outcome.failure
    return outcome


# ---------------------------------------------------------------- warehouses


def rows(path: Path, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """What a statement gives; moments in UTC."""
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        return connection.execute(sql, list(parameters)).fetchall()


def rows_deleted(path: Path) -> bool:
    """Delete all contacts, as nobody should; whether that was possible."""
    try:
        with duckdb.connect(str(path)) as connection:
            connection.execute("delete from crm.contacts")
            return True
    except duckdb.Error:  # still open somewhere, or no table yet
        return False


def kept_open(path: Path) -> duckdb.DuckDBPyConnection:
    """While this context lasts, `rows` and `dump` need not open the file anew, which costs most."""
    return duckdb.connect(str(path), read_only=True)


def columns_of(path: Path, table: str, schema: str = "crm") -> dict[str, str]:
    """Names and types of a table's columns."""
    return dict(
        rows(
            path,
            "select column_name, data_type from information_schema.columns "
            "where table_schema = ? and table_name = ? order by ordinal_position",
            schema,
            table,
        )
    )


def dump(path: Path, *, without: frozenset[str] = ALWAYS_NEW) -> Dump:
    """Every table of `crm` as sorted text, except logs, dlt's own, and some columns."""
    kept: dict[str, list[str]] = {}
    with duckdb.connect(str(path), read_only=True) as connection:  # once: opening it is what costs
        connection.execute("set TimeZone = 'UTC'")
        for table, column in connection.execute(
            "select table_name, column_name from information_schema.columns "
            "where table_schema = 'crm' order by all"
        ).fetchall():
            if table not in LOGS and not table.startswith("_dlt"):
                kept.setdefault(table, []).extend({column} - without)
        found: Dump = {}
        for table, columns in kept.items():
            cells = ", ".join(f'"{name}"::varchar' for name in columns)
            found_rows = connection.execute(f"select {cells} from crm.{table}").fetchall()
            found[table] = tuple(columns), sorted(found_rows, key=repr)
    return found


def assert_same(one: Dump, other: Dump) -> None:
    """The same tables, with the first difference named."""
    assert one.keys() == other.keys()
    for table, (columns, cells) in one.items():
        other_columns, other_cells = other[table]
        assert columns == other_columns, table
        differing = sorted(set(cells) ^ set(other_cells), key=repr)
        assert not differing, (table, columns, differing[:4])
        assert len(cells) == len(other_cells), f"{table} has rows twice"


def json_lines(text: str) -> list[dict[str, Any]]:
    """One JSON object a line, and nothing else."""
    return [json.loads(line) for line in text.splitlines()]
