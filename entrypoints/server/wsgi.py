"""WSGI (PEP 3333) between the server and the application: the environment of a request, and the bytes of a response."""

import io
import sys
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

# Statuses whose responses have no body (RFC 9110, 6.4.1).
WITHOUT_BODY = ("1", "204", "304")
BASE: Environ = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    "wsgi.input_terminated": True,
}
_names: dict[bytes, str] = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}
# Names are remembered, and anybody may send any: so many are enough for all honest clients.
NAMES_REMEMBERED = 500


def environ_name(name: bytes) -> str:
    """The key of a header in the environment of a request."""
    known = _names.get(name)
    if known is None:
        known = "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
        if len(_names) < NAMES_REMEMBERED:
            _names[name] = known
    return known


def split_target(target: bytes) -> tuple[str, str]:
    """PATH_INFO and QUERY_STRING of a request target (RFC 9112, 3.2), in origin or absolute form."""
    if not target.startswith(b"/") and b"://" in target:
        _, _, rest = target.partition(b"://")
        _, slash, path = rest.partition(b"/")
        target = slash + path or b"/"
    path, _, query = target.partition(b"?")
    if b"%" in path:
        path = unquote_to_bytes(path)
    return path.decode("latin-1"), query.decode("latin-1")


def body_stream(body: bytes) -> io.BytesIO:
    """``wsgi.input`` of a body that has arrived as a whole."""
    return io.BytesIO(body)


class Response:
    """What the application answered: the status line and headers it gave to ``start_response``, and its body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self) -> None:
        self.status = "500 Internal Server Error"
        self.headers: Headers = []
        self.body: Iterable[bytes] = ()

    def start(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:  # noqa: ARG002
        self.status = status
        self.headers = headers
        return _no_write

    @property
    def has_body(self) -> bool:
        return not self.status.startswith(WITHOUT_BODY)


def call(application: Application, environ: Environ) -> Response:
    """Call the application. What it returns is not iterated over yet."""
    response = Response()
    response.body = application(environ, response.start)
    return response


def head(response: Response, *, version: str, keep_alive: bool, chunked: bool, date: bytes) -> bytes:
    """Status line and headers, up to the empty line."""
    lines = [f"HTTP/1.1 {response.status}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in response.headers if value or name != "Server"]
    if chunked:
        lines.append("Transfer-Encoding: chunked\r\n")
    if not keep_alive:
        lines.append("Connection: close\r\n")
    elif version == "1.0":
        lines.append("Connection: keep-alive\r\n")
    return "".join(lines).encode("latin-1") + date


def has_length(response: Response) -> bool:
    return any(name.lower() == "content-length" for name, _ in response.headers)


def _no_write(_data: bytes) -> object:
    raise NotImplementedError("the write() of PEP 3333 is not offered; return an iterable")
