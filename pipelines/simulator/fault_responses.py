"""What faults make of the response that an answer is sent in.

Each takes the response, the chances of this request, and the fault's `seconds`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.responses import Response

from pipelines.simulator.connection import CutAnswer, LateAnswer, NoAnswer
from pipelines.simulator.gate import html_page

if TYPE_CHECKING:
    from random import Random

_OTHER_SHAPES: Final[tuple[Any, ...]] = (
    [],
    "ok",
    None,
    {"message": "Service is being updated"},
    {"results": {"1": {"id": "1"}}},
    {"results": ["1", 2, None], "status": 7},
)


def page(status: int, _: Response, __: Random, ___: float) -> Response:
    """An error page in its place."""
    return html_page(status)


def late(response: Response, _: Random, late_s: float) -> Response:
    """The same, later."""
    return LateAnswer(response, late_s)


def never(_: Response, __: Random, ___: float) -> Response:
    """Nothing, for as long as the client waits."""
    return NoAnswer()


def cut(share: float, response: Response, _: Random, __: float) -> Response:
    """A share of it, then a reset."""
    return CutAnswer(response, share)


def truncated(response: Response, rng: Random, _: float) -> Response:
    """The body ends early, and Content-Length agrees."""
    body = bytes(response.body)
    return _with_body(response, body[: rng.randrange(1, len(body))])


def not_utf8(response: Response, _: Random, __: float) -> Response:
    """Two bytes that UTF-8 never has, inside a text."""
    body = bytes(response.body)
    starts = [found.end() for found in re.finditer(rb'":"', body)] or [body.find(b'"') + 1]
    at = starts[len(starts) // 2]
    return _with_body(response, body[:at] + b"\xff\xfe" + body[at:])


def wrong_shape(response: Response, rng: Random, _: float) -> Response:
    """JSON, but nothing like what the endpoint answers."""
    shapes = _OTHER_SHAPES[1:] if bytes(response.body).startswith(b"[") else _OTHER_SHAPES
    return _with_body(response, msgspec.json.encode(rng.choice(shapes)))


def _with_body(response: Response, body: bytes) -> Response:
    kept = {k: v for k, v in response.headers.items() if k.lower() != "content-length"}
    return Response(body, response.status_code, kept)
