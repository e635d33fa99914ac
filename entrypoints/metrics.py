"""Serves the metrics of a process: on an address and threads of their own, so that no request waits for a scrape."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog

from application.ports.observation import RequestObserver, RoomState
from entrypoints.settings.loading import METRICS_PORTS

# What a scraper may take to send its request.
REQUEST_SECONDS = 10
SCRAPES_AT_ONCE = 4

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics of a process, as a WSGI application, and where they are to be served."""

    exposition: Callable[..., Any]
    host: str
    port: int
    watch_rooms: Callable[[Callable[[], Sequence[RoomState]]], None]
    close: Callable[[], None]
    on_request: RequestObserver | None = None


class _Server(WSGIServer):
    # Two processes must not share a port unnoticed.
    allow_reuse_port = False
    request_queue_size = SCRAPES_AT_ONCE


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a scrape is not worth a line."""


def serve_metrics(metrics: Metrics) -> int | None:
    """Serve them from threads that end with the process. The port; None if none of them is free, which is logged."""
    reason = None
    for port in range(metrics.port, min(metrics.port + METRICS_PORTS, 65_536)):
        try:
            server = make_server(metrics.host, port, metrics.exposition, server_class=_Server, handler_class=_Handler)
        except OSError as error:
            reason = error.strerror
            continue
        # Several threads accept: a client that sends nothing stops no other one, and there are never more of them.
        for number in range(SCRAPES_AT_ONCE):
            Thread(target=_serve, args=(server,), name=f"metrics-{number}", daemon=True).start()
        log.info("metrics_served", host=metrics.host, port=port)
        return port
    log.error("metrics_not_served", host=metrics.host, port=metrics.port, reason=reason)
    return None


def _serve(server: WSGIServer) -> None:
    while True:
        try:
            server.handle_request()
        except Exception:
            log.exception("scrape_failed")
