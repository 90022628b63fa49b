"""How far a run is: counters, shown as a bar on a terminal and as plain lines elsewhere."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

FIRST_LINE_S = 1.5
LINE_EVERY_S = 5.0
_REFRESH_S = 0.2
_WIDE = 110  # columns of a terminal that has room for every count beside the bar

log = logging.getLogger("crm")


@dataclass(slots=True)
class Counters:
    """Counts of one object type; each is written by one thread only.

    `expected` is HubSpot's own count of live records, None where it gives none.
    """

    object_type: str
    expected: int | None = None
    found: int = 0
    read: int = 0
    landed: int = 0
    clock: Callable[[], float] = time.monotonic
    began: float | None = field(default=None, init=False)

    def add_found(self, ids: int) -> None:
        """More ids found; the first ones start the clock."""
        if self.began is None:
            self.began = self.clock()
        self.found += ids

    @property
    def per_second(self) -> float:
        """Records read per second since the beginning."""
        if self.began is None:
            return 0.0
        return self.read / max(self.clock() - self.began, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """Until all expected records are read, at the rate so far; None when unknown."""
        if not self.expected or not self.read:
            return None
        return max(self.expected - self.read, 0) / self.per_second

    def line(self) -> str:
        """One line for people."""
        of = f" of {self.expected:,}" if self.expected is not None else ""
        left = self.seconds_left
        eta = f", {spoken_s(left)} left" if left else ""
        return (
            f"{self.object_type}: {self.found:,}{of} ids found, {self.read:,} read, "
            f"{self.landed:,} landed, {self.per_second:,.0f}/s{eta}"
        )

    def short_line(self) -> str:
        """What fits beside a bar on a narrow terminal."""
        of = f" of {self.expected:,}" if self.expected is not None else ""
        left = self.seconds_left
        eta = f", {spoken_s(left)} left" if left else f", {self.per_second:,.0f}/s"
        return f"{self.landed:,}{of} landed{eta}"


class View(Protocol):
    """Shows counters until it is closed."""

    def begin(self, counters: Counters) -> None:
        """Show these from now on."""

    def __enter__(self) -> View: ...

    def __exit__(self, *_: object) -> None: ...


class _Ticking:
    """Calls `_show` after `first_s` and then every `every_s`, in a thread of its own."""

    def __init__(self, first_s: float, every_s: float) -> None:
        self._first_s = first_s
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._all: list[Counters] = []

    def begin(self, counters: Counters) -> None:
        self._all.append(counters)

    def _run(self) -> None:
        wait_s = self._first_s
        while not self._ended.wait(wait_s):
            self._show()
            wait_s = self._every_s

    def _show(self) -> None:
        raise NotImplementedError

    def _start(self) -> None:
        self._thread.start()

    def _stop(self) -> None:
        self._ended.set()
        self._thread.join()


class Lines(_Ticking):
    """A log line every few seconds, for the object type under way."""

    def __init__(self, every_s: float = LINE_EVERY_S) -> None:
        super().__init__(FIRST_LINE_S, every_s)

    def __enter__(self) -> Lines:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _show(self) -> None:
        begun = [counters for counters in self._all if counters.found]
        if begun:
            log.info(begun[-1].line())


class Bar(_Ticking):
    """A bar per object type on a terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__(_REFRESH_S, _REFRESH_S)
        self._is_wide = console.width >= _WIDE
        self._progress = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=24 if self._is_wide else 12),
            TextColumn("{task.fields[line]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: list[tuple[Counters, TaskID]] = []

    def begin(self, counters: Counters) -> None:
        """Show these from now on."""
        super().begin(counters)
        task = self._progress.add_task(counters.object_type, total=counters.expected, line="")
        self._tasks.append((counters, task))

    def __enter__(self) -> Bar:
        self._progress.start()
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._show()
        self._progress.stop()

    def _show(self) -> None:
        for counters, task in self._tasks:
            self._progress.update(
                task,
                completed=counters.landed,
                total=counters.expected,
                line=(
                    counters.line().partition(": ")[2] if self._is_wide else counters.short_line()
                ),
            )


class Silent:
    """Shows nothing."""

    def begin(self, counters: Counters) -> None:
        """Nothing to show."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def spoken_s(seconds: float) -> str:
    """Seconds as a person says them: `40 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
