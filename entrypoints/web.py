"""The web process: our server (entrypoints.server) before the application of wsgi.py."""

import gc
import sys

from application.ports.observation import RoomState
from entrypoints.api.body import MAX_BODY_BYTES
from entrypoints.api.client import Proxies
from entrypoints.api.webhooks import MAX_EVENT_BYTES
from entrypoints.metrics import serve_metrics
from entrypoints.server.connection import Limits
from entrypoints.server.serve import BACKLOG, allowed_connections, bound_socket
from entrypoints.server.serve import serve as serve_on
from entrypoints.server.server import Options
from entrypoints.settings import Settings
from entrypoints.thread_limit import check_threads
from entrypoints.web_rooms import client_of, rooms, waiting_room

EXIT_FAILED = 1
WEBHOOK_PATHS = (b"/webhook/stripe", b"/subscription/webhook/stripe")


def serve(settings: Settings, *, shared: bool) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP; requests that are running are finished. The exit status.

    ``shared``: other processes listen on the port as well.
    Raises CannotStart when the database or Redis is none that the service could work with, or it may not have its
    threads.
    """
    try:
        listener = bound_socket(settings.host, settings.port, shared=shared)
    except OSError as error:
        return cannot_listen(settings, error)
    from entrypoints.container.build import check_servers  # noqa: PLC0415

    check_servers(settings)
    # Built after the port is ours: a second process on a taken port fails at once, and changes nothing.
    from wsgi import app, web  # noqa: PLC0415

    by_route = rooms(settings.web_threads, start=web.start_on_loop)
    waiting = waiting_room(web.start_on_loop)
    watched = (*by_route.all, waiting)
    # Those on the loop count, too: they may need a helper each.
    check_threads(sum(one.threads for one in watched), "WEB_THREADS")
    try:
        listener.listen(BACKLOG)
    except OSError as error:  # another process was faster meanwhile
        return cannot_listen(settings, error)
    proxies = Proxies(settings.trusted_proxies, settings.trusted_proxy_hops)
    options = Options(
        room_of=by_route.room_of,
        client_of=lambda environ: client_of(environ, proxies),
        waiting_room=waiting,
        rooms=by_route.all,
        limits=Limits(body_bytes=MAX_BODY_BYTES, body_bytes_of=dict.fromkeys(WEBHOOK_PATHS, MAX_EVENT_BYTES)),
        max_connections=allowed_connections(settings.web_connections),
    )
    if web.metrics is not None:
        web.metrics.watch_rooms(
            lambda: [RoomState(one.name, one.threads, one.running, one.waiting, one.refused) for one in watched]
        )
        serve_metrics(web.metrics)
    # What is there now stays: collections that look at it again and again would stop the event loop.
    gc.collect()
    gc.freeze()
    serve_on(app, options, listener)
    web.close()
    return 0


def cannot_listen(settings: Settings, error: OSError) -> int:
    """Say so; the exit status."""
    reason = error.strerror or type(error).__name__
    print(f"Cannot listen on {settings.host}:{settings.port}: {reason}", file=sys.stderr)  # noqa: T201
    return EXIT_FAILED
