"""A sample of each object type, read through two versions of the API and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from pipelines.accounting import Batch
from pipelines.comparison import Comparison, Sample, compare
from pipelines.errors import ConfigError, HubSpotError
from pipelines.hubspot.client import HubSpotClient
from pipelines.hubspot.paths import API_VERSIONS
from pipelines.hubspot.wire import ListPage
from pipelines.hydrate import Hydrator
from pipelines.idpages import IdSequence, number_of
from pipelines.reading import Reading, reading_of
from pipelines.settings import ObjectSettings
from pipelines.typed import raw_of

OLDEST: Final = 100
NEWEST: Final = 100
ARCHIVED: Final = 50
NOBODYS: Final = ("9000000000000000001", "9000000000000000002")
"""Ids that HubSpot does not have: far above any, and still whole numbers of 64 bits."""
_NEWEST_FIRST: Final = {
    "limit": NEWEST,
    "sorts": [{"propertyName": "hs_object_id", "direction": "DESCENDING"}],
    "properties": ["hs_object_id"],
}


@dataclass(frozen=True, slots=True)
class _Found:
    """Where one version begins its lists, and what it finds to be newest."""

    live: ListPage
    archived: ListPage
    newest: frozenset[str]


def check_versions(configured: str, version: str) -> None:
    """Refuse versions that cannot be compared, before anything is sent.

    Raises:
        ConfigError: The version is unknown, or the configured one itself.
    """
    others = ", ".join(known for known in API_VERSIONS if known != configured)
    if version not in API_VERSIONS:
        raise ConfigError(f"no API version {version!r} to compare {configured} with: try {others}")
    if version == configured:
        raise ConfigError(
            f"{version} is the configured API version: compare it with one of {others}"
        )


async def compared(
    one: HubSpotClient, other: HubSpotClient, object_type: str, settings: ObjectSettings
) -> Comparison:
    """What two clients, each of its own API version, say of the same records.

    These are up to 100 of the oldest records and 100 of the newest, 50 archived ones, and
    ids that do not exist. What differs is read a second time and counts only if it still
    does, for people go on working in HubSpot meanwhile.

    Raises:
        ConfigError: The settings name a property that HubSpot does not define.
        HubSpotError: HubSpot refused, or did not answer, in one of the versions.
    """
    readings = (
        await reading_of(one, object_type, settings, {}),
        await _reading_of_other(other, object_type, settings),
    )
    first = await _compared_once(one, other, readings)
    if first.is_equal:
        return first
    return first.confirmed_by(await _compared_once(one, other, readings))


async def _reading_of_other(
    client: HubSpotClient, object_type: str, settings: ObjectSettings
) -> Reading:
    try:
        return await reading_of(client, object_type, settings, {})
    except ConfigError as failure:  # the settings suit the other version, so this one differs
        raise HubSpotError(f"in {client.version}, {failure}") from failure


async def _compared_once(
    one: HubSpotClient, other: HubSpotClient, readings: tuple[Reading, Reading]
) -> Comparison:
    object_type = readings[0].object_type
    here, there = await _find(one, object_type), await _find(other, object_type)
    archived = {*here.archived.ids, *there.archived.ids}
    live = {*here.live.ids, *there.live.ids} | here.newest | there.newest
    ids = (*sorted(live - archived), *NOBODYS), sorted(archived)
    listed = [
        _listed(here.live, there.live) | _listed(here.archived, there.archived),
        _listed(there.live, here.live) | _listed(there.archived, here.archived),
    ]
    return compare(
        await _sample(one, readings[0], listed[0], *ids),
        await _sample(other, readings[1], listed[1], *ids),
    )


async def _find(client: HubSpotClient, object_type: str) -> _Found:
    wanted = ("hs_object_id",)
    return _Found(
        live=await client.list_page(object_type, limit=OLDEST, properties=wanted),
        archived=await client.list_page(
            object_type, limit=ARCHIVED, archived=True, properties=wanted
        ),
        newest=frozenset((await client.search(object_type, _NEWEST_FIRST)).ids),
    )


def _listed(page: ListPage, other: ListPage) -> frozenset[str]:
    """Ids of a page as far as the other page reaches: what it lacks makes room for a later id."""
    last = max(map(number_of, other.ids), default=0) if other.after is not None else None
    return frozenset(
        record_id for record_id in page.ids if last is None or number_of(record_id) <= last
    )


async def _sample(
    client: HubSpotClient,
    reading: Reading,
    listed: frozenset[str],
    live: Sequence[str],
    archived: Sequence[str],
) -> Sample:
    """What a run would make of these ids: read and accounted for by the same code."""
    hydrator = Hydrator(
        client,
        run_id="compare",
        object_type=reading.object_type,
        properties=reading.properties,
    )
    batches = [await hydrator.read(page) async for page in IdSequence(live).pages()]
    batches += [
        await hydrator.read(page, archived=True) async for page in IdSequence(archived).pages()
    ]
    return Sample(
        types=_types(reading),
        listed=listed,
        records=_records(batches, reading),
        errors={str(row.object_id): row.category for batch in batches for row in batch.errors},
    )


def _types(reading: Reading) -> dict[str, str]:
    defined = {prop.name: f"{prop.type}/{prop.field_type}" for prop in reading.definitions}
    return {
        column.property: f"{defined[column.property]} as {column.kind.sql_type}"
        for column in reading.columns
    }


def _records(batches: Sequence[Batch], reading: Reading) -> dict[str, dict[str, str | None]]:
    raw = raw_of(batches, reading).with_columns(pl.col("@archived").cast(pl.String))
    return {row.pop("@id"): row for row in raw.iter_rows(named=True)}
