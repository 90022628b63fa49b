"""How a run went: what its closing statement says, and with which status it goes into `runs`."""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.errors import AuthError, ConfigError, CrmError, IncompleteError, Interrupted
from pipelines.ledger import RunRow

log = logging.getLogger("crm")

COMPLETE, INCOMPLETE, FAILED, INTERRUPTED = "complete", "incomplete", "failed", "interrupted"


@dataclass(slots=True)
class Outcome:
    """What a run did, for its closing statement. `limit_share` is of HubSpot's 10 s limit."""

    runs: list[RunRow]
    archived: int = 0
    seconds: float = 0.0
    limit_share: float = 0.0
    notes: list[str] = field(default_factory=list)
    failure: CrmError | None = None


def unexpected(exc: Exception) -> IncompleteError:
    """An error that nobody raised on purpose, as one that may be told.

    Where and what kind, and no more: its text may hold a record's values.
    """
    log.debug("".join(traceback.format_tb(exc.__traceback__)))
    place = traceback.extract_tb(exc.__traceback__)[-1]
    return IncompleteError(
        f"an error that nobody expected ({type(exc).__name__} in {Path(place.filename).name}, "
        f"line {place.lineno}): what was read before it has landed; please report it, with what "
        "--verbose prints"
    )


def status_of(failure: CrmError | None) -> str:
    """The status of a run that ended with this."""
    match failure:
        case None:
            return COMPLETE
        case Interrupted():
            return INTERRUPTED
        case AuthError() | ConfigError():
            return FAILED
        case _:
            return INCOMPLETE
