"""HTTP deployment options: trusted proxies, CORS origins, HTTPS."""

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from application.ports.observation import RequestObserver


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """``trusted_proxies``: networks whose X-Forwarded-For is believed.

    ``cors_origins``: origins whose pages may call the API, in lower case. ``https_only``: send HSTS.
    ``waiting_requests``: streams and long polls of this process at once; ``waiting_requests_per_user``: of one user.
    ``on_request``: is told of each response. ``chat_page``: serve /app.
    """

    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    cors_origins: Collection[str] = frozenset()
    https_only: bool = False
    waiting_requests: int = 10_000
    waiting_requests_per_user: int = 20
    on_request: RequestObserver | None = None
    chat_page: bool = True
