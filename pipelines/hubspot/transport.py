"""aiohttp under httpx: the same requests and answers, received three times as fast.

httpx's own transport parses HTTP in Python, 0.8 ms of CPU for an answer of
180 KB; aiohttp's parser is C, 0.3 ms. Written here rather than taken from
httpx-aiohttp 0.2, which reports a connection lost half-way as one that was
never made, knows no proxy of the environment, and lets aiohttp repeat a GET
that our limiter then has not counted.

It is used without httpx's client around it: for one host, one token and no
redirects, cookies or URL merging, that would do nothing but take 0.15 ms of CPU
for each request.
"""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from yarl import URL

from pipelines.errors import ConfigError
from pipelines.hubspot.answers import URL_SETTING

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 110.0  # HubSpot answers within 100 s, or Cloudflare does with 524
CONNECTIONS = 16
USER_AGENT = "crm-warehouse"

HEADERS = (
    ("accept", "application/json"),
    ("accept-encoding", "gzip"),
    ("user-agent", USER_AGENT),
)
KEEP_ALIVE_S = 30.0
READ_BUFFER_BYTES = 1 << 20
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def open_http(
    *, base_url: str, timeout_s: float = READ_TIMEOUT_S, connections: int = CONNECTIONS
) -> AiohttpTransport:
    """A transport to one HubSpot host: pooled connections, TLS verified; use with `async with`.

    Args:
        base_url: Scheme and host.
        timeout_s: For each read; a connection is given up after 10 s at most.
        connections: At most so many requests at a time.

    Raises:
        ConfigError: `base_url` is not a whole http or https URL.
    """
    url = _whole_url(base_url)
    timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))
    return AiohttpTransport(base_url=url, timeout=timeout, connections=connections)


def _whole_url(base_url: str) -> httpx.URL:
    try:
        parts = urlsplit(base_url)  # stricter than httpx about brackets and ports
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return httpx.URL(base_url)
    except (ValueError, httpx.InvalidURL):
        pass
    raise ConfigError(
        f"{base_url!r} is not a URL of HubSpot: set {URL_SETTING}, "
        "for example to https://api.hubapi.com"
    )


class AiohttpTransport(httpx.AsyncBaseTransport):
    """One pool of connections to one host; each answer is read to its end.

    Args:
        base_url: Decides about TLS and about the proxy from the environment.
        timeout: `connect` and `read` are used.
        connections: At most this many at a time; further requests wait.
    """

    def __init__(self, *, base_url: httpx.URL, timeout: httpx.Timeout, connections: int) -> None:
        self.base_url = base_url
        # Certificates take 20 ms to read; the simulator does without.
        self._tls = httpx.create_ssl_context() if base_url.scheme == "https" else False
        self._proxy, self._proxy_headers = _proxy_for(base_url)
        self._timeout = aiohttp.ClientTimeout(
            # One timer for the whole answer; `sock_read` would set one for each piece of it.
            total=timeout.read,
            sock_connect=timeout.connect,
        )
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`; errors are httpx's own, and hold no header."""
        try:
            return await self._exchange(request)
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            failure = _as_httpx(exc)
        # Outside `except`: aiohttp's errors can carry all headers, the token
        # among them, and must not hang on to ours as cause or context.
        raise failure

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        session = self._session or self._open()
        async with session.request(
            request.method,
            URL(str(request.url), encoded=True),
            headers=[
                *HEADERS,
                *((k.decode("latin-1"), v.decode("latin-1")) for k, v in request.headers.raw),
            ],
            data=request.content or None,
            allow_redirects=False,
            proxy=self._proxy,
            proxy_headers=self._proxy_headers,
        ) as answer:
            body = await answer.read()
            # With `content` the body is decoded, by its content-encoding, here and now.
            return httpx.Response(answer.status, headers=answer.raw_headers, content=body)

    def _open(self) -> aiohttp.ClientSession:
        # Here rather than in __init__, because a session belongs to a running loop.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections, keepalive_timeout=KEEP_ALIVE_S, ssl=self._tls
            ),
            timeout=self._timeout,
            auto_decompress=False,  # httpx does
            cookie_jar=aiohttp.DummyCookieJar(),  # httpx has one
            read_bufsize=READ_BUFFER_BYTES,
        )
        # aiohttp repeats a GET by itself when the server drops the connection.
        # That request would be missing in our count; we do repeats ourselves.
        self._session._retry_connection = False  # noqa: SLF001  (aiohttp has no setting)
        return self._session


def _proxy_for(base_url: httpx.URL) -> tuple[str | None, dict[str, str]]:
    """The proxy of the environment, and the header that opens it.

    Never one for this machine itself: no proxy leads there.
    """
    proxy = getproxies().get(base_url.scheme)
    if not proxy or base_url.host in LOOPBACK or proxy_bypass(base_url.host):
        return None, {}
    url = httpx.URL(proxy)
    if not url.username:
        return proxy, {}
    credentials = b64encode(f"{url.username}:{url.password}".encode()).decode()
    address = str(url.copy_with(username=None, password=None))
    return address, {"Proxy-Authorization": f"Basic {credentials}"}


_AS_HTTPX: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    # The first that fits: aiohttp's timeouts are lost connections too, in its tree.
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (TimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientProxyConnectionError, httpx.ProxyError),
    (aiohttp.ClientHttpProxyError, httpx.ProxyError),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
)


def _as_httpx(exc: Exception) -> httpx.TransportError:
    # In ClientResponseError the message alone: the rest repeats the request.
    text = exc.message if isinstance(exc, aiohttp.ClientResponseError) else str(exc)
    kind = next((theirs for ours, theirs in _AS_HTTPX if isinstance(exc, ours)), httpx.ReadError)
    return kind(text or type(exc).__name__)
