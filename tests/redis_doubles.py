"""Redis as it is when it is not there."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def closed_port() -> Iterator[str]:
    """URL of a Redis that refuses connections. The port stays taken, so that no other process listens there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"redis://127.0.0.1:{taken.getsockname()[1]}/0"


@contextmanager
def black_hole() -> Iterator[str]:
    """URL of a Redis that takes connections and never says a word."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(128)
        yield f"redis://127.0.0.1:{silent.getsockname()[1]}/0"


@contextmanager
def dropped_packets() -> Iterator[str]:
    """URL of a Redis to which no connection comes about: its queue of connections that wait to be taken is full."""
    with socket.socket() as silent, socket.socket() as first:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        first.connect(silent.getsockname())
        yield f"redis://127.0.0.1:{silent.getsockname()[1]}/0"


DOWN = [closed_port, black_hole]
