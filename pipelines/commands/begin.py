"""How commands begin, and how those end that read from HubSpot."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pipelines.options import LogFormat

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from pipelines.outcome import Outcome
    from pipelines.output import Output
    from pipelines.plan import Plan
    from pipelines.settings import Settings
    from pipelines.warehouse import Warehouse

T = TypeVar("T")


def output_of(*, quiet: bool, log_format: LogFormat, verbose: bool) -> Output:
    """Where a command prints, by its options."""
    from pipelines.output import Output

    return Output(is_quiet=quiet, is_json=log_format is LogFormat.JSON, is_verbose=verbose)


@dataclass(frozen=True, slots=True)
class Begun:
    """A command that reads from HubSpot: what it was told, checked before the first request."""

    output: Output
    object_types: tuple[str, ...]
    path: Path
    settings: Settings
    wait_s: float

    def plan(self, plan: Plan) -> None:
        """Print what it would take.

        Raises:
            CrmError: It cannot be done, for what the plan says.
        """
        self.output.plan(plan)
        plan.check()

    def interruptible(self, work: Callable[[threading.Event], T]) -> T:
        """Do the work so that Ctrl-C and SIGTERM can ask it to stop."""
        from pipelines.output import interruptible

        return interruptible(work, self.output.say)

    def on_warehouse(self, work: Callable[[Warehouse, threading.Event], T]) -> T:
        """Do the work on the open warehouse, interruptible.

        Raises:
            WarehouseError: It cannot be opened, or not before the wait is over.
        """
        from pipelines.process import prepare
        from pipelines.warehouse import Warehouse

        prepare()
        with Warehouse(self.path, lock_wait_s=self.wait_s, tell=self.output.say) as warehouse:
            return self.interruptible(lambda stop: work(warehouse, stop))

    def end(self, outcome: Outcome) -> None:
        """Print the statement of what was done.

        Raises:
            CrmError: What ended it early.
        """
        self.output.statement(outcome, self.path)
        if outcome.failure is not None:
            raise outcome.failure


def begin(
    output: Output, objects: Iterable[str], warehouse: Path | None, *, wait_s: float
) -> Begun:
    """Check what a command that reads from HubSpot was told, and its settings.

    Args:
        output: Where it prints.
        objects: Object types as they were typed; none: all there are.
        warehouse: The DuckDB file, if one was named.
        wait_s: How long to wait while another program has that open.

    Raises:
        ConfigError: There is no such object type, or a setting cannot work.
    """
    from pipelines.settings import known_object_types, load_settings, warehouse_path

    object_types = known_object_types(objects)
    return Begun(output, object_types, warehouse_path(warehouse), load_settings(), wait_s)
