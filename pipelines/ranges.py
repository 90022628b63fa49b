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

    `left`: about how many records have ids in it; None: nobody knows. `sibling`: the range that
    it was split from, which has what this one turns out not to have.
    """

    low: int
    high: int | None
    left: float | None = None
    found: int = 0
    is_taken: bool = False
    sibling: IdRange | None = None
    begun: int = 0

    def middle(self, end: int) -> int:
        """Where about half of what is left lies, if ids go on as close together as so far."""
        width = end - self.low
        if self.found and self.left is not None:
            width = min(width, round(self.left * (self.low - self.begun) / self.found))
        return self.low + max(width, 2) // 2


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

    def __contains__(self, one: IdRange) -> bool:
        return one in self._ranges

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
        one.is_taken = True
        return one

    def give_back(self, one: IdRange) -> None:
        """Leave what is left of a range to others."""
        one.is_taken = False

    def advance(self, one: IdRange, low: int | None, *, found: int, left: int | None) -> None:
        """So far a range is listed.

        Args:
            one: The range.
            low: Where it goes on; None, or a number beyond the range: it is at its end.
            found: Ids found on the way.
            left: Ids that were left before, where that is known.
        """
        one.found += found
        if left is not None:
            self._correct(one, left)
        one.left = max((one.found if one.left is None else one.left) - found, 0)
        if low is None or (one.high is not None and low >= one.high):
            self._correct(one, 0)
            self._ranges.remove(one)
        else:
            one.low = low

    def _correct(self, one: IdRange, left: float) -> None:
        """So many are left in fact. What was expected here and is not must be in its sibling.

        Ids lie in clumps: there are small old ones, and new ones with twelve digits.
        """
        surplus = (left if one.left is None else one.left) - left
        one.left = left
        heir = one.sibling
        while heir is not None and heir not in self._ranges:
            heir = heir.sibling
        if heir is None and surplus > 0:
            heir = next((other for other in self._ranges if other is not one), None)
        if heir is not None and heir.left is not None:
            heir.left = max(heir.left + surplus, 0)

    def _split(self, *, is_bounded: bool) -> IdRange | None:
        largest = max(self._ranges, key=self._left, default=None)
        if largest is None or self._left(largest) < self._worth:
            return None
        end = self._end(largest) or 0
        middle = largest.middle(end)
        position = self._ranges.index(largest) + 1
        half = None if largest.left is None else largest.left / 2
        upper = IdRange(middle, largest.high, half, sibling=largest, begun=middle)
        if is_bounded and upper.high is None:
            # What is newer than all that is known stays with the list, which knows it at once.
            upper.high = end
            self._ranges.insert(position, IdRange(end, None, 0, begun=end))
        self._ranges.insert(position, upper)
        largest.high, largest.left = middle, half
        return upper

    def _left(self, one: IdRange) -> float:
        """About how many are left, as far as they can be shared."""
        end = self._end(one)
        return 0 if end is None else min(one.left or 0, (end - one.low) / 2)

    def _end(self, one: IdRange) -> int | None:
        if one.high is not None or self._greatest is None:
            return one.high
        return self._greatest + 1


def ranges_in(text: str) -> tuple[tuple[int, int | None], ...] | None:
    """The ends of ranges that `Ranges.text` wrote; None if it is something else."""
    if not _TEXT.fullmatch(text):
        return None
    ends = (part.split("-") for part in text.split(","))
    return tuple((int(low), int(high) if high else None) for low, high in ends)
