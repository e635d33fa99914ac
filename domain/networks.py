"""The networks that an address is part of, for limits: who has one address of a network may have all of them."""

from collections.abc import Sequence
from ipaddress import IPv6Network, ip_network
from typing import NamedTuple

# What a provider gives to one customer is a /64, a /56 or a /48 (RIPE-690); of IPv4, a rented block is often a /24.
IPV6_PREFIXES = {64: 1, 56: 2, 48: 4}
IPV4_PREFIXES = {32: 1, 24: 16}


class Network(NamedTuple):
    """``times``: how many times the limit of one address the network as a whole may use."""

    subject: str
    times: int


def networks_of(address: str) -> Sequence[Network]:
    """The networks of an address, the narrowest first. A text that is no address is a network of its own."""
    try:
        host = ip_network(address, strict=False)
    except ValueError:
        return [Network(address, 1)]
    prefixes = IPV6_PREFIXES if isinstance(host, IPv6Network) else IPV4_PREFIXES
    wider = [
        Network(str(host.supernet(new_prefix=prefix)), times)
        for prefix, times in prefixes.items()
        if times > 1 and prefix < host.prefixlen
    ]
    return [Network(address, 1), *wider]
