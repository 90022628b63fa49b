"""`kill -9` anywhere in a backfill or an incremental run: the same command makes it good.

Real processes, really killed, more than 200 of them in the slow tests: some at a named place in
the code, others after a random time. Each warehouse comes to the same tables as one whose runs
nobody disturbed, and what is asked for twice because of a kill stays within one chunk.
"""

from __future__ import annotations

import contextlib
import random
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from harness import BY_THE_CLOCK, Dump, assert_same, dump, rows, synced
from killable import BOUNDS, Ended, Killable, Place

from pipelines.hubspot.client import MAX_BATCH_READ
from pipelines.settings import DEFAULT_API_VERSION
from pipelines.simulator.app import app
from pipelines.simulator.limits import Statistics
from pipelines.simulator.portal import Portal
from pipelines.simulator.server import serve
from pipelines.workfolder import is_package_pending

if TYPE_CHECKING:
    from collections.abc import Sequence

WAREHOUSE = "warehouse.duckdb"
IDS = "ids.txt"
COMMANDS: dict[str, dict[str, Any]] = {
    "sync": {},
    "all": {"object_type": "contacts", "is_all": True},
    "ids": {"object_type": "contacts", "ids": IDS},
    "window": {"object_type": "contacts", "modified": ["2020-01-01T00:00:00+00:00", None]},
    "property": {"object_type": "contacts", "is_all": True, "only": ["lastname"]},
}
"""`crm sync`, and four of `crm backfill`."""

PER_START = 14
"""Requests at most with which a run finds out where it is: definitions, counts, first pages."""
CHANGING = BY_THE_CLOCK | {"resolved_at", "correlation_id"}
"""Columns that tell nothing about what was read; `resolved` compares the first of the two."""


# ---------------------------------------------------------------- a portal, and what changes in it


@dataclass
class Watched:
    """A simulator that notes how many ids are asked for."""

    portal: Portal
    base_url: str = ""
    token: str = "pat-na1-11111111-2222-3333-4444-555555555555"
    api_version: str = DEFAULT_API_VERSION
    ids: int = 0
    statistics: Statistics = field(default_factory=Statistics)

    @property
    def requests(self) -> int:
        return self.statistics.count


@contextmanager
def served(portal: Portal):
    running = Watched(portal)
    application = app(
        portal, token=running.token, requests_per_10s=10_000, search_requests_per_s=1_000
    )
    running.statistics = application.state.statistics

    async def watched(scope, receive, send):
        async def received():
            message = await receive()
            if scope["path"].endswith("/batch/read"):
                running.ids += message.get("body", b"").count(b'"id"')
            return message

        await application(scope, received, send)

    with serve(watched) as running.base_url:
        yield running


def built() -> Portal:
    return Portal.build(contacts=300, calls=110, seed=11)


