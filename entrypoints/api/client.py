"""Who is at the other end: the address that a request comes from, and what the client calls itself."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from flask import Request, g

from domain.accounts import Origin

Network = IPv4Network | IPv6Network

DEVICE_MAX_LENGTH = 200
MAX_AGENT_LENGTH = 1_000
# A proxy that adds to a list without end is none of ours.
MAX_HOPS = 32
# One customer of a provider has at least so much of IPv6 to himself.
IPV6_CUSTOMER_BITS = 64


def origin() -> Origin:
    """Where the request at hand comes from."""
    found: Origin = g.origin
    return found


def read_origin(request: Request, trusted_proxies: Sequence[Network]) -> Origin:
    """Where a request comes from.

    X-Forwarded-For is read from its end, and only as far as each hop was written by a proxy that we trust: whatever
    stands further left, anybody may have written.
    """
    agent, remote = request.headers.get("User-Agent", ""), request.remote_addr or ""
    if not trusted_proxies:
        return _direct(remote, agent)
    address = _parse(remote)
    if address is not None and _is_trusted(address, trusted_proxies):
        address = _forwarded(request, address, trusted_proxies)
    return _origin(address, agent)


@lru_cache(maxsize=1_024)
def _direct(remote: str, agent: str) -> Origin:
    """The same few clients come again and again."""
    return _origin(_parse(remote), agent)


def _origin(address: IPv4Address | IPv6Address | None, agent: str) -> Origin:
    device = "".join(filter(str.isprintable, agent[:MAX_AGENT_LENGTH]))[:DEVICE_MAX_LENGTH]
    return Origin(_written(address) if address is not None else None, device or None)


def _forwarded(
    request: Request, nearest: IPv4Address | IPv6Address, trusted_proxies: Sequence[Network]
) -> IPv4Address | IPv6Address:
    address = nearest
    hops = ",".join(request.headers.getlist("X-Forwarded-For")).split(",")
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
