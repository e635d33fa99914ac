"""Where spans go. The SDK reads what the specification calls its environment variables, but for the endpoint."""

from threading import Thread

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from requests import Session

from adapters.tracing.reply_traces import ReplyIdGenerator

SERVICE = "gemini-chat"
# Of the specification of OTLP over HTTP: appended to the endpoint.
TRACES_PATH = "/v1/traces"
# The SDK would wait half a minute for a collector that is away, and a process that stops has no time for that.
SECONDS_TO_CLOSE = 2.0


class Exporter(OTLPSpanExporter):
    """Closes its connections when it is shut down, which the SDK's own does not."""

    def __init__(self, endpoint: str) -> None:
        self._connections = Session()
        super().__init__(endpoint=endpoint, session=self._connections)

    def shutdown(self) -> None:
        super().shutdown()  # type: ignore[no-untyped-call]
        self._connections.close()


def export_to(endpoint: str) -> SpanProcessor:
    """Sends spans in batches from a thread of its own; spans are dropped, and that is logged, where it cannot."""
    return BatchSpanProcessor(Exporter(endpoint.rstrip("/") + TRACES_PATH))


def tracer_provider(processor: SpanProcessor) -> TracerProvider:
    """The global provider is left alone: libraries that make spans of their own would put URLs and statements there."""
    resource = Resource.create({"service.name": SERVICE}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, id_generator=ReplyIdGenerator(), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


def close(provider: TracerProvider) -> None:
    """Send what was not sent yet, as far as that takes no longer than two seconds."""
    closing = Thread(target=provider.shutdown, name="traces-close", daemon=True)
    closing.start()
    closing.join(SECONDS_TO_CLOSE)
