"""The trace of a reply: its ids follow from the reply's id, so every process finds it and the queue carries nothing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b
from typing import NamedTuple

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes

from domain.replies import ReplyId

NAME = "gemini_chat"
QUEUED = "queue reply"
REPLY_ID = "gemini_chat.reply_id"
# Nothing above it: the next span begins a trace.
NO_PARENT = Context()


class _Ids(NamedTuple):
    trace: int
    span: int


def _ids_of(reply_id: ReplyId) -> _Ids:
    """Hashed: samplers of a ratio look at the last bytes of a trace id, and those of a UUID are not all random."""
    digest = blake2b(reply_id.bytes, digest_size=24, person=b"reply trace").digest()
    return _Ids(int.from_bytes(digest[:16]), int.from_bytes(digest[16:]))


_first_span: ContextVar[_Ids | None] = ContextVar("first_span", default=None)


class ReplyIdGenerator(RandomIdGenerator):
    """Random ids, but for the first span of a reply's trace."""

    def generate_trace_id(self) -> int:
        ids = _first_span.get()
        return ids.trace if ids else super().generate_trace_id()

    def generate_span_id(self) -> int:
        ids = _first_span.get()
        return ids.span if ids else super().generate_span_id()


class ReplyTraces:
    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer(NAME)
        self._sampler = provider.sampler

    def begin(self, reply_id: ReplyId, accepted: SpanContext) -> None:
        """Makes the first span of the reply's trace, with a link to the span that ``accepted`` the message."""
        before = _first_span.set(_ids_of(reply_id))
        try:
            self._tracer.start_span(
                QUEUED,
                NO_PARENT,
                kind=SpanKind.PRODUCER,
                attributes={REPLY_ID: str(reply_id)},
                links=[Link(accepted)] if accepted.is_valid else [],
            ).end()
        finally:
            _first_span.reset(before)

    def first_span_of(self, reply_id: ReplyId) -> SpanContext:
        """The first span, wherever it was made. The sampler decides by the trace id, and so alike in every process."""
        trace_id, span_id = _ids_of(reply_id)
        decision = self._sampler.should_sample(NO_PARENT, trace_id, QUEUED, SpanKind.PRODUCER).decision
        sampled = decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
        return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)

    @contextmanager
    def attempt(self, reply_id: ReplyId, attributes: Attributes) -> Iterator[Span]:
        parent = set_span_in_context(NonRecordingSpan(self.first_span_of(reply_id)), NO_PARENT)
        with (
            self._tracer.start_as_current_span(
                "write reply",
                parent,
                kind=SpanKind.CONSUMER,
                attributes=attributes,
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
            failing(span),
        ):
            yield span

    @contextmanager
    def step(
        self,
        name: str,
        attributes: Attributes = None,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[Link] = (),
        expected: tuple[type[Exception], ...] = (),
    ) -> Iterator[Span]:
        """A part of what goes on in this thread; nothing where that is not traced. ``expected`` are no failures."""
        around = get_current_span()
        if not around.get_span_context().is_valid:
            yield around
            return
        with (
            self._tracer.start_as_current_span(
                name,
                kind=kind,
                attributes=attributes,
                links=links,
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
            failing(span, expected),
        ):
            yield span


@contextmanager
def failing(span: Span, expected: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """An error is told by its class alone: messages of errors may quote what a user or a provider wrote."""
    try:
        yield
    except expected:
        raise
    except Exception as error:
        mark_failed(span, type(error).__name__)
        raise


def mark_failed(span: Span, error: str) -> None:
    span.set_attribute("error.type", error)
    span.set_status(Status(StatusCode.ERROR))
