"""The token that goes with each request, and what messages say of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from pipelines.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.hubspot.send import Usage

TOKEN_SETTING: Final = "SOURCES__HUBSPOT__ACCESS_TOKEN"  # noqa: S105  (a name, not a token)
CLIENT_ID_SETTING: Final = "SOURCES__HUBSPOT__CLIENT_ID"
CLIENT_SECRET_SETTING: Final = "SOURCES__HUBSPOT__CLIENT_SECRET"  # noqa: S105  (a name)
REFRESH_TOKEN_SETTING: Final = "SOURCES__HUBSPOT__REFRESH_TOKEN"  # noqa: S105  (a name)


@dataclass(frozen=True, slots=True)
class SignIn:
    """A way to sign in, as messages speak of it.

    `setting` is where its token comes from, `remedy` what to do when HubSpot refuses
    the token, `grant_to` who has to be given the scopes that a request lacks.
    """

    name: str
    setting: str
    remedy: str
    grant_to: str


BY_TOKEN: Final = SignIn(
    name="private-app token or service key",
    setting=TOKEN_SETTING,
    remedy=f"set {TOKEN_SETTING} to a valid private-app token or service key",
    grant_to=f"the app whose token {TOKEN_SETTING} holds",
)
BY_OAUTH: Final = SignIn(
    name="OAuth",
    setting=REFRESH_TOKEN_SETTING,
    remedy=f"install the app again and set {REFRESH_TOKEN_SETTING} to its new refresh token",
    grant_to=f"the app that {CLIENT_ID_SETTING} names, and install it again",
)


class Bearer:
    """A token as it is sent; neither its repr nor a traceback that shows locals tells it."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "Bearer('***')"

    @property
    def header(self) -> str:
        """The value of the header Authorization."""
        return "Bearer " + self.value


class Token(Protocol):
    """Gives the bearer token for the next request; may have to fetch it first."""

    @property
    def sign_in(self) -> SignIn:
        """How messages speak of it."""
        ...

    def counted_in(self, usage: Usage) -> None:
        """Count there, from now on, what is sent in order to fetch tokens."""
        ...

    async def bearer(self) -> Bearer:
        """The token to send."""
        ...

    async def renewed(self, refused: Bearer) -> Bearer | None:
        """The token to send in place of one that HubSpot refused; None when there is no other."""
        ...


class StaticToken:
    """A private-app token or service key: it does not expire.

    Raises:
        ConfigError: The token is empty or cannot stand in an HTTP header.
    """

    __slots__ = ("_bearer",)

    sign_in: Final = BY_TOKEN

    def __init__(self, value: str) -> None:
        wrong = "is empty" if not value.strip() else unsendable(value)
        if wrong:
            del value  # a traceback that shows locals shows no token
            raise ConfigError(f"the HubSpot token {wrong}: {WHOLE_TOKEN}")
        self._bearer = Bearer(value.strip())

    def __repr__(self) -> str:
        return "StaticToken('***')"

    def counted_in(self, usage: Usage) -> None:
        """Nothing: it is never fetched."""

    async def bearer(self) -> Bearer:
        """The token, always the same."""
        return self._bearer

    async def renewed(self, refused: Bearer) -> None:  # noqa: ARG002  (there is no other)
        """None: whoever made the token has to make a new one."""
        return


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthCredentials:
    """What an app signs in with: its id and secret, and what installing it gave."""

    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)


WHOLE_TOKEN: Final = (
    f"set {TOKEN_SETTING} to the private-app token or service key as HubSpot shows it"
)


def unsendable(secret: str) -> str | None:
    """Why a secret cannot be sent, without quoting it; None when it can.

    A codec error from deep inside the HTTP library would carry the secret in its repr,
    so it is not left to find out.
    """
    if all("!" <= char <= "~" for char in secret.strip()):
        return None
    return "contains blanks or characters outside ASCII"
