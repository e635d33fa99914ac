"""WSGI (PEP 3333) between the server and the application: the environment of a request, and the bytes of a response."""

import io
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
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
_WITHOUT_PREFIX = {"CONTENT_TYPE", "CONTENT_LENGTH"}


@lru_cache(maxsize=1_000)
def environ_name(name: bytes) -> str | None:
    """The key of a header in the environment of a request. None for a name with an underscore: WSGI cannot tell
    X_Forwarded_For from X-Forwarded-For, and proxies remove only the latter.
    """
    if b"_" in name:
        return None
    key = name.decode("latin-1").upper().replace("-", "_")
    return key if key in _WITHOUT_PREFIX else f"HTTP_{key}"


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


def head(response: Response, *, version: str, keep_alive: bool, chunked: bool, date: str) -> bytes:
    """Status line and headers; ``date`` is the last of them, with the empty line."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in response.headers if value or name != "Server"])
    framing = "Transfer-Encoding: chunked\r\n" if chunked else ""
    connection = "" if keep_alive else "Connection: close\r\n"
    if keep_alive and version == "1.0":
        connection = "Connection: keep-alive\r\n"
    return f"HTTP/1.1 {response.status}\r\n{lines}{framing}{connection}{date}".encode("latin-1")


def has_length(response: Response) -> bool:
    return any(name.lower() == "content-length" for name, _ in response.headers)


def _no_write(_data: bytes) -> object:
    raise NotImplementedError("the write() of PEP 3333 is not offered; return an iterable")
