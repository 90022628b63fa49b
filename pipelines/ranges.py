"""What is left of a list of ids, as ranges that are read side by side; no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

WORTH_SPLITTING: Final = 1000
"""Ids that should be left in a range before two share it, at least: each end of a range costs a
request."""
SHARES: Final = 30
"""And at least one in so many of all that are expected."""

_TEXT: Final = re.compile(r"\d{1,19}-\d{0,19}(,\d{1,19}-\d{0,19})*")


@dataclass(slots=True, eq=False)
class IdRange:
    """Ids from `low` up to `high`, which is not in it; None: up to the last there will ever be.

    `left`: about how many records have ids in it; None: nobody knows. `is_counted`: that is what
    HubSpot counts. `found`: ids found on the way up from `begun`.
    """

    low: int
    high: int | None
    left: float | None = None
    is_counted: bool = False
    begun: int = 0
    found: int = 0
    up: Reader | None = None
    down: Reader | None = None

    def middle(self, end: int) -> int:
        """Where about half of what is left lies, if ids go on as close together as so far."""
        width = end - self.low
        if self.found and self.left is not None:
            width = min(width, round(self.left * (self.low - self.begun) / self.found))
        return self.low + max(width, 2) // 2


@dataclass(slots=True, eq=False)
class Reader:
    """Lists a range from its low end up, or from its high end down.

    Two may share a range, one of each kind: they meet where they meet, and no request is spent
    on where they part. `range` is another one once it was split between them.
    """

    range: IdRange
    is_down: bool


class Ranges:
    """Ranges of ids that are still to be listed, none of which overlap.

    Args:
        ranges: At the beginning; one that holds every id when left out.
        greatest: The greatest id there is, as far as is known.
        expected: How many ids there are, as far as is known.
    """

    def __init__(
        self,
        ranges: tuple[tuple[int, int | None], ...] = ((0, None),),
        *,
        greatest: int | None = None,
        expected: int | None = None,
    ) -> None:
        share = None if expected is None else expected / len(ranges)
        self._ranges = [IdRange(low, high, share, begun=low) for low, high in ranges]
        self._greatest = greatest
        self._worth = max(WORTH_SPLITTING, (expected or 0) // SHARES)

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __contains__(self, reader: Reader) -> bool:
        return reader.range in self._ranges

    def text(self) -> str | None:
        """What is left, such as "700-1000,5000-"; None when nothing is."""
        ends = (f"{one.low}-{'' if one.high is None else one.high}" for one in self._ranges)
        return ",".join(ends) or None

    def take(self, *, is_down: bool = False) -> Reader | None:
        """A range to list from one of its ends: one that nobody lists, else one to share.

        What is newer than the greatest id that is known is only listed going up.

        Returns:
            None: There is none, or none worth it.
        """
        one = self._unread(is_down=is_down) or self._shared(is_down=is_down)
        if one is None:
            return None
        reader = Reader(one, is_down)
        if is_down:
            self._close(one)
            one.down = reader
        else:
            one.up = reader
        return reader

    def give_back(self, reader: Reader) -> None:
        """Leave what is left of a range to others."""
        if reader.is_down:
            reader.range.down = None
        else:
            reader.range.up = None

    def advance(self, reader: Reader, end: int | None, *, found: int, left: int | None) -> None:
        """So far a range is listed.

        Args:
            reader: Who lists it.
            end: Where it goes on, up or down; None, or beyond the other end: nothing is left.
            found: Ids found on the way.
            left: Ids that were left before, where that is known.
        """
        one = reader.range
        if left is not None:
            self._correct(one, left)
        one.left = max((found if one.left is None else one.left) - found, 0)
        if not reader.is_down:
            one.found += found
        low, high = (one.low, end) if reader.is_down else (end, one.high)
        if end is None or low is None or (high is not None and low >= high):
            self._correct(one, 0)
            self._ranges.remove(one)
        else:
            one.low, one.high = low, high

    def _correct(self, one: IdRange, left: float) -> None:
        """So many are left in fact. What was expected here and is not must be in another range.

        Ids lie in clumps: there are small old ones, and new ones with twelve digits. So half of
        the ids of a range may hold nearly all of its records, and what one half has not, the
        other has: the nearest range that was not counted itself.
        """
        surplus = (left if one.left is None else one.left) - left
        one.left, one.is_counted = left, True
        place = self._ranges.index(one)
        heirs = [n for n, other in enumerate(self._ranges) if not other.is_counted]
        if heirs:
            heir = self._ranges[min(heirs, key=lambda n: abs(n - place))]
            heir.left = max((heir.left or 0) + surplus, 0)

    def _unread(self, *, is_down: bool) -> IdRange | None:
        for one in self._ranges:
            is_known = self._greatest is not None and (self._end_of(one) or 0) > one.low
            if one.up is one.down is None and (is_known or not is_down):
                return one
        return None

    def _shared(self, *, is_down: bool) -> IdRange | None:
        """The largest range, from the end at which nobody lists it, or else the half of it."""
        largest = max(self._ranges, key=self._left, default=None)
        if largest is None or self._left(largest) < self._worth:
            return None
        if is_down and self._greatest is None:
            return None
        if (largest.down if is_down else largest.up) is None:
            return largest
        middle = largest.middle(self._end_of(largest) or 0)
        half = None if largest.left is None else largest.left / 2
        upper = IdRange(middle, largest.high, half, begun=middle)
        self._ranges.insert(self._ranges.index(largest) + 1, upper)
        largest.high, largest.left, largest.is_counted = middle, half, False
        if largest.down is not None:
            upper.down, largest.down = largest.down, None
            upper.down.range = upper
        return largest if is_down else upper

    def _close(self, one: IdRange) -> None:
        """Leave what is newer than all that is known to the list, which knows it at once."""
        end = self._end_of(one)
        if end is not None and end != one.high:
            self._ranges.insert(self._ranges.index(one) + 1, IdRange(end, one.high, 0, begun=end))
            one.high = end

    def _left(self, one: IdRange) -> float:
        """About how many are left, as far as they can be shared."""
        end = self._end_of(one)
        return 0 if end is None else min(one.left or 0, (end - one.low) / 2)

    def _end_of(self, one: IdRange) -> int | None:
        """Up to where it is known, however far beyond that somebody asked for."""
        if self._greatest is None:
            return one.high
        end = self._greatest + 1
        return end if one.high is None else min(one.high, end)


def ranges_in(text: str) -> tuple[tuple[int, int | None], ...] | None:
    """The ends of ranges that `Ranges.text` wrote; None if it is something else."""
    if not _TEXT.fullmatch(text):
        return None
    ends = (part.split("-") for part in text.split(","))
    return tuple((int(low), int(high) if high else None) for low, high in ends)
