"""Whose turn it is at a warehouse: one `crm` at work, one that is next, and the others."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import filelock

from pipelines.duckdb_file import explained
from pipelines.errors import WarehouseError


class Turn:
    """The turn of one `crm` at one warehouse.

    Args:
        path: The DuckDB file.
        folder: Where the locks are files.
        wait_s: How long to wait while another `crm` is at work here.
        tell: Gets one line when there is a wait.
    """

    def __init__(
        self, path: Path, folder: Path, *, wait_s: float, tell: Callable[[str], None]
    ) -> None:
        self._path = path
        self._lock = filelock.FileLock(folder / "lock")
        self._next = filelock.FileLock(folder / "turn")  # whose turn is next at the lock
        self._wait_s = wait_s
        self._tell = tell

    def take(self) -> None:
        """Wait for our turn, and no longer than that keep others from waiting for theirs.

        Raises:
            WarehouseError: It does not come in time, or there is no room for locks.
        """
        until = time.monotonic() + self._wait_s
        try:
            if not self._is_free():
                if self._wait_s:
                    self._tell(f"waiting for {self._path}, on which another crm is at work")
                with self._next.acquire(timeout=self._wait_s):
                    self._lock.acquire(timeout=max(until - time.monotonic(), 0))
        except filelock.Timeout as exc:
            raise WarehouseError(
                f"another crm is at work on {self._path}: wait until it has ended, "
                "then run the same command again"
            ) from exc
        except OSError as exc:
            raise WarehouseError(explained(self._path, exc)) from exc

    def end(self) -> None:
        """Let the next one work."""
        self._lock.release()

    def is_wanted(self) -> bool:
        """Whether another `crm` waits for its turn."""
        try:
            self._next.acquire(timeout=0)
        except filelock.Timeout:
            return True
        self._next.release()
        return False

    def _is_free(self) -> bool:
        """Take the turn if nobody is at work here, and nobody waits."""
        try:
            with self._next.acquire(timeout=0):
                self._lock.acquire(timeout=0)
        except filelock.Timeout:
            return False
        return True
