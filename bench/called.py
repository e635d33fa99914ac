"""The application of one checkout, called in one thread and measured. ``in_process.py`` starts it, in that checkout.

Reads requests by kind (JSON), then kinds, a line each; answers each with the CPU of one such request in microseconds.
"""

import json
import sys
import time
from io import BytesIO
from typing import Any

from entrypoints.server.wsgi import BASE, environ_name, split_target
from wsgi import app

BLOCK = 40


def answer() -> None:
    """A block of requests of each kind that is asked for."""
    requests = {kind: list(map(_environ, texts)) for kind, texts in json.loads(sys.stdin.readline()).items()}
    done = dict.fromkeys(requests, 0)
    for line in sys.stdin:
        kind = line.strip()
        began = time.process_time()
        for _ in range(BLOCK):
            environ, body = requests[kind][done[kind] % len(requests[kind])]
            done[kind] += 1
            _call({**environ, "wsgi.input": BytesIO(body)})
        print((time.process_time() - began) / BLOCK * 1e6, flush=True)


def _call(environ: dict[str, Any]) -> None:
    def start(status: str, _headers: object, _error: object = None) -> None:
        if not status.startswith("2"):
            raise SystemExit(status)

    b"".join(app(environ, start))


def _environ(request: str) -> tuple[dict[str, Any], bytes]:
    """The environment (PEP 3333) and the body of a request."""
    head, _, body = request.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    method, target, protocol = first.split()
    environ = {**BASE, "REQUEST_METHOD": method, "SERVER_PROTOCOL": protocol, "REMOTE_ADDR": "127.0.0.1"}
    environ |= {"SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80"}
    environ["PATH_INFO"], environ["QUERY_STRING"] = split_target(target.encode())
    for line in lines:
        name, _, value = line.partition(": ")
        environ[str(environ_name(name.encode()))] = value
    return environ, body.encode()


if __name__ == "__main__":
    answer()
