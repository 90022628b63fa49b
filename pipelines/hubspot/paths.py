"""Where each endpoint lives, in each version of the API that we know.

HubSpot moved from one version for each API (`/crm/v3/objects/…`) to versions
by date for all of them (`/crm/objects/2026-03/…`). Bodies are the same, so the
path is all that changes.
"""

from __future__ import annotations

from urllib.parse import quote

from pipelines.errors import ConfigError

API_VERSIONS = ("v3", "2026-03", "2026-09")


class Paths:
    """The paths of one API version.

    Args:
        version: One of `API_VERSIONS`.

    Raises:
        ConfigError: Another version; the message names those we know.
    """

    def __init__(self, version: str) -> None:
        if version not in API_VERSIONS:
            raise ConfigError(
                f"unknown API version {version!r}: "
                f"set sources.hubspot.api_version to one of {', '.join(API_VERSIONS)}"
            )
        self.version = version

    def __repr__(self) -> str:
        return f"Paths({self.version!r})"

    def objects(self, object_type: str) -> str:
        """List of records."""
        return f"{self._crm('objects')}/{_segment(object_type)}"

    def batch_read(self, object_type: str) -> str:
        """Records by id."""
        return f"{self.objects(object_type)}/batch/read"

    def search(self, object_type: str) -> str:
        """Records by filter."""
        return f"{self.objects(object_type)}/search"

    def properties(self, object_type: str) -> str:
        """Property definitions."""
        return f"{self._crm('properties')}/{_segment(object_type)}"

    def account(self) -> str:
        """Account details."""
        return f"/account-info/{self.version}/details"

    def daily_usage(self) -> str:
        """What the account's private apps have used of the day's quota."""
        return f"/account-info/{self.version}/api-usage/daily/private-apps"

    def token(self) -> str:
        """Access tokens by OAuth, which are good for all versions.

        HubSpot's documents of 2026-09 go on naming the endpoint of 2026-03.
        """
        return "/oauth/v1/token" if self.version == "v3" else "/oauth/2026-03/token"

    def _crm(self, api: str) -> str:
        if self.version == "v3":
            return f"/crm/v3/{api}"
        return f"/crm/{api}/{self.version}"


def _segment(name: str) -> str:
    return quote(name, safe="")
