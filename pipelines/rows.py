"""A table of text, as the warehouse gives it and the terminal shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rows:
    """A titled table of text; None is shown as nothing. Without rows `empty` is said instead."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | None]]
    empty: str = "nothing"
