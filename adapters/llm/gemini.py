"""Google Gemini through the google-genai SDK (ai.google.dev/api/generate-content).

The SDK's client makes the calls: key, address, connections, events, errors. Requests and responses are written and read
here as plain JSON: the SDK's models would take three quarters of a call's CPU (docs/decisions/0014).
"""

from collections.abc import AsyncIterator, Callable
from copy import copy
from datetime import timedelta
from typing import Any

import aiohttp
import orjson
from google import genai
from google.genai import errors, types

from adapters.llm.answer_text import Chunks, count_of, name_of
from adapters.llm.call_loop import IDLE, CallLoop, Delivery
from adapters.llm.provider_errors import failures_name, reason_of, retry_after, retry_info
from application.ports.language_model import LanguageModel, Prompt, Stop
from domain.replies import Answer, AnswerFailed, FailureReason

# Finish reasons of an answer that was cut short (ai.google.dev/api/generate-content#FinishReason). CONTINUATION offers
# more text for another request, which would have to be paid for.
TRUNCATED = frozenset({"MAX_TOKENS", "CONTINUATION"})
# Errors, besides APIError, of a response that is not as documented: no or a lost connection, no JSON, and JSON of
# another shape, which the code below trips over.
NO_ANSWER = (aiohttp.ClientError, OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError)


class GeminiLanguageModel(LanguageModel):
    """``base_url``: another server that speaks the v1beta API; Google's own by default.

    The client is built once (60 ms of CPU) and kept: without a reference to it, it closes itself in the middle of a
    call.
    """

    def __init__(self, *, api_key: str, model: str, base_url: str | None = None, idle: timedelta = IDLE) -> None:
        self.model = model
        self._calls = CallLoop("gemini", idle=idle)
        self._client = genai.Client(
            api_key=api_key,
            http_options=types.HttpOptions(
                base_url=base_url,
                api_version="v1beta",
                # Without this the SDK answers a refused connection with a sleep of 1 to 10 s and a second request.
                retry_options=types.HttpRetryOptions(attempts=1),
                # The SDK's own is a subclass of ClientSession, of which aiohttp warns.
                aiohttp_client=self._calls.http,
            ),
        )

    def with_model(self, model: str) -> "GeminiLanguageModel":
        """Another model with the same client and loop; closing one of them closes all."""
        other = copy(self)
        other.model = model
        return other

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        with failures_name(self.model):
            return self._calls.write(
                lambda delivery: self._answer(prompt, delivery), within=within, stop=stop, on_chunk=on_chunk
            )

    def close(self) -> None:
        """Close the connections and end the thread. Running calls fail."""
        self._calls.close(self._client.aio.aclose)
        self._client.close()

    async def _answer(self, prompt: Prompt, delivery: Delivery) -> Answer:
        answer = _Reading(self.model, Chunks(delivery))
        try:
            # Read to the end, although the finish reason comes before: only then is the connection reused.
            async for event in await self._events(prompt):
                delivery.is_alive()
                answer.read(orjson.loads(event.body or "{}"))
            return answer.finished()
        except errors.APIError as error:  # `from None`: the SDK's text may quote the prompt
            raise answer.failure_by(error) from None
        except NO_ANSWER:
            raise AnswerFailed(FailureReason.MODEL_UNREACHABLE) from None

    async def _events(self, prompt: Prompt) -> AsyncIterator[types.HttpResponse]:
        # The SDK's own methods call this; there is no public way to a response that is not parsed into models.
        client = self._client._api_client  # noqa: SLF001
        events: AsyncIterator[types.HttpResponse] = await client.async_request_streamed(
            "post", f"{_path_of(self.model)}:streamGenerateContent?alt=sse", _request_for(prompt)
        )
        return events


class _Reading:
    """The answer read so far."""

    def __init__(self, model: str, chunks: Chunks) -> None:
        self._model = model
        self._chunks = chunks
        self._finish: str | None = None
        self._blocked = False
        self._usage: dict[str, Any] = {}

    def read(self, chunk: dict[str, Any]) -> None:
        self._model = name_of(chunk.get("modelVersion"), self._model)
        self._usage = chunk.get("usageMetadata") or self._usage
        if (chunk.get("promptFeedback") or {}).get("blockReason"):
            self._blocked = True
        if not chunk.get("candidates"):
            return
        candidate = chunk["candidates"][0]
        self._finish = candidate.get("finishReason") or self._finish
        for part in (candidate.get("content") or {}).get("parts") or ():
            if part.get("text") and not part.get("thought"):
                self._chunks.add(part["text"])

    def finished(self) -> Answer:
        if self._blocked:
            raise AnswerFailed(FailureReason.REFUSED)
        if self._finish is None:
            # The last chunk always has a finish reason: the connection was lost before it.
            raise AnswerFailed(FailureReason.MODEL_UNREACHABLE)
        truncated = self._finish in TRUNCATED
        if not truncated and self._finish != "STOP":
            raise AnswerFailed(FailureReason.REFUSED)
        return Answer(
            text=self._chunks.whole(),
            model=self._model,
            input_tokens=count_of(self._usage.get("promptTokenCount")),
            output_tokens=count_of(self._usage.get("candidatesTokenCount")),
            truncated=truncated,
        )

    def failure_by(self, error: errors.APIError) -> AnswerFailed:
        # An error in mid-stream is not about the request, which had been accepted.
        reason = FailureReason.MODEL_UNREACHABLE if self._chunks else reason_of(error.code)
        headers = getattr(error.response, "headers", None) or {}
        wish = retry_info(error.details) or retry_after(headers)
        return AnswerFailed(reason, retry_after=wish, status=error.code)


def _path_of(model: str) -> str:
    return model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"


def _request_for(prompt: Prompt) -> dict[str, object]:
    contents = []
    for exchange in prompt.history:
        contents.append(_content("user", exchange.prompt))
        contents.append(_content("model", exchange.answer))
    contents.append(_content("user", prompt.text))
    request: dict[str, object] = {"contents": contents}
    if prompt.system:
        request["systemInstruction"] = {"parts": [{"text": prompt.system}]}
    return request


def _content(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": text}]}
