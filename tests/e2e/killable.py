"""Runs of `crm` with small chunks that can be killed anywhere, each in a process of its own.

`Killable` starts this file once. It imports everything, and forks for each order, since what
costs a second and a half otherwise is then done in milliseconds. What is forked is a process
like any other, and is killed by nothing but SIGKILL: after a time by the one that forked it, or
by itself where it enters or leaves a function.
"""

from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import environment

from pipelines.backfill import backfill
from pipelines.errors import CrmError
from pipelines.outcome import Outcome
from pipelines.output import Output, interruptible
from pipelines.selection import Asked, selection_of
from pipelines.settings import OBJECT_TYPES, load_settings
from pipelines.stream import Bounds
from pipelines.sync import sync
from pipelines.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Mapping

CHUNK = 100
BOUNDS = Bounds(at_risk_records=2 * CHUNK, chunk_records=CHUNK, slice_records=CHUNK // 2)
WAIT_S = 30.0
IMPORTED_LATE = (
    "dlt.common.libs.pyarrow",
    "dlt.common.normalizers.naming.direct",
    "dlt.destinations.impl.duckdb.duck",
    "dlt.sources.helpers.requests",
    "pendulum.locales.en.locale",
    "pyarrow.compute",
    "pytz",
)
"""What a run imports when it first needs it, and every process forked would by itself."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the code: `function`, as module:name, `entered` or `left` for the nth time."""

    function: str
    edge: str
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.function.partition(':')[2]} {self.edge} {self.nth}"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: its exit code, negative for a signal, after so long."""

    code: int
    seconds: float
    said: str

    @property
    def is_killed(self) -> bool:
        return self.code == -signal.SIGKILL


class Killable:
    """The process that forks; use as a context manager."""

    def __enter__(self) -> Killable:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(WAIT_S)
        self._process.stdout.close()

    def run(
        self,
        simulator: Any,
        warehouse: Path,
        command: Mapping[str, Any],
        *,
        at: Place | None = None,
        after_s: float | None = None,
    ) -> Ended:
        """Run a command, and kill it at a place or after a time if it is not at its end before.

        Args:
            simulator: Where it reads.
            warehouse: Where to.
            command: Empty for `crm sync`; else the object type and options of `crm backfill`.
            at: Where it is killed.
            after_s: When.
        """
        log = warehouse.with_suffix(".log")
        order = {
            "warehouse": str(warehouse),
            "command": dict(command),
            "env": {
                name: value
                for name, value in environment(
                    simulator, SOURCES__HUBSPOT__SEARCH_REQUESTS_PER_S="1000"
                ).items()
                if name.startswith("SOURCES__")
            },
            "at": at and asdict(at),
            "after_s": after_s,
            "log": str(log),
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        code, seconds = json.loads(self._process.stdout.readline())
        return Ended(code, seconds, log.read_text(encoding="utf-8"))


# ---------------------------------------------------------------- what follows runs in there


def serve() -> None:
    """One order a line, one answer a line."""
    for module in IMPORTED_LATE:
        importlib.import_module(module)
    gc.freeze()
    gc.set_threshold(50_000)  # as `crm sync` does
    while line := sys.stdin.readline():
        order = json.loads(line)
        began = time.monotonic()
        child = os.fork()
        if not child:
            obey(order)
        code = _ended(child, began, order["after_s"])
        print(json.dumps([code, time.monotonic() - began]), flush=True)  # noqa: T201  (a process of its own: what it prints is read)
    os._exit(0)  # nothing is left to do, and what is frozen cannot be freed in order


def _ended(child: int, began: float, after_s: float | None) -> int:
    pause = threading.Event()
    if after_s is not None:
        while not pause.wait(0.001):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() - began >= after_s:
                os.kill(child, signal.SIGKILL)
                break
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def obey(order: Mapping[str, Any]) -> None:
    """Run a command in this process, and end it."""
    code = 1
    try:
        log = os.open(order["log"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(order["env"])
        os.chdir(Path(order["warehouse"]).parent)
        if order["at"]:
            die_at(Place(**order["at"]))
        code = run(Path(order["warehouse"]), order["command"])
    except BaseException:  # noqa: BLE001  (it is told, and the process ends)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run(path: Path, command: Mapping[str, Any]) -> int:
    """What `crm sync` and `crm backfill` do, in small chunks; the exit code."""
    output = Output(is_quiet=False, is_json=False, is_verbose=False)
    work = run_backfill if command else run_sync
    try:
        outcome = interruptible(lambda stop: work(path, command, output, stop), output.say)
        if outcome.failure is not None:
            raise outcome.failure
    except CrmError as failure:
        output.say(f"crm: {failure}")
        return failure.exit_code
    return 0


def run_sync(path: Path, _: object, output: Output, stop: threading.Event) -> Outcome:
    with Warehouse(path, lock_wait_s=WAIT_S, tell=output.say) as opened:
        return sync(
            load_settings(), opened, OBJECT_TYPES, view=output.view(), stop=stop, bounds=BOUNDS
        )


def run_backfill(
    path: Path, command: Mapping[str, Any], output: Output, stop: threading.Event
) -> Outcome:
    options = dict(command)
    object_type, only = options.pop("object_type"), options.pop("only", ())
    if "ids" in options:
        options["ids"] = Path(options["ids"])
    for window in ("created", "modified"):
        if window in options:
            options[window] = tuple(at and datetime.fromisoformat(at) for at in options[window])
    return backfill(
        load_settings(),
        path,
        object_type,
        selection_of(Asked(**options), path, lock_wait_s=WAIT_S),
        only=only,
        view=output.view,
        stop=stop,
        tell=output.say,
        lock_wait_s=WAIT_S,
        bounds=BOUNDS,
    )


def die_at(place: Place) -> None:
    """Have this process kill itself where `place` says, whichever thread comes there.

    The function is wrapped wherever a module or its class has it: a trace function would be
    called for every other function too, and make a run half as slow again.
    """
    module, _, name = place.function.partition(":")
    holder = importlib.import_module(module)
    *classes, last = name.split(".")
    for one in classes:
        holder = getattr(holder, one)
    function = vars(holder)[last]
    left, counting = place.nth, threading.Lock()

    def count() -> None:
        nonlocal left
        with counting:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    @functools.wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        if place.edge == "entered":
            count()
        try:
            return function(*args, **kwargs)
        finally:
            if place.edge == "left":
                count()

    for one in [holder, *sys.modules.values()]:
        for key in [key for key, value in vars(one).items() if value is function]:
            setattr(one, key, watched)


if __name__ == "__main__":
    serve()
