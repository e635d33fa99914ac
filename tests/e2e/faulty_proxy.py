"""An HTTP proxy in front of a service, which plants faults: each breaks one promise of the API."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self
from urllib.parse import urlsplit

# Of a connection, not of an answer; the length is counted anew.
NOT_PASSED_ON = frozenset({"connection", "content-length", "transfer-encoding", "host"})


@dataclass(frozen=True)
class Asked:
    """A request. Names of headers are in lower case, ``path`` has no query."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def token(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    def json(self) -> Any:
        return json.loads(self.body)

    def without(self, *names: str) -> "Asked":
        """The same without these headers."""
        return replace(self, headers={name: value for name, value in self.headers.items() if name not in names})


@dataclass(frozen=True)
class Answered:
    """An answer. Names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def having(self, *, status: int | None = None, body: object = None, **headers: str | None) -> "Answered":
        """The same with another status, JSON, or headers; a header that is None is taken away."""
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        kept = {**self.headers, **changed}
        return Answered(
            self.status if status is None else status,
            {name: value for name, value in kept.items() if value is not None},
            self.body if body is None else json.dumps(body).encode(),
        )


PassOn = Callable[[Asked], Answered]
Fault = Callable[[Asked, PassOn], Answered]


class FaultyProxy:
    """Passes requests on to ``base`` through the faults, the first one outermost. ``base``: also the way to it."""

    def __init__(self, base: str, faults: Sequence[Fault] = ()) -> None:
        parts = urlsplit(base)
        self._target = (parts.hostname or "", parts.port or 80)
        answer: PassOn = self._pass_on
        for fault in reversed(faults):
            answer = partial(_through, fault, answer)
        self._server = _Server(("127.0.0.1", 0), answer)
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), name="faulty-proxy", daemon=True)
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _pass_on(self, asked: Asked) -> Answered:
        connection = HTTPConnection(*self._target, timeout=30)
        try:
            connection.request(asked.method, asked.target, asked.body or None, asked.headers)
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders() if name.lower() not in NOT_PASSED_ON}
            return Answered(answer.status, headers, answer.read())
        finally:
            connection.close()


def _through(fault: Fault, pass_on: PassOn, asked: Asked) -> Answered:
    return fault(asked, pass_on)


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False

    def __init__(self, address: tuple[str, int], answer: PassOn) -> None:
        self.answer = answer
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    wbufsize = -1

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True  # who asked has hung up

    def answer_it(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items() if name.lower() not in NOT_PASSED_ON}
        answered = self.server.answer(Asked(self.command, self.path, headers, body))
        # Not send_response, which adds a Server and a Date of its own.
        self.send_response_only(answered.status)
        for name, value in answered.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answered.body)))
        self.end_headers()
        self.wfile.write(answered.body)

    do_GET = do_POST = do_PATCH = do_DELETE = do_OPTIONS = answer_it  # noqa: N815 - names of http.server

    def log_message(self, format: str, *args: Any) -> None:
        pass
