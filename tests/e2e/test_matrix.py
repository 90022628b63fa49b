"""Nothing lost, whatever HubSpot does: each fault alone, and many of them together.

After a run under faults every id is accounted for, and every difference from a run without
them has a row in `errors` that explains it; after one more run without faults there is none.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import random
import threading
from collections.abc import Awaitable

import pytest
from harness import (
    BY_THE_CLOCK,
    columns_of,
    dump,
    kept_open,
    rows,
    settings_for,
)

from pipelines.errors import HubSpotError
from pipelines.hubspot.retry import RetryPolicy
from pipelines.progress import Silent
from pipelines.retry import retry
from pipelines.settings import OBJECT_TYPES, ObjectSettings
from pipelines.simulator.faults import KINDS, Fault, Faults
from pipelines.simulator.portal import Portal
from pipelines.stream import Bounds
from pipelines.sync import sync
from pipelines.warehouse import Warehouse

MIXES = 200
RECORDS = {"contacts": 2_000, "calls": 0}
FEW_COLUMNS = ("email", "birthday", "property_*", "hs_*object*", "*modifieddate", "annual*")
FEW_RECORDS = {"contacts": 450, "calls": 150}

ENDS_A_RUN = {"401-expired", "403-errors", "403-context", "429-daily", "429-daily-retry-after"}
"""After these HubSpot answers no more: the run stops with what it has."""
SHARES = {"poison": 0.01, "poison-500": 0.01}
"""Of ids, not of requests."""
REFUSES_FOR_GOOD = {"poison", "errors-in-200", "all-missing"}
"""With 400, or by saying again and again that there is no such record."""
ANSWER_S = 1.5
"""More than any answer takes here, so that those that never come are soon given up."""
HURRY = 40


def hurried(seconds: float) -> Awaitable[None]:
    """As many waits as ever, each of a fraction of its time."""
    return asyncio.sleep(seconds / HURRY)


QUICK = RetryPolicy(sleep=hurried)
MIXED = sorted(KINDS.keys() - ENDS_A_RUN)


@pytest.fixture(scope="module")
def large(shared_simulator, tmp_path_factory):
    """A portal, a simulator of it without faults, and what a run makes of it."""
    yield from undisturbed(RECORDS, shared_simulator, tmp_path_factory)


@pytest.fixture(scope="module")
def small(shared_simulator, tmp_path_factory):
    """The same of a portal of some hundred records."""
    yield from undisturbed(FEW_RECORDS, shared_simulator, tmp_path_factory)


def undisturbed(size, start, tmp_path_factory):
    portal = Portal.build(**size, seed=7)
    healthy = start(portal=portal)
    path = tmp_path_factory.mktemp("matrix") / "undisturbed.duckdb"
    assert ran(healthy, path, sync).failure is None
    with kept_open(path):
        yield portal, healthy, path


def objects_of(portal) -> dict[str, ObjectSettings]:
    """Of the large portal a dozen columns: faults are of requests and ids, and time is short."""
    is_large = len(portal.records["contacts"].live) > FEW_RECORDS["contacts"]
    return {"contacts": ObjectSettings(properties=FEW_COLUMNS)} if is_large else {}


def ran(simulator, path, command):
    """A command in this process; nothing but a failure of HubSpot's may end it early."""
    object_types = [name for name in OBJECT_TYPES if simulator.portal.records[name].live]
    gc.freeze()  # as in `synced`: what pytest holds is no garbage
    try:
        with Warehouse(path) as warehouse:
            outcome = command(
                settings_for(simulator, objects=objects_of(simulator.portal)),
                warehouse,
                object_types,
                view=Silent(),
                stop=threading.Event(),
                bounds=Bounds(retry=QUICK, answer_s=ANSWER_S),
            )
    finally:
        gc.unfreeze()
    assert outcome is None or outcome.failure is None or isinstance(outcome.failure, HubSpotError)
    return outcome


def ids(path, object_type: str) -> set[str]:
    """Every id that is accounted for: in a row, merged, or in an unresolved error."""
    found = rows(
        path,
        f"select id::varchar from crm.{object_type} union "
        "select old_id::varchar from crm.id_aliases where object_type = ? union "
        "select object_id from crm.errors where object_type = ? and stage = 'read' "
        "and resolved_at is null",
        object_type,
        object_type,
    )
    return {row[0] for row in found}


