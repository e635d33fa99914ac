"""What is traced, and what is not told."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler, TraceIdRatioBased
from opentelemetry.trace import INVALID_SPAN_CONTEXT, StatusCode

from adapters.system_runtime import Uuid7Ids
from adapters.tracing.reply_traces import ReplyIdGenerator, ReplyTraces
from adapters.tracing.unit_of_work import TracedUnitOfWorkFactory
from adapters.tracing.web import RequestSpans
from adapters.tracing.worker import TracedLanguageModel
from application.chat.send_message import SendMessage
from application.ports.language_model import AnswerStopped, LanguageModel, Prompt, Stop
from domain.errors import QuotaExhausted
from domain.replies import Answer, AnswerFailed, FailureReason, ReplyId
from tests.builders import ASHA, House

REPLY = ReplyId(UUID(int=7))


class Traced:
    """A provider that keeps its spans."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self._kept = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler, id_generator=ReplyIdGenerator(), shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self.traces = ReplyTraces(self.provider)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._kept.get_finished_spans())

    @property
    def ids(self) -> list[int]:
        return [context.span_id for span in self.spans if (context := span.get_span_context())]

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    @contextmanager
    def request(self) -> Iterator[None]:
        with RequestSpans(self.provider)({"REQUEST_METHOD": "POST"}, request_id="a-request"):
            yield


def sending(house: House, traced: Traced) -> SendMessage:
    unit_of_work = TracedUnitOfWorkFactory(house.unit_of_work, traced.traces)
    return replace(house.use_cases.chat.send_message, unit_of_work=unit_of_work)


def test_a_message_that_is_refused_begins_no_trace_of_a_reply():
    traced, house = Traced(), House(basic_daily_prompts=0)
    asha = house.user(ASHA)
    with traced.request(), pytest.raises(QuotaExhausted):
        sending(house, traced)(sender=asha.user_id, chatroom_id=house.room(asha), text="hi")
    assert traced.names == ["accept message", "POST"]
    assert (traced.spans[0].attributes or {})["error.type"] == "QuotaExhausted"


def test_a_message_that_is_sent_again_begins_one_trace():
    traced, house = Traced(), House()
    asha = house.user(ASHA)
    room = house.room(asha)
    sent = []
    for _ in range(2):
        with traced.request():
            send = sending(house, traced)
            sent.append(send(sender=asha.user_id, chatroom_id=room, text="hi", idempotency_key="a key"))
    assert traced.names == ["accept message", "queue reply", "POST", "POST"]
    assert traced.ids[1] == traced.traces.first_span_of(sent[0].reply_id).span_id


def test_web_and_worker_keep_the_same_replies_of_a_part():
    """Ids of replies are UUIDs of version 7, whose bytes are not all random."""
    traced, new_id = Traced(TraceIdRatioBased(0.25)), Uuid7Ids()
    ids = [ReplyId(new_id()) for _ in range(400)]
    for one in ids:
        traced.traces.begin(one, INVALID_SPAN_CONTEXT)
    begun = set(traced.ids)
    by_worker = [traced.traces.first_span_of(one) for one in ids]
    assert begun == {one.span_id for one in by_worker if one.trace_flags.sampled}
    assert 40 < len(begun) < 160


def test_a_request_that_is_answered_in_two_goes_has_one_trace():
    traced, environ = Traced(), {"REQUEST_METHOD": "GET"}
    for _ in range(2):
        with RequestSpans(traced.provider)(environ, request_id="a-request"):
            pass
    first, second = traced.spans
    assert second.parent == first.get_span_context()


def test_clients_choose_no_words_in_spans():
    traced = Traced()
    environ = {"REQUEST_METHOD": "EVIL", "HTTP_TRACEPARENT": "nonsense", "HTTP_BAGGAGE": "words=evil"}
    with RequestSpans(traced.provider)(environ, request_id="a-request") as answered:
        answered(None, 405)
    [span] = traced.spans
    assert span.name == "_OTHER"
    assert "evil" not in span.to_json().lower()


def test_faults_of_the_server_are_marked():
    traced = Traced()
    for status in (404, 503):
        with RequestSpans(traced.provider)({"REQUEST_METHOD": "GET"}, request_id="a-request") as answered:
            answered("/chatroom", status)
    assert [span.status.status_code for span in traced.spans] == [StatusCode.UNSET, StatusCode.ERROR]


class Raising(LanguageModel):
    def __init__(self, error: Exception) -> None:
        self._error = error

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        raise self._error


@pytest.mark.parametrize(
    ("error", "outcome", "status"),
    [
        (AnswerFailed(FailureReason.MODEL_BUSY), "model_busy", StatusCode.ERROR),
        (AnswerFailed(FailureReason.MODEL_BUSY, asked=False), "not_asked", StatusCode.ERROR),
        (AnswerStopped(), "stopped", StatusCode.UNSET),
        (RuntimeError("about the prompt"), None, StatusCode.ERROR),
    ],
    ids=str,
)
def test_a_call_that_gives_no_answer(error: Exception, outcome: str | None, status: StatusCode):
    traced = Traced()
    model = TracedLanguageModel(Raising(error), traced.traces)
    with pytest.raises(type(error)), traced.traces.attempt(REPLY, {}):
        model.write(Prompt("the prompt"), within=timedelta(seconds=1), stop=Stop(), on_chunk=lambda _: None)
    call = traced.spans[0]
    assert (call.attributes or {}).get("gemini_chat.outcome") == outcome
    assert call.status.status_code is status
    assert not [told for span in traced.spans for told in (span.to_json(),) if "the prompt" in told]
