"""The adapters of the LanguageModel port, each under the one contract."""

import json
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.llm.circuit_breaker import LanguageModelBreaker
from adapters.llm.fallback import LanguageModelFallback
from adapters.llm.gemini import GeminiLanguageModel
from adapters.llm.offline import OfflineLanguageModel
from adapters.llm.openai_compatible import OpenAiCompatibleLanguageModel
from adapters.llm.options import ModelOptions
from adapters.memory.doubles import ScriptedLanguageModel, SettableClock
from application.ports.language_model import AnswerStopped, LanguageModel, Prompt, Stop
from domain.replies import Answer, AnswerFailed, FailureReason
from tests.contract.language_model_contract import (
    KEY,
    LONG,
    MODEL,
    ClosingContract,
    LanguageModelContract,
    Listener,
    OddAnswersContract,
    ask,
    failure_of,
)
from tests.contract.language_model_streams import StreamContract, sse
from tests.fakes.gemini_server import FakeGemini, Outcome
from tests.fakes.openai_server import FakeOpenAi

# From a server that only resembles the API: what PostgreSQL could not keep, and what is no answer.
ODD_METADATA_OF_GEMINI = {
    "modelVersion": {"name": "x"},
    "usageMetadata": {"promptTokenCount": "many", "candidatesTokenCount": 10**30},
}
ODD_SHAPES_OF_GEMINI: list[dict[str, Any]] = [
    {"candidates": [{"finishReason": ["STOP"]}]},
    {"usageMetadata": "none"},
    {"candidates": 5},
]
USAGE_WITH_THOUGHTS = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 515}
ODD_METADATA_OF_OPENAI = {"model": 5, "usage": {"prompt_tokens": -1, "completion_tokens": True}}
ODD_SHAPES_OF_OPENAI: list[dict[str, Any]] = [{"choices": [{"delta": "Because."}]}, {"usage": "none"}, {"choices": 5}]


class GeminiContract(LanguageModelContract):
    """What is particular to Gemini's API."""

    @pytest.fixture
    def server(self) -> Iterator[FakeGemini]:
        with FakeGemini() as server:
            yield server

    def heard(self, body: dict[str, Any]) -> tuple[str | None, list[tuple[str, str]]]:
        system = body.get("systemInstruction")
        said = [
            (content["role"], "\n\n".join(part["text"] for part in content["parts"])) for content in body["contents"]
        ]
        return system["parts"][0]["text"] if system else None, said

    def test_retry_info_is_kept(self, server: FakeGemini, model: LanguageModel):
        server.will(Outcome("error", status=429, retry_after=21.5))
        assert failure_of(model).retry_after == timedelta(seconds=21.5)


