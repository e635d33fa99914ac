"""Who is at the other end: the address that a request comes from, and what the client calls itself."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from flask import request

from domain.accounts import DEVICE_MAX_LENGTH, Origin

Network = IPv4Network | IPv6Network

MAX_AGENT_LENGTH = 1_000
# A proxy that adds to a list without end is none of ours.
MAX_HOPS = 32
# One customer of a provider has at least so much of IPv6 to himself.
IPV6_CUSTOMER_BITS = 64
# Where a request carries what was found out.
ORIGIN = "gemini_chat.origin"
# Longer headers than these are read each time: they are no browser's, and shall not fill the memory.
MAX_REMEMBERED = 400
REMEMBERED_CLIENTS = 4_096


def origin() -> Origin:
    """Where the request at hand comes from."""
    found: Origin = request.environ[ORIGIN]
    return found


def note_origin(environ: dict[str, Any], trusted_proxies: tuple[Network, ...]) -> None:
    """Find out where a request comes from."""
    remote, agent = environ.get("REMOTE_ADDR") or "", environ.get("HTTP_USER_AGENT", "")
    forwarded = environ.get("HTTP_X_FORWARDED_FOR", "") if trusted_proxies else ""
    # The same clients come again and again.
    read = _remembered if len(agent) + len(forwarded) <= MAX_REMEMBERED else read_origin
    environ[ORIGIN] = read(remote, forwarded, agent, trusted_proxies)


def read_origin(remote: str, forwarded: str, agent: str, trusted_proxies: tuple[Network, ...]) -> Origin:
    """Where a request comes from.

    X-Forwarded-For is read from its end, and only as far as each hop was written by a proxy that we trust: whatever
    stands further left, anybody may have written.
    """
    address = _parse(remote)
    if address is not None and _is_trusted(address, trusted_proxies):
        address = _nearest_stranger(forwarded, address, trusted_proxies)
    return _origin(address, agent)


_remembered = lru_cache(maxsize=REMEMBERED_CLIENTS)(read_origin)


def _origin(address: IPv4Address | IPv6Address | None, agent: str) -> Origin:
    device = "".join(filter(str.isprintable, agent[:MAX_AGENT_LENGTH]))[:DEVICE_MAX_LENGTH]
    return Origin(_written(address) if address is not None else None, device or None)


def _nearest_stranger(
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


def _written(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network(f"{IPv6Address(int(address))}/{IPV6_CUSTOMER_BITS}", strict=False))