def assert_accounted(path, truth) -> None:
    """Promise 1, to the id, for each object type whose run is complete."""
    runs = rows(
        path,
        "select object_type, status, requested_ids, loaded_rows + merged_ids + error_ids "
        "from crm.runs qualify row_number() over "
        "(partition by object_type order by started_at desc) = 1",
    )
    for object_type, status, asked, accounted in runs:
        if status == "complete":
            assert asked == accounted
            known = rows(truth, f"select id::varchar from crm.{object_type}")
            assert ids(path, object_type) >= {record_id for (record_id,) in known}


def assert_explained(path, truth) -> None:
    """What is there is as in the undisturbed tables; what is not has an error row."""
    for object_type in OBJECT_TYPES:
        if not columns_of(path, object_type):
            continue
        kept = sorted(columns_of_truth(truth, object_type).keys() - BY_THE_CLOCK)
        found = cells_of(path, object_type, tuple(kept))
        assert found.items() <= of_truth(truth, object_type, tuple(kept)).items()
        others = columns_of(path, object_type).keys() - columns_of_truth(truth, object_type).keys()
        for name in others:
            assert rows(path, f'select count("{name}") from crm.{object_type}') == [(0,)]


def cells_of(path, object_type: str, names: tuple[str, ...]):
    cells = "id, " + ", ".join(f'"{name}"::varchar' for name in names)
    return {row[0]: row for row in rows(path, f"select {cells} from crm.{object_type}")}


# The undisturbed file does not change.
of_truth = functools.cache(cells_of)
columns_of_truth = functools.cache(columns_of)


@functools.cache
def tables_of_truth(truth):
    return without_other_columns(truth, truth)


def without_other_columns(path, truth):
    """The tables, without what faults say of properties and without errors that are over."""
    with_faults = dump(path, without=BY_THE_CLOCK | extra_columns(path, truth))
    for table in ("errors", "properties", "property_options"):
        with_faults.pop(table)
    return with_faults


def extra_columns(path, truth) -> set[str]:
    return {
        name
        for object_type in OBJECT_TYPES
        for name in columns_of(path, object_type).keys()
        - columns_of_truth(truth, object_type).keys()
    }


def open_errors(path, stage: str):
    return sorted(
        rows(
            path,
            "select object_type, object_id, category, property, raw_value "
            "from crm.errors where resolved_at is null and stage = ?",
            stage,
        ),
        key=repr,
    )


def check(start, setting, path, *faults: Fault, seed: int) -> Faults:
    """A run under these faults, and one without, each held against the undisturbed one."""
    portal, healthy, truth = setting
    injected = Faults(*faults, seed=seed)
    outcome = ran(start(portal=portal, faults=injected), path, sync)
    with kept_open(path):
        if rows(path, "select 1 from information_schema.tables where table_name = 'runs'"):
            assert_explained(path, truth)
            assert_accounted(path, truth)
    if outcome.failure is not None:
        assert ran(healthy, path, sync).failure is None
    if open_errors(path, "read"):
        ran(healthy, path, retry)
    with kept_open(path):
        if not open_errors(path, "read"):
            assert without_other_columns(path, truth) == tables_of_truth(truth)
            assert open_errors(path, "normalise") == open_errors(truth, "normalise")
        else:  # HubSpot had refused them for good, so `crm retry` does not ask again
            assert_explained(path, truth)
            assert_accounted(path, truth)
            assert {fault.name for fault in faults} & REFUSES_FOR_GOOD
    return injected


def alone(name: str) -> Fault:
    """As many hits as make a difference in a small portal."""
    if KINDS[name].of in {"from n", "old tokens"}:
        return Fault(name, begin=8)
    return Fault(name, share=share_of(name, 0.5 if KINDS[name].endpoints else 0.15))


def share_of(name: str, usual: float) -> float:
    """Faults that are in every answer or in no answer stay as they are."""
    return SHARES.get(name, usual if KINDS[name].share < 1 else 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(KINDS))
def test_nothing_is_lost_under_one_fault(name, simulator, small, tmp_path):
    """Each on its own, so that a failure names it."""
    injected = check(simulator, small, tmp_path / "warehouse.duckdb", alone(name), seed=11)

    assert injected.injected[name]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(MIXES))
def test_nothing_is_lost_under_a_mix_of_faults(seed, simulator, large, tmp_path):
    """Two to six faults at once, each of a random share."""
    chance = random.Random(f"mix {seed}")
    names = chance.sample(MIXED, chance.randint(2, 6))
    faults = [Fault(name, share=share_of(name, chance.uniform(0.05, 0.25))) for name in names]

    injected = check(simulator, large, tmp_path / "warehouse.duckdb", *faults, seed=seed)

    assert injected.injected.total()
