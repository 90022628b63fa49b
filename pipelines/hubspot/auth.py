"""The token that goes with each request."""

from __future__ import annotations

from typing import Protocol

from pipelines.errors import ConfigError


class Token(Protocol):
    """Gives the bearer token for the next request; may have to fetch it first."""

    async def bearer(self) -> str:
        """The token itself, without the word Bearer."""
        ...


class StaticToken:
    """A private-app token or service key: it does not expire.

    Raises:
        ConfigError: The token is empty or cannot stand in an HTTP header.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        value = value.strip()
        # A codec error from deep inside the HTTP library would carry the token
        # in its repr, so what cannot be sent is refused here, without quoting it.
        if not value or not all("!" <= char <= "~" for char in value):
            reason = "contains blanks or characters outside ASCII" if value else "is empty"
            raise ConfigError(
                f"the HubSpot token {reason}: set SOURCES__HUBSPOT__ACCESS_TOKEN "
                "to the private-app token or service key as HubSpot shows it"
            )
        self._value = value

    def __repr__(self) -> str:
        return "StaticToken('***')"

    async def bearer(self) -> str:
        """The token itself, without the word Bearer."""
        return self._value
