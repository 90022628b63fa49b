"""Reading again what could not be had: the ids of unresolved errors that may be mended so."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from pipelines import recall
from pipelines.outcome import Outcome
from pipelines.progress import View
from pipelines.settings import Settings
from pipelines.stream import Bounds
from pipelines.sync import sync
from pipelines.warehouse import Warehouse


def retry(
    settings: Settings,
    warehouse: Warehouse,
    object_types: Sequence[str],
    *,
    view: View,
    stop: threading.Event,
    bounds: Bounds = Bounds(),
) -> Outcome | None:
    """Read the records of unresolved, retryable errors once more; None when there are none.

    What lands is resolved, what fails again is the same row of `errors`.

    Raises:
        WarehouseError: What was read could not be loaded; the next run loads it first.
    """
    found = {name: recall.retryable_ids(warehouse, name) for name in object_types}
    ids = {name: some for name, some in found.items() if some}
    if not ids:
        return None
    return sync(
        settings,
        warehouse,
        tuple(ids),
        view=view,
        stop=stop,
        ids=ids,
        command="retry",
        bounds=bounds,
    )
