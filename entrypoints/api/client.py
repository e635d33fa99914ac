"""The client of a request: its address, through trusted proxies, and its User-Agent."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from flask import request

from domain.accounts import DEVICE_MAX_LENGTH, Origin

Network = IPv4Network | IPv6Network

MAX_AGENT_LENGTH = 1_000
# Entries of X-Forwarded-For that are read, from the end.
MAX_HOPS = 32
# Rate limits treat an IPv6 /64 as one client.
IPV6_CLIENT_BITS = 64
# Key of the WSGI environ.
ORIGIN = "gemini_chat.origin"
# Origins of clients with longer headers than this are not cached, so that they cannot fill the memory.
MAX_CACHED_LENGTH = 400
CACHED_CLIENTS = 4_096


@dataclass(frozen=True, slots=True)
class Proxies:
    """Which part of X-Forwarded-For holds: what was written by ``networks`` of ours, or the last ``hops`` entries.

    ``hops`` is for platforms whose proxies have no addresses of their own: so many of them are passed by every request,
    and each adds an entry. With 0 ``networks`` decide; with neither the header counts for nothing.
    """

    networks: tuple[Network, ...] = ()
    hops: int = 0

    @property
    def any(self) -> bool:
        return bool(self.networks or self.hops)


NO_PROXIES = Proxies()


def origin() -> Origin:
    """The origin of the current request."""
    found: Origin = request.environ[ORIGIN]
    return found


def note_origin(environ: dict[str, Any], proxies: Proxies) -> None:
    """Store the origin of a request in its environ, for ``origin()``."""
    remote, agent = environ.get("REMOTE_ADDR") or "", environ.get("HTTP_USER_AGENT", "")
    forwarded = environ.get("HTTP_X_FORWARDED_FOR", "") if proxies.any else ""
    read = _cached_origin if len(agent) + len(forwarded) <= MAX_CACHED_LENGTH else read_origin
    environ[ORIGIN] = read(remote, forwarded, agent, proxies)


def read_origin(remote: str, forwarded: str, agent: str, proxies: Proxies) -> Origin:
    """The address and device of a client.

    X-Forwarded-For is read from its end, and only as long as each entry was written by a trusted proxy: the client may
    have written everything further left.
    """
    address = _parse(remote)
    if address is not None and proxies.hops:
        address = _entry_from_the_end(forwarded, proxies.hops) or address
    elif address is not None and _is_trusted(address, proxies.networks):
        address = _nearest_untrusted(forwarded, address, proxies.networks)
    return _origin(address, agent)


_cached_origin = lru_cache(maxsize=CACHED_CLIENTS)(read_origin)


def _origin(address: IPv4Address | IPv6Address | None, agent: str) -> Origin:
    device = "".join(filter(str.isprintable, agent[:MAX_AGENT_LENGTH]))[:DEVICE_MAX_LENGTH]
    return Origin(_client_of(address) if address is not None else None, device or None)


def _entry_from_the_end(forwarded: str, number: int) -> IPv4Address | IPv6Address | None:
    """None when there are fewer: the request has come another way, and may have written all of them itself."""
    entries = forwarded.rsplit(",", number)[-number:]
    return _parse(entries[0].strip()) if len(entries) == number else None


def _nearest_untrusted(
    forwarded: str, proxy: IPv4Address | IPv6Address, trusted_proxies: Sequence[Network]
) -> IPv4Address | IPv6Address:
    address = proxy
    hops = forwarded.split(",")
    for hop in reversed(hops[-MAX_HOPS:]):
        before = _parse(hop.strip())
        if before is None:
            break
        address = before
        if not _is_trusted(address, trusted_proxies):
            break
    return address


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_trusted(address: IPv4Address | IPv6Address, trusted_proxies: Sequence[Network]) -> bool:
    return any(address in network for network in trusted_proxies)


def _client_of(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network(f"{IPv6Address(int(address))}/{IPV6_CLIENT_BITS}", strict=False))
