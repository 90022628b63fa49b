"""`crm`'s commands one after the other in one process, with waits of a fraction of their time.

python hurried.py FILE < commands

Of commands there is one a line: in JSON, settings of its own and arguments. The exceptions that
end them are written to the file as a crash would show them, each with its causes.
"""

import asyncio
import gc
import json
import os
import sys
import traceback
from collections.abc import Awaitable
from pathlib import Path

from pipelines import cli
from pipelines.errors import CrmError
from pipelines.hubspot.client import open_http
from pipelines.hubspot.retry import RetryPolicy
from pipelines.stream import Bounds

HURRY = 40
ANSWER_S = 0.4
"""More than nearly all answers take here; one that does not is asked for again."""


def hurried(seconds: float) -> Awaitable[None]:
    return asyncio.sleep(seconds / HURRY)


def hurry() -> None:
    """Change the numbers that commands go by when they are given no others."""
    RetryPolicy.__init__.__kwdefaults__["sleep"] = hurried
    open_http.__kwdefaults__["timeout_s"] = ANSWER_S
    usual = Bounds.__init__.__defaults__
    assert usual[-1] == Bounds().answer_s
    Bounds.__init__.__defaults__ = (*usual[:-1], ANSWER_S)


def run(arguments: list[str]) -> CrmError | None:
    """As `crm` does it; the failure it ended with."""
    try:
        cli.app(arguments, standalone_mode=False)
    except CrmError as failure:
        print(cli._failure_line(str(failure), arguments), file=sys.stderr)  # noqa: T201  (a process of its own: what it prints is read)
        return failure
    return None


def main(exceptions: Path) -> None:
    hurry()
    for line in sys.stdin:
        settings, arguments = json.loads(line)
        print("$ crm", *arguments, flush=True)  # noqa: T201  (a process of its own: what it prints is read)
        os.environ.update(settings)
        gc.freeze()  # a run collects garbage; what the commands before have imported is none
        if failure := run(arguments):
            with exceptions.open("a", encoding="utf-8") as file:
                traceback.print_exception(failure, file=file)
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
