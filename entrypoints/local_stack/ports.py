"""TCP ports of this machine."""

import contextlib
import errno
import socket


def free_loopback_port() -> int:
    """A port that no server listens on. Another process may take it before the caller does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def why_not(host: str, port: int) -> str | None:
    """Why a server could not listen there, or None if it could."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as fault:
        return fault.strerror or str(fault)
    faults = [fault for fault in map(_bind_fault, found) if fault is not None]
    # "localhost" may name an IPv6 address that this machine does not have; the other one will do.
    telling = [one for one in faults if one.errno in (errno.EADDRINUSE, errno.EACCES)]
    if not telling and len(faults) < len(found):
        return None
    first = (telling or faults)[0]
    return first.strerror or str(first)


def _bind_fault(
    resolved: tuple[
        socket.AddressFamily,
        socket.SocketKind,
        int,
        str,
        tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes],
    ],
) -> OSError | None:
    family, kind, protocol, _name, address = resolved
    try:
        with contextlib.closing(socket.socket(family, kind, protocol)) as probe:
            # As servers do: lingering connections of an earlier server are no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)
    except OSError as fault:
        return fault
    return None
