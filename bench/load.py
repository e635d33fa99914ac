"""Load over keep-alive connections, in a process of its own and cheap enough to leave the machine to the server.

python bench/load.py < plan.json: {"port", "connections", "seconds", "requests": [...]}. Prints what came back.
"""

import json
import selectors
import socket
import sys
import time
from collections import Counter
from itertools import cycle

HEAD_ENDS = b"\r\n\r\n"
LENGTH = b"content-length:"
PIECE = 65_536
# A server that says nothing for so long is not waited for.
SILENCE_SECONDS = 10.0


class Connection:
    """Sends the next request as soon as the last one is answered."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        """Go round through ``requests``."""
        self._requests = cycle(requests)
        self._received = b""
        self.asked_at = 0.0
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self) -> None:
        """Send a request; it is short enough to go out at once."""
        self._received = b""
        self.asked_at = time.monotonic()
        self.socket.sendall(next(self._requests))

    def status(self) -> str | None:
        """The status of the answer, once all of it is there; ``lost`` if there will be none."""
        chunk = self.socket.recv(PIECE)
        self._received += chunk
        head, found, body = self._received.partition(HEAD_ENDS)
        if found and len(body) >= _length(head):
            return head[9:12].decode()
        return None if chunk else "lost"


def _length(head: bytes) -> int:
    """How long a body is. An answer that does not say so is not understood: neither server gives one."""
    return int(head.lower().partition(LENGTH)[2].partition(b"\r\n")[0])


def load(port: int, connections: int, seconds: float, requests: list[bytes]) -> dict[str, object]:
    """How many answers of each status there were, in how many seconds, and how long one took (milliseconds)."""
    statuses: Counter[str] = Counter()
    took: list[float] = []
    waiting = selectors.DefaultSelector()
    began = time.monotonic()
    for n in range(connections):
        connection = Connection(port, requests[n::connections])
        waiting.register(connection.socket, selectors.EVENT_READ, connection)
        connection.ask()
    while waiting.get_map():
        ready = waiting.select(SILENCE_SECONDS)
        if not ready:
            statuses["lost"] += len(waiting.get_map())
            break
        for key, _ in ready:
            connection = key.data
            status = connection.status()
            if status is None:
                continue
            statuses[status] += 1
            took.append(time.monotonic() - connection.asked_at)
            if status != "lost" and time.monotonic() < began + seconds:
                connection.ask()
            else:
                waiting.unregister(connection.socket)
                connection.socket.close()
    seconds = time.monotonic() - began
    took.sort()
    p50, p99 = (took[int(len(took) * share)] * 1000 if took else 0.0 for share in (0.5, 0.99))
    return {"statuses": statuses, "seconds": seconds, "p50": p50, "p99": p99}


if __name__ == "__main__":
    plan = json.load(sys.stdin)
    plan["requests"] = [request.encode() for request in plan["requests"]]
    print(json.dumps(load(**plan)))
