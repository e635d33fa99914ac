"""A process that serves: its socket, its event loop, and its end."""

import asyncio
import resource
import signal
import socket
from contextlib import suppress

import structlog
import uvloop

from entrypoints.server.connection import Connection
from entrypoints.server.server import Options, Server
from entrypoints.server.wsgi import Application

BACKLOG = 2048
# After SIGTERM requests are still taken for so long, each connection's last: clients learn meanwhile that
# this process is about to stop.
DRAIN_SECONDS = 1.0
# After that: how long requests may take to arrive that have begun to, and the first ones of new connections.
ARRIVAL_SECONDS = 2.0
# How long requests that are being answered have got. Container engines kill ten seconds after SIGTERM.
GRACE_SECONDS = 8.0
LOOK_SECONDS = 0.05
# Files that a process needs beside its connections.
OTHER_FILES = 256
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

log = structlog.get_logger(__name__)


def bound_socket(host: str, port: int, *, shared: bool) -> socket.socket:
    """A socket bound to ``host`` and ``port``, which does not listen yet. OSError when another one listens there.

    ``shared``: several processes may listen on the port (SO_REUSEPORT); the kernel spreads connections over them. So
    none should listen before it can serve: its share of the connections would wait.
    """
    [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.settimeout(0)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def allowed_connections(wanted: int) -> int:
    """As many connections as were wanted, if the process may have so many files open; else as many as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else max(min(wanted, soft - OTHER_FILES), 16)


def serve(application: Application, options: Options, listener: socket.socket) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP; a second one ends the process without waiting for what is going on."""
    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(_serve_until_told(application, options, listener))
    finally:
        loop.close()


async def _serve_until_told(application: Application, options: Options, listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    stop, hurry = asyncio.Event(), asyncio.Event()

    def told() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, told)
    await serve_until(application, options, listener, stop=stop, hurry=hurry)


async def serve_until(
    application: Application,
    options: Options,
    listener: socket.socket,
    *,
    stop: asyncio.Event,
    hurry: asyncio.Event,
    drain_seconds: float = DRAIN_SECONDS,
) -> None:
    """Serve until ``stop``; then finish what is going on, but no longer than until ``hurry`` or the grace is over."""
    loop = asyncio.get_running_loop()
    server = Server(application, options, loop)
    host, port = listener.getsockname()[:2]
    server.name_and_port = (str(host), str(port))
    accepting = await loop.create_server(lambda: Connection(server), sock=listener, backlog=BACKLOG)
    server.sweep()
    await stop.wait()
    server.interrupt_waits()
    await _wait(hurry, drain_seconds)
    await _stop_accepting(accepting, listener, server)
    server.close_idle()
    arrived, until = loop.time() + ARRIVAL_SECONDS, loop.time() + GRACE_SECONDS
    while not hurry.is_set() and loop.time() < until:
        if server.quiet and (loop.time() >= arrived or not server.expects_requests):
            break
        await _wait(hurry, LOOK_SECONDS)
    if not server.quiet:
        log.warning("requests_cut_off")
    server.abort_all()
    for room in (*options.rooms, options.waiting_room):
        room.close()


async def _stop_accepting(accepting: asyncio.Server, listener: socket.socket, server: Server) -> None:
    """Close the listening socket, and serve the connections that it holds: the kernel would reset them.

    Those that are made between the last look and the closing are lost where several processes share the port, unless
    the kernel passes them on (net.ipv4.tcp_migrate_req).
    """
    loop = asyncio.get_running_loop()
    held = []
    with listener.dup() as own:
        own.settimeout(0)
        accepting.close()
        with suppress(OSError):  # BlockingIOError: that was the last one
            while True:
                connection, _ = own.accept()
                held.append(connection)
    for connection in held:
        await loop.connect_accepted_socket(lambda: Connection(server), connection)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
