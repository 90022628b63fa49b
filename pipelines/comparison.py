"""Do two versions of the API say the same of one object type? Both as plain data, cell by cell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby

MOST_IDS = 5
MOST_NAMES = 20
"""So many are named of each kind of difference; the others are counted."""

Cells = Mapping[str, str | None]
"""A record's values by property, as sent. None, "" and an absent key are all no value."""


class What(StrEnum):
    """In what two sides can differ."""

    DEFINITION = "defines"
    TYPE = "types"
    LISTED = "lists"
    RETURNED = "returns"
    ERROR = "errors"
    VALUE = "values"


class Side(StrEnum):
    """Which side has something; BOTH: they do, and differ in it."""

    ONE = "one"
    OTHER = "other"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Sample:
    """What one version of the API says of one object type.

    Attributes:
        types: Of each property that would be read, HubSpot's type and the column's.
        listed: Ids on the first page of its lists.
        records: Those returned, by id.
        errors: Category of each id that was asked for and not returned.
    """

    types: Mapping[str, str] = field(default_factory=dict)
    listed: Set[str] = frozenset()
    records: Mapping[str, Cells] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which the sides differ. No value is in it: values may be personal data.

    `name` is a property, "" where it is about whole records; `ids` are those of the records
    concerned, none for a definition; `types` are what each side says of a TYPE.
    """

    what: What
    side: Side
    name: str = ""
    ids: frozenset[str] = frozenset()
    types: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many records and cells were held against each other, and what was not the same."""

    records: int
    cells: int
    differences: tuple[Difference, ...]

    @property
    def is_equal(self) -> bool:
        """Nothing differs."""
        return not self.differences

    def confirmed_by(self, again: Comparison) -> Comparison:
        """The differences that a second comparison finds too; the others were changes meanwhile."""
        later = {(d.what, d.side, d.name): d for d in again.differences}
        kept = [
            replace(difference, ids=difference.ids & same.ids)
            for difference in self.differences
            if (same := later.get((difference.what, difference.side, difference.name)))
            and (difference.ids & same.ids or not difference.ids)
        ]
        return Comparison(again.records, again.cells, tuple(kept))


def compare(one: Sample, other: Sample) -> Comparison:
    """Hold two samples against each other.

    A property that only one side defines is one difference, and its values are not
    compared; a record that only one side returns is another.
    """
    both = one.records.keys() & other.records.keys()
    undefined = one.types.keys() ^ other.types.keys()
    cells, values = 0, defaultdict[tuple[Side, str], set[str]](set)
    for record_id in both:
        here, there = one.records[record_id], other.records[record_id]
        names = (here.keys() | there.keys()) - undefined
        cells += len(names)
        for name in names:
            if side := _side(here.get(name), there.get(name)):
                values[side, name].add(record_id)
    found = [
        *_definitions(one.types, other.types),
        *_lopsided(What.LISTED, one.listed, other.listed),
        *_lopsided(What.RETURNED, one.records.keys(), other.records.keys()),
        *_errors(one.errors, other.errors),
        *(Difference(What.VALUE, *where, frozenset(ids)) for where, ids in values.items()),
    ]
    return Comparison(len(both), cells, tuple(sorted(found, key=_place)))


def described(comparison: Comparison, one: str, other: str) -> str:
    """A comparison in words, on one line; `one` and `other` are what the sides are called."""
    counts = f"{comparison.records:,} records, {comparison.cells:,} cells"
    if comparison.is_equal:
        return f"{one} and {other} agree: {counts}"
    parts = [
        _described(what, side, list(differences), one, other)
        for (what, side), differences in groupby(
            comparison.differences, key=lambda difference: (difference.what, difference.side)
        )
    ]
    return f"{one} and {other} differ ({counts} compared): {'; '.join(parts)}"


def _side(one: str | None, other: str | None) -> Side | None:
    """Which side has a value, when they are not alike."""
    if (one or None) == (other or None):
        return None
    if one and other:
        return Side.BOTH
    return Side.ONE if one else Side.OTHER


def _definitions(one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[Difference]:
    for name in one.keys() | other.keys():
        here, there = one.get(name), other.get(name)
        if here is not None and there is not None:
            if here != there:
                yield Difference(What.TYPE, Side.BOTH, name, types=(here, there))
        else:
            side = Side.OTHER if here is None else Side.ONE
            yield Difference(What.DEFINITION, side, name)


def _lopsided(what: What, one: Set[str], other: Set[str]) -> Iterator[Difference]:
    for side, ids in ((Side.ONE, one - other), (Side.OTHER, other - one)):
        if ids:
            yield Difference(what, side, ids=frozenset(ids))


def _errors(one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[Difference]:
    shared = one.keys() & other.keys()
    if ids := frozenset(record_id for record_id in shared if one[record_id] != other[record_id]):
        yield Difference(What.ERROR, Side.BOTH, ids=ids)


def _place(difference: Difference) -> tuple[int, str, str]:
    return list(What).index(difference.what), difference.side.value, difference.name


def _described(what: What, side: Side, differences: list[Difference], one: str, other: str) -> str:
    only = f"only {one if side is Side.ONE else other}"
    match what:
        case What.DEFINITION:
            return f"{only} {what} {_some((d.name for d in differences), MOST_NAMES)}"
        case What.LISTED | What.RETURNED:
            return f"{only} {what} {_ids(differences[0].ids)}"
        case What.ERROR:
            return f"another error category for {_ids(differences[0].ids)}"
        case What.TYPE:
            said = (
                f"{d.name} ({d.types[0]} in {one}, {d.types[1]} in {other})" for d in differences
            )
            return f"types differ of {_some(said, MOST_NAMES)}"
        case What.VALUE:
            where = (f"{d.name.lstrip('@')} ({_ids(d.ids)})" for d in differences)
            begin = "values differ of" if side is Side.BOTH else f"{only} has values of"
            return f"{begin} {_some(where, MOST_NAMES)}"


def _ids(ids: Iterable[str]) -> str:
    ordered = sorted(ids, key=lambda record_id: (len(record_id), record_id))
    noun = "record" if len(ordered) == 1 else "records"
    return f"{len(ordered):,} {noun}: {_some(ordered, MOST_IDS)}"


def _some(items: Iterable[str], most: int) -> str:
    every = list(items)
    more = len(every) - most
    return ", ".join(every[:most]) + (f" and {more:,} more" if more > 0 else "")
