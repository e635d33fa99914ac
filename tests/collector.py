"""A server that takes what the service tells of itself."""

import gzip
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Told(NamedTuple):
    """A span as it arrived at the collector."""

    name: str
    trace: str
    id: str
    parent: str
    links: list[str]
    attributes: dict[str, Any]
    status: int
    process: str


class Collector:
    """Takes traces as OTLP over HTTP, and events as Sentry does."""

    def __init__(self) -> None:
        self.traces: list[bytes] = []
        self.events: list[bytes] = []
        kept = {"/v1/traces": self.traces, "/api/1/envelope/": self.events}

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                kept[self.path].append(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.dsn = f"http://key@127.0.0.1:{self.server.server_address[1]}/1"
        Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self) -> "Collector":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def spans(self) -> list[Told]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.traces]
        return [
            Told(
                span.name,
                span.trace_id.hex(),
                span.span_id.hex(),
                span.parent_span_id.hex(),
                [link.span_id.hex() for link in span.links],
                _values(span.attributes),
                span.status.code,
                _values(of_process.resource.attributes)["service.name"],
            )
            for request in requests
            for of_process in request.resource_spans
            for scope in of_process.scope_spans
            for span in scope.spans
        ]

    def span(self, name: str) -> Told:
        [found] = [one for one in self.spans() if one.name == name]
        return found


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
