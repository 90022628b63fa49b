"""Faults on purpose: which requests are hit, the same ones for the same seed in any order."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import KW_ONLY, dataclass
from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING, Final

from pipelines.errors import ConfigError
from pipelines.simulator.fault_answers import asked_ids
from pipelines.simulator.fault_kinds import ALWAYS, KINDS, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from pipelines.simulator.gate import Endpoint
    from pipelines.simulator.wire import Answer, Call

__all__ = ["ALWAYS", "KINDS", "NO_FAULTS", "Fault", "Faults", "Hit", "Hits"]

DEFAULT_FROM: Final = 20


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault by name, and how often it strikes.

    Attributes:
        name: A key of `KINDS`.
        share: Of the requests, or of the ids for `poison`, from 0 to 1; None for the usual.
        hits: How often the same request is hit before it is let through, `ALWAYS` for ever;
            None for the usual, which mostly is once or twice as the seed decides. For faults
            that begin at the n-th request: how often at all.
        begin: The n-th request, for the faults that begin at one, counted from 1.
        endpoint: Only this one is hit, such as "batch_read"; None for all.
        seconds: How late an answer comes, or what Retry-After says.

    Raises:
        ConfigError: No fault has that name, or a number is out of its range.
    """

    name: str
    _: KW_ONLY
    share: float | None = None
    hits: float | None = None
    begin: int = DEFAULT_FROM
    endpoint: str | None = None
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in KINDS:
            raise ConfigError(f"no fault is named {self.name!r}; there are {', '.join(KINDS)}")
        if self.share is not None and not 0 <= self.share <= 1:
            raise ConfigError(f"the share of fault {self.name} is {self.share}; give 0 to 1")
        if self.begin < 1:
            raise ConfigError(f"fault {self.name} begins at request {self.begin}; give 1 or more")

    @classmethod
    def parse(cls, text: str) -> Fault:
        """A fault from "NAME", "NAME=SHARE", or "NAME=N" for those that begin at a request.

        Raises:
            ConfigError: No fault has that name, or what follows is not such a number.
        """
        name, _, number = text.partition("=")
        fault = cls(name)
        if "=" not in text:
            return fault
        try:
            if fault.kind.of in {"from n", "old tokens"}:
                return cls(name, begin=int(number))
            return cls(name, share=float(number))
        except ValueError:
            raise ConfigError(
                f"{number!r} is no number for fault {name}; write {name}={fault._example}"
            ) from None

    @property
    def kind(self) -> Kind:
        """What it does."""
        return KINDS[self.name]

    @property
    def _example(self) -> str:
        return str(DEFAULT_FROM if self.kind.of in {"from n", "old tokens"} else self.kind.share)


