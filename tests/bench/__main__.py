"""Ratios against a floor, measured in one run: `python -m tests.bench [NAME]…`, see `BENCHES`.

Each figure is of whole processes, start included, with the median of the rounds. The machine
should have nothing else to do; the servers run on it too.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import duckdb
from rich.console import Console
from rich.table import Table

from pipelines.simulator.portal import Portal
from tests.bench.canned import FIRST_ID
from tests.bench.known_ids import LONG_S, REQUESTS_PER_10S, Account

CRM = (sys.executable, "-m", "pipelines.cli")
FLOOR = (sys.executable, "-m", "tests.bench.floor")
KNOWN_IDS = (sys.executable, "-m", "tests.bench.known_ids")
ROUNDS = 3
RECORDS = 200_000  # of each object type
SMALL_RECORDS = 20_000
LATENCY_MS = 120
PROCESSES = (1, 2)
WINDOWS = 8  # of 10 s, each used to the full
FAULTS = ("503=0.01", "429-rolling=0.01")
RECONCILED = (10_000, 1_000_000)  # ids
FILLED = """
import sys, duckdb
first, ids = map(int, sys.argv[2:])
with duckdb.connect(sys.argv[1]) as connection:
    connection.execute(
        "insert into crm.contacts (id, updated_at, archived) select ? + i, "
        "'2025-11-04T12:10:35.352Z', false from range(200, ?) as t(i) where i < ?",
        [first, ids, ids - ids // 10],
    )
"""
"""Rows of a contacts table, as if they had been synced; in a process of its own, for its memory."""
SEARCHES_PER_S = 5
WHOLE_RECORDS = 100_000
MILLION = 1_000_000
DEFINITIONS = 2  # requests for the properties, live and archived


@dataclass(frozen=True, slots=True)
class Run:
    """One process from start to end."""

    seconds: float
    cpu_s: float
    peak_mb: float


def run(
    command: Sequence[str], environment: dict[str, str] | None = None, *, exit_code: int = 0
) -> Run:
    """Run a command that must end with this code."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=os.environ | (environment or {}), stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != exit_code:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    seconds = time.perf_counter() - began
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


@contextmanager
def canned(contacts: int, calls: int) -> Iterator[int]:
    """The port of a server of canned answers, in a process of its own."""
    server = subprocess.Popen(
        (sys.executable, "-m", "tests.bench.canned", str(contacts), str(calls)),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        yield int(server.stdout.readline())
    finally:
        server.terminate()
        server.wait()


def settings_of(port: int) -> dict[str, str]:
    """The environment of a `crm` that asks this server as fast as it can."""
    return {
        "SOURCES__HUBSPOT__BASE_URL": f"http://127.0.0.1:{port}",
        "SOURCES__HUBSPOT__ACCESS_TOKEN": "bench",
        "SOURCES__HUBSPOT__REQUESTS_PER_10S": "10000",
        "RUNTIME__LOG_LEVEL": "CRITICAL",
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }


def fresh(folder: Path) -> Path:
    """A warehouse path in an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder / "bench.duckdb"


def sync_once(port: int, folder: Path) -> Run:
    """A whole first `crm sync`."""
    warehouse = str(fresh(folder))
    return run((*CRM, "sync", "--quiet", "--warehouse", warehouse), settings_of(port))


def bench_cpu(console: Console, folder: Path) -> None:
    """The whole first sync against the two floors."""
    rows: dict[str, list[Run]] = {"floor": [], "floor through dlt": [], "crm sync": []}
    with canned(RECORDS, RECORDS) as port:
        for _ in range(ROUNDS):
            environment = settings_of(port)
            rows["floor"].append(run((*FLOOR, str(port), str(fresh(folder))), environment))
            rows["floor through dlt"].append(
                run((*FLOOR, str(port), str(fresh(folder)), "dlt"), environment)
            )
            rows["crm sync"].append(sync_once(port, folder))
    table = Table(title=f"CPU-bound: {RECORDS:,} contacts x 60 and {RECORDS:,} calls x 30")
    for column in ("", "seconds", "records/s", "CPU s", "peak MB", "of floor", "of dlt floor"):
        table.add_column(column, justify="left" if not column else "right")
    for name, runs in rows.items():
        seconds = statistics.median(one.seconds for one in runs)
        table.add_row(
            name,
            f"{seconds:.1f}",
            f"{2 * RECORDS / seconds:,.0f}",
            f"{statistics.median(one.cpu_s for one in runs):.1f}",
            f"{max(one.peak_mb for one in runs):.0f}",
            f"{ratio(runs, rows['floor']):.2f}",
            f"{ratio(runs, rows['floor through dlt']):.2f}",
        )
    table.caption = "targets: crm sync at most 2.0 of the floor and 1.6 of the floor through dlt"
    console.print(table)


def ratio(runs: Sequence[Run], floors: Sequence[Run]) -> float:
    """The median of the ratios, round by round."""
    return statistics.median(a.seconds / b.seconds for a, b in zip(runs, floors, strict=True))


def bench_memory(console: Console, folder: Path) -> None:
    """Peak memory at ten times the records."""
    peaks = {}
    for records in (SMALL_RECORDS, RECORDS):
        with canned(records, records) as port:
            peaks[2 * records] = sync_once(port, folder).peak_mb
    few = peaks[2 * SMALL_RECORDS]
    table = Table(title="Memory: peak of a whole first sync")
    for column in ("records", "peak MB", "of the first"):
        table.add_column(column, justify="right")
    for records, peak in peaks.items():
        table.add_row(f"{records:,}", f"{peak:.0f}", f"{peak / few:.2f}")
    table.caption = "targets: at most 1.2, and under 600 MB"
    console.print(table)


def bench_limit(console: Console, folder: Path) -> None:
    """Known ids under HubSpot's limit: the time needed against the least possible."""
    folder.mkdir(exist_ok=True)
    table = Table(title=f"Limit-bound: {REQUESTS_PER_10S} requests / 10 s, {LATENCY_MS} ms latency")
    for column in ("", "requests", "seconds", "least possible", "of the limit", "429s"):
        table.add_column(column, justify="right")
    for processes in PROCESSES:
        accounts = _read_together(folder, processes)
        seconds = _seconds(accounts)
        least = (WINDOWS - 1) * 10 + LATENCY_MS / 1000
        table.add_row(
            "crm" if processes == 1 else f"{processes} processes on one token",
            str(sum(one.requests for one in accounts)),
            f"{seconds:.1f}",
            f"{least:.1f}",
            f"{least / seconds:.1%}",
            str(sum(one.rate_limited for one in accounts)),
        )
    table.caption = "targets: at least 95 %, several processes at least 93 %, and no 429"
    console.print(table)


def bench_full(console: Console, folder: Path) -> None:
    """A whole sync under HubSpot's limits, ids unknown and known, against the best there can be."""
    folder.mkdir(exist_ok=True)
    per_s = REQUESTS_PER_10S / 10 * 100
    # A record costs a read; one that search finds nothing else, one that is listed a list page.
    mixed_per_s = (per_s + SEARCHES_PER_S * 200) / 2
    contacts = WHOLE_RECORDS
    table = Table(
        title=f"{contacts:,} contacts, {REQUESTS_PER_10S} requests / 10 s, {SEARCHES_PER_S} "
        f"searches / s, {LATENCY_MS} ms latency"
    )
    for column in ("", "seconds", "records/s", "best possible", "of it"):
        table.add_column(column, justify="right")
    ids = [str(i) for i in Portal.build(contacts=contacts, calls=0).records["contacts"].live]
    known = folder / "ids.txt"
    known.write_text("\n".join(ids), encoding="utf-8")
    commands = {
        "crm sync contacts": (("sync", "contacts"), mixed_per_s),
        "crm backfill --ids": (("backfill", "contacts", "--ids", str(known)), per_s),
    }
    for name, (command, best) in commands.items():
        with _simulated(contacts, ()) as url:
            environment = settings_of(0) | {
                "SOURCES__HUBSPOT__BASE_URL": url,
                "SOURCES__HUBSPOT__REQUESTS_PER_10S": str(REQUESTS_PER_10S),
            }
            warehouse = str(fresh(folder / "new"))
            whole = (*CRM, *command, "--quiet", "--warehouse", warehouse)
            seconds = run(whole, environment).seconds
        rate = contacts / seconds
        table.add_row(name, f"{seconds:.1f}", f"{rate:,.0f}", f"{best:,.0f}", f"{rate / best:.1%}")
    table.caption = "targets: at least 90 % of the mix, at least 97 % with known ids"
    console.print(table)


def bench_million(console: Console, folder: Path) -> None:
    """A million contacts: memory of the first sync, and what runs after it cost."""
    warehouse = fresh(folder)
    table = Table(title=f"{MILLION:,} contacts x 60")
    for column in ("", "seconds", "requests", "rows read", "peak MB"):
        table.add_column(column, justify="right")
    with canned(MILLION, 0) as port:
        for name, changes in (("first sync", 0), ("no change", 0), ("1,000 changes", 1000)):
            with urlopen(f"http://127.0.0.1:{port}/bench/changed/{changes}"):
                pass
            command = (*CRM, "sync", "contacts", "--quiet", "--warehouse", str(warehouse))
            one = run(command, settings_of(port))
            with duckdb.connect(str(warehouse), read_only=True) as connection:
                ((requests, rows),) = connection.sql(
                    "select requests, loaded_rows from crm.runs order by started_at desc limit 1"
                ).fetchall()
            table.add_row(
                name, f"{one.seconds:.1f}", f"{requests:,}", f"{rows:,}", f"{one.peak_mb:.0f}"
            )
    table.caption = (
        "targets: under 500 MB; no change: 4 requests and 3 s; 1,000 changes: 30 requests and 10 s"
    )
    console.print(table)


def bench_faults(console: Console, folder: Path) -> None:
    """Records read in a given time while HubSpot fails at random, against the same without."""
    folder.mkdir(exist_ok=True)
    seconds = (WINDOWS - 1) * 10.0
    table = Table(title=f"Faults: {', '.join(FAULTS)}; {REQUESTS_PER_10S} requests / 10 s")
    for column in ("", "records", "records/s", "of the faultless rate", "429s"):
        table.add_column(column, justify="right")
    (faultless,) = _read_together(folder, 1, seconds=seconds)
    (crm,) = _read_together(folder, 1, seconds=seconds, faults=FAULTS)
    for name, one in (("faultless", faultless), ("crm", crm)):
        table.add_row(
            name,
            f"{one.records:,}",
            f"{one.records / seconds:,.0f}",
            f"{one.records / faultless.records:.1%}",
            str(one.rate_limited),
        )
    table.caption = "target: at least 85 %"
    console.print(table)


def _seconds(accounts: Sequence[Account]) -> float:
    return max(one.ended for one in accounts) - min(one.began for one in accounts)


def _read_together(
    folder: Path, processes: int, *, seconds: float = LONG_S, faults: Sequence[str] = ()
) -> list[Account]:
    """Read as many contacts as use the limit to the full, a part of them in each process."""
    contacts = (WINDOWS * REQUESTS_PER_10S - processes * DEFINITIONS) * 100
    ids = [str(i) for i in Portal.build(contacts=contacts, calls=0).records["contacts"].live]
    with _simulated(contacts, faults) as url, ExitStack() as running:
        readers = []
        for number in range(processes):
            path = folder / f"{number}.txt"
            path.write_text("\n".join(_part(ids, number, processes)), encoding="utf-8")
            reader = subprocess.Popen(
                (*KNOWN_IDS, url, str(path), "--seconds", str(seconds)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            running.callback(reader.kill)
            assert reader.stdout is not None
            assert reader.stdout.readline() == "ready\n"
            readers.append(reader)
        for reader in readers:
            assert reader.stdin is not None
            reader.stdin.write("\n")
            reader.stdin.flush()
        return [Account(**json.loads(reader.communicate()[0])) for reader in readers]


def _part(ids: Sequence[str], number: int, parts: int) -> Sequence[str]:
    """The part of that number, in whole batches: as many requests together as all ids need."""
    batches = [ids[start : start + 100] for start in range(0, len(ids), 100)]
    return [record_id for batch in batches[number::parts] for record_id in batch]


@contextmanager
def _simulated(contacts: int, faults: Sequence[str]) -> Iterator[str]:
    """The address of a simulator with HubSpot's limit, in a process of its own."""
    server = subprocess.Popen(
        (
            *(*CRM, "simulate", "--port", "0", "--contacts", str(contacts), "--calls", "0"),
            *("--latency-ms", str(LATENCY_MS), "--requests-per-10s", str(REQUESTS_PER_10S)),
            *(part for fault in faults for part in ("--fault", fault)),
        ),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    try:
        url = next(word for word in server.stderr.readline().split() if word.startswith("http"))
        yield url.rstrip(";")
    finally:
        server.terminate()
        server.wait()


def bench_reconcile(console: Console, folder: Path) -> None:
    """Peak memory of a reconcile at a hundred times the ids, a tenth of which have no row."""
    table = Table(title="crm reconcile: a tenth of the ids is missing here")
    for column in ("ids", "seconds", "peak MB", "of the first"):
        table.add_column(column, justify="right")
    first = 0.0
    for ids in RECONCILED:
        warehouse = str(fresh(folder))
        with canned(200, 0) as port:
            sync = (*CRM, "sync", "contacts", "--quiet", "--warehouse", warehouse)
            run(sync, settings_of(port))
        run((sys.executable, "-c", FILLED, warehouse, str(FIRST_ID), str(ids)))
        with canned(ids, 0) as port:
            command = (*CRM, "reconcile", "contacts", "--quiet", "--warehouse", warehouse)
            one = run(command, settings_of(port), exit_code=1)
        first = first or one.peak_mb
        cells = f"{one.seconds:.1f}", f"{one.peak_mb:.0f}", f"{one.peak_mb / first:.2f}"
        table.add_row(f"{ids:,}", *cells)
    table.caption = "target: under 500 MB"
    console.print(table)


def bench_help(console: Console, folder: Path) -> None:  # noqa: ARG001  (called like the others)
    """How long `crm --help` takes."""
    seconds = statistics.median(run((*CRM, "--help")).seconds for _ in range(7))
    console.print(f"crm --help: {seconds:.2f} s (target: under 0.4)")


BENCHES = {
    "cpu": bench_cpu,
    "memory": bench_memory,
    "limit": bench_limit,
    "faults": bench_faults,
    "full": bench_full,
    "million": bench_million,
    "help": bench_help,
    "reconcile": bench_reconcile,
}


def main() -> None:
    """Run the benches named, or all."""
    console = Console(width=100)
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or BENCHES:
            BENCHES[name](console, Path(folder) / "warehouse")


if __name__ == "__main__":
    main()
