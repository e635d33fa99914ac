"""The application, with each of its requests in a trace."""

from collections.abc import Callable, Iterable
from typing import Any

from application.ports.observation import TraceRequest
from entrypoints.api.request_id import REQUEST_ID
from entrypoints.server.waiting import WAITING

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class TracedApplication:
    """A WSGI application. A stream is traced until it begins."""

    def __init__(self, app: App, trace: TraceRequest) -> None:
        self._app = app
        self._trace = trace

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        with self._trace(environ, request_id=environ[REQUEST_ID]) as answered:

            def start(line: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
                waiting = environ.get(WAITING)
                # What a long poll answers before it waits is not sent.
                if waiting is None or waiting.streams:
                    rule = environ["werkzeug.request"].url_rule
                    answered(rule.rule if rule else None, int(line[:3]))
                return start_response(line, headers, exc_info)

            return self._app(environ, start)
