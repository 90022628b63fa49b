"""What is left of a list of ids, as ranges that are read side by side; no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

WORTH_SPLITTING: Final = 1000
"""Ids that should be left in a range before two share it: each end of a range costs a request."""

_TEXT: Final = re.compile(r"\d{1,19}-\d{0,19}(,\d{1,19}-\d{0,19})*")


@dataclass(slots=True)
class IdRange:
    """Ids from `low` up to `high`, which is not in it; None: up to the last there will ever be.

    `density`: how many of its numbers are ids of records, as far as is known.
    """

    low: int
    high: int | None
    density: float | None = None
    is_taken: bool = False
    found: int = 0  # since `begun`
    begun: int = 0
    emptied: int = 0  # numbers above `high` that turned out to be of no record
    split_from: IdRange | None = None

    def left(self, greatest: int | None) -> float | None:
        """About how many ids are left, up to the greatest known; None: nobody knows."""
        end = self.high if self.high is not None else greatest
        if end is None or self.density is None:
            return None
        return max(end - self.low, 0) * self.density


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
        width = sum((high or greatest or 0) - low for low, high in ranges) + 1
        density = None if expected is None or width <= 0 else expected / width
        self._ranges = [IdRange(low, high, density) for low, high in ranges]
        self._greatest = greatest
        self._expected = expected

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __contains__(self, one: IdRange) -> bool:
        return any(other is one for other in self._ranges)

    def text(self) -> str | None:
        """What is left, such as "700-1000,5000-"; None when nothing is."""
        ends = (f"{one.low}-{'' if one.high is None else one.high}" for one in self._ranges)
        return ",".join(ends) or None

    def take(self, *, is_bounded: bool = False) -> IdRange | None:
        """A range that nobody else reads: one left over, or the half of one that is large.

        Args:
            is_bounded: Only ids up to the greatest that is known.

        Returns:
            None: There is none, or none worth it.
        """
        for one in self._ranges:
            if not one.is_taken and not (is_bounded and one.high is None):
                break
        else:
            split = self._split(is_bounded=is_bounded)
            if split is None:
                return None
            one = split
        one.is_taken, one.found, one.begun = True, 0, one.low
        return one

    def give_back(self, one: IdRange) -> None:
        """Leave what is left of a range to others."""
        one.is_taken = False

    def advance(
        self,
        one: IdRange,
        low: int | None,
        *,
        found: int,
        left: int | None,
        until: int | None = None,
    ) -> None:
        """So far a range is listed.

        Args:
            one: The range.
            low: Where it goes on; None, or a number beyond the range: it is at its end.
            found: Ids found on the way.
            left: Ids that were left before, where that is known.
            until: The end of these; None: up to the last.
        """
        one.found += found
        if self._expected is not None:
            self._expected -= found
        end = one.high if one.high is not None else self._greatest
        counted_to = until if until is not None else self._greatest
        if left is not None and counted_to is not None and counted_to > one.low:
            one.density = left / (counted_to - one.low)
        elif low is not None and low > one.begun:
            one.density = one.found / (low - one.begun + one.emptied)
        if one.split_from is not None and low is None and not one.found and end is not None:
            # Ids lie in clumps: where the upper part is empty, the rest may well be.
            one.split_from.emptied += end - one.begun
            one.split_from.density = (one.split_from.found + 1) / (
                one.split_from.low - one.split_from.begun + one.split_from.emptied
            )
        if low is None or (one.high is not None and low >= one.high):
            self._ranges = [other for other in self._ranges if other is not one]
        else:
            one.low = low

    def _split(self, *, is_bounded: bool) -> IdRange | None:
        largest = max(self._ranges, key=self._left, default=None)
        if largest is None or self._left(largest) < WORTH_SPLITTING:
            return None
        end = self._greatest + 1 if largest.high is None and self._greatest else largest.high
        middle = largest.low + ((end or 0) - largest.low) // 2
        position = next(i for i, one in enumerate(self._ranges, 1) if one is largest)
        upper = IdRange(middle, largest.high, largest.density, split_from=largest)
        if is_bounded and upper.high is None:
            # What is newer than all that is known stays with the list, which knows it at once.
            upper.high = end
            self._ranges.insert(position, IdRange(end or 0, None))
        self._ranges.insert(position, upper)
        largest.high = middle
        return upper

    def _left(self, one: IdRange) -> float:
        left = one.left(self._greatest) or 0.0
        return left if self._expected is None else min(left, self._expected)


def ranges_in(text: str) -> tuple[tuple[int, int | None], ...] | None:
    """The ends of ranges that `Ranges.text` wrote; None if it is something else."""
    if not _TEXT.fullmatch(text):
        return None
    ends = (part.split("-") for part in text.split(","))
    return tuple((int(low), int(high) if high else None) for low, high in ends)
