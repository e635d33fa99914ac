"""Any server that speaks OpenAI's chat completions: Ollama, vLLM, llama.cpp, LM Studio, OpenAI itself
(developers.openai.com/api/reference/resources/chat, docs.ollama.com/api/openai-compatibility).

Uses aiohttp, which Gemini needs anyway: a call costs 0.6 ms of CPU and the process 30 MB. With the openai SDK it would
be 2 ms (on aiohttp) or 3 ms (on httpx), and 63 MB.
"""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import aiohttp
import orjson

from adapters.llm.answer_text import Chunks, count_of, name_of
from adapters.llm.call_loop import IDLE, CallLoop, Delivery
from adapters.llm.provider_errors import failures_name, reason_of, retry_after
from application.ports.language_model import LanguageModel, Prompt, Stop
from domain.replies import Answer, AnswerFailed, FailureReason

LONGEST_LINE = 1_000_000
# Errors of a response that is not as documented: those of aiohttp, no JSON, and JSON of another shape.
NO_ANSWER = (aiohttp.ClientError, OSError, ValueError, TypeError, AttributeError, KeyError, IndexError)


class OpenAiCompatibleLanguageModel(LanguageModel):
    """``base_url``: with the version, such as http://localhost:11434/v1."""

    def __init__(self, *, base_url: str, model: str, api_key: str | None = None, idle: timedelta = IDLE) -> None:
        self._model = model
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._calls = CallLoop("openai-compatible", idle=idle)

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        with failures_name(self._model):
            return self._calls.write(
                lambda delivery: self._answer(prompt, delivery), within=within, stop=stop, on_chunk=on_chunk
            )

    def close(self) -> None:
        """Close the connections and end the thread. Running calls fail."""
        self._calls.close()

    async def _answer(self, prompt: Prompt, delivery: Delivery) -> Answer:
        answer = _Reading(self._model, Chunks(delivery))
        body = orjson.dumps(self._request_for(prompt))
        try:
            async with self._calls.http.post(self._url, data=body, headers=self._headers) as response:
                if response.status != 200:
                    status = response.status
                    raise AnswerFailed(reason_of(status), retry_after=retry_after(response.headers), status=status)
                async for data in _data_of(response.content):
                    delivery.is_alive()
                    answer.read(data)
            return answer.finished()
        except NO_ANSWER:
            raise AnswerFailed(FailureReason.MODEL_UNREACHABLE) from None

    def _request_for(self, prompt: Prompt) -> dict[str, Any]:
        return {
            "model": self._model,
            "messages": _messages_of(prompt),
            "stream": True,
            "stream_options": {"include_usage": True},
        }


class _Reading:
    """The answer read so far."""

    def __init__(self, model: str, chunks: Chunks) -> None:
        self._model = model
        self._chunks = chunks
        self._finish: str | None = None
        self._refused = False
        self._usage: dict[str, Any] = {}

    def read(self, data: bytes) -> None:
        if data == b"[DONE]":
            return
        chunk = orjson.loads(data)
        if "error" in chunk:
            raise self._failure_by(chunk["error"])
        self._model = name_of(chunk.get("model"), self._model)
        self._usage = chunk.get("usage") or self._usage
        if not chunk["choices"]:  # the last one, which carries the usage
            return
        choice = chunk["choices"][0]
        self._finish = choice.get("finish_reason") or self._finish
        delta = choice.get("delta") or {}
        self._refused = self._refused or bool(delta.get("refusal"))
        if delta.get("content"):
            self._chunks.add(delta["content"])

    def finished(self) -> Answer:
        if self._refused or self._finish == "content_filter":
            raise AnswerFailed(FailureReason.REFUSED)
        # Every complete answer has a finish reason; vLLM's "abort" means that it gave up.
        if self._finish is None or self._finish == "abort":
            raise AnswerFailed(FailureReason.MODEL_UNREACHABLE)
        return Answer(
            text=self._chunks.whole(),
            model=self._model,
            input_tokens=count_of(self._usage.get("prompt_tokens")),
            output_tokens=count_of(self._usage.get("completion_tokens")),
            truncated=self._finish == "length",
        )

    def _failure_by(self, error: Any) -> AnswerFailed:
        # vLLM reports errors so after a status of 200. An error in mid-stream is not about the request.
        status = error.get("code") if isinstance(error, dict) else None
        if self._chunks or not isinstance(status, int):
            return AnswerFailed(FailureReason.MODEL_UNREACHABLE)
        return AnswerFailed(reason_of(status), status=status)


async def _data_of(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The data of server-sent events (html.spec.whatwg.org, 9.2.6), one line each from these servers."""
    rest = b""
    async for received in content.iter_any():
        *lines, rest = (rest + received).split(b"\n")
        if len(rest) > LONGEST_LINE:
            raise ValueError("no end of a line")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()


def _messages_of(prompt: Prompt) -> list[dict[str, str]]:
    messages = [{"role": "system", "content": prompt.system}] if prompt.system else []
    for exchange in prompt.history:
        messages.append({"role": "user", "content": exchange.prompt})
        messages.append({"role": "assistant", "content": exchange.answer})
    messages.append({"role": "user", "content": prompt.text})
    return messages
