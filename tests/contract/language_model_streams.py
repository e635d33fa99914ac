"""What the models promise that read a provider's stream themselves, whatever the provider does to it."""

import json
from abc import abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from adapters.llm import streamed_answer
from application.ports.language_model import Exchange, LanguageModel
from domain.replies import FailureReason
from tests.contract.language_model_contract import Listener, ask, eventually, failure_of
from tests.fakes.gemini_server import FakeGemini, Outcome

FORMS: list[Any] = [
    pytest.param(lambda text: ": keep-alive\n\n" + text.replace("\n\n", "\n\n: still here\n\n"), id="comments"),
    pytest.param(lambda text: text.replace("data:", "event: message\nid: 7\nretry: 10\ndata:"), id="other fields"),
    pytest.param(lambda text: text.replace("data: ", "data:"), id="no blank after the colon"),
    pytest.param(lambda text: text.replace("\n", "\r\n"), id="CRLF"),
    pytest.param(lambda text: text.replace("\n", "\r"), id="CR"),
    pytest.param(lambda text: "\ufeff" + text, id="a byte order mark"),
    pytest.param(lambda text: "data:\n\ndata: : keep-alive\n\n" + text, id="data without a value"),
    pytest.param(lambda text: text.replace("{", "{\ndata: ", 1), id="several lines of data"),
    pytest.param(lambda text: text.rstrip("\n"), id="no line end at the end"),
    pytest.param(lambda text: text + "data: [DONE]\n\n", id="[DONE]"),
]

