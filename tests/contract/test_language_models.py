"""The adapters of the LanguageModel port, each under the one contract."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import certifi
import pytest

from adapters.llm.circuit_breaker import LanguageModelBreaker
from adapters.llm.fallback import LanguageModelFallback
from adapters.llm.gemini import GeminiLanguageModel
from adapters.llm.offline import OfflineLanguageModel
from adapters.llm.openai_compatible import OpenAiCompatibleLanguageModel
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
from tests.fakes.gemini_server import FakeGemini, Outcome
from tests.fakes.openai_server import FakeOpenAi

END_OF_CERTIFICATE = "-----END CERTIFICATE-----\n"

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
ODD_METADATA_OF_OPENAI = {"model": 5, "usage": {"prompt_tokens": -1, "completion_tokens": True}}
ODD_SHAPES_OF_OPENAI: list[dict[str, Any]] = [{"choices": [{"delta": "Because."}]}, {"usage": "none"}, {"choices": 5}]


@pytest.fixture(autouse=True, scope="module")
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each client of google-genai reads the certificates of all authorities, which takes most of a test's time."""
    file = tmp_path_factory.mktemp("authority") / "one.pem"
    file.write_text(Path(certifi.where()).read_text().partition(END_OF_CERTIFICATE)[0] + END_OF_CERTIFICATE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        yield


class GeminiContract(LanguageModelContract):
    """What is particular to Gemini's API."""

    @pytest.fixture
    def server(self) -> Iterator[FakeGemini]:
        with FakeGemini() as server:
            yield server

    def heard(self, body: dict[str, Any]) -> tuple[str | None, list[tuple[str, str]]]:
        system = body.get("systemInstruction")
        said = [(content["role"], content["parts"][0]["text"]) for content in body["contents"]]
        return system["parts"][0]["text"] if system else None, said

    def test_retry_info_is_kept(self, server: FakeGemini, model: LanguageModel):
        server.will(Outcome("error", status=429, retry_after=21.5))
        assert failure_of(model).retry_after == timedelta(seconds=21.5)


class TestGemini(GeminiContract, ClosingContract, OddAnswersContract):
    """google-genai."""

    odd_metadata = ODD_METADATA_OF_GEMINI
    odd_shapes = ODD_SHAPES_OF_GEMINI

    @pytest.fixture
    def model(self, server: FakeGemini) -> Iterator[GeminiLanguageModel]:
        """The adapter; to close it twice is the business of the contract."""
        model = GeminiLanguageModel(api_key=KEY, model=MODEL, base_url=server.base_url)
        yield model
        model.close()

    def test_another_model_by_the_same_client(self, server: FakeGemini, model: GeminiLanguageModel):
        ask(model)
        ask(model.with_model("another"))
        assert [call.model for call in server.calls] == [MODEL, "another"]
        assert {call.connection for call in server.calls} == {1}


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
def test_a_proxy_of_the_environment_is_used(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with FakeGemini() as proxy:
        monkeypatch.setenv(name, proxy.base_url)
        model = GeminiLanguageModel(api_key=KEY, model=MODEL, base_url="http://model.invalid")
        ask(model)
        model.close()
        assert [call.target.partition("/v1beta/")[0] for call in proxy.calls] == ["http://model.invalid"]


class TestGeminiLegacy(GeminiContract):
    """google-generativeai."""

    ends_calls_at_once = False

    @pytest.fixture
    def model(self, server: FakeGemini) -> Iterator[Any]:
        from adapters.llm.gemini_legacy import GeminiLegacyLanguageModel  # noqa: PLC0415

        model = GeminiLegacyLanguageModel(api_key=KEY, model=MODEL, base_url=server.base_url)
        yield model
        model.close()


class TestOpenAiCompatible(LanguageModelContract, ClosingContract, OddAnswersContract):
    """Ollama, vLLM and their kind."""

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
