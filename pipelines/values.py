"""Values of a unique property, and the ids of the records that have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

OTHER_ADDRESSES: Final = "hs_additional_emails"
"""HubSpot finds a contact by a secondary address, too, and answers with the first one."""


class _Record(msgspec.Struct):
    id: str | int
    properties: dict[str, Any] = {}


class _Records(msgspec.Struct):
    results: list[_Record]


_RECORDS = msgspec.json.Decoder(_Records)


class Values:
    """What became of some values: the id of a record, or nothing yet.

    Args:
        id_property: What they are values of; HubSpot compares them without case.
        values: Distinct; some may be the same when case does not count.
    """

    def __init__(self, id_property: str, values: Sequence[str]) -> None:
        self.id_property = id_property
        self.properties = [id_property]
        if id_property == "email":
            self.properties.append(OTHER_ADDRESSES)
        self._ids: dict[str, str | None] = dict.fromkeys(values)
        self._spelled: dict[str, list[str]] = {}
        for value in values:
            self._spelled.setdefault(value.lower(), []).append(value)
        self._unmatched: set[str] = set()

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids found, each once."""
        return tuple(dict.fromkeys(one for one in self._ids.values() if one is not None))

    @property
    def missing(self) -> list[str]:
        """Values that no record is known to have."""
        return [value for value, record_id in self._ids.items() if record_id is None]

    @property
    def strangers(self) -> bool:
        """Whether a record came of which no value says for which it came."""
        return bool(self._unmatched - set(self.ids))

    def take(self, body: bytes, asked: Sequence[str]) -> int:
        """Book an answer of batch/read to some of the values; how many were found."""
        before = len(self.missing)
        records = _RECORDS.decode(body).results
        for record in records:
            record_id, matched = str(record.id), False
            for value in self._of(record):
                for spelled in self._spelled.get(value, ()):
                    self._ids[spelled] = record_id
                    matched = True
            if not matched and len(asked) == 1 and len(records) == 1:
                self._ids[asked[0]] = record_id
            elif not matched:
                self._unmatched.add(record_id)
        return before - len(self.missing)

    def _of(self, record: _Record) -> list[str]:
        texts = (record.properties.get(name) for name in self.properties)
        found = [text.lower() for text in texts if isinstance(text, str)]
        return [item for text in found for item in (text, *text.split(";"))]