BROKEN_OFF = ["OTHER", "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "error", "abort", "new in 2027"]


def sse(*values: dict[str, Any] | str) -> str:
    """Server-sent events with this data."""
    return "".join(f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n" for value in values)


class StreamContract:
    """A test class says how the parts of an answer read in its API."""

    @abstractmethod
    def part(self, text: str | None, finish: Any = None, *, index: int | None = 0) -> dict[str, Any]:
        """A part of an answer."""

    @abstractmethod
    def usage(self, prompt: int, answer: int, total: int) -> dict[str, Any]:
        """The part that counts tokens."""

    @abstractmethod
    def thought(self, text: str) -> dict[str, Any]:
        """A part that is a thought."""

    def will_stream(self, server: FakeGemini, *values: dict[str, Any] | str, then: Any = "end") -> None:
        server.will(Outcome("raw", text=sse(*values), then=then))

    @pytest.mark.parametrize("form", FORMS)
    def test_events_are_read_in_every_form_of_the_standard(
        self, server: FakeGemini, model: LanguageModel, form: Callable[[str], str]
    ):
        server.will(Outcome("raw", text=form(sse(self.part("Yes "), self.part("and no."), self.part(None, "STOP")))))
        assert ask(model).text == "Yes and no."
        assert len(server.calls) == 1

    @pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", "text/plain"])
    @pytest.mark.parametrize("shape", [lambda value: value, lambda value: [value]], ids=["object", "list"])
    def test_a_server_that_does_not_stream_is_heard(
        self, server: FakeGemini, model: LanguageModel, content_type: str, shape: Callable[[Any], Any]
    ):
        text = json.dumps(shape(self.part("Yes.", "STOP")), indent=1)
        server.will(Outcome("raw", text=f"\n{text}\n", content_type=content_type))
        assert ask(model).text == "Yes."

    def test_a_large_part_is_read(self, server: FakeGemini, model: LanguageModel):
        self.will_stream(server, {**self.part("Yes.", "STOP"), "signature": "x" * 5_000_000})
        assert ask(model).text == "Yes."

    def test_half_a_surrogate_pair_costs_no_answer(self, server: FakeGemini, model: LanguageModel):
        self.will_stream(server, self.part("a \ud83d b", "STOP"))
        assert ask(model).text == "a ? b"

    def test_an_answer_counts_although_the_connection_ends_badly_after_it(
        self, server: FakeGemini, model: LanguageModel
    ):
        self.will_stream(server, self.part("Yes."), self.part(None, "STOP"), then="cut")
        assert ask(model).text == "Yes."

    def test_an_error_after_the_end_of_an_answer_changes_nothing(self, server: FakeGemini, model: LanguageModel):
        self.will_stream(server, self.part("Yes.", "STOP"), {"error": {"code": 500, "message": "late"}})
        assert ask(model).text == "Yes."

    def test_a_finished_answer_waits_no_longer_than_for_its_usage(
        self, server: FakeGemini, model: LanguageModel, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(streamed_answer, "USAGE_WITHIN", 0.05)
        self.will_stream(server, self.part("Yes."), self.part(None, "STOP"), then="linger")
        assert ask(model).text == "Yes."
        assert eventually(lambda: server.hang_ups == 1)

    def test_usage_counts_that_comes_after_the_finish_reason(self, server: FakeGemini, model: LanguageModel):
        self.will_stream(server, self.part("Yes.", "STOP"), self.usage(3, 4, 7))
        answer = ask(model)
        assert (answer.input_tokens, answer.output_tokens) == (3, 4)

    def test_done_ends_an_answer_whatever_the_connection_does(
        self, server: FakeGemini, model: LanguageModel, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(streamed_answer, "USAGE_WITHIN", 3600)
        self.will_stream(server, self.part("Yes.", "STOP"), "[DONE]", then="linger")
        assert ask(model).text == "Yes."
        assert eventually(lambda: server.hang_ups == 1)

    def test_done_is_an_end_without_a_finish_reason(self, server: FakeGemini, model: LanguageModel):
        self.will_stream(server, self.part("Yes."), "[DONE]")
        answer = ask(model)
        assert (answer.text, answer.truncated) == ("Yes.", False)

    @pytest.mark.parametrize("reason", ["MAX_TOKENS", "max_tokens", "length", 2])
    def test_the_output_limit_is_known_by_every_name(self, server: FakeGemini, model: LanguageModel, reason: Any):
        self.will_stream(server, self.part("Yes.", reason))
        assert ask(model).truncated

    @pytest.mark.parametrize("reason", ["SAFETY", "safety", "content_filter", "RECITATION"])
    def test_what_is_withheld_is_refused(self, server: FakeGemini, model: LanguageModel, reason: str):
        self.will_stream(server, self.part("Half"), self.part(None, reason))
        failure = failure_of(model)
        assert (failure.reason, failure.code) == (FailureReason.REFUSED, reason.lower())

    @pytest.mark.parametrize("reason", BROKEN_OFF)
    def test_any_other_reason_is_no_good_end(self, server: FakeGemini, model: LanguageModel, reason: str):
        self.will_stream(server, self.part("Half"), self.part(None, reason))
        assert failure_of(model).reason is FailureReason.ANSWER_INTERRUPTED

    def test_reasons_before_the_last_do_not_count(self, server: FakeGemini, model: LanguageModel):
        unspecified = self.part("Yes ", "FINISH_REASON_UNSPECIFIED")
        self.will_stream(server, unspecified, self.part("and ", "STOP"), self.part("no.", "STOP"))
        assert ask(model).text == "Yes and no."

    def test_only_the_first_of_several_candidates_is_heard(self, server: FakeGemini, model: LanguageModel):
        self.will_stream(
            server,
            self.part("No.", "SAFETY", index=1),
            self.part("Yes.", "STOP"),
            self.part("No.", "length", index=1),
        )
        answer = ask(model)
        assert (answer.text, answer.truncated) == ("Yes.", False)

    def test_a_candidate_without_a_number_is_the_first(self, server: FakeGemini, model: LanguageModel):
        self.will_stream(server, self.part("Yes.", "STOP", index=None))
        assert ask(model).text == "Yes."

    def test_thoughts_are_not_shown_and_count_as_output(self, server: FakeGemini, model: LanguageModel):
        subscriber = Listener()
        self.will_stream(server, self.thought("Hm."), self.part("Yes.", "STOP"), self.usage(10, 5, 515))
        answer = ask(model, on_chunk=subscriber)
        assert (answer.text, subscriber.chunks) == ("Yes.", ["Yes."])
        assert (answer.input_tokens, answer.output_tokens) == (10, 505)

    def test_a_total_that_is_too_small_means_nothing(self, server: FakeGemini, model: LanguageModel):
        self.will_stream(server, self.part("Yes.", "STOP"), self.usage(10, 5, 12))
        assert ask(model).output_tokens == 5

    def test_a_kept_connection_that_was_dead_costs_nothing(self, server: FakeGemini, model: LanguageModel):
        ask(model)
        server.will(Outcome("reset"), Outcome(text="Yes."))
        assert ask(model).text == "Yes."
        assert [call.connection for call in server.calls] == [1, 1, 2]

    def test_a_fresh_connection_that_is_reset_is_a_failure(self, server: FakeGemini, model: LanguageModel):
        ask(model)
        server.will(Outcome("reset"), Outcome("reset"))
        assert failure_of(model).reason is FailureReason.MODEL_UNREACHABLE
        assert len(server.calls) == 3

    def test_an_answer_that_had_begun_is_not_asked_for_again(self, server: FakeGemini, model: LanguageModel):
        ask(model)
        server.will(Outcome("cut", text="one two three"))
        assert failure_of(model).reason is FailureReason.MODEL_UNREACHABLE
        assert len(server.calls) == 2

    def test_an_error_says_what_it_is(self, server: FakeGemini, model: LanguageModel):
        details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
        error = {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT", "details": details}
        server.will(Outcome("error", status=400, text=json.dumps({"error": error})))
        failure = failure_of(model)
        assert (failure.reason, failure.status) == (FailureReason.MODEL_MISCONFIGURED, 400)
        assert failure.code == "API_KEY_INVALID INVALID_ARGUMENT"

    def test_an_error_instead_of_an_answer_says_what_it_is(self, server: FakeGemini, model: LanguageModel):
        self.will_stream(server, {"error": {"code": 429, "message": "scripted", "status": "RESOURCE_EXHAUSTED"}})
        failure = failure_of(model)
        assert (failure.reason, failure.status) == (FailureReason.MODEL_BUSY, 429)

    @pytest.mark.parametrize(
        "sentence",
        [
            "Developer instruction is not enabled for models/gemma-3-27b-it",
            "System role not supported",
            "Conversation roles must alternate user/assistant/user/assistant/...",
            "Only user and assistant roles are supported!",
            "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        ],
    )
    @pytest.mark.parametrize("status", [400, 500])
    def test_a_model_without_a_system_role_is_told_the_system_prompt_by_the_user(
        self, server: FakeGemini, model: LanguageModel, sentence: str, status: int
    ):
        server.will(Outcome("error", status=status, text=json.dumps({"error": {"message": sentence}})))
        history = [Exchange("I am Asha.", "Hello Asha.")]
        assert ask(model, "Who am I?", history=history, system="Be brief.").text
        assert ask(model, "Who am I?", history=history, system="Be brief.").text
        systems = [system for system, _ in map(self.heard, [call.body for call in server.calls])]
        assert systems == ["Be brief.", None, None]
        _, said = self.heard(server.calls[2].body)
        assert [who for who, _ in said] == ["user", "model", "user"]
        assert said[0][1] == "Be brief.\n\nI am Asha."

    def test_a_request_is_not_repeated_as_it_was(self, server: FakeGemini, model: LanguageModel):
        server.will(Outcome("error", status=400, text=json.dumps({"error": {"message": "System role not supported"}})))
        assert failure_of(model).reason is FailureReason.MODEL_REJECTED_REQUEST
        assert len(server.calls) == 1

    @abstractmethod
    def heard(self, body: dict[str, Any]) -> tuple[str | None, list[tuple[str, str]]]:
        """System prompt, and who said what, of a request."""

    @abstractmethod
    def impatient(self, server: FakeGemini, idle: timedelta) -> Any:
        """The adapter, with less patience."""

    @pytest.mark.parametrize("sign", ["a comment", "a thought"])
    def test_any_sign_of_life_keeps_a_call_going(self, server: FakeGemini, sign: str):
        model = self.impatient(server, timedelta(seconds=1))
        text = ": thinking\n\n" if sign == "a comment" else sse(self.thought("Hm."))
        server.will(Outcome("slow", text=(text * 8) + sse(self.part("Yes.", "STOP")), interval=0.1))
        assert ask(model).text == "Yes."
        model.close()
