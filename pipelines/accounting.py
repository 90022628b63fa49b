"""What became of each id asked for: a record, another record that it was merged into, or an error.

By set, never by position or count: HubSpot answers in its own order, leaves ids out,
answers some under another id, and counts entries of `errors` rather than ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pipelines.errors import IncompleteError
from pipelines.hubspot.client import BatchAnswer
from pipelines.idpages import IdPage
from pipelines.ledger import BatchRow, ErrorRow

MERGE_PROPERTIES = ("hs_merged_object_ids", "hs_calculated_merged_vids", "hs_all_contact_vids")
"""Where HubSpot names the records that were merged into this one."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of one page of ids. Every id asked for is in exactly one of the last three."""

    page: IdPage
    answers: tuple[bytes, ...]  # as HubSpot sent them; emptied once they are typed
    requests: tuple[BatchRow, ...]
    unasked: frozenset[str]  # ids in `answers` that were not asked for, merged ones among them
    loaded: frozenset[str]  # asked for, and in `answers` under this id
    aliases: dict[str, str]  # asked for, and answered under another id
    errors: tuple[ErrorRow, ...]  # asked for, and not to be had; one row per id
    merged: dict[str, str] = field(default_factory=dict)  # ids that records here say were merged

    def check(self) -> None:
        """Hold the sums against the ids asked for.

        Raises:
            IncompleteError: An id is in none of the three, or in two.
        """
        asked = set(self.page.ids)
        failed = {row.object_id for row in self.errors}
        parts = (self.loaded, self.aliases.keys(), failed)
        if asked != set().union(*parts) or len(asked) != sum(map(len, parts)):
            raise IncompleteError(
                f"{len(asked)} ids were asked for, but {len(self.loaded)} loaded, "
                f"{len(self.aliases)} merged and {len(failed)} failed do not add up to them; "
                "run the same command again, and report this if it comes back"
            )


class _Record(msgspec.Struct):
    id: str | int
    properties: Any = None


class _Records(msgspec.Struct):
    results: list[_Record]


_MERGED = msgspec.json.Decoder(_Records)
_NAMES_MERGES = re.compile(rb'"hs_(?:merged_object_ids|calculated_merged_vids)"\s*:\s*"[^"]')
"""In an answer with a record that others were merged into; next to none has one."""


@dataclass(slots=True)
class Tally:
    """A `Batch` in the making."""

    missing: set[str]
    answers: list[bytes] = field(default_factory=list)
    requests: list[BatchRow] = field(default_factory=list)
    unasked: set[str] = field(default_factory=set)
    loaded: set[str] = field(default_factory=set)
    aliases: dict[str, str] = field(default_factory=dict)
    errors: dict[str, ErrorRow] = field(default_factory=dict)
    merged: dict[str, str] = field(default_factory=dict)

    def take(self, answer: BatchAnswer, asked: Iterable[str]) -> None:
        """Book what came back for these ids; what did not stays in `missing`."""
        returned = set(answer.ids)
        self.answers.append(answer.body)
        found = returned & self.missing
        self.loaded |= found
        self.missing -= found
        self.unasked |= returned.difference(asked)
        if self.missing or _NAMES_MERGES.search(answer.body):
            self._follow_merges(answer)

    def merge(self, part: Tally) -> None:
        """Book what came back for some of the ids that were asked for apart."""
        self.requests += part.requests
        self.answers += part.answers
        self.unasked |= part.unasked
        self.loaded |= part.loaded
        self.aliases |= part.aliases
        self.errors |= part.errors
        self.merged |= part.merged
        self.missing -= part.aliases.keys() | part.loaded | part.errors.keys()

    def fail(self, rows: Iterable[ErrorRow]) -> None:
        """Book ids that are not to be had; those that came all the same stay as they are."""
        for row in rows:
            if row.object_id in self.missing:
                self.errors[row.object_id] = row
        self.missing -= self.errors.keys()

    def batch(self, page: IdPage) -> Batch:
        """The result, checked.

        Raises:
            IncompleteError: The sums differ.
        """
        batch = Batch(
            page=page,
            answers=tuple(self.answers),
            requests=tuple(self.requests),
            unasked=frozenset(self.unasked),
            loaded=frozenset(self.loaded),
            aliases=self.aliases,
            errors=tuple(self.errors.values()),
            merged=self.merged,
        )
        batch.check()
        return batch

    def _follow_merges(self, answer: BatchAnswer) -> None:
        """Ids that a returned record says were merged into it."""
        try:
            records = _MERGED.decode(answer.body).results
        except msgspec.DecodeError:
            return  # an odd answer names no merges; its ids are looked for one by one
        for record in records:
            current_id = str(record.id)
            old_ids = _merged_ids(record.properties) - {current_id, ""}
            self.aliases |= dict.fromkeys(old_ids & self.missing, current_id)
            self.merged |= dict.fromkeys(old_ids, current_id)
        self.missing -= self.aliases.keys()


def _merged_ids(properties: object) -> set[str]:
    """Every id a record says was merged into it; some come as `id:epoch ms`."""
    if not isinstance(properties, dict):
        return set()
    texts = (properties.get(name) for name in MERGE_PROPERTIES)
    return {
        item.partition(":")[0]
        for text in texts
        if isinstance(text, str)
        for item in text.split(";")
    }
