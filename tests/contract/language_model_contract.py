"""What every adapter of the LanguageModel port promises, against a scripted server."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from threading import Event, Thread, Timer
from typing import Any
from uuid import UUID

import pytest

from application.ports.language_model import AnswerStopped, Exchange, LanguageModel, Prompt, Stop
from domain.accounts import UserId
from domain.replies import Answer, AnswerFailed, FailureReason
from tests.fakes.gemini_server import FakeGemini, Outcome

KEY = "key-of-the-test"
MODEL = "some-model"
LONG = timedelta(seconds=30)
SHORT = timedelta(seconds=0.3)
# What a busy machine may be late.
LATE = 5.0

FAILURES = [
    pytest.param(Outcome("error", status=429), FailureReason.MODEL_BUSY, id="429"),
    pytest.param(Outcome("error", status=503), FailureReason.MODEL_BUSY, id="503"),
    pytest.param(Outcome("error", status=500), FailureReason.MODEL_UNREACHABLE, id="500"),
    pytest.param(Outcome("error", status=504), FailureReason.MODEL_UNREACHABLE, id="504"),
    pytest.param(Outcome("error", status=404), FailureReason.MODEL_NOT_FOUND, id="404"),
    pytest.param(Outcome("error", status=400), FailureReason.MODEL_REJECTED_REQUEST, id="400"),
    pytest.param(Outcome("error", status=403), FailureReason.MODEL_MISCONFIGURED, id="403"),
    pytest.param(Outcome("blocked"), FailureReason.REFUSED, id="blocked"),
    pytest.param(Outcome("safety"), FailureReason.REFUSED, id="safety"),
    pytest.param(Outcome("withheld", text="one two three"), FailureReason.REFUSED, id="withheld in mid-stream"),
    pytest.param(Outcome("empty"), FailureReason.EMPTY_ANSWER, id="empty"),
    pytest.param(Outcome(text=" \n"), FailureReason.EMPTY_ANSWER, id="blank"),
    pytest.param(Outcome("malformed"), FailureReason.MODEL_UNREACHABLE, id="malformed"),
    pytest.param(Outcome("not_an_answer"), FailureReason.MODEL_UNREACHABLE, id="not an answer"),
    pytest.param(Outcome("reset"), FailureReason.MODEL_UNREACHABLE, id="reset"),
    pytest.param(Outcome("cut", text="one two three"), FailureReason.MODEL_UNREACHABLE, id="cut"),
    pytest.param(Outcome("unfinished", text="one two three"), FailureReason.MODEL_UNREACHABLE, id="unfinished"),
    pytest.param(
        Outcome("broken", text="one two three", status=503), FailureReason.MODEL_UNREACHABLE, id="error in mid-stream"
    ),
    pytest.param(
        Outcome("broken", text="one two three", status=400), FailureReason.MODEL_UNREACHABLE, id="400 in mid-stream"
    ),
]


@dataclass
class Listener:
    """Keeps the chunks, and stops after the ``stop_after``-th."""

    stop: Stop = field(default_factory=Stop)
    stop_after: int | None = None
    chunks: list[str] = field(default_factory=list)
    first: Event = field(default_factory=Event)

    def __call__(self, chunk: str) -> None:
        self.chunks.append(chunk)
        self.first.set()
        if len(self.chunks) == self.stop_after:
            self.stop.request()


def ask(
    model: LanguageModel,
    text: str = "Why?",
    *,
    within: timedelta = LONG,
    on_chunk: Callable[[str], None] = lambda chunk: None,
    **prompt: Any,
) -> Answer:
    return model.write(Prompt(text, **prompt), within=within, stop=Stop(), on_chunk=on_chunk)


def failure_of(model: LanguageModel, *, within: timedelta = LONG) -> AnswerFailed:
    """The failure that comes instead of an answer."""
    with pytest.raises(AnswerFailed) as failed:
        ask(model, within=within)
    return failed.value


def eventually(condition: Any) -> bool:
    """Whether it becomes true."""
    ends = time.monotonic() + LATE
    while not condition() and time.monotonic() < ends:
        time.sleep(0.01)
    return bool(condition())


class LanguageModelContract(ABC):
    """A test class brings ``server``, ``model`` and how a request of its API reads."""

    ends_calls_at_once = True
    keeps_connections = True

    @pytest.fixture
    @abstractmethod
    def server(self) -> Any:
        """The scripted server, running."""

    @pytest.fixture
    @abstractmethod
    def model(self, server: FakeGemini) -> Any:
        """The adapter, pointed at the server."""

    @abstractmethod
    def heard(self, body: dict[str, Any]) -> tuple[str | None, list[tuple[str, str]]]:
        """System prompt, and who said what, of a request."""

    def test_an_answer_comes_in_pieces(self, server: FakeGemini, model: LanguageModel):
        server.will(Outcome(text="Because it is. 🙂\n\nReally."))
        subscriber = Listener()
        answer = model.write(Prompt("Why is it?"), within=LONG, stop=subscriber.stop, on_chunk=subscriber)
        assert answer == Answer("Because it is. 🙂\n\nReally.", f"{MODEL}-001", input_tokens=3, output_tokens=5)
        assert len(subscriber.chunks) > 1
        assert "".join(subscriber.chunks) == answer.text

    def test_a_piece_comes_before_the_rest_is_there(self, server: FakeGemini, model: LanguageModel):
        server.will(Outcome("stall", text="one two three four"))
        subscriber = Listener(stop_after=1)
        with pytest.raises(AnswerStopped):
            model.write(Prompt("Count"), within=LONG, stop=subscriber.stop, on_chunk=subscriber)
        assert subscriber.chunks == ["one "]

    def test_history_and_system_prompt_are_told(self, server: FakeGemini, model: LanguageModel):
        history = [Exchange("I am Asha.", "Hello Asha."), Exchange("And?", "And what?")]
        ask(model, "Who am I?", history=history, system="Be brief.")
        (call,) = server.calls
        assert call.model == MODEL
        assert self.heard(call.body) == (
            "Be brief.",
            [
                ("user", "I am Asha."),
                ("model", "Hello Asha."),
                ("user", "And?"),
                ("model", "And what?"),
                ("user", "Who am I?"),
            ],
        )

    def test_without_history_only_the_prompt_is_told(self, server: FakeGemini, model: LanguageModel):
        ask(model, "Hi")
        assert self.heard(server.calls[0].body) == (None, [("user", "Hi")])

    def test_who_asks_is_not_told(self, server: FakeGemini, model: LanguageModel):
        asked_by = UserId(UUID("8e03978e-40d5-43e8-bc93-6894a57f9324"))
        ask(model, asked_by=asked_by)
        (call,) = server.calls
        sent = str((call.target, call.headers, call.body))
        assert str(asked_by) not in sent
        assert asked_by.hex not in sent

    def test_the_key_is_in_a_header_only(self, server: FakeGemini, model: LanguageModel):
        ask(model)
        (call,) = server.calls
        assert any(KEY in value for value in call.headers.values())
        assert KEY not in call.target
        assert KEY not in str(call.body)

    def test_an_answer_cut_at_the_output_limit_is_flagged(self, server: FakeGemini, model: LanguageModel):
        server.will(Outcome("max_tokens", text="Because it"))
        assert ask(model).truncated

    @pytest.mark.parametrize(("outcome", "reason"), FAILURES)
    def test_a_failure_is_told_by_its_reason_and_never_retried(
        self, server: FakeGemini, model: LanguageModel, outcome: Outcome, reason: FailureReason
    ):
        server.will(outcome)
        failure = failure_of(model)
        assert failure.reason is reason
        assert failure.asked
        assert failure.model == MODEL
        if outcome.kind == "error":
            assert failure.status == outcome.status
        assert failure.__cause__ is None
        assert len(server.calls) == 1

    def test_after_a_failure_comes_an_answer(self, server: FakeGemini, model: LanguageModel):
        server.will(Outcome("reset"), Outcome("cut", text="one two"), Outcome("error", status=503))
        for _ in range(3):
            failure_of(model)
        assert ask(model, "Hi").text == "echo: Hi"

    def test_a_server_that_is_gone_is_unreachable(self, server: FakeGemini, model: LanguageModel):
        server.__exit__()
        assert failure_of(model).reason is FailureReason.MODEL_UNREACHABLE

    @pytest.mark.parametrize(
        ("header", "low", "high"),
        [
            ("7", 7, 7),
            ("1.5", 1.5, 1.5),
            (format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), 3000, 3601),
            (format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True), 0, 0),
        ],
    )
    def test_the_providers_wish_when_to_retry_is_kept(
        self, server: FakeGemini, model: LanguageModel, header: str, low: float, high: float
    ):
        server.will(Outcome("error", status=429, retry_after_header=header))
        wish = failure_of(model).retry_after
        assert wish is not None
        assert low <= wish.total_seconds() <= high

    @pytest.mark.parametrize("header", ["soon", "-3", "1e9", "9" * 400, "nan", "٣", "Mon, 99 Foo 2026 00:00:00 GMT"])
    def test_a_wish_that_means_nothing_is_none(self, server: FakeGemini, model: LanguageModel, header: str):
        server.will(Outcome("error", status=503, retry_after_header=header.encode().decode("latin-1")))
        failure = failure_of(model)
        assert (failure.reason, failure.retry_after) == (FailureReason.MODEL_BUSY, None)

    @pytest.mark.parametrize(
        "outcome",
        [
            Outcome("hang"),
            Outcome("drip", text="word " * 400, interval=0.02),
            Outcome("stall", text="one two three"),
            Outcome(latency=3.0),
        ],
        ids=lambda outcome: outcome.kind,
    )
    def test_time_ends_whatever_the_server_does(self, server: FakeGemini, model: LanguageModel, outcome: Outcome):
        server.will(outcome)
        began = time.monotonic()
        assert failure_of(model, within=SHORT).reason is FailureReason.MODEL_UNREACHABLE
        assert time.monotonic() - began < SHORT.total_seconds() + 2.0

    @pytest.mark.parametrize("within", [timedelta(), timedelta(seconds=-5)])
    def test_no_time_is_no_answer(self, model: LanguageModel, within: timedelta):
        assert failure_of(model, within=within).reason is FailureReason.MODEL_UNREACHABLE

    def test_stopped_before_it_begins_no_model_is_asked(self, server: FakeGemini, model: LanguageModel):
        stop = Stop()
        stop.request()
        with pytest.raises(AnswerStopped):
            model.write(Prompt("Hi"), within=LONG, stop=stop, on_chunk=lambda chunk: None)
        assert server.calls == []

    def test_stopped_before_the_first_byte(self, server: FakeGemini, model: LanguageModel):
        server.will(Outcome("hang"))
        stop = Stop()
        Timer(0.2, stop.request).start()
        began = time.monotonic()
        with pytest.raises(AnswerStopped):
            model.write(Prompt("Hi"), within=LONG, stop=stop, on_chunk=lambda chunk: None)
        assert time.monotonic() - began < LATE
        assert not self.ends_calls_at_once or eventually(lambda: server.hang_ups == 1)

    def test_stopped_in_mid_stream_no_piece_comes_any_more(self, server: FakeGemini, model: LanguageModel):
        server.will(Outcome("drip", text="word " * 400, interval=0.0005))
        subscriber = Listener(stop_after=2)
        with pytest.raises(AnswerStopped):
            model.write(Prompt("Hi"), within=LONG, stop=subscriber.stop, on_chunk=subscriber)
        time.sleep(0.1)
        assert subscriber.chunks == ["word ", "word "]

    def test_stopped_in_mid_stream_the_server_is_told(self, server: FakeGemini, model: LanguageModel):
        server.will(Outcome("stall", text="one two three four"))
        subscriber = Listener(stop_after=1)
        with pytest.raises(AnswerStopped):
            model.write(Prompt("Hi"), within=LONG, stop=subscriber.stop, on_chunk=subscriber)
        assert not self.ends_calls_at_once or eventually(lambda: server.hang_ups == 1)

    def test_a_listener_that_fails_ends_the_call(self, server: FakeGemini, model: LanguageModel):
        def fail(chunk: str) -> None:
            raise ZeroDivisionError

        server.will(Outcome("stall", text="one two three four"))
        with pytest.raises(ZeroDivisionError):
            model.write(Prompt("Hi"), within=LONG, stop=Stop(), on_chunk=fail)
        assert not self.ends_calls_at_once or eventually(lambda: server.hang_ups == 1)

    def test_nul_is_removed(self, server: FakeGemini, model: LanguageModel):
        server.will(Outcome(text="a\x00b \x00 c"))
        subscriber = Listener()
        answer = model.write(Prompt("Hi"), within=LONG, stop=subscriber.stop, on_chunk=subscriber)
        assert answer.text == "ab  c" == "".join(subscriber.chunks)

    def test_half_a_surrogate_pair_does_not_get_out(self, server: FakeGemini, model: LanguageModel):
        server.will(Outcome(text="a \ud83d b"))
        try:
            text = ask(model).text
        except AnswerFailed as failure:
            text = failure.reason.value
        assert text.encode()

    def test_many_at_once_get_their_own_answers(self, server: FakeGemini, model: LanguageModel):
        server.latency = 0.1
        texts = [f"question {number}" for number in range(40)]
        with ThreadPoolExecutor(40) as threads:
            answers = list(threads.map(lambda text: ask(model, text).text, texts))
        assert answers == [f"echo: {text}" for text in texts]

    def test_connections_are_kept(self, server: FakeGemini, model: LanguageModel):
        for _ in range(3):
            ask(model)
        if self.keeps_connections:
            assert {call.connection for call in server.calls} == {1}


class OddAnswersContract:
    """Of models that read a provider's JSON themselves. Nothing else than an answer or its failure comes of any."""

    odd_metadata: dict[str, Any]
    odd_shapes: list[dict[str, Any]]

    def test_odd_metadata_is_left_out(self, server: FakeGemini, model: LanguageModel):
        server.will(Outcome(text="Because.", changed=self.odd_metadata))
        assert ask(model) == Answer("Because.", MODEL)

    def test_an_odd_shape_is_no_answer(self, server: FakeGemini, model: LanguageModel):
        for shape in self.odd_shapes:
            server.will(Outcome(text="Because.", changed=shape))
            assert failure_of(model).reason is FailureReason.MODEL_UNREACHABLE


class ClosingContract:
    """Of models whose calls end at once when they are closed."""

    def test_closed_in_mid_call_the_call_fails(self, server: FakeGemini, model: Any):
        server.will(Outcome("hang"))
        failures: list[AnswerFailed] = []
        caller = Thread(target=lambda: failures.append(failure_of(model)))
        caller.start()
        assert eventually(lambda: len(server.calls) == 1)
        model.close()
        caller.join(LATE)
        assert [failure.reason for failure in failures] == [FailureReason.MODEL_UNREACHABLE]
        assert failure_of(model).reason is FailureReason.MODEL_UNREACHABLE
