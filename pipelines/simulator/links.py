"""The associations of a portal: made from the seed when first asked for, then kept."""

from __future__ import annotations

from random import Random
from threading import RLock
from typing import TYPE_CHECKING, Final, NamedTuple

from pipelines.simulator.link_types import PAIRS, USER, LinkType
from pipelines.simulator.pair import Pair

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from pipelines.simulator.definitions import Json
    from pipelines.simulator.link_types import PairKind
    from pipelines.simulator.records import Records

_FIRST_OWN_TYPE: Final = 501


class Link(NamedTuple):
    """One association type between two records, seen from one of them."""

    from_id: int
    to_id: int
    category: str
    type_id: int
    label: str | None


class Links:
    """Who is associated with whom, for every two object types.

    An archived record keeps its associations, but nobody sees them until it is restored.
    The portal may be changed by one thread while the server's reads it.

    Args:
        records: By object type.
        seed: Decides every association of a fresh portal.
    """

    def __init__(self, records: Mapping[str, Records], seed: int) -> None:
        self._records = records
        self._seed = seed
        self._lock = RLock()
        self._pairs: dict[tuple[str, str], Pair] = {}
        self._built_ids: dict[str, list[int]] = {}
        self._moves: list[tuple[str, int, int]] = []
        self._next_type = _FIRST_OWN_TYPE

    # Reading

    def page(
        self, from_type: str, to_type: str, from_id: int, *, after: int = 0, size: int
    ) -> tuple[list[Json], bool]:
        """So many live partners beyond the id `after`, as HubSpot sends them; are there more?"""
        with self._lock:
            pair, side = self._pair(from_type, to_type)
            if pair is None or self._records[from_type].live_one(from_id) is None:
                return [], False
            found: list[Json] = []
            for to_id in self._visible(pair, side, from_id, to_type, after):
                if len(found) == size:
                    return found, True
                types = pair.types(side, from_id, to_id)
                found.append({"toObjectId": to_id, "associationTypes": types})
            return found, False

    def truth(self, from_type: str, to_type: str) -> list[Link]:
        """Every association type between live records, by from, to, then labels first."""
        with self._lock:
            pair, side = self._pair(from_type, to_type)
            if pair is None:
                return []
            records = self._records[from_type]
            return [
                Link(from_id, to_id, *one.values())
                for from_id in pair.all(side)
                if records.live_one(from_id)
                for to_id in self._visible(pair, side, from_id, to_type, 0)
                for one in pair.types(side, from_id, to_id)
            ]

    def types(self, from_type: str, to_type: str) -> list[Json]:
        """The association types that there can be."""
        with self._lock:
            pair, side = self._pair(from_type, to_type)
            if pair is None:
                return []
            return [one.seen(side) for one in (pair.kind.plain, *pair.labels)]

    def _visible(
        self, pair: Pair, side: int, from_id: int, to_type: str, after: int
    ) -> Iterator[int]:
        records = self._records[to_type]
        return (one for one in pair.partners(side, from_id, after) if records.live_one(one))

    # Changing

    def link(
        self,
        from_type: str,
        from_id: int,
        to_type: str,
        to_ids: Sequence[int],
        labels: Collection[str],
    ) -> None:
        """Associate live records; see `Portal.link`."""
        with self._lock:
            pair, side = self._changeable(from_type, to_type)
            self._check(from_type, [from_id])
            self._check(to_type, to_ids)
            pair.add(side, from_id, to_ids, pair.named(side, labels))

    def unlink(self, from_type: str, from_id: int, to_type: str, to_ids: Sequence[int]) -> None:
        """End associations; see `Portal.unlink`."""
        with self._lock:
            pair, side = self._changeable(from_type, to_type)
            for to_id in to_ids:
                pair.remove(side, from_id, to_id)

    def relabel(
        self, from_type: str, from_id: int, to_type: str, to_id: int, labels: Collection[str]
    ) -> None:
        """Give an association these labels and no others; see `Portal.relabel`."""
        with self._lock:
            pair, side = self._changeable(from_type, to_type)
            if to_id not in pair.partners(side, from_id):
                raise KeyError(f"{from_type} {from_id} is not associated with {to_type} {to_id}")
            pair.label(side, from_id, to_id, pair.named(side, labels))

    def add_label(self, from_type: str, to_type: str, label: str, back: str) -> None:
        """Define a label; see `Portal.add_label`."""
        with self._lock:
            pair, side = self._changeable(from_type, to_type)
            names = (back, label) if side else (label, back)
            pair.labels.append(LinkType((self._next_type, self._next_type + 1), names, USER))
            self._next_type += 2

    def before_change(self, object_type: str) -> None:
        """Note which records there are, before one comes or goes.

        So associations made later are those that there would have been from the start.
        """
        with self._lock:
            if object_type not in self._built_ids:
                self._built_ids[object_type] = sorted(self._records[object_type].by_id)

    def merge(self, object_type: str, losers: Sequence[int], winner: int) -> None:
        """Move what the losers of a merge had to the winner."""
        with self._lock:
            moves = [(object_type, loser, winner) for loser in losers if loser != winner]
            self._moves += moves
            for pair in self._pairs.values():
                _replay(pair, moves)

    def _changeable(self, from_type: str, to_type: str) -> tuple[Pair, int]:
        pair, side = self._pair(from_type, to_type)
        if pair is None:
            raise KeyError(f"{from_type} and {to_type} cannot be associated")
        return pair, side

    def _check(self, object_type: str, ids: Sequence[int]) -> None:
        records = self._records[object_type]
        for record_id in ids:
            if records.live_one(record_id) is None:
                raise KeyError(f"no live record {record_id} in {object_type}")

    def _pair(self, from_type: str, to_type: str) -> tuple[Pair | None, int]:
        """What is between two object types, and the side that the first one named is."""
        for kind in PAIRS:
            names = (kind.first, kind.second)
            if {*names} == {from_type, to_type}:
                if names not in self._pairs:
                    self._pairs[names] = self._made(kind)
                return self._pairs[names], names.index(from_type)
        return None, 0

    def _made(self, kind: PairKind) -> Pair:
        made = Pair(kind)
        for object_type in (kind.first, kind.second):
            self.before_change(object_type)
        rng = Random(f"{self._seed}/{kind.first}/{kind.second}")
        made.fill(self._built_ids[kind.first], self._built_ids[kind.second], rng)
        _replay(made, self._moves)
        return made


def _replay(pair: Pair, moves: Sequence[tuple[str, int, int]]) -> None:
    names = (pair.kind.first, pair.kind.second)
    for object_type, old, new in moves:
        if object_type in names:
            pair.move(names.index(object_type), old, new)
