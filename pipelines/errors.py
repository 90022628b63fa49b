"""Everything that can stop a run, as one tree; each class knows its exit code.

* CrmError
  + ConfigError            2  a setting is missing or cannot work; nothing was sent
  + HubSpotError           4  HubSpot refused, or did not answer
    - TransientError       4  may succeed if sent again: 423, 429, 477, 5xx, 52x, no answer
    - DailyLimitError      4  the day's quota is used up; nothing helps until midnight
    - TerminalError        4  will not succeed if sent again: any other 4xx
      . AuthError          3  401 and 403: every later request would fail alike
  + IncompleteError        4  the sums of a run differ; run the same command again
  + WarehouseError         5  locked, unreadable or unwritable
  + Interrupted          130  stopped by Ctrl-C or SIGTERM; the checkpoint is kept

A record HubSpot does not have and a value that does not parse are not here:
they are rows in the table `errors`, and the run goes on.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar


class CrmError(Exception):
    """Raised on purpose: its text is one line that says what was wrong and what would be right."""

    exit_code: ClassVar[int] = 1


class ConfigError(CrmError):
    """A setting is missing or cannot work; nothing was sent."""

    exit_code = 2


class HubSpotError(CrmError):
    """HubSpot refused, or did not answer, after every retry that could help.

    Attributes hold what HubSpot said, for the row in `errors`; all may be None. `attempts`,
    `requested_at` (of the first) and `duration_ms` are those of the request, once it is over.
    """

    exit_code = 4
    attempts: int = 1
    requested_at: datetime | None = None
    duration_ms: int = 0

    def __init__(
        self,
        message: str,
        *,
        http_status: int | None = None,
        category: str | None = None,
        sub_category: str | None = None,
        correlation_id: str | None = None,
        context: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.category = category
        self.sub_category = sub_category
        self.correlation_id = correlation_id
        self.context = context


class TransientError(HubSpotError):
    """May succeed if sent again: 423, 429, 477, 5xx, 52x, a timeout, a broken connection.

    `retry_after` is in seconds, when HubSpot said so.
    """

    retry_after: float | None = None


class DailyLimitError(HubSpotError):
    """The account's quota for the day is used up; it resets at midnight in the account's zone."""


class TerminalError(HubSpotError):
    """Will not succeed if sent again: any other 4xx, or an answer that is not HubSpot's."""


class AuthError(TerminalError):
    """401 or 403: stop, every later request would fail alike."""

    exit_code = 3


class IncompleteError(CrmError):
    """The sums of a run differ: an id asked for is neither a row, nor merged, nor in `errors`."""

    exit_code = 4


class WarehouseError(CrmError):
    """The warehouse is locked, unreadable or unwritable; fetched data is kept for the next run."""

    exit_code = 5


class Interrupted(CrmError):
    """Stopped by Ctrl-C or SIGTERM; what was read has landed and the next run goes on there."""

    exit_code = 130


class MadeWay(Interrupted):
    """A long run let another `crm` have the warehouse, and goes on by itself after that."""
