"""The spans of an attempt to write a reply, and of its call of the model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from opentelemetry.trace import SpanKind, format_trace_id
from opentelemetry.util.types import Attributes

from adapters.tracing.reply_traces import REPLY_ID, ReplyTraces
from application.ports.language_model import AnswerStopped, LanguageModel, Prompt, Stop
from application.ports.observation import TraceReply
from domain.replies import Answer, AnswerFailed, ClaimedReply

CALL = "call model"
OUTCOME = "gemini_chat.outcome"


class AttemptSpans(TraceReply):
    def __init__(self, traces: ReplyTraces) -> None:
        self._traces = traces

    @contextmanager
    def __call__(self, reply: ClaimedReply) -> Iterator[None]:
        attributes: Attributes = {
            REPLY_ID: str(reply.claim.reply_id),
            "gemini_chat.attempt": reply.attempt,
            "gemini_chat.seconds_queued": reply.seconds_queued,
        }
        with self._traces.attempt(reply.claim.reply_id, attributes) as span:
            trace_id = format_trace_id(span.get_span_context().trace_id)
            with structlog.contextvars.bound_contextvars(trace_id=trace_id):
                yield


class TracedLanguageModel(LanguageModel):
    """The provider is sent no trace context."""

    def __init__(self, model: LanguageModel, traces: ReplyTraces) -> None:
        self._model = model
        self._traces = traces

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        attributes = {"gen_ai.operation.name": "chat"}
        with self._traces.step(CALL, attributes, kind=SpanKind.CLIENT, expected=(AnswerStopped,)) as span:
            try:
                answer = self._model.write(prompt, within=within, stop=stop, on_chunk=on_chunk)
            except AnswerStopped as stopped:
                span.set_attribute(OUTCOME, "stopped")
                if stopped.model:
                    span.set_attribute("gen_ai.response.model", stopped.model)
                raise
            except AnswerFailed as failure:
                span.set_attribute(OUTCOME, failure.reason.value if failure.asked else "not_asked")
                raise
            known = {
                OUTCOME: "answered",
                "gen_ai.response.model": answer.model,
                "gen_ai.usage.input_tokens": answer.input_tokens,
                "gen_ai.usage.output_tokens": answer.output_tokens,
            }
            span.set_attributes({name: value for name, value in known.items() if value is not None})
            return answer
