"""Sign-in by OAuth: access tokens for a refresh token, and how long they are good."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from pipelines.simulator.object_kinds import PORTAL_ID
from pipelines.simulator.values import epoch_ms, iso
from pipelines.simulator.wire import Answer, Call, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipelines.simulator.definitions import Json

_USER_ID: Final = 7_700_099
_REFUSALS: Final = {
    "client_id": ("BAD_CLIENT_ID", "missing or unknown client id", "invalid_client"),
    "client_secret": (
        "BAD_CLIENT_SECRET",
        "missing or invalid client secret",
        "invalid_client",
    ),
    "refresh_token": (
        "BAD_REFRESH_TOKEN",
        "refresh token is invalid, expired or revoked",
        "invalid_grant",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthApp:
    """An app, and the refresh token that installing it in the portal gave."""

    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)


class OAuth:
    """Gives access tokens, and knows until when each is good.

    `issued` has every token, oldest first, with the moment it expires at. `app` may be
    changed meanwhile, as when it is uninstalled.

    Args:
        app: The only one that gets tokens; None: any that sends all three of its fields.
        expires_in: Seconds that a token lives.
        scopes: What the newer endpoints say of it.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        app: OAuthApp | None,
        *,
        expires_in: float,
        scopes: Sequence[str],
        clock: Callable[[], float],
    ) -> None:
        self.issued: dict[str, float] = {}
        self.app = app
        self._expires_in = expires_in
        self._scopes = scopes
        self._clock = clock

    def token(self, call: Call) -> Answer:
        """An access token for the form of a `refresh_token` grant, or 400 in OAuth's words."""
        form = {
            key: values[0] for key, values in parse_qs(call.body.decode(errors="replace")).items()
        }
        if form.get("grant_type") != "refresh_token":
            return _refused("BAD_GRANT_TYPE", "missing or unknown grant type", "invalid_request")
        for key, refusal in _REFUSALS.items():
            if not self._is_right(key, form):
                return _refused(*refusal)
        token = secrets.token_urlsafe(96)
        self.issued[token] = self._clock() + self._expires_in
        body: Json = {
            "token_type": "bearer",
            "refresh_token": form["refresh_token"],
            "access_token": token,
            "expires_in": int(self._expires_in),
        }
        if call.version != "v1":
            body |= {
                "hub_id": PORTAL_ID,
                "scopes": self._scopes,
                "user_id": _USER_ID,
                "token_use": "access_token",
            }
        return Answer(body)

    def has_issued(self, token: str) -> bool:
        """Whether a token is one of these, expired or not."""
        return token in self.issued

    def check(self, token: str, at_s: float) -> None:
        """Let an issued token pass while it is good.

        Raises:
            Refusal: 401, it has expired.
        """
        late_s = at_s - self.issued[token]
        if late_s < 0:
            return
        expired_at = iso(epoch_ms(datetime.now(UTC) - timedelta(seconds=late_s)))
        raise Refusal(
            401,
            f"The OAuth token used to make this call expired {late_s / 60:.0f} minute(s) ago.",
            category="EXPIRED_AUTHENTICATION",
            context={"expire time": [expired_at]},
        )

    def _is_right(self, key: str, form: Mapping[str, str]) -> bool:
        if self.app is None:
            return key in form
        right: str = getattr(self.app, key)
        return form.get(key) == right


def _refused(status: str, message: str, error: str) -> Answer:
    return Answer(
        {"status": status, "message": message, "error": error, "error_description": message}, 400
    )
