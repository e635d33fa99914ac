"""The span of a request."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, format_trace_id, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from adapters.tracing.reply_traces import NAME, NO_PARENT, failing, mark_failed
from application.ports.observation import TraceRequest

# Key of the WSGI environ: the context of the first span of a request that is answered in two goes.
BEGUN = "gemini_chat.trace"
# Clients may send any method: the semantic conventions have this name for unknown ones.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "_OTHER"


class RequestSpans(TraceRequest):
    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer(NAME)
        # Not the baggage, which is the client's text.
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def __call__(self, environ: dict[str, Any], *, request_id: str) -> Iterator[Callable[[str | None, int], None]]:
        method = environ["REQUEST_METHOD"] if environ["REQUEST_METHOD"] in METHODS else OTHER
        parent = environ.get(BEGUN) or self._propagator.extract(_headers(environ), NO_PARENT)
        with (
            self._tracer.start_as_current_span(
                method,
                parent,
                kind=SpanKind.SERVER,
                attributes={"http.request.method": method, "gemini_chat.request_id": request_id},
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
            failing(span),
        ):
            environ.setdefault(BEGUN, set_span_in_context(get_current_span(), NO_PARENT))
            structlog.contextvars.bind_contextvars(trace_id=format_trace_id(span.get_span_context().trace_id))

            def answered(route: str | None, status: int) -> None:
                span.set_attribute("http.response.status_code", status)
                if route is not None:
                    span.set_attribute("http.route", route)
                    span.update_name(f"{method} {route}")
                if status >= 500:
                    mark_failed(span, str(status))

            yield answered


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    names = {"traceparent": "HTTP_TRACEPARENT", "tracestate": "HTTP_TRACESTATE"}
    return {name: environ[key] for name, key in names.items() if key in environ}
