"""Is everything in place for a run? One finding per thing that can be wrong."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.duckdb_file import check_name
from pipelines.errors import AuthError, CrmError
from pipelines.fetching import limits_of
from pipelines.hubspot.auth import StaticToken
from pipelines.hubspot.client import HubSpotClient, open_http
from pipelines.hubspot.limits import Limits
from pipelines.hubspot.paths import Paths
from pipelines.settings import OBJECT_TYPES, Settings, load_settings
from pipelines.warehouse import Warehouse


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


def examine(warehouse: Path) -> list[Finding]:
    """Every finding, good and bad, in the order a run would meet them."""
    findings = []
    try:
        settings = load_settings()
        findings += asyncio.run(_portal_findings(settings))
    except CrmError as failure:
        findings.append(_bad("settings", failure))
    return [*findings, _warehouse_finding(warehouse)]


async def _portal_findings(settings: Settings) -> list[Finding]:
    limits = limits_of(replace(settings, daily_reserve_pct=0))  # a look at it is always allowed
    async with open_http(base_url=settings.base_url) as http:
        client = HubSpotClient(
            http,
            token=StaticToken(settings.access_token),
            limits=limits,
            paths=Paths(settings.api_version),
        )
        try:
            account = await client.account()
        except CrmError as failure:
            return [_bad("token" if isinstance(failure, AuthError) else "portal", failure)]
        return [
            Finding("token", "HubSpot accepts it"),
            Finding(
                "portal",
                f"{account.portal_id} ({account.account_type}, {account.data_hosting_location}, "
                f"{account.time_zone}) at {settings.base_url}",
            ),
            *[await _scope_finding(client, name) for name in OBJECT_TYPES],
            Finding("api version", f"{settings.api_version} answers"),
            Finding("limits", _limits_text(limits)),
        ]


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
