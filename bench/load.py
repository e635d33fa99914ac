"""Load over keep-alive connections, each of which sends its next request as soon as the last is answered.

By wrk where it is installed, which costs little CPU; otherwise by this module in a process of its own:
python bench/load.py < plan.json: {"port", "connections", "seconds", "requests": [...]}. Prints what came back.
"""

import json
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from figures import percentile, without_omission

CONNECTIONS = 32
HEAD_ENDS = b"\r\n\r\n"
LENGTH = b"content-length:"
PIECE = 65_536
# A server that says nothing for so long is not waited for.
SILENCE_SECONDS = 10.0
HERE = Path(__file__).parent


class Answers(NamedTuple):
    """What came back: ``refused`` are statuses of 400 and above, ``lost`` are none; percentiles in milliseconds."""

    answered: int
    refused: int
    lost: int
    seconds: float
    p50: float
    p99: float

    @property
    def good(self) -> int:
        return self.answered - self.refused


def generator() -> str:
    """What makes the load, and what to install where that is not the best."""
    if shutil.which("wrk"):
        return "wrk"
    return "bench/load.py: wrk is not installed (Debian: apt install wrk), and this takes more of the CPU than a server"


def load(port: int, requests: Sequence[str], seconds: int) -> Answers:
    """``seconds`` of load by 32 connections."""
    if shutil.which("wrk"):
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write("\0".join(requests))
            file.flush()
            command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", f"--timeout={SILENCE_SECONDS:.0f}s"]
            command += ["-s", str(HERE / "wrk.lua"), f"http://127.0.0.1:{port}/", "--", file.name]
            found = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    else:
        plan = {"port": port, "connections": CONNECTIONS, "seconds": seconds, "requests": requests}
        command = [sys.executable, str(HERE / "load.py")]
        found = subprocess.run(command, input=json.dumps(plan), capture_output=True, text=True, check=True).stdout
    return Answers(**json.loads(found))


class Connection:
    """Sends the next request as soon as the last one is answered."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        """Go round through ``requests``."""
        self._requests = cycle(requests)
        self._received = b""
        self.asked = 0.0
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self) -> None:
        """Send a request; it is short enough to go out at once."""
        self._received = b""
        self.asked = time.perf_counter()
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
    """How long a body is. An answer that does not say so is not understood: no server here gives one."""
    return int(head.lower().partition(LENGTH)[2].partition(b"\r\n")[0])


def _load(port: int, connections: int, seconds: float, requests: list[bytes]) -> Answers:
    statuses: Counter[str] = Counter()
    latencies: list[float] = []
    waiting = selectors.DefaultSelector()
    began = time.monotonic()
    for n in range(connections):
        connection = Connection(port, requests[n::connections] or requests)
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
            latencies.append((time.perf_counter() - connection.asked) * 1000)
            if status != "lost" and time.monotonic() < began + seconds:
                connection.ask()
            else:
                waiting.unregister(connection.socket)
                connection.socket.close()
    taken = time.monotonic() - began
    corrected = without_omission(latencies, taken * 1000 * connections / len(latencies))
    lost = statuses.pop("lost", 0)
    refused = sum(count for status, count in statuses.items() if status >= "400")
    answered = sum(statuses.values())
    return Answers(answered, refused, lost, taken, percentile(corrected, 0.5), percentile(corrected, 0.99))


if __name__ == "__main__":
    plan = json.load(sys.stdin)
    plan["requests"] = [request.encode() for request in plan["requests"]]
    print(json.dumps(_load(**plan)._asdict()))
