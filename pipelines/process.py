"""What this process asks of the allocators and of Python, once, before it reads and lands."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Final

import pyarrow as pa

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # in glibc's malloc.h
_MAPPED_BYTES: Final = 128 << 10
_ARENAS: Final = 2
_SWITCH_S: Final = 0.02


def prepare() -> None:
    """Have large blocks go back to the system when they are freed, and threads wait less.

    Left to itself, glibc keeps the bodies of answers for the next ones: after a million
    records 100 MB, in pieces that fit nothing else. Costs 10 to 20 % of CPU time.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):  # that is glibc
        libc.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        libc.mallopt(_M_ARENA_MAX, _ARENAS)
    pa.set_memory_pool(pa.system_memory_pool())
    gc.freeze()  # what is imported by now stays: looking through it again and again took 5 %
    gc.set_threshold(50_000)
    sys.setswitchinterval(_SWITCH_S)  # fetching and landing hand the interpreter over less often
