"""The contract of the language model, and what Gemini's adapter makes of each thing that Google may answer."""

import contextlib
import json
import socket
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest

from adapters.gemini_language_model import GeminiLanguageModel
from adapters.memory.doubles import ScriptedLanguageModel
from adapters.offline_language_model import OfflineLanguageModel
from application.ports.language_model import LanguageModel
from domain.replies import Answer, AnswerFailed, FailureReason
from tests.concurrency import eventually, together
from tests.contract.world import shown
from tests.fakes.gemini_server import FakeGemini, Outcome

# Much longer than any answer takes here: who waits for its end has found a fault.
PATIENCE = timedelta(seconds=30)
BRIEF = timedelta(seconds=0.3)
KEY = "AIza-secret-key"

# google-genai's way of using aiohttp.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")


def failure(model: LanguageModel, prompt: str = "Why?", within: timedelta = PATIENCE) -> AnswerFailed:
    with pytest.raises(AnswerFailed) as failed:
        model.answer(prompt, within=within)
    return failed.value


class LanguageModelContract:
    """What every implementation of LanguageModel does."""

    @pytest.mark.parametrize(
        "prompt", ["Why?", "नमस्ते 👩🏽‍🚀\n\t\u202e", '"}]}{"%s \\', "word " * 3_200, "x" * 16_000], ids=shown
    )
    def test_answers(self, model: LanguageModel, prompt: str) -> None:
        answer = model.answer(prompt, within=PATIENCE)
        assert answer.text.strip()
        assert "\x00" not in answer.text
        assert answer.model
        assert not answer.truncated
        for tokens in (answer.input_tokens, answer.output_tokens):
            assert tokens is None or tokens > 0

    def test_many_at_once_each_get_their_own_answer(self, model: LanguageModel) -> None:
        prompts = [f"question-{number}-" for number in range(32)]
        answers = together(partial(model.answer, prompt, within=PATIENCE) for prompt in prompts)
        for prompt, answer in zip(prompts, answers, strict=True):
            assert prompt in answer.text


class TestScriptedLanguageModel(LanguageModelContract):
    @pytest.fixture
    def model(self) -> LanguageModel:
        return ScriptedLanguageModel()

    def test_follows_its_script_and_then_echoes(self) -> None:
        model = ScriptedLanguageModel()
        model.will(Answer("One", "m"), AnswerFailed(FailureReason.MODEL_BUSY))
        assert model.answer("first", within=PATIENCE) == Answer("One", "m")
        assert failure(model, "second").reason is FailureReason.MODEL_BUSY
        assert "third" in model.answer("third", within=PATIENCE).text
        assert model.prompts == ["first", "second", "third"]


class TestOfflineLanguageModel(LanguageModelContract):
    @pytest.fixture
    def model(self) -> LanguageModel:
        return OfflineLanguageModel()

    def test_says_what_it_is_and_the_same_each_time(self, model: LanguageModel) -> None:
        one, other = (model.answer("Why is the sky blue?", within=PATIENCE) for _ in range(2))
        assert one == other
        assert "offline" in one.text
        assert "GEMINI_API_KEY" in one.text
        assert one.model == "offline"

    def test_quotes_only_the_beginning_of_a_long_prompt(self, model: LanguageModel) -> None:
        assert len(model.answer("x" * 16_000, within=PATIENCE).text) < 1_000


# One for all tests: building the client is most of what a test would take.


@pytest.fixture(scope="module")
def server() -> Iterator[FakeGemini]:
    with FakeGemini() as server:
        yield server


@pytest.fixture(scope="module")
def connected(server: FakeGemini) -> Iterator[GeminiLanguageModel]:
    model = GeminiLanguageModel(api_key=KEY, model="gemini-flash-latest", base_url=server.base_url)
    yield model
    model.close()


