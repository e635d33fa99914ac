"""HTTP connections to providers. Everything here runs on an event loop."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi


class Connections:
    """Keeps connections that were used, and repeats a request at once for which a kept one was dead.

    Providers, balancers and NATs drop idle connections, and a client learns that only when it sends the next request.
    The provider is well then, and has not seen that request.
    """

    def __init__(self) -> None:
        tracing = aiohttp.TraceConfig()
        tracing.on_connection_reuseconn.append(_note_reuse)
        self._kept = _new_session(aiohttp.TCPConnector(limit=0, ssl=authorities()), tracing)
        self._fresh = _new_session(aiohttp.TCPConnector(limit=0, ssl=authorities(), force_close=True))

    @asynccontextmanager
    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str], proxy: str | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to a POST. One that is not read to its end closes its connection."""
        connection = _Connection()
        try:
            response = await self._kept.post(url, data=body, headers=headers, proxy=proxy, trace_request_ctx=connection)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if not connection.reused:
                raise
            response = await self._fresh.post(url, data=body, headers=headers, proxy=proxy)
        async with response:
            yield response

    async def close(self) -> None:
        """Close them. Idempotent."""
        await self._kept.close()
        await self._fresh.close()


def proxy_of(url: str) -> str | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY want for this address, or the settings of macOS.

    Looked up once and not with each call, as aiohttp would do: that costs a third of a millisecond and two threads, and
    sends what ~/.netrc says in the place of our key.
    """
    address = urlsplit(url)
    if proxy_bypass(address.netloc.rpartition("@")[2]):
        return None
    return getproxies().get(address.scheme)


@dataclass(slots=True)
class _Connection:
    """That of one request. ``reused``: it had carried another one before."""

    reused: bool = False


async def _note_reuse(_session: aiohttp.ClientSession, context: SimpleNamespace, _parameters: Any) -> None:
    context.trace_request_ctx.reused = True


@cache
def authorities() -> ssl.SSLContext:
    """Trusts the system's authorities, or those in SSL_CERT_FILE and SSL_CERT_DIR, and certifi's: a Python from
    python.org on macOS knows none.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


def _new_session(connector: aiohttp.TCPConnector, *tracing: aiohttp.TraceConfig) -> aiohttp.ClientSession:
    # The waiting thread keeps the deadline, and the worker bounds the number of concurrent calls.
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=list(tracing),
    )