class Faults:
    """Faults together, for one app.

    Whether a request is hit follows from the seed, the name of the fault, the method, the
    path with its query, and the body: never from what came before, except for faults that
    begin at the n-th request. A request meets at most one fault that takes the place of its
    answer, the first in order, and any number of those that change an answer.

    Args:
        *faults: Or their names; see `Fault.parse`.
        seed: Another one hits others.

    Raises:
        ConfigError: See `Fault`.
    """

    def __init__(self, *faults: Fault | str, seed: int = 1) -> None:
        self.injected: Counter[str] = Counter()
        self._faults = [Fault.parse(one) if isinstance(one, str) else one for one in faults]
        self._seed = seed
        self._struck: Counter[tuple[str, bytes]] = Counter()
        self._arrived = 0
        self._tokens: dict[str, int] = {}

    def on(self, request: Request, endpoint: Endpoint, body: bytes) -> Hits:
        """What an admitted request meets; call it once for each."""
        if not self._faults:
            return Hits()
        self._arrived += 1
        if token := request.headers.get("authorization"):  # else it asks for one
            self._tokens.setdefault(token, self._arrived)
        target = f"{request.method} {request.url.path}?{request.url.query}\n"
        key = target.encode() + body
        found = [(fault, self._digest(fault, key)) for fault in self._among(endpoint.name)]
        due = [Hit(self, *one) for one in found if self._is_due(*one, request, body)]
        instead = next((one for one in due if not one.fault.kind.change), None)
        if instead is None:
            return Hits(changes=due)
        instead.count()
        return Hits(instead, scopes=endpoint.named_scopes(request))

    def is_poisoned(self, record_id: int | str) -> bool:
        """Whether `poison` or `poison-500` is in this id."""
        return any(
            self._chance(fault, self._digest(fault, str(record_id).encode()))
            for fault in self._faults
            if fault.kind.of == "ids"
        )

    def strike(self, fault: Fault, digest: bytes) -> None:
        """Count a hit."""
        self._struck[_counted(fault, digest)] += 1
        self.injected[fault.name] += 1

    def _among(self, endpoint: str) -> list[Fault]:
        """The faults that can hit an endpoint, in order."""
        return [
            fault
            for fault in self._faults
            if fault.endpoint in {None, endpoint}
            and (fault.kind.endpoints is None or endpoint in fault.kind.endpoints)
        ]

    def _digest(self, fault: Fault, key: bytes) -> bytes:
        """What decides everything about this fault and this request or id."""
        return blake2b(f"{self._seed}/{fault.name}/".encode() + key, digest_size=16).digest()

    def _is_due(self, fault: Fault, digest: bytes, request: Request, body: bytes) -> bool:
        """Whether the fault hits now."""
        match fault.kind.of:
            case "requests":
                is_met = self._chance(fault, digest)
            case "ids":
                poison = (self._digest(fault, one.encode()) for one in asked_ids(body))
                is_met = any(self._chance(fault, one) for one in poison)
            case "from n":
                is_met = self._arrived >= fault.begin
            case "old tokens":
                known_at = self._tokens.get(request.headers.get("authorization", ""), math.inf)
                is_met = self._arrived >= fault.begin >= known_at
        return is_met and self._struck[_counted(fault, digest)] < _most(fault, digest)

    @staticmethod
    def _chance(fault: Fault, digest: bytes) -> bool:
        share = fault.kind.share if fault.share is None else fault.share
        return int.from_bytes(digest[:8]) < share * 2**64


@dataclass(frozen=True, slots=True)
class Hit:
    """One fault that is due for one request; `digest` decides the rest."""

    faults: Faults
    fault: Fault
    digest: bytes

    def count(self) -> None:
        """It takes effect."""
        self.faults.strike(self.fault, self.digest)

    def rng(self) -> Random:
        """The same chances each time."""
        return Random(self.digest)


@dataclass(frozen=True, slots=True)
class Hits:
    """What one request meets: one fault that takes the place of its answer, or changes to it."""

    instead: Hit | None = None
    changes: Sequence[Hit] = ()
    scopes: tuple[str, ...] = ()

    @property
    def policy(self) -> str | None:
        """The limit that the request is said to break."""
        return self.instead.fault.kind.policy if self.instead else None

    def refuse(self) -> None:
        """Stop here if an error is the answer.

        Raises:
            Refusal: The error.
        """
        if self.instead and self.instead.fault.kind.refuse:
            raise self.instead.fault.kind.refuse(self.scopes)

    def changed(self, answer: Answer, call: Call) -> Answer:
        """The answer after every fault that changes it; only those that did are counted."""
        for hit in self.changes:
            change = hit.fault.kind.change
            if change and (made := change(answer, call, hit.rng())):
                hit.count()
                answer = made
        return answer

    def sent(self, response: Response) -> Response:
        """The response as the client shall get it."""
        if not self.instead:
            return response
        fault = self.instead.fault
        if fault.kind.is_retry_after:
            response.headers["Retry-After"] = f"{fault.seconds:.0f}"
        if fault.kind.send:
            return fault.kind.send(response, self.instead.rng(), fault.seconds)
        return response


def _counted(fault: Fault, digest: bytes) -> tuple[str, bytes]:
    """What hits are counted by: the request, or the fault alone if it begins at a request."""
    return fault.name, digest if fault.kind.of in {"requests", "ids"} else b""


def _most(fault: Fault, digest: bytes) -> float:
    """How often it hits the same request."""
    usual = fault.kind.hits if fault.hits is None else fault.hits
    return 1 + digest[-1] % 2 if usual is None else usual


NO_FAULTS: Final = Faults()
