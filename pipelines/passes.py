"""The sums of one step of a run, held against the rows of its table once it has landed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipelines import recall
from pipelines.errors import IncompleteError
from pipelines.landing import Chunk
from pipelines.steps import Step
from pipelines.typed import Typed
from pipelines.warehouse import Warehouse


@dataclass(slots=True)
class Pass:
    """One pass over the ids of a step."""

    object_type: str
    step: Step
    began_at: datetime | None = None  # the first `synced_at`
    loaded: int = 0
    winners: set[str] = field(default_factory=set)  # records that came for a merged-away id
    is_fresh: bool = True

    def take(self, ready: Typed) -> None:
        """Book what lands together."""
        if self.began_at is None:
            self.began_at = ready.seen_at
        self.loaded += len(ready.loaded)
        self.winners |= ready.winners
        self.is_fresh &= ready.is_fresh

    def may_repeat(self, chunk: Chunk) -> bool:
        """Whether a record of this chunk may have landed before, in place of another."""
        return bool(self.winners) and any(self.winners & part.loaded for part in chunk.parts)

    def expected(self) -> dict[str, Any] | None:
        """What `check` needs, as it is kept with the last chunk; None when nothing was read."""
        if self.began_at is None:
            return None
        return {
            "step": self.step.name,
            "since": self.began_at.isoformat(),
            "least": self.loaded if self.is_fresh else 0,
            "most": self.loaded + len(self.winners),
        }


def check_landed(
    warehouse: Warehouse, object_type: str, expected: Mapping[str, Any], later: int
) -> None:
    """`check` with the rows that the table has."""
    since = datetime.fromisoformat(expected["since"])
    found = recall.count_rows(warehouse, object_type, synced_since=since)
    check(object_type, expected, found, later)


def check(object_type: str, expected: Mapping[str, Any], found: int, later: int = 0) -> None:
    """Hold the rows found in the table since a step began against what it read.

    `later`: rows that landed since of other steps, some of which may be in place of its own.

    Raises:
        IncompleteError: They differ.
    """
    if not expected["least"] <= found <= expected["most"] + later:
        raise IncompleteError(
            f"{expected['most']} {object_type} were read ({expected['step']}), but the table has "
            f"{found} of them: run the same command again, which reads all of them anew"
        )