def change(portal: Portal, chance: random.Random) -> None:
    """What people do between two runs; two thirds of the records are others afterwards.

    Time passes, too, so that the next window does not overlap with what was changed before.
    """
    portal.advance(3600)
    for object_type, text, date in (
        ("contacts", "lastname", "property_date"),
        ("calls", "hs_call_title", "hs_timestamp"),
    ):
        live = portal.records[object_type].live
        for record_id in chance.sample(live, len(live) * 2 // 3):
            name = chance.choice((text, text, text, date))
            values = (
                ("", f"Value {chance.random()}") if name == text else ("", "soon", "2026-02-28")
            )
            portal.update(object_type, record_id, {name: chance.choice(values)})
        for _ in range(5):
            portal.create(object_type, {text: "New", date: chance.choice(("soon", "2026-02-28"))})
        for record_id in chance.sample(live, 4):
            portal.archive(object_type, record_id)
    for _ in range(3):
        first, second = chance.sample(portal.records["contacts"].live, 2)
        portal.merge(first, second, keep_primary_id=chance.random() < 0.5)


def write_ids(path: Path) -> None:
    """Of a portal as built: live, archived and merged-away ids, unknown ones, and what is none."""
    records, chance = built().records["contacts"], random.Random("ids")
    ids = [str(one) for one in (*records.live[20:], *records.archived, *records.aliases)]
    chance.shuffle(ids)
    lines = [*ids[:150], "4242424242", "no id", *ids[100:], "", "77777", "no id", "-4"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


# ---------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def killable():
    with Killable() as started:
        yield started


@dataclass(frozen=True)
class Base:
    """A folder with a warehouse after its first sync, and how long that took."""

    folder: Path
    seconds: float


@pytest.fixture(scope="module")
def base(killable, tmp_path_factory):
    """Of a portal as built."""
    folder = tmp_path_factory.mktemp("base")
    write_ids(folder / IDS)
    with served(built()) as running:
        return Base(folder, succeeded(killable.run(running, folder / WAREHOUSE, {})).seconds)


def succeeded(ended: Ended) -> Ended:
    assert ended.code == 0, ended
    return ended


@dataclass
class Reference:
    """What undisturbed runs come to, round after round of changes, each with one run."""

    running: Watched
    path: Path
    killable: Killable
    command: dict[str, Any]
    tables: list[Dump] = field(default_factory=list)
    resolved: list[set[tuple[Any, ...]]] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)

    def reach(self, round_: int) -> None:
        while len(self.tables) <= round_:
            change(self.running.portal, random.Random(len(self.tables)))
            succeeded(self.killable.run(self.running, self.path, self.command))
            self.tables.append(dump(self.path, without=CHANGING))
            self.resolved.append(resolved(self.path))
            self.ids.append(self.running.ids)
            self.requests.append(self.running.requests)


@pytest.fixture(scope="module")
def undisturbed(killable, base, tmp_path_factory):
    """The reference of a command, made when it is first asked for."""
    made: dict[str, Reference] = {}
    with contextlib.ExitStack() as stack:

        def reference(name: str, round_: int) -> Reference:
            if name not in made:
                folder = tmp_path_factory.mktemp("undisturbed") / "copy"
                shutil.copytree(base.folder, folder)
                running = stack.enter_context(served(built()))
                made[name] = Reference(running, folder / WAREHOUSE, killable, COMMANDS[name])
            made[name].reach(round_)
            return made[name]

        yield reference


@pytest.fixture
def kill_at(killable, base, undisturbed, tmp_path):
    """Kill a command at one place after the other; when it gets by, let it begin anew."""

    def run_and_kill(name: str, places: Sequence[Place], *, is_deleting: bool = False) -> None:
        path, command, round_ = tmp_path / "copy" / WAREHOUSE, COMMANDS[name], 0
        shutil.copytree(base.folder, path.parent)
        with served(built()) as running:
            change(running.portal, random.Random(round_))
            for place in places:
                ended = killable.run(running, path, command, at=place)
                if not ended.is_killed:
                    succeeded(ended)
                    round_ += 1
                    change(running.portal, random.Random(round_))
                    ended = killable.run(running, path, command, at=place)
                    assert ended.is_killed, f"{name} never comes to {place}: {ended}"
                if is_deleting:
                    delete_work_folder(path)
            succeeded(killable.run(running, path, command))

        reference = undisturbed(name, round_)
        assert_in_order(path)
        assert_same(dump(path, without=CHANGING), reference.tables[round_])
        assert resolved(path) == reference.resolved[round_]
        # What is on disk and not in the warehouse goes with the working folder.
        lost = BOUNDS.at_risk_records + (BOUNDS.chunk_records if is_deleting else 0)
        assert running.ids - reference.ids[round_] <= len(places) * lost
        most = len(places) * (lost // MAX_BATCH_READ + PER_START)
        assert running.requests - reference.requests[round_] <= most

    return run_and_kill


def resolved(path: Path) -> set[tuple[Any, ...]]:
    """Each error that there ever was, and whether it still is."""
    return set(rows(path, "select error_id, resolved_at is null from crm.errors"))


def unresolved(path: Path) -> set[tuple[Any, ...]]:
    return set(
        rows(
            path,
            "select error_id, object_type, object_id, stage, category, property, raw_value, "
            "expected_type, message, context::varchar, is_retryable "
            "from crm.errors where resolved_at is null",
        )
    )


def delete_work_folder(path: Path) -> None:
    shutil.rmtree(path.with_name(path.name + ".work"), ignore_errors=True)


def assert_in_order(path: Path) -> None:
    """No run is left open, none lost count of its ids, nothing waits, and no key is there twice."""
    assert not is_package_pending(path)
    runs = rows(
        path,
        "select status, requested_ids - loaded_rows - merged_ids - error_ids from crm.runs "
        "order by started_at",
    )
    assert runs[-1] == ("complete", 0)
    assert {status for status, _ in runs} <= {"complete", "interrupted"}
    assert {unaccounted for _, unaccounted in runs} == {0}
    keys = {"contacts": "id", "calls": "id", "errors": "error_id", "batches": "batch_id"}
    keys |= {"runs": "run_id", "id_aliases": "(object_type, old_id)"}
    twice = " union all ".join(
        f"select '{table}', count(*) - count(distinct {key}) from crm.{table}"
        for table, key in keys.items()
    )
    assert rows(path, twice) == [(table, 0) for table in keys]


# ---------------------------------------------------------------- killed at named places


DISCOVERY = (
    Place("pipelines.reading:reading_of", "entered"),
    Place("pipelines.reading:Reading.properties_table", "left"),
    Place("pipelines.side_by_side:Search.emit", "entered"),
    Place("pipelines.side_by_side:Search.emit", "left", 2),
)
READING = (
    Place("pipelines.accounting:Tally.batch", "left"),
    Place("pipelines.accounting:Tally.batch", "left", 3),
    Place("transforms.normalise:normalise", "entered"),
    Place("pipelines.typed:typed", "left", 2),
    Place("pipelines.landing:Chunk.landings", "left"),
    Place("pipelines.landing:Chunk.landings", "entered", 2),
)
EXTRACT = "dlt.extract.extract:Extract"
NORMALIZE = "dlt.normalize.normalize:Normalize"
PACKAGE = "dlt.common.storages.load_package:PackageStorage"
LOAD = "dlt.load.load:Load"
LANDING = (
    Place(f"{EXTRACT}.extract", "left"),
    Place(f"{EXTRACT}.commit_packages", "entered"),
    Place("dlt.pipeline.pipeline:Pipeline._bump_version_and_extract_state", "left"),
    Place("dlt.pipeline.pipeline:Pipeline._save_state", "entered"),
    Place("dlt.pipeline.pipeline:Pipeline._save_state", "left", 2),
    Place(f"{EXTRACT}.commit_packages", "left", 2),
    Place(f"{NORMALIZE}.spool_files", "entered"),
    Place(f"{NORMALIZE}.spool_files", "left"),
    Place(f"{LOAD}.initialize_package", "entered"),
    Place(f"{LOAD}.initialize_package", "left", 2),
    *(Place(f"{PACKAGE}.complete_job", "entered", nth) for nth in range(1, 8)),
    *(Place(f"{PACKAGE}.complete_job", "left", nth) for nth in (1, 4, 8)),
    Place("dlt.destinations.impl.duckdb.duck:DuckDbCopyJob.run", "left"),
    Place("dlt.destinations.job_client_impl:SqlLoadJob.run", "entered"),
    Place("dlt.destinations.job_client_impl:SqlLoadJob.run", "left"),
    Place("dlt.destinations.job_client_impl:SqlLoadJob.run", "left", 3),
    Place(f"{LOAD}.complete_package", "entered"),
    Place("dlt.destinations.job_client_impl:SqlJobClientBase.complete_load", "left"),
    Place(f"{PACKAGE}.complete_loading_package", "left"),
    Place(f"{LOAD}.complete_package", "left", 2),
)
CLOSING = (
    Place("pipelines.warehouse:Warehouse.land", "left"),
    Place("pipelines.warehouse:Warehouse.land", "left", 2),
    Place("pipelines.recall:close_stale_runs", "left"),
    Place("pipelines.recall:count_rows", "entered", 2),
    Place("pipelines.recall:resolve_errors", "entered"),
    Place("pipelines.recall:resolve_errors", "left"),
    Place("pipelines.recall:retire_merged", "entered"),
    Place("pipelines.recall:retire_merged", "left"),
    Place("pipelines.run:_Run.end", "entered"),
    Place("pipelines.views:apply_views", "entered"),
    Place("pipelines.views:apply_views", "left"),
)
PLACES = (*DISCOVERY, *READING, *LANDING, *CLOSING)


def reached(name: str, places: Sequence[Place]) -> list[Place]:
    """Without those that a command never comes to: known ids are neither listed nor searched."""
    is_known = name in ("ids", "property")
    return [place for place in places if not (is_known and "side_by_side" in place.function)]


def chains() -> list[Any]:
    """Commands, each with some places in the order of a run; all of them for the first two."""
    step = len(PLACES) // 5
    starts = {"sync": range(step), "all": range(step)}
    starts |= {"ids": range(3), "window": range(3, 6), "property": range(6, step)}
    return [
        pytest.param(name, reached(name, PLACES[start::step]), id=f"{name} from {start}")
        for name, some in starts.items()
        for start in some
    ]


@pytest.mark.slow
def test_killed_while_it_lands_and_when_all_has_landed(kill_at):
    """One of many, for a quick answer."""
    places = (
        Place(f"{PACKAGE}.complete_job", "entered", 3),
        Place("pipelines.recall:resolve_errors", "left"),
    )
    kill_at("sync", places)


def test_rows_of_a_package_whose_rest_is_lost_are_read_again(simulator, tmp_path):
    """The tables of a package land one by one, so what was wrong in a row may not be there yet."""
    running, path = simulator(contacts=40, calls=0), tmp_path / WAREHOUSE
    synced(running, path, ("contacts",))
    records = running.portal.records["contacts"]
    changed = records.live[0]
    running.portal.advance(3600)
    running.portal.update("contacts", changed, {"property_date": "soon"})
    with duckdb.connect(str(path)) as connection:  # as a kill leaves it
        connection.execute(
            "update crm.contacts set property_date = null, synced_at = now(), "
            "updated_at = to_timestamp(? / 1000) where id = ?",
            [records.by_id[changed].updated_ms, changed],
        )
    delete_work_folder(path)

    synced(running, path, ("contacts",))

    assert rows(
        path,
        "select raw_value, resolved_at from crm.errors "
        "where object_id = ? and property = 'property_date'",
        str(changed),
    ) == [("soon", None)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "places"), chains())
def test_killed_at_any_place(name, places, kill_at):
    """Discovery, reading, typing, each step of dlt's, its own state, and what follows a load."""
    kill_at(name, places, is_deleting=PLACES.index(places[0]) % 3 == 1)


# ---------------------------------------------------------------- killed after a random time

KILLS = 4
"""Of each of the warehouses that follow."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(14))
def test_killed_at_any_moment_while_records_change(seed, killable, base, tmp_path):
    """Whatever has changed between a kill and the next try is in the tables at the end."""
    chance, name = random.Random(seed), ("sync", *COMMANDS)[seed % 6]
    path, other = tmp_path / "copy" / WAREHOUSE, tmp_path / "other" / WAREHOUSE
    command, kills = COMMANDS[name], 0
    shutil.copytree(base.folder, path.parent)
    if command:
        shutil.copytree(base.folder, other.parent)
    else:  # everything read for the first time: that is what many small steps have to come to
        other.parent.mkdir()
    with served(built()) as running:
        change(running.portal, chance)
        while kills < KILLS:
            after_s = chance.uniform(0, base.seconds)
            ended = killable.run(running, path, command, after_s=after_s)
            kills += ended.is_killed
            if not ended.is_killed:
                succeeded(ended)
            if chance.random() < 0.3:
                delete_work_folder(path)
            if chance.random() < 0.4 or not ended.is_killed:
                change(running.portal, chance)
        for one in (path, other):
            succeeded(killable.run(running, one, command))
            if command:  # what changed after it was read, only a sync reads again
                succeeded(killable.run(running, one, {}))

    assert_in_order(path)
    found, expected = dump(path, without=CHANGING), dump(other, without=CHANGING)
    for tables in (found, expected):
        del tables["errors"]  # what was broken for a while is there, resolved
        if not command:
            del tables["id_aliases"]  # nobody tells of all that was merged before
    assert_same(found, expected)
    assert unresolved(path) == unresolved(other)
