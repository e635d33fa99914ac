"""What a worker process counts."""

import time
from collections.abc import Callable
from datetime import timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from adapters.metrics.process import ProcessMetrics
from application.ports.language_model import AnswerStopped, LanguageModel, Prompt, Stop
from application.ports.observation import WorkerObserver
from domain.replies import Answer, AnswerFailed, ClaimedReply, EndedReply, FailureReason, ReplyState

REPLY_SECONDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0)
CLAIM_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class WorkerMetrics(WorkerObserver):
    """``deadline``: within which a reply has to end; what is left of it tells when the message was accepted."""

    def __init__(self, metrics: ProcessMetrics, *, deadline: timedelta) -> None:
        registry = metrics.registry
        self._metrics = metrics
        self._deadline = deadline.total_seconds()
        self._claims = Histogram(
            "gemini_chat_claim_seconds", "How long claims took.", buckets=CLAIM_SECONDS, registry=registry
        )
        self._claimed = Counter("gemini_chat_claimed_replies", "Replies that were claimed.", registry=registry)
        self._fenced = Counter(
            "gemini_chat_replies_fenced", "Outcomes not stored, since the lease was lost.", registry=registry
        )
        self._postponed = Counter(
            "gemini_chat_replies_postponed", "Replies that are to be tried again.", registry=registry
        )
        self._reply_seconds = Histogram(
            "gemini_chat_reply_seconds",
            "From the acceptance of a message to the end of its reply.",
            buckets=REPLY_SECONDS,
            registry=registry,
        )
        self._applied = metrics.payment_events.labels("applied_later")
        self._failed = metrics.payment_events.labels("failed_again")
        self._compared = Counter(
            "gemini_chat_customers_compared", "Customers compared with the payment provider.", registry=registry
        )
        self._corrected = Counter(
            "gemini_chat_subscriptions_corrected", "Subscriptions that differed, and were corrected.", registry=registry
        )

    def claimed(self, count: int, *, seconds: float) -> None:
        self._claims.observe(seconds)
        self._claimed.inc(count)

    def written(
        self, reply: ClaimedReply, state: ReplyState | None, reason: FailureReason | None, *, seconds: float
    ) -> None:
        if state is None:
            self._fenced.inc()
        elif not state.final:
            self._postponed.inc()
        else:
            self._metrics.reply_ended(state, reason if state is ReplyState.FAILED else None)
            self._reply_seconds.observe(max(self._deadline - reply.seconds_left, 0) + seconds)

    def expired(self, ended: EndedReply) -> None:
        self._metrics.reply_ended(ReplyState.FAILED if ended.failure else ReplyState.CANCELLED, ended.failure)

    def events_applied(self, applied: int, *, failed: int) -> None:
        self._applied.inc(applied)
        self._failed.inc(failed)

    def compared(self, customers: int, *, corrected: int) -> None:
        self._compared.inc(customers)
        self._corrected.inc(corrected)


class MeasuredLanguageModel(LanguageModel):
    """``within`` is the time that is left until the reply's ``deadline``: that tells how old the message is."""

    def __init__(
        self,
        model: LanguageModel,
        registry: CollectorRegistry,
        *,
        deadline: timedelta,
        breaker_is_open: Callable[[], bool],
        places: int,
    ) -> None:
        self._model = model
        self._deadline = deadline
        self._calls = Counter("gemini_chat_model_calls", "Calls, by outcome.", ["outcome"], registry=registry)
        self._tokens = Counter("gemini_chat_model_tokens", "Tokens of answers.", ["direction"], registry=registry)
        self._seconds = Histogram(
            "gemini_chat_model_call_seconds", "How long calls took.", buckets=REPLY_SECONDS, registry=registry
        )
        self._first_piece = Histogram(
            "gemini_chat_reply_first_piece_seconds",
            "From the acceptance of a message to the first text of its reply.",
            buckets=REPLY_SECONDS,
            registry=registry,
        )
        self._running = Gauge("gemini_chat_model_calls_running", "Calls that go on.", registry=registry)
        Gauge("gemini_chat_reply_places", "Replies that this worker writes at once.", registry=registry).set(places)
        breaker = Gauge("gemini_chat_model_breaker_open", "1 while the model is spared.", registry=registry)
        breaker.set_function(lambda: float(breaker_is_open()))

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        began = time.monotonic()
        age = max((self._deadline - within).total_seconds(), 0)
        waiting_for_text = True

        def on_piece(text: str) -> None:
            nonlocal waiting_for_text
            if waiting_for_text and text:
                waiting_for_text = False
                self._first_piece.observe(age + time.monotonic() - began)
            on_chunk(text)

        outcome = "error"
        self._running.inc()
        try:
            answer = self._model.write(prompt, within=within, stop=stop, on_chunk=on_piece)
            outcome = "answered"
        except AnswerStopped:
            outcome = "stopped"
            raise
        except AnswerFailed as failure:
            outcome = failure.reason.value if failure.asked else "not_asked"
            raise
        else:
            self._tokens.labels("input").inc(answer.input_tokens or 0)
            self._tokens.labels("output").inc(answer.output_tokens or 0)
            return answer
        finally:
            self._running.dec()
            self._calls.labels(outcome).inc()
            if outcome != "not_asked":
                self._seconds.observe(time.monotonic() - began)
