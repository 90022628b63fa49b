"""`crm sync` with small chunks, for tests that kill it: the size is no setting of the product.

python small_chunks.py WAREHOUSE CHUNK_RECORDS WAIT_S [OBJECT…]
"""

import sys
from pathlib import Path
from typing import NoReturn

from pipelines.errors import CrmError
from pipelines.output import Output, interruptible
from pipelines.settings import known_object_types, load_settings
from pipelines.stream import Bounds
from pipelines.sync import sync
from pipelines.warehouse import Warehouse


def main(warehouse: str, chunk_records: str, wait_s: str, *objects: str) -> NoReturn:
    output = Output(is_quiet=False, is_json=False, is_verbose=False)
    records = int(chunk_records)
    bounds = Bounds(at_risk_records=2 * records, chunk_records=records, slice_records=records // 2)
    try:
        with Warehouse(Path(warehouse), lock_wait_s=float(wait_s), tell=output.say) as opened:
            outcome = interruptible(
                lambda stop: sync(
                    load_settings(),
                    opened,
                    known_object_types(objects),
                    view=output.view(),
                    stop=stop,
                    bounds=bounds,
                ),
                output.say,
            )
        for note in outcome.notes:
            output.say(note)
        if outcome.failure is not None:
            raise outcome.failure
    except CrmError as failure:
        print(f"crm: {failure}", file=sys.stderr)  # noqa: T201  (a process of its own: what it prints is read)
        sys.exit(failure.exit_code)
    sys.exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
