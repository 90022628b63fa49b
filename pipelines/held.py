"""Small chunks that wait to land together: a load package costs as much with one as with many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipelines.landing import Landing, together
from pipelines.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Ready:
    """A chunk as rows for tables, and the state that lands with them.

    `room`: what its records took of that for records at risk, and what is given back when they
    are on disk. `expected`: of the table, once this has landed; see `passes.check`. `on_disk`:
    called once a killed process would no longer lose the rows.
    """

    object_type: str
    landings: list[Landing]
    state: dict[str, Any]
    rows: int
    room: int = 0
    expected: Mapping[str, Any] | None = None
    on_disk: Callable[[], None] = lambda: None


class Held:
    """What is ready and has not landed. `has_landed`: something has, and where to go on with it."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.has_landed = False
        self._warehouse = warehouse
        self._ready: list[Ready] = []

    @property
    def room(self) -> int:
        """What all of it took of the room for records at risk."""
        return sum(ready.room for ready in self._ready)

    def has(self, object_type: str) -> bool:
        """Whether something of it is held."""
        return any(ready.object_type == object_type for ready in self._ready)

    def add(self, ready: Ready) -> None:
        """Hold this, too."""
        self._ready.append(ready)

    def land(self) -> list[Ready]:
        """Land all of it, in one load package; what it was, in its order, without its rows.

        No frame on the way to dlt may hold rows: it keeps frames.

        Raises:
            WarehouseError: It stays on disk, and the next run loads it first.
        """
        held, self._ready = self._ready, []
        landings = _one_of_each([one for ready in held for one in ready.landings])
        state = {key: one for ready in held for key, one in ready.state.items()}
        for ready in held:
            ready.landings.clear()
        if landings:
            self._warehouse.land(landings, state=state, on_disk=partial(_tell, held))
            self.has_landed = True
        else:
            _tell(held)
        return held


def _tell(held: Sequence[Ready]) -> None:
    """That it is on disk."""
    for ready in held:
        ready.on_disk()


def _one_of_each(landings: Sequence[Landing]) -> list[Landing]:
    """The same rows with one landing for each table; of rows with the same key the last."""
    by_table: dict[str, list[Landing]] = {}
    for one in landings:
        by_table.setdefault(one.table, []).append(one)
    return [together(some) for some in by_table.values()]
