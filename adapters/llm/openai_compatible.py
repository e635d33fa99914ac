"""Any server that speaks OpenAI's chat completions: Ollama, vLLM, llama.cpp, LM Studio, OpenRouter, Mistral, OpenAI
itself (developers.openai.com/api/reference/resources/chat, docs.ollama.com/api/openai-compatibility).

Uses aiohttp: a call costs 0.6 ms of CPU and the process 30 MB. With the openai SDK it would be 2 ms (on aiohttp) or
3 ms (on httpx), and 63 MB.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from adapters.llm.answer_text import Chunks, VisibleText, name_of
from adapters.llm.call_loop import IDLE, CallLoop, Delivery
from adapters.llm.options import DEFAULTS, ModelOptions
from adapters.llm.provider_errors import failures_name
from adapters.llm.reading import Reading
from adapters.llm.streamed_answer import Dialect, Endpoint
from application.ports.language_model import LanguageModel, Prompt, Stop
from domain.replies import Answer


class OpenAiCompatibleLanguageModel(LanguageModel):
    """``base_url``: with the version, such as http://localhost:11434/v1. Of ``options`` the output limit counts."""

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str | None = None,
        options: ModelOptions = DEFAULTS,
        idle: timedelta = IDLE,
    ) -> None:
        self._model = model
        self._max_output_tokens = options.max_output_tokens
        self._calls = CallLoop("openai-compatible", idle=idle)
        self._endpoint = Endpoint(
            self._calls,
            f"{base_url.rstrip('/')}/chat/completions",
            {"Authorization": f"Bearer {api_key}"} if api_key else {},
        )

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        with failures_name(self._model):
            return self._calls.write(
                lambda delivery: self._answer(prompt, delivery), within=within, stop=stop, on_chunk=on_chunk
            )

    def close(self) -> None:
        """Close the connections and end the thread. Running calls fail."""
        self._calls.close()

    async def _answer(self, prompt: Prompt, delivery: Delivery) -> Answer:
        return await self._endpoint.ask(
            lambda dialect: self._request_for(prompt, dialect), _Reading(self._model, Chunks(delivery)), delivery
        )

    def _request_for(self, prompt: Prompt, dialect: Dialect) -> dict[str, Any]:
        request: dict[str, Any] = {"model": self._model, "messages": _messages_of(prompt, dialect), "stream": True}
        if dialect.stream_options:
            request["stream_options"] = {"include_usage": True}
        if self._max_output_tokens is not None:
            # OpenAI's newer models know the one name only, and most other servers the other.
            request["max_tokens" if dialect.max_tokens else "max_completion_tokens"] = self._max_output_tokens
        return request


class _Reading(Reading):
    def __init__(self, model: str, chunks: Chunks) -> None:
        super().__init__(model, chunks)
        self._visible = VisibleText()

    def read(self, value: Any) -> None:
        if value.get("error"):
            self.fail(value)
            return
        self.model = name_of(value.get("model"), self.model)
        if usage := value.get("usage"):
            self.count(
                prompt=usage.get("prompt_tokens"),
                answer=usage.get("completion_tokens"),
                total=usage.get("total_tokens"),
            )
        for choice in value.get("choices") or ():
            if not choice.get("index"):  # the request asks for one
                self._take(choice)

    def _take(self, choice: Any) -> None:
        # Servers that do not stream send the whole message.
        delta = choice.get("delta") or choice.get("message") or {}
        if delta.get("refusal"):
            self.refuse()
        self.chunks.add(self._visible.feed(_text_of(delta.get("content"))))
        self.finish(choice.get("finish_reason"))

    def answer(self) -> Answer:
        self.chunks.add(self._visible.end())
        return super().answer()


def _text_of(content: Any) -> str:
    """Mistral's models that think write a list of parts."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type") == "text")
    return content or ""


def _messages_of(prompt: Prompt, dialect: Dialect) -> list[dict[str, str]]:
    messages = []
    for exchange in prompt.history:
        messages.append({"role": "user", "content": exchange.prompt})
        messages.append({"role": "assistant", "content": exchange.answer})
    messages.append({"role": "user", "content": prompt.text})
    if prompt.system and dialect.system_role:
        messages.insert(0, {"role": "system", "content": prompt.system})
    elif prompt.system:
        messages[0]["content"] = f"{prompt.system}\n\n{messages[0]['content']}"
    return messages
