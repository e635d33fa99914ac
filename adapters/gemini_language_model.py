"""Google Gemini through the google-genai SDK (ai.google.dev/api/generate-content)."""

import asyncio
import re
from collections.abc import Coroutine
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import timedelta
from threading import Thread
from typing import Any

import aiohttp
from google import genai
from google.genai import errors, types

from domain.replies import Answer, AnswerFailed, FailureReason

TOO_MANY_REQUESTS = 429
NOT_FOUND = 404
BUSY_CODES = frozenset({TOO_MANY_REQUESTS, 503})
SERVER_ERRORS = range(500, 600)
# Finish reasons that are an answer; the others are ways of refusing one.
ANSWERED = frozenset({types.FinishReason.STOP, types.FinishReason.MAX_TOKENS, None})
# Nine digits: more would be no timedelta.
RETRY_DELAY = re.compile(r"([0-9]{1,9}(?:\.[0-9]+)?)s")
RETRY_AFTER = re.compile(r"[0-9]{1,9}")


class GeminiLanguageModel:
    """The LanguageModel port.

    The calls run on one event loop in a thread of their own: there a total deadline can interrupt a provider that sends
    a byte now and then, which a blocking read cannot, and a call costs a tenth of the CPU. The client is built once.
    """

    def __init__(self, *, api_key: str, model: str, base_url: str | None = None) -> None:
        """``base_url``: another place that speaks the v1beta API; Google's own by default."""
        self._model = model
        self._loop = asyncio.new_event_loop()
        self._client = genai.Client(
            api_key=api_key,
            http_options=types.HttpOptions(
                base_url=base_url,
                api_version="v1beta",
                # One attempt: attempts are counted in the replies. Told nothing, the SDK waits up to ten seconds after
                # a broken connection and asks again.
                retry_options=types.HttpRetryOptions(attempts=1),
            ),
        )
        self._thread = Thread(target=self._serve, name="gemini", daemon=True)
        self._thread.start()

    def answer(self, prompt: str, *, within: timedelta) -> Answer:
        """The answer, or AnswerFailed; either comes within ``within`` in all."""
        seconds = max(within.total_seconds(), 0)
        try:
            response = self._run(self._generate(prompt, seconds), seconds)
        except errors.APIError as error:
            raise _failure_of(error) from None  # the SDK's text may quote the prompt
        except (TimeoutError, FutureTimeout, aiohttp.ClientError, OSError):
            raise AnswerFailed(FailureReason.MODEL_UNREACHABLE) from None
        except ValueError:  # an answer that is not JSON, or not of the API's shape
            raise AnswerFailed(FailureReason.MODEL_UNREACHABLE) from None
        return self._answer_from(response)

    def close(self) -> None:
        """Close the connections and end the thread. Calls still running fail."""
        self._run(self._client.aio.aclose(), 1.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(1.0)

    def _serve(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    async def _generate(self, prompt: str, seconds: float) -> types.GenerateContentResponse:
        async with asyncio.timeout(seconds):
            return await self._client.aio.models.generate_content(model=self._model, contents=prompt)

    def _run(self, coroutine: Coroutine[Any, Any, Any], seconds: float) -> Any:
        # The coroutine ends itself; the second more is for a loop that is late.
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(seconds + 1.0)

    def _answer_from(self, response: types.GenerateContentResponse) -> Answer:
        candidate = response.candidates[0] if response.candidates else None
        if candidate is None:
            blocked = response.prompt_feedback and response.prompt_feedback.block_reason
            raise AnswerFailed(FailureReason.REFUSED if blocked else FailureReason.EMPTY_ANSWER)
        if candidate.finish_reason not in ANSWERED:
            raise AnswerFailed(FailureReason.REFUSED)
        parts = (candidate.content.parts if candidate.content else None) or []
        text = "".join(part.text for part in parts if part.text and not part.thought)
        if not text.strip():
            raise AnswerFailed(FailureReason.EMPTY_ANSWER)
        usage = response.usage_metadata
        return Answer(
            # PostgreSQL has neither NUL nor half a surrogate pair in its texts.
            text=text.replace("\x00", "").encode(errors="replace").decode(),
            model=response.model_version or self._model,
            input_tokens=usage.prompt_token_count if usage else None,
            output_tokens=usage.candidates_token_count if usage else None,
            truncated=candidate.finish_reason == types.FinishReason.MAX_TOKENS,
        )


def _failure_of(error: errors.APIError) -> AnswerFailed:
    if error.code in BUSY_CODES:
        return AnswerFailed(FailureReason.MODEL_BUSY, retry_after=_retry_delay(error))
    if error.code in SERVER_ERRORS:
        return AnswerFailed(FailureReason.MODEL_UNREACHABLE)
    if error.code == NOT_FOUND:
        return AnswerFailed(FailureReason.MODEL_NOT_FOUND)
    return AnswerFailed(FailureReason.MODEL_REJECTED_REQUEST)


def _retry_delay(error: errors.APIError) -> timedelta | None:
    """The delay of a google.rpc.RetryInfo among the error's details (google.aip.dev/193), else that of the header."""
    body = error.details.get("error", error.details) if isinstance(error.details, dict) else None
    details = body.get("details") if isinstance(body, dict) else None
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict) and str(detail.get("@type")).endswith("RetryInfo"):
            match = RETRY_DELAY.fullmatch(str(detail.get("retryDelay")))
            if match:
                return timedelta(seconds=float(match[1]))
    header = error.response.headers.get("Retry-After", "") if error.response is not None else ""
    return timedelta(seconds=int(header)) if RETRY_AFTER.fullmatch(header) else None