class TestGeminiLanguageModel(LanguageModelContract):
    @pytest.fixture
    def gemini(self, server: FakeGemini) -> FakeGemini:
        server.reset()
        return server

    @pytest.fixture
    def model(self, connected: GeminiLanguageModel) -> LanguageModel:
        return connected

    def test_asks_the_model_it_was_told_and_shows_the_answer(self, model: LanguageModel, gemini: FakeGemini) -> None:
        gemini.will(Outcome(text="Rayleigh scattering 🌤"))
        assert model.answer("Why is the sky blue?", within=PATIENCE) == Answer(
            "Rayleigh scattering 🌤", "gemini-flash-latest-001", input_tokens=5, output_tokens=3
        )
        (call,) = gemini.calls
        assert call.target.startswith("/v1beta/models/gemini-flash-latest:generateContent")
        assert call.prompt == "Why is the sky blue?"

    def test_the_key_is_in_a_header_and_nowhere_else(self, model: LanguageModel, gemini: FakeGemini) -> None:
        model.answer("Why?", within=PATIENCE)
        (call,) = gemini.calls
        assert call.headers["x-goog-api-key"] == KEY
        assert KEY not in call.target
        assert KEY not in json.dumps(call.body)

    def test_connections_are_used_again(self, model: LanguageModel, gemini: FakeGemini) -> None:
        model.answer("Why?", within=PATIENCE)
        opened = gemini.connections
        for _ in range(5):
            model.answer("Why?", within=PATIENCE)
        gemini.will(Outcome("error", status=503), Outcome("error", status=429), Outcome("blocked"))
        for _ in range(3):
            failure(model)
        assert len(gemini.calls) == 9
        assert gemini.connections == opened

    @pytest.mark.parametrize(
        ("outcome", "reason"),
        [
            (Outcome("error", status=429), FailureReason.MODEL_BUSY),
            (Outcome("error", status=503), FailureReason.MODEL_BUSY),
            (Outcome("error", status=500), FailureReason.MODEL_UNREACHABLE),
            (Outcome("error", status=504), FailureReason.MODEL_UNREACHABLE),
            (Outcome("error", status=404), FailureReason.MODEL_NOT_FOUND),
            (Outcome("error", status=400), FailureReason.MODEL_REJECTED_REQUEST),
            (Outcome("error", status=401), FailureReason.MODEL_REJECTED_REQUEST),
            (Outcome("error", status=403), FailureReason.MODEL_REJECTED_REQUEST),
            (Outcome("blocked"), FailureReason.REFUSED),
            (Outcome("safety"), FailureReason.REFUSED),
            (Outcome("empty"), FailureReason.EMPTY_ANSWER),
            (Outcome(text=""), FailureReason.EMPTY_ANSWER),
            (Outcome(text=" \n\t"), FailureReason.EMPTY_ANSWER),
            (Outcome("max_tokens", text=""), FailureReason.EMPTY_ANSWER),
            (Outcome("malformed"), FailureReason.MODEL_UNREACHABLE),
            (Outcome("not_an_answer"), FailureReason.MODEL_UNREACHABLE),
            (Outcome("reset"), FailureReason.MODEL_UNREACHABLE),
        ],
        ids=lambda value: (
            f"{value.kind}-{value.status}-{shown(value.text or '')}" if isinstance(value, Outcome) else ""
        ),
    )
    def test_each_failure_has_its_reason_and_is_not_asked_again(
        self, model: LanguageModel, gemini: FakeGemini, outcome: Outcome, reason: FailureReason
    ) -> None:
        gemini.will(outcome)
        failed = failure(model, "a secret prompt")
        assert failed.reason is reason
        assert failed.retry_after is None
        assert "secret" not in f"{failed!r} {failed.__cause__!r}"
        # The reply's attempts are counted elsewhere: the adapter asks once.
        assert len(gemini.calls) == 1
        assert "still there" in model.answer("still there", within=PATIENCE).text

    def test_an_answer_that_ran_into_its_limit_is_an_answer(self, model: LanguageModel, gemini: FakeGemini) -> None:
        gemini.will(Outcome("max_tokens", text="Because"))
        answer = model.answer("Why?", within=PATIENCE)
        assert (answer.text, answer.truncated) == ("Because", True)

    def test_a_nul_does_not_reach_the_database(self, model: LanguageModel, gemini: FakeGemini) -> None:
        gemini.will(Outcome(text="be\x00cause"))
        assert model.answer("Why?", within=PATIENCE).text == "because"

    def test_half_a_surrogate_pair_does_not_reach_the_database(self, model: LanguageModel, gemini: FakeGemini) -> None:
        gemini.will(Outcome(text="because \ud83d"))
        assert model.answer("Why?", within=PATIENCE).text.encode().startswith(b"because")

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize("seconds", [3, 0.25, 3600])
    def test_a_busy_model_says_when_to_come_again(
        self, model: LanguageModel, gemini: FakeGemini, status: int, seconds: float
    ) -> None:
        gemini.will(Outcome("error", status=status, retry_after=seconds))
        failed = failure(model)
        assert failed.reason is FailureReason.MODEL_BUSY
        assert failed.retry_after == timedelta(seconds=seconds)

    def test_a_delay_beyond_all_time_is_none(self, model: LanguageModel, gemini: FakeGemini) -> None:
        gemini.will(Outcome("error", status=429, retry_after=1e17))
        assert failure(model).retry_after is None

    def test_a_header_may_say_it_too(self, model: LanguageModel, gemini: FakeGemini) -> None:
        gemini.will(Outcome("error", status=429, retry_after_header="7"))
        assert failure(model).retry_after == timedelta(seconds=7)

    @pytest.mark.parametrize("header", ["soon", "-1", "", "٣", "1e9", "9" * 17, "Fri, 31 Dec 1999 23:59:59 GMT"])
    def test_a_header_that_says_nothing_is_passed_over(
        self, model: LanguageModel, gemini: FakeGemini, header: str
    ) -> None:
        gemini.will(Outcome("error", status=503, retry_after_header=header.encode().decode("latin-1")))
        assert failure(model).retry_after is None

    def test_what_is_said_in_the_body_goes_before_the_header(self, model: LanguageModel, gemini: FakeGemini) -> None:
        gemini.will(Outcome("error", status=429, retry_after=3, retry_after_header="7"))
        assert failure(model).retry_after == timedelta(seconds=3)

    # The total time is bounded, whatever the other side does. Without a bound these tests would not end.

    @pytest.mark.parametrize(
        "outcome",
        [Outcome("hang"), Outcome(latency=60), Outcome("drip", text="x" * 10_000)],
        ids=["hang", "late", "drip"],
    )
    def test_the_total_time_is_bounded(self, model: LanguageModel, gemini: FakeGemini, outcome: Outcome) -> None:
        gemini.will(outcome)
        assert failure(model, within=BRIEF).reason is FailureReason.MODEL_UNREACHABLE
        assert len(gemini.calls) == 1
        assert "still there" in model.answer("still there", within=PATIENCE).text

    def test_a_slow_answer_that_comes_in_time_is_an_answer(self, model: LanguageModel, gemini: FakeGemini) -> None:
        gemini.will(Outcome("drip", text="Because", interval=0.0005))
        assert model.answer("Why?", within=PATIENCE).text == "Because"

    @pytest.mark.parametrize("within", [timedelta(), timedelta(seconds=-5)])
    def test_no_time_is_no_answer(self, model: LanguageModel, within: timedelta) -> None:
        assert failure(model, within=within).reason is FailureReason.MODEL_UNREACHABLE

    def test_slow_ones_do_not_hold_up_others(self, model: LanguageModel, gemini: FakeGemini) -> None:
        gemini.will(*[Outcome("hang", prompt="slow")] * 20)

        def slow() -> str:
            return failure(model, "slow", within=timedelta(seconds=1)).reason

        def quick() -> str:
            assert eventually(lambda: len(gemini.calls) >= 20)
            return model.answer("quick", within=PATIENCE).text

        assert together([slow] * 20 + [quick] * 20) == ["model_unreachable"] * 20 + ["echo: quick"] * 20

    def test_a_server_that_is_not_there(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}"
            model = GeminiLanguageModel(api_key=KEY, model="m", base_url=url)
            try:
                assert failure(model, within=PATIENCE).reason is FailureReason.MODEL_UNREACHABLE
            finally:
                model.close()

    def test_a_server_that_comes_back_is_found_again(self) -> None:
        with contextlib.ExitStack() as stack:
            gemini = stack.enter_context(FakeGemini())
            model = GeminiLanguageModel(api_key=KEY, model="m", base_url=gemini.base_url)
            stack.callback(model.close)
            assert model.answer("Why?", within=PATIENCE).text == "echo: Why?"
            port = gemini.port
            gemini.__exit__()
            assert failure(model).reason is FailureReason.MODEL_UNREACHABLE
            with FakeGemini(port=port):
                assert model.answer("Why now?", within=PATIENCE).text == "echo: Why now?"
            stack.pop_all()
            model.close()
