"""Puts what traces around the adapters of a process. Without OTEL_EXPORTER_OTLP_ENDPOINT nothing of it is imported."""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import structlog

from application.ports.observation import TraceReply, TraceRequest
from entrypoints.container.adapters import wrap
from entrypoints.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from entrypoints.container.web_adapters import WebAdapters
    from entrypoints.container.worker_adapters import WorkerAdapters

EXTRA = "tracing"

log = structlog.get_logger(__name__)


class TracedWeb(NamedTuple):
    """``close`` sends what was not sent yet."""

    trace: TraceRequest
    close: Callable[[], None]


class TracedWorker(NamedTuple):
    """``close`` sends what was not sent yet."""

    trace: TraceReply
    close: Callable[[], None]


def trace_web(adapters: "WebAdapters", settings: Settings) -> TracedWeb | None:
    """None: traces are off. Call it before use cases are assembled."""
    provider = _provider_of(settings)
    if provider is None:
        return None
    from adapters.tracing.provider import close
    from adapters.tracing.reply_traces import ReplyTraces
    from adapters.tracing.unit_of_work import TracedUnitOfWorkFactory
    from adapters.tracing.web import RequestSpans

    traces = ReplyTraces(provider)
    wrap(adapters.unit_of_work, lambda unit_of_work: TracedUnitOfWorkFactory(unit_of_work, traces))
    return TracedWeb(RequestSpans(provider), partial(close, provider))


def trace_worker(adapters: "WorkerAdapters", settings: Settings) -> TracedWorker | None:
    """None: traces are off. Call it before use cases are assembled."""
    provider = _provider_of(settings)
    if provider is None:
        return None
    from adapters.tracing.provider import close
    from adapters.tracing.reply_traces import ReplyTraces
    from adapters.tracing.unit_of_work import TracedUnitOfWorkFactory
    from adapters.tracing.worker import AttemptSpans, TracedLanguageModel

    traces = ReplyTraces(provider)
    wrap(adapters.unit_of_work, lambda unit_of_work: TracedUnitOfWorkFactory(unit_of_work, traces))
    wrap(adapters.language_model, lambda model: TracedLanguageModel(model, traces))
    return TracedWorker(AttemptSpans(traces), partial(close, provider))


def _provider_of(settings: Settings) -> "TracerProvider | None":
    if settings.otlp_endpoint is None:
        return None
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter") is None:
        log.warning("tracing_not_installed", extra=EXTRA)
        return None
    from adapters.tracing.provider import export_to, tracer_provider

    return tracer_provider(export_to(settings.otlp_endpoint))
