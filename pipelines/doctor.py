"""Is everything in place for a run? One finding per thing that can be wrong."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.comparison import described
from pipelines.duckdb_file import check_name
from pipelines.errors import AuthError, CrmError, TerminalError
from pipelines.fetching import limits_of
from pipelines.hubspot.answers import NOT_FOUND
from pipelines.hubspot.client import HubSpotClient, open_http
from pipelines.hubspot.limits import Limits
from pipelines.hubspot.oauth import token_for
from pipelines.hubspot.paths import Paths
from pipelines.settings import OBJECT_TYPES, ObjectSettings, Settings, load_settings
from pipelines.versions import check_versions, compared
from pipelines.warehouse import Warehouse

COMPARE = "compare"
DIFFERENT = 4  # as for sums that differ


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `exit_code` 0 means that it is fine."""

    check: str
    text: str
    exit_code: int = 0

    @property
    def is_ok(self) -> bool:
        """Nothing to do."""
        return self.exit_code == 0


def examine(warehouse: Path, *, compare_with: str | None = None) -> list[Finding]:
    """Every finding, good and bad, in the order a run would meet them.

    Args:
        warehouse: The DuckDB file.
        compare_with: Another version of the API to read a sample through, too.

    Raises:
        ConfigError: That version is unknown, or the configured one itself; nothing was sent.
    """
    try:
        settings = load_settings()
    except CrmError as failure:
        return [_bad("settings", failure), _warehouse_finding(warehouse)]
    if compare_with is not None:
        check_versions(settings.api_version, compare_with)
    try:
        findings = asyncio.run(_portal_findings(settings, compare_with))
    except CrmError as failure:
        findings = [_bad("settings", failure)]
    return [*findings, _warehouse_finding(warehouse)]


async def _portal_findings(settings: Settings, compare_with: str | None) -> list[Finding]:
    limits = limits_of(replace(settings, daily_reserve_pct=0))  # a look at it is always allowed
    async with open_http(base_url=settings.base_url) as http:
        # One token for all: what one version renews, the other may use.
        token = token_for(
            http,
            access_token=settings.access_token,
            oauth=settings.oauth,
            paths=Paths(settings.api_version),
        )

        def client_of(version: str) -> HubSpotClient:
            return HubSpotClient(http, token=token, limits=limits, paths=Paths(version))

        client = client_of(settings.api_version)
        try:
            account = await client.account()
        except CrmError as failure:
            return [_bad("token" if isinstance(failure, AuthError) else "portal", failure)]
        findings = [
            Finding("token", f"HubSpot accepts it; sign-in by {token.sign_in.name}"),
            Finding(
                "portal",
                f"{account.portal_id} ({account.account_type}, {account.data_hosting_location}, "
                f"{account.time_zone}) at {client.base_url}",
            ),
            *[await _scope_finding(client, name) for name in OBJECT_TYPES],
            Finding("api version", f"{settings.api_version} answers"),
        ]
        if compare_with is not None:
            findings += await _compared(client, client_of(compare_with), settings)
        return [*findings, Finding("limits", _limits_text(limits))]


async def _compared(
    client: HubSpotClient, other: HubSpotClient, settings: Settings
) -> list[Finding]:
    """One finding per object type; a single one if the other version does not answer at all."""
    try:
        await other.account()
    except TerminalError as failure:
        if failure.http_status == NOT_FOUND:
            text = f"HubSpot does not know version {other.version}: 404 at {other.base_url}"
            return [Finding(COMPARE, text, failure.exit_code)]
        return [_bad(COMPARE, failure)]
    except CrmError as failure:
        return [_bad(COMPARE, failure)]
    return [
        await _comparison_finding(client, other, name, settings.of(name)) for name in OBJECT_TYPES
    ]


async def _comparison_finding(
    client: HubSpotClient, other: HubSpotClient, object_type: str, settings: ObjectSettings
) -> Finding:
    try:
        found = await compared(client, other, object_type, settings)
    except CrmError as failure:
        return Finding(COMPARE, f"{object_type}: {failure}", failure.exit_code)
    text = described(found, client.version, other.version)
    return Finding(COMPARE, f"{object_type}: {text}", 0 if found.is_equal else DIFFERENT)


async def _scope_finding(client: HubSpotClient, object_type: str) -> Finding:
    try:
        definitions = await client.properties(object_type)
        await client.list_page(object_type, limit=1)
    except CrmError as failure:
        return _bad(object_type, failure)
    return Finding(object_type, f"may be read; {len(definitions)} properties")


def _warehouse_finding(path: Path) -> Finding:
    folder = path.absolute().parent
    try:
        check_name(path)
        if not path.exists() and folder.is_dir() and os.access(folder, os.W_OK):
            return Finding("warehouse", f"{path} is not there yet and can be made")
        with Warehouse(path, lock_wait_s=0):
            return Finding("warehouse", f"{path} is there and can be written")
    except CrmError as failure:
        return _bad("warehouse", failure)


def _limits_text(limits: Limits) -> str:
    day = ""
    if limits.day.limit is not None and limits.day.left is not None:
        day = f"; {limits.day.left:,} of {limits.day.limit:,} requests left today"
    alone = "" if limits.main.is_shared else ", kept by each process alone"
    return (
        f"{limits.main.limit} requests per {limits.main.period_s:.0f} s, "
        f"{limits.search.limit} searches per s{alone}{day}"
    )


def _bad(check: str, failure: CrmError) -> Finding:
    return Finding(check, str(failure), failure.exit_code)
