"""The places of one window as numbers in memory, which the processes of a machine can share.

In a file that several processes map, a lock makes each change whole. A process that is killed
between two changes leaves a place taken too long, never one free too early: what it had taken
is a lease that ends by itself, and the count of leases is made anew every second.

The lock is `flock` on the open file, 1 µs for taking and giving back. filelock, used for the
warehouse, opens the file each time: 56 µs, for every request twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import stat
import sys
import tempfile
import time
import weakref
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    pass

MAX_PLACES: Final = 10_000
MAX_UNDER_WAY: Final = 1024

# Numbers that all who use the window share; zero, unless somebody has set them.
(
    STATED,  # the limit, as HubSpot's answers state it
    PERIOD_S,  # its period
    SENT,  # requests so far
    TOUCHED_AT,  # when this was last used
    FIRST,  # of the queue: requests that have left it so far
    END,  # of the queue: requests that have joined it so far
    UNDER_WAY,  # leases that have not ended
    RECOUNT_AT,  # when to count them anew
    OTHERS,  # most places seen taken by others in this period
    OTHERS_BEFORE,  # … and in the last one
    OTHERS_UNTIL,  # when this period ends
    GIVEN_UP,  # places given up for a 429
    SLOWED_AT,  # when
    BOUND,  # the lowest limit that anybody here keeps
    BOUND_UNTIL,  # how long that holds, unless it is said again
) = range(15)
_LEASES: Final = 16
_QUEUE: Final = _LEASES + MAX_UNDER_WAY
_QUEUE_SIZE: Final = 10_240
_SIZE: Final = 8 * (_QUEUE + _QUEUE_SIZE)

RECOUNT_S: Final = 1.0
PATIENCE_S: Final = 1.0
_PAUSE_S: Final = 0.0002
_CLOCK_SLACK_S: Final = 1.0
_FARTHEST_S: Final = 600.0
SHORTEST_PERIOD_S: Final = 0.1
LONGEST_PERIOD_S: Final = 60.0
_GREATEST: Final = 2.0**53
_KEPT_S: Final = 7 * 86_400.0
"""How long a file is kept after it was opened last; what it knows is worth some minutes."""


class Places:
    """Which places of a window are taken. Use it only inside `with places:`.

    A place is taken by a lease while its request is under way, then by an entry of the
    queue until a moment that was set when the answer came. These moments ascend (but for
    once, when the period becomes shorter, and then some places are free a little late), so
    only the first is looked at, and the cost does not grow with the number of places.

    Args:
        memory: The numbers, all zero at first; of this process alone when left out.
        lock: Held by one at a time among all who have this memory.
    """

    def __init__(
        self,
        memory: mmap.mmap | bytearray | None = None,
        lock: AbstractContextManager[object] | None = None,
    ) -> None:
        self.is_shared = memory is not None
        self.cells = memoryview(bytearray(_SIZE) if memory is None else memory).cast("d")
        self._lock = lock or contextlib.nullcontext()
        self._returned: list[int] = []  # leases that were ours: most likely free

    def __enter__(self) -> memoryview[float]:
        self._lock.__enter__()
        return self.cells

    def __exit__(self, *_: object) -> None:
        self._lock.__exit__(None, None, None)

    def taken(self, now: float) -> int:
        """How many are taken at this moment."""
        cells = self.cells
        if not now < cells[RECOUNT_AT] <= now + RECOUNT_S:
            self._recount(now)
        cells[TOUCHED_AT] = now
        first, end = int(cells[FIRST]), int(cells[END])
        # Not `<= now`: what a broken file has there may be no number.
        while first < end and not cells[_QUEUE + first % _QUEUE_SIZE] > now:
            first += 1
        cells[FIRST] = first
        return end - first + int(cells[UNDER_WAY])

    def lease(self, until: float) -> int | None:
        """Take a place, for a request that is sent now; None when too many are under way.

        Args:
            until: When the place is free even if it is never given back.
        """
        cells = self.cells
        while self._returned:
            place = self._returned.pop()
            if not cells[place]:
                break
        else:
            free = (place for place in range(_LEASES, _QUEUE) if not cells[place])
            found = next(free, None)
            if found is None:
                return None
            place = found
        cells[place] = until
        cells[UNDER_WAY] += 1
        cells[SENT] += 1
        return place

    def give_back(self, place: int, until: float, free_at: float) -> None:
        """The answer is here: the lease that ended at `until` becomes an entry of the queue."""
        cells = self.cells
        end = int(cells[END])
        cells[_QUEUE + end % _QUEUE_SIZE] = free_at
        cells[END] = end + 1
        if cells[place] == until:  # or it has ended by itself, and may be another's now
            cells[place] = 0.0
            cells[UNDER_WAY] -= 1
            self._returned.append(place)

    def first_free_at(self) -> float:
        """When the first entry of the queue leaves it; infinity without one."""
        first = int(self.cells[FIRST])
        empty = first == self.cells[END]
        return float("inf") if empty else self.cells[_QUEUE + first % _QUEUE_SIZE]

    def _recount(self, now: float) -> None:
        """End the leases that nobody has given back, and mend what a killed process left."""
        cells = self.cells
        if not self._is_plausible(now):
            cells.cast("B")[:] = bytes(_SIZE)
        under_way = 0
        for place, until in enumerate(cells[_LEASES:_QUEUE].tolist(), start=_LEASES):
            if now < until <= now + _FARTHEST_S:
                under_way += 1
            elif until:
                cells[place] = 0.0
        cells[UNDER_WAY] = under_way
        cells[RECOUNT_AT] = now + RECOUNT_S

    def _is_plausible(self, now: float) -> bool:
        """Not after a restart of the machine, which sets the clock back, nor in a broken file."""
        cells = self.cells
        if not all(0 <= cell < _GREATEST for cell in cells[:_LEASES]):
            return False
        if cells[PERIOD_S] and not SHORTEST_PERIOD_S <= cells[PERIOD_S] <= LONGEST_PERIOD_S:
            return False
        moments = max(cells[OTHERS_UNTIL], cells[SLOWED_AT], cells[BOUND_UNTIL])
        queued = int(cells[END]) - int(cells[FIRST])
        first = cells[_QUEUE + int(cells[FIRST]) % _QUEUE_SIZE] if queued else 0.0
        return (
            cells[TOUCHED_AT] <= now + _CLOCK_SLACK_S
            and moments <= now + _FARTHEST_S
            and 0 <= queued <= _QUEUE_SIZE
            and 0 <= first <= now + _FARTHEST_S
        )


class _FileLock:
    """`flock` on an open file, which is closed when nobody needs the lock any more.

    It is held for microseconds, unless its holder is stopped (Ctrl-Z) in just these. Then we
    go on without it after a moment: a number may be off by one, but nobody waits for ever.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._patience_s = PATIENCE_S
        weakref.finalize(self, os.close, descriptor)

    def __enter__(self) -> None:
        deadline = time.monotonic() + self._patience_s
        while not self._is_taken():
            if time.monotonic() >= deadline:
                self._patience_s = 0.0  # until it is to be had again
                return
            time.sleep(_PAUSE_S)  # not awaited: no other task may come in between
        self._patience_s = PATIENCE_S

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _is_taken(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def budget_name(*parts: str) -> str:
    """A name for whatever has a limit of its own, such as a token; it does not give it away."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def shared_places(name: str, folder: Path | None = None) -> Places:
    """The places that all processes of this user on this machine share under a name.

    Places of this process alone where that cannot be: on Windows, which has no `flock`,
    and where the folder for it cannot be made or is another's.

    Args:
        name: As `budget_name` makes it.
        folder: Of this user alone; one in the folder for temporary files when left out.
    """
    if sys.platform == "win32":
        return Places()
    try:
        path = _own_folder(folder) / f"{name}.window1"  # another layout gets another number
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with (lock := _FileLock(descriptor)):
            os.utime(descriptor)
            missing = _SIZE - os.fstat(descriptor).st_size
            if missing > 0:  # written, not only made longer: a full disk is found out here
                os.pwrite(descriptor, bytes(missing), _SIZE - missing)
            memory = mmap.mmap(descriptor, _SIZE)
        _clear(path.parent)
    except (OSError, ValueError):
        return Places()
    return Places(memory, lock)


def _own_folder(folder: Path | None) -> Path:
    """The folder, made if need be.

    Raises:
        OSError: It is not a folder of this user alone.
    """
    user = os.getuid()
    folder = folder or Path(tempfile.gettempdir()) / f"crm-{user}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o077:
        raise OSError(f"{folder} must be a folder of this user alone")
    return folder


def _clear(folder: Path) -> None:
    """Remove what nobody has opened for a long time."""
    before = time.time() - _KEPT_S
    for path in folder.glob("*.window*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < before:
                path.unlink()
