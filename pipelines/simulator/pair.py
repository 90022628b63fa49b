"""The associations between the records of two object types, in both directions."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from random import Random
from typing import TYPE_CHECKING, Final

from pipelines.simulator import contact_properties
from pipelines.simulator.link_types import PRIMARY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from pipelines.simulator.definitions import Json
    from pipelines.simulator.link_types import LinkType, PairKind

BUSIEST: Final = 1_100
"""So many partners has one record of a large portal: more than two pages of HubSpot's."""

_COUNTS: Final = (0, 1, 2, 3)
_SHARES: Final = (20, 60, 12, 8)
_WITHOUT: Final = 10
"""One in so many records of the first type is nobody's partner."""
_LABELLED_SHARE: Final = 0.15


class Pair:
    """Who is associated with whom; every method takes the side that it looks from, 0 or 1.

    Most associations have only the plain type, so labels are kept apart from partners.
    """

    def __init__(self, kind: PairKind) -> None:
        self.kind = kind
        self.labels = list(kind.labels)
        self._partners: tuple[dict[int, list[int]], dict[int, list[int]]] = ({}, {})
        self._labelled: dict[tuple[int, int], frozenset[LinkType]] = {}
        self._seen: dict[tuple[frozenset[LinkType], int], list[Json]] = {}

    def fill(self, firsts: Sequence[int], seconds: Sequence[int], rng: Random) -> None:
        """Associate the ids of a fresh portal, both ascending; one of the first has very many."""
        if not firsts or not seconds:
            return
        chosen = [one for rank, one in enumerate(firsts) if rank % _WITHOUT != _WITHOUT - 1]
        busiest = contact_properties.EXAMPLE_ID
        busiest = busiest if self.kind.first == "contacts" else chosen[len(chosen) // 2]
        many = set(rng.sample(seconds, min(BUSIEST, len(seconds) // 2)))
        counts = rng.choices(_COUNTS, _SHARES, k=len(seconds))
        for second, count in zip(seconds, counts, strict=True):
            found = {chosen[int(rng.random() * len(chosen))] for _ in range(count)}
            if second in many:
                found.add(busiest)
            for rank, first in enumerate(sorted(found)):
                self._partners[0].setdefault(first, []).append(second)
                self._partners[1].setdefault(second, []).append(first)
                if self.labels:
                    self._label_some(first, second, rng, is_main=not rank)

    def _label_some(self, first: int, second: int, rng: Random, *, is_main: bool) -> None:
        given = frozenset(
            one
            for one in self.labels
            if (is_main if PRIMARY in one.labels else rng.random() < _LABELLED_SHARE)
        )
        if given:
            self._labelled[first, second] = given

    # Reading

    def all(self, side: int) -> Iterator[int]:
        """Every id that has a partner."""
        return iter(sorted(self._partners[side]))

    def partners(self, side: int, one: int, after: int = 0) -> Iterator[int]:
        """Ascending ids beyond `after`."""
        found = self._partners[side].get(one, [])
        return iter(found[bisect_right(found, after) :])

    def types(self, side: int, one: int, other: int) -> list[Json]:
        """The types of one association as HubSpot sends them: labels, then the plain one."""
        given = self._labelled.get(_key(side, one, other), frozenset())
        if (given, side) not in self._seen:
            ordered = sorted(given, key=lambda label: label.type_ids[side])
            self._seen[given, side] = [label.seen(side) for label in (*ordered, self.kind.plain)]
        return self._seen[given, side]

    def named(self, side: int, names: Collection[str]) -> frozenset[LinkType]:
        """Labels by what this side calls them.

        Raises:
            KeyError: There is no such label.
        """
        known = {label.labels[side]: label for label in self.labels}
        return frozenset(known[name] for name in names)

    # Changing

    def add(
        self, side: int, one: int, others: Iterable[int], labels: frozenset[LinkType] = frozenset()
    ) -> None:
        """Associate, or give further labels to what is associated."""
        mine = self._partners[side].setdefault(one, [])
        known, added = set(mine), list(dict.fromkeys(others))
        new = [other for other in added if other not in known]
        mine[:] = sorted([*mine, *new])
        for other in new:
            theirs = self._partners[1 - side].setdefault(other, [])
            if theirs and theirs[-1] > one:
                insort(theirs, one)
            else:
                theirs.append(one)
        if labels:
            for other in added:
                given = self._labelled.get(_key(side, one, other), frozenset())
                self.label(side, one, other, given | labels)

    def label(self, side: int, one: int, other: int, labels: frozenset[LinkType]) -> None:
        """Give an association these labels and no others; a new primary one takes over."""
        first, second = _key(side, one, other)
        for label in labels:
            if PRIMARY in label.labels:
                for rival in self._partners[1][second]:
                    self._set(rival, second, self._given(rival, second) - {label})
        self._set(first, second, labels)

    def remove(self, side: int, one: int, other: int) -> None:
        """End an association.

        Raises:
            KeyError: There is none.
        """
        for near, this, that in ((side, one, other), (1 - side, other, one)):
            ids = self._partners[near].get(this, [])
            at = bisect_left(ids, that)
            if ids[at : at + 1] != [that]:
                raise KeyError(f"{one} is not associated with {other}")
            del ids[at]
        self._labelled.pop(_key(side, one, other), None)

    def move(self, side: int, old: int, new: int) -> None:
        """Give `new` every association of `old`; a primary one only where it has none."""
        for other in list(self._partners[side].get(old, ())):
            labels = self._given(*_key(side, old, other))
            self.remove(side, old, other)
            if side == 1 and any(PRIMARY in one.labels for one in labels & self._all_given(new)):
                labels = frozenset(one for one in labels if PRIMARY not in one.labels)
            self.add(side, new, [other], labels)

    def _all_given(self, second: int) -> frozenset[LinkType]:
        """Every label of a record of the second type."""
        firsts = self._partners[1].get(second, ())
        return frozenset().union(*(self._given(first, second) for first in firsts))

    def _given(self, first: int, second: int) -> frozenset[LinkType]:
        return self._labelled.get((first, second), frozenset())

    def _set(self, first: int, second: int, labels: frozenset[LinkType]) -> None:
        if labels:
            self._labelled[first, second] = labels
        else:
            self._labelled.pop((first, second), None)


def _key(side: int, one: int, other: int) -> tuple[int, int]:
    return (other, one) if side else (one, other)
