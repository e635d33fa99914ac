"""Google Gemini by its HTTP API (ai.google.dev/api/generate-content), and servers that speak the same.

Without an SDK: docs/decisions/0022.
"""

from collections.abc import Callable
from copy import copy
from datetime import timedelta
from typing import Any

from adapters.llm.answer_text import Chunks, name_of
from adapters.llm.call_loop import IDLE, CallLoop, Delivery
from adapters.llm.options import DEFAULTS, ModelOptions
from adapters.llm.provider_errors import failures_name
from adapters.llm.reading import Reading
from adapters.llm.streamed_answer import Dialect, Endpoint
from application.ports.language_model import LanguageModel, Prompt, Stop
from domain.replies import Answer

GOOGLE = "https://generativelanguage.googleapis.com"
VERSION = "/v1beta"
NOT_BLOCKED = (None, "", 0, "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED")


class GeminiLanguageModel(LanguageModel):
    """``base_url``: another server that speaks the v1beta API, with or without the version; Google's own by default."""

    def __init__(
        self,
        *,
        api_key: str,
        model: str,
        base_url: str | None = None,
        options: ModelOptions = DEFAULTS,
        idle: timedelta = IDLE,
    ) -> None:
        self._options = options
        self._calls = CallLoop("gemini", idle=idle)
        self._models_url = api_of(base_url)
        self._headers = {"x-goog-api-key": api_key}
        self._use(model)

    def with_model(self, model: str) -> "GeminiLanguageModel":
        """Another model by the same connections; closing one of them closes all."""
        other = copy(self)
        other._use(model)  # noqa: SLF001 - it is one of these
        return other

    def _use(self, model: str) -> None:
        self.model = model
        url = f"{self._models_url}/{path_of(model)}:streamGenerateContent?alt=sse"
        self._endpoint = Endpoint(self._calls, url, self._headers)

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        with failures_name(self.model):
            return self._calls.write(
                lambda delivery: self._answer(prompt, delivery), within=within, stop=stop, on_chunk=on_chunk
            )

    def close(self) -> None:
        """Close the connections and end the thread. Running calls fail."""
        self._calls.close()

    async def _answer(self, prompt: Prompt, delivery: Delivery) -> Answer:
        return await self._endpoint.ask(
            lambda dialect: _request_for(prompt, dialect, self._options),
            GeminiReading(self.model, Chunks(delivery)),
            delivery,
        )


class GeminiReading(Reading):
    """Of `GenerateContentResponse` objects."""

    def read(self, value: Any) -> None:
        if value.get("error"):
            self.fail(value)
            return
        self.model = name_of(value.get("modelVersion"), self.model)
        if usage := value.get("usageMetadata"):
            self.count(
                prompt=usage.get("promptTokenCount"),
                answer=usage.get("candidatesTokenCount"),
                total=usage.get("totalTokenCount"),
            )
        if (value.get("promptFeedback") or {}).get("blockReason") not in NOT_BLOCKED:
            self.refuse()
        for candidate in value.get("candidates") or ():
            if not candidate.get("index"):  # the request asks for one
                self._take(candidate)

    def _take(self, candidate: Any) -> None:
        for part in (candidate.get("content") or {}).get("parts") or ():
            if part.get("text") and not part.get("thought"):
                self.chunks.add(part["text"])
        self.finish(candidate.get("finishReason"))


def api_of(base_url: str | None) -> str:
    """The address of the API, with its version. None: Google's own."""
    return f"{(base_url or GOOGLE).rstrip('/').removesuffix(VERSION)}{VERSION}"


def path_of(model: str) -> str:
    return model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"


def contents_of(prompt: Prompt) -> list[dict[str, Any]]:
    """The conversation, as Gemini takes it."""
    contents: list[dict[str, Any]] = []
    for exchange in prompt.history:
        contents += (_content("user", exchange.prompt), _content("model", exchange.answer))
    return [*contents, _content("user", prompt.text)]


def _request_for(prompt: Prompt, dialect: Dialect, options: ModelOptions) -> dict[str, object]:
    contents = contents_of(prompt)
    request: dict[str, object] = {"contents": contents}
    if prompt.system and dialect.system_role:
        request["systemInstruction"] = {"parts": [{"text": prompt.system}]}
    elif prompt.system:
        contents[0]["parts"].insert(0, {"text": prompt.system})
    if safety := options.safety_settings():
        request["safetySettings"] = safety
    if generation := _generation_config(options):
        request["generationConfig"] = generation
    return request


def _generation_config(options: ModelOptions) -> dict[str, object]:
    config: dict[str, object] = {}
    if options.max_output_tokens is not None:
        config["maxOutputTokens"] = options.max_output_tokens
    if options.thinking_budget is not None:
        config["thinkingConfig"] = {"thinkingBudget": options.thinking_budget}
    return config


def _content(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": text}]}