class TestGemini(GeminiContract, StreamContract, ClosingContract, OddAnswersContract):
    """Gemini's HTTP API."""

    odd_metadata = ODD_METADATA_OF_GEMINI
    odd_shapes = ODD_SHAPES_OF_GEMINI

    def part(self, text: str | None, finish: Any = None, *, index: int | None = 0) -> dict[str, Any]:
        candidate = {"finishReason": finish, "content": {"role": "model", "parts": [{"text": text}]}}
        return {"candidates": [candidate if index is None else {**candidate, "index": index}]}

    def thought(self, text: str) -> dict[str, Any]:
        return {"candidates": [{"content": {"parts": [{"text": text, "thought": True}]}, "index": 0}]}

    def usage(self, prompt: int, answer: int, total: int) -> dict[str, Any]:
        counts = {"promptTokenCount": prompt, "candidatesTokenCount": answer, "totalTokenCount": total}
        return {"usageMetadata": counts}

    def impatient(self, server: FakeGemini, idle: timedelta) -> GeminiLanguageModel:
        return GeminiLanguageModel(api_key=KEY, model=MODEL, base_url=server.base_url, idle=idle)

    @pytest.fixture
    def model(self, server: FakeGemini) -> Iterator[GeminiLanguageModel]:
        """The adapter; to close it twice is the business of the contract."""
        model = GeminiLanguageModel(api_key=KEY, model=MODEL, base_url=server.base_url)
        yield model
        model.close()

    @pytest.mark.parametrize("end", ["", "/", "/v1beta", "/v1beta/"])
    def test_the_address_may_have_the_version(self, server: FakeGemini, end: str):
        model = GeminiLanguageModel(api_key=KEY, model=f"models/{MODEL}", base_url=f"{server.base_url}{end}")
        ask(model)
        model.close()
        assert server.calls[0].target == f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"

    def test_what_the_operator_wants_is_told(self, server: FakeGemini):
        options = ModelOptions(max_output_tokens=100, thinking_budget=0, safety="BLOCK_ONLY_HIGH")
        model = GeminiLanguageModel(api_key=KEY, model=MODEL, base_url=server.base_url, options=options)
        ask(model)
        model.close()
        [body] = [call.body for call in server.calls]
        assert body["generationConfig"] == {"maxOutputTokens": 100, "thinkingConfig": {"thinkingBudget": 0}}
        assert len(body["safetySettings"]) == 4
        assert {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"} in body["safetySettings"]

    @pytest.mark.parametrize("reason", ["BLOCK_REASON_UNSPECIFIED", 0, None])
    def test_a_prompt_that_is_not_blocked_is_answered(
        self, server: FakeGemini, model: GeminiLanguageModel, reason: Any
    ):
        self.will_stream(server, {**self.part("Yes.", "STOP"), "promptFeedback": {"blockReason": reason}})
        assert ask(model).text == "Yes."

    def test_by_default_nothing_is_told(self, server: FakeGemini, model: GeminiLanguageModel):
        ask(model)
        assert server.calls[0].body.keys() == {"contents"}

    def test_another_model_by_the_same_client(self, server: FakeGemini, model: GeminiLanguageModel):
        ask(model)
        ask(model.with_model("another"))
        assert [call.model for call in server.calls] == [MODEL, "another"]
        assert {call.connection for call in server.calls} == {1}


class TestProxies:
    """Those that the environment names, and no surprises."""

    @pytest.fixture(autouse=True)
    def no_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("NO_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)

    def ask_through(self, base_url: str) -> None:
        model = GeminiLanguageModel(api_key=KEY, model=MODEL, base_url=base_url)
        try:
            ask(model)
        finally:
            model.close()

    @pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
    def test_a_proxy_of_the_environment_is_used(self, name: str, monkeypatch: pytest.MonkeyPatch):
        with FakeGemini() as proxy:
            monkeypatch.setenv(name, proxy.base_url)
            self.ask_through("http://model.invalid")
            assert [call.target.partition("/v1beta/")[0] for call in proxy.calls] == ["http://model.invalid"]

    def test_a_proxy_is_told_its_own_password_only(self, monkeypatch: pytest.MonkeyPatch):
        with FakeGemini() as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.base_url.replace("http://", "http://me:hunter2@"))
            self.ask_through("http://model.invalid")
            [headers] = [call.headers for call in proxy.calls]
            assert headers["proxy-authorization"] == f"Basic {b64encode(b'me:hunter2').decode()}"
            assert "authorization" not in headers

    @pytest.mark.parametrize(
        ("name", "value"),
        [("ALL_PROXY", "socks5://127.0.0.1:1"), ("HTTPS_PROXY", "socks5://127.0.0.1:1"), ("NO_PROXY", "127.0.0.1")],
    )
    def test_a_proxy_for_others_is_not(self, name: str, value: str, monkeypatch: pytest.MonkeyPatch):
        with FakeGemini() as server:
            monkeypatch.setenv("HTTP_PROXY" if name == "NO_PROXY" else "UNUSED", "http://127.0.0.1:1")
            monkeypatch.setenv(name, value)
            self.ask_through(server.base_url)

    def test_a_proxy_that_speaks_no_http_is_the_operators_fault(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:1")
        with pytest.raises(AnswerFailed) as failed:
            self.ask_through("http://model.invalid")
        assert (failed.value.reason, failed.value.code) == (FailureReason.MODEL_MISCONFIGURED, "proxy_is_not_http")

    def test_an_address_for_googles_sdk_redirects_no_prompts(self, monkeypatch: pytest.MonkeyPatch):
        with FakeGemini() as server, FakeGemini() as elsewhere:
            monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", elsewhere.base_url)
            self.ask_through(server.base_url)
            assert (len(server.calls), elsewhere.calls) == (1, [])


class TestGeminiLegacy(GeminiContract):
    """google-generativeai."""

    ends_calls_at_once = False

    @pytest.fixture
    def model(self, server: FakeGemini) -> Iterator[Any]:
        from adapters.llm.gemini_legacy import GeminiLegacyLanguageModel  # noqa: PLC0415

        options = ModelOptions(max_output_tokens=100, safety="BLOCK_ONLY_HIGH")
        model = GeminiLegacyLanguageModel(api_key=KEY, model=MODEL, base_url=server.base_url, options=options)
        yield model
        model.close()

    def test_what_the_operator_wants_is_told(self, server: FakeGemini, model: LanguageModel):
        ask(model)
        [body] = [call.body for call in server.calls]
        assert body["generationConfig"] == {"maxOutputTokens": 100}
        assert len(body["safetySettings"]) == 4

    def test_thoughts_are_not_shown(self, server: FakeGemini, model: LanguageModel):
        parts = [{"text": "Hm.", "thought": True}, {"text": "Yes."}]
        whole = [
            {"candidates": [{"content": {"parts": parts}, "finishReason": 1}], "usageMetadata": USAGE_WITH_THOUGHTS}
        ]
        server.will(Outcome("raw", text=json.dumps(whole), content_type="application/json"))
        answer = ask(model)
        assert (answer.text, answer.output_tokens) == ("Yes.", 505)

    def test_a_part_that_would_keep_a_core_busy_is_no_answer(self, server: FakeGemini, model: LanguageModel):
        server.will(Outcome(text="x" * 1_000_000))
        assert failure_of(model).reason is FailureReason.MODEL_UNREACHABLE

    def test_an_answer_counts_although_the_connection_ends_badly_after_it(
        self, server: FakeGemini, model: LanguageModel
    ):
        part = json.dumps({"candidates": [{"content": {"parts": [{"text": "Yes."}]}, "finishReason": "STOP"}]})
        server.will(Outcome("raw", text=f"[{part}", content_type="application/json", then="cut"))
        assert ask(model).text == "Yes."


class TestOpenAiCompatible(LanguageModelContract, StreamContract, ClosingContract, OddAnswersContract):
    """Ollama, vLLM and their kind."""

    def part(self, text: str | None, finish: Any = None, *, index: int | None = 0) -> dict[str, Any]:
        choice = {"delta": {"content": text}, "finish_reason": finish}
        return {"choices": [choice if index is None else {**choice, "index": index}], "usage": None, "error": None}

    def thought(self, text: str) -> dict[str, Any]:
        return {"choices": [{"delta": {"content": None, "reasoning_content": text}, "index": 0}]}

    def usage(self, prompt: int, answer: int, total: int) -> dict[str, Any]:
        return {"usage": {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": total}}

    def impatient(self, server: FakeGemini, idle: timedelta) -> OpenAiCompatibleLanguageModel:
        return OpenAiCompatibleLanguageModel(base_url=server.base_url, model=MODEL, api_key=KEY, idle=idle)

    odd_metadata = ODD_METADATA_OF_OPENAI
    odd_shapes = ODD_SHAPES_OF_OPENAI

    @pytest.fixture
    def server(self) -> Iterator[FakeOpenAi]:
        with FakeOpenAi() as server:
            yield server

    @pytest.fixture
    def model(self, server: FakeOpenAi) -> Iterator[OpenAiCompatibleLanguageModel]:
        model = OpenAiCompatibleLanguageModel(base_url=server.base_url, model=MODEL, api_key=KEY)
        yield model
        model.close()

    def heard(self, body: dict[str, Any]) -> tuple[str | None, list[tuple[str, str]]]:
        roles = {"assistant": "model"}
        said = [(roles.get(message["role"], message["role"]), message["content"]) for message in body["messages"]]
        return (said[0][1], said[1:]) if said[0][0] == "system" else (None, said)

    def test_without_a_key_there_is_no_header_for_it(self, server: FakeOpenAi):
        model = OpenAiCompatibleLanguageModel(base_url=f"{server.base_url}/", model=MODEL)
        ask(model)
        model.close()
        assert "authorization" not in server.calls[0].headers

    def test_the_output_limit_is_told_by_the_name_that_the_server_knows(self, server: FakeOpenAi):
        options = ModelOptions(max_output_tokens=100, thinking_budget=0, safety="OFF")
        model = OpenAiCompatibleLanguageModel(base_url=server.base_url, model=MODEL, options=options)
        message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
        refusal = json.dumps({"error": {"message": message, "code": "unsupported_parameter"}})
        server.will(Outcome("error", status=400, text=refusal))
        for _ in range(2):
            ask(model)
        model.close()
        limits = [(call.body.get("max_tokens"), call.body.get("max_completion_tokens")) for call in server.calls]
        assert limits == [(100, None), (None, 100), (None, 100)]
        assert server.calls[0].body.keys() == {"model", "messages", "stream", "stream_options", "max_tokens"}

    @pytest.mark.parametrize("choices", [None, []])
    def test_a_part_without_choices_is_passed_over(
        self, server: FakeOpenAi, model: OpenAiCompatibleLanguageModel, choices: Any
    ):
        odd = {"choices": choices, "prompt_filter_results": [], "usage": {}}
        self.will_stream(server, odd, self.part("Yes.", "stop"), odd)
        assert ask(model).text == "Yes."

    @pytest.mark.parametrize("status", [400, 422])
    def test_a_server_without_stream_options_is_asked_without_from_then_on(
        self, server: FakeOpenAi, model: OpenAiCompatibleLanguageModel, status: int
    ):
        # Mistral's words.
        refusal = {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "not permitted"}]}
        server.will(Outcome("error", status=status, text=json.dumps(refusal)))
        assert [ask(model, "Hi").text for _ in range(2)] == ["echo: Hi"] * 2
        assert ["stream_options" in call.body for call in server.calls] == [True, False, False]

    def test_a_request_that_is_refused_for_itself_is_asked_once(
        self, server: FakeOpenAi, model: OpenAiCompatibleLanguageModel
    ):
        refusal = json.dumps({"error": {"message": "stream_options", "code": 400}})
        server.will(*[Outcome("error", status=400, text=refusal)] * 2)
        assert failure_of(model).reason is FailureReason.MODEL_REJECTED_REQUEST
        ask(model)
        assert ["stream_options" in call.body for call in server.calls] == [True, False, True]

    @pytest.mark.parametrize("parts", [["<think>Hm.</think>\n\nYes."], ["<thi", "nk>Hm.</", "think>", "\n\nYes", "."]])
    def test_thoughts_in_the_text_are_not_shown(
        self, server: FakeOpenAi, model: OpenAiCompatibleLanguageModel, parts: list[str]
    ):
        subscriber = Listener()
        self.will_stream(server, *map(self.part, parts), self.part(None, "stop"))
        answer = ask(model, on_chunk=subscriber)
        assert answer.text == "Yes." == "".join(subscriber.chunks)

    def test_what_only_begins_like_a_thought_is_shown(self, server: FakeOpenAi, model: OpenAiCompatibleLanguageModel):
        self.will_stream(server, self.part("<"), self.part(None, "stop"))
        assert ask(model).text == "<"

    def test_a_text_in_parts_is_read(self, server: FakeOpenAi, model: OpenAiCompatibleLanguageModel):
        content = [
            {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
            {"type": "text", "text": "Yes."},
        ]
        self.will_stream(server, {"choices": [{"delta": {"content": content}, "finish_reason": "stop"}]})
        assert ask(model).text == "Yes."

    @pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
    def test_a_message_in_place_of_a_delta_is_read(
        self, server: FakeOpenAi, model: OpenAiCompatibleLanguageModel, content_type: str
    ):
        whole = {
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}]
        }
        text = json.dumps(whole) if content_type == "application/json" else sse(whole, "[DONE]")
        server.will(Outcome("raw", text=text, content_type=content_type))
        assert ask(model).text == "Yes."

    def test_an_error_with_a_finish_reason_is_no_answer(self, server: FakeOpenAi, model: OpenAiCompatibleLanguageModel):
        # OpenRouter's way to say that a provider broke off.
        error = {"error": {"code": "server_error", "message": "Provider disconnected"}}
        self.will_stream(server, self.part("Half"), {**self.part("", "error"), **error}, "[DONE]")
        failure = failure_of(model)
        assert (failure.reason, failure.code) == (FailureReason.MODEL_UNREACHABLE, "server_error")


class TestAsTheContainerBuildsIt(GeminiContract):
    """Breaker around fallback around Gemini: between them the contract holds as well."""

    @pytest.fixture
    def model(self, server: FakeGemini) -> Iterator[LanguageModel]:
        gemini = GeminiLanguageModel(api_key=KEY, model=MODEL, base_url=server.base_url)
        clock = SettableClock(datetime(2026, 1, 1, tzinfo=UTC))
        yield LanguageModelBreaker(LanguageModelFallback([gemini], clock=clock), clock=clock)
        gemini.close()

    def test_a_retired_model_is_replaced_and_then_skipped(self, server: FakeGemini):
        gemini = GeminiLanguageModel(api_key=KEY, model="retired", base_url=server.base_url)
        clock = SettableClock(datetime(2026, 1, 1, tzinfo=UTC))
        model = LanguageModelFallback([gemini, gemini.with_model("current")], clock=clock)
        server.will(Outcome("error", status=404))
        assert [ask(model).model for _ in range(2)] == ["current-001"] * 2
        gemini.close()
        assert [call.model for call in server.calls] == ["retired", "current", "current"]


class TestOffline:
    """The stand-in without a server."""

    def test_it_says_what_it_was_told(self):
        subscriber = Listener()
        answer = OfflineLanguageModel().write(Prompt("Why  is it?"), within=LONG, stop=Stop(), on_chunk=subscriber)
        assert "“Why is it?”" in answer.text
        assert "3 words" in answer.text
        assert "".join(subscriber.chunks) == answer.text
        assert len(subscriber.chunks) > 1

    def test_it_stops(self):
        subscriber = Listener(stop_after=1)
        with pytest.raises(AnswerStopped):
            OfflineLanguageModel().write(Prompt("Hi"), within=LONG, stop=subscriber.stop, on_chunk=subscriber)
        assert len(subscriber.chunks) == 1


class TestScripted:
    """The stand-in of tests."""

    def test_it_plays_its_script_and_then_echoes(self):
        model = ScriptedLanguageModel()
        seen: list[str] = []
        failure = AnswerFailed(FailureReason.MODEL_BUSY)
        model.will(Answer("One.", "m"), ["a", lambda: seen.append("between"), "b"], failure, ["c", failure])
        assert ask(model) == Answer("One.", "m")
        assert ask(model).text == "ab"
        assert seen == ["between"]
        assert failure_of(model) is failure
        assert failure_of(model) is failure
        assert ask(model, "Hi").text == "echo: Hi"
        assert [prompt.text for prompt in model.prompts] == ["Why?"] * 4 + ["Hi"]

    def test_it_stops_in_between(self):
        model = ScriptedLanguageModel()
        subscriber = Listener()
        model.will(["a", subscriber.stop.request, "b"])
        with pytest.raises(AnswerStopped):
            model.write(Prompt("Hi"), within=LONG, stop=subscriber.stop, on_chunk=subscriber)
        assert subscriber.chunks == ["a"]
