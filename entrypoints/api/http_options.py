"""HTTP deployment options: trusted proxies, CORS origins, HTTPS."""

from collections.abc import Collection
from dataclasses import dataclass

from application.ports.observation import RequestObserver, TraceRequest
from entrypoints.api.client import NO_PROXIES, Proxies


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """``proxies``: what of X-Forwarded-For is believed.

    ``cors_origins``: origins whose pages may call the API, in lower case. ``https_only``: send HSTS.
    ``waiting_requests``: streams and long polls of this process at once; ``waiting_requests_per_user``: of one user.
    ``public_url``: the address in the OpenAPI document. ``on_request``: is told of each response. ``trace``: puts
    each request in a trace. ``chat_page``: serve /app.
    """

    proxies: Proxies = NO_PROXIES
    cors_origins: Collection[str] = frozenset()
    https_only: bool = False
    waiting_requests: int = 10_000
    waiting_requests_per_user: int = 20
    public_url: str = "http://127.0.0.1:8000"
    on_request: RequestObserver | None = None
    trace: TraceRequest | None = None
    chat_page: bool = True
