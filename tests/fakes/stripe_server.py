"""The stand-in for Stripe behind a real HTTP server, with the faults that networks and Stripe have."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from time import sleep

import orjson

from adapters.stripe.sandbox.fake import FakeStripe

Answer = tuple[bytes, int, Mapping[str, str]]


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Faults:
    """What goes wrong with the next requests, each once unless it says otherwise."""

    down: bool = False
    """Always: 503, and nothing is done."""
    lost: int = 0
    """So many requests are done, and their answers never arrive."""
    burnt: int = 0
    """So many writes fail with 500, and so does every repetition under the same key."""
    slow: float = 0.0
    """Always: seconds before an answer."""
    keys: set[str] = field(default_factory=set)
    """Keys under which there is a failure for good."""


class StripeServer:
    """A running server. ``asked``: all that arrived."""

    def __init__(self, stripe: FakeStripe) -> None:
        self.asked: list[Asked] = []
        self.faults = Faults()
        self._lock = Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                with server._lock:
                    server.asked.append(Asked(self.command, self.path, headers, body))
                sleep(server.faults.slow)
                answer = server._fault(self.command, headers.get("idempotency-key"))
                if answer is None:
                    answer = stripe.handle(self.command, self.path, headers, body)
                    if server._lose():
                        self.close_connection = True
                        return
                content, status, more = answer
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **more}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = _answer  # noqa: N815

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64  # many connect at once, and who does not fit tries again a second later

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _fault(self, method: str, key: str | None) -> Answer | None:
        with self._lock:
            if self.faults.down:
                return _error(503, {"stripe-should-retry": "false"})
            if key is None or method == "GET":
                return None
            if key in self.faults.keys:
                return _error(500, {"idempotent-replayed": "true", "stripe-should-retry": "false"})
            if self.faults.burnt:
                self.faults.burnt -= 1
                self.faults.keys.add(key)
                return _error(500, {"stripe-should-retry": "false"})
        return None

    def _lose(self) -> bool:
        with self._lock:
            if not self.faults.lost:
                return False
            self.faults.lost -= 1
            return True


@contextmanager
def serving(stripe: FakeStripe) -> Iterator[StripeServer]:
    """The server, for as long as the block."""
    server = StripeServer(stripe)
    thread = Thread(target=server._server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server._server.shutdown()
        server._server.server_close()
        thread.join(5)


def _error(status: int, headers: dict[str, str]) -> Answer:
    return orjson.dumps({"error": {"type": "api_error", "message": "out of order"}}), status, headers
