"""What the HTTP door is told about the world around it."""

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """``trusted_proxies``: whose X-Forwarded-For counts. ``cors_origins``: whose pages may call the API.

    ``https_only``: browsers are told never to come without TLS.
    """

    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    cors_origins: Collection[str] = frozenset()
    https_only: bool = False
