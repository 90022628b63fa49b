"""A process that reads known ids: `python -m tests.bench.known_ids URL FILE`, see `--help`.

The file has an id a line; after `--seconds` it stops, when there are ids left.

It says `ready`, begins on a line of input, and prints its account as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.errand import Errand
from pipelines.errors import Interrupted
from pipelines.fetching import Fetcher
from pipelines.idpages import IdSequence
from pipelines.progress import Counters
from pipelines.settings import DEFAULT_API_VERSION, Settings
from pipelines.steps import IDS, Step
from pipelines.thread import Room

REQUESTS_PER_10S = 190
LONG_S = 3600.0


@dataclass(frozen=True, slots=True)
class Account:
    """From the first request to the last answer, by the clock of the machine."""

    began: float
    ended: float
    requests: int
    rate_limited: int
    records: int


async def read(settings: Settings, ids: Sequence[str], seconds: float) -> Account:
    """Read these contacts as a run does, and land nothing."""
    counters, stop = Counters("contacts"), threading.Event()
    timer = threading.Timer(seconds, stop.set)
    fetcher = Fetcher(
        settings,
        errands={"contacts": Errand("bench", (Step(IDS, ids=IdSequence(ids)),), counters=counters)},
        stop=stop,
    )
    requests, limited = 0, 0
    began = time.monotonic()
    timer.start()
    with contextlib.suppress(Interrupted):
        async for fetched in fetcher.stream(Room(len(ids))):
            limited = fetched.usage.rate_limited
            requests = fetched.usage.requests
    timer.cancel()
    return Account(began, time.monotonic(), requests, limited, counters.read)


def main() -> None:
    """Read the ids of the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("file", type=Path)
    parser.add_argument("--seconds", type=float, default=LONG_S)
    parser.add_argument("--api-version", default=DEFAULT_API_VERSION)
    told = parser.parse_args()
    settings = Settings(
        access_token="bench",
        base_url=told.url,
        api_version=told.api_version,
        requests_per_10s=REQUESTS_PER_10S,
    )
    ids = told.file.read_text(encoding="utf-8").split()
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asdict(asyncio.run(read(settings, ids, told.seconds)))), flush=True)


if __name__ == "__main__":
    main()
