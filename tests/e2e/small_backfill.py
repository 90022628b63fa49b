"""`crm backfill` with small chunks, for tests of what happens between two of them.

python small_backfill.py WAREHOUSE CHUNK_RECORDS WAIT_S OBJECT
"""

import sys
from pathlib import Path
from typing import NoReturn

from pipelines.backfill import backfill
from pipelines.errors import CrmError
from pipelines.output import Output, interruptible
from pipelines.selection import everything
from pipelines.settings import load_settings
from pipelines.stream import Bounds


def main(warehouse: str, chunk_records: str, wait_s: str, object_type: str) -> NoReturn:
    output = Output(is_quiet=False, is_json=False, is_verbose=False)
    records = int(chunk_records)
    bounds = Bounds(at_risk_records=2 * records, chunk_records=records, slice_records=records // 2)
    try:
        outcome = interruptible(
            lambda stop: backfill(
                load_settings(),
                Path(warehouse),
                object_type,
                everything(),
                view=output.view,
                stop=stop,
                tell=output.say,
                lock_wait_s=float(wait_s),
                bounds=bounds,
            ),
            output.say,
        )
        if outcome.failure is not None:
            raise outcome.failure
    except CrmError as failure:
        print(f"crm: {failure}", file=sys.stderr)  # noqa: T201  (a process of its own: what it prints is read)
        sys.exit(failure.exit_code)
    sys.exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
