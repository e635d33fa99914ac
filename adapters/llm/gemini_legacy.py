"""Google Gemini through google-generativeai, whose life ended on 2025-11-30 (github.com/google-gemini/
deprecated-generative-ai-python). Needs the extra ``legacy-gemini``: 218 MB, and it holds protobuf below 6.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from adapters.llm.calls import Chunks, Delivery, reason_of, retry_after, retry_info, write_in_thread
from application.ports.language_model import AnswerStopped, LanguageModel, Prompt, Stop
from domain.replies import Answer, AnswerFailed, FailureReason

with warnings.catch_warnings():
    # It warns that it is at its end, and what it builds upon of other things that will end.
    warnings.simplefilter("ignore")
    import google.generativeai as genai
    from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError
    from google.generativeai.client import get_default_generative_client
    from google.protobuf import json_format
    from requests.adapters import HTTPAdapter

FINISH = genai.protos.Candidate.FinishReason
# What the SDK and its HTTP library (requests, whose errors are OSErrors) raise when there is no answer of the API's
# shape.
NO_ANSWER = (json_format.Error, GoogleAPIError, OSError, ValueError, TypeError, AttributeError, LookupError)
CONNECTIONS = 256


class GeminiLegacyLanguageModel(LanguageModel):
    """The LanguageModel port.

    The SDK blocks, so each call has a thread. One that is over before its call is left behind: it ends with the next
    chunk, or when nothing has come for as long as the call might have taken.

    Below its ``GenerativeModel``, which gives each chunk only when it has the next, the SDK's client is used directly.
    """

    def __init__(self, *, api_key: str, model: str, base_url: str | None = None) -> None:
        self._model = model
        options = {"api_endpoint": base_url} if base_url else {}
        genai.configure(api_key=api_key, transport="rest", client_options=options)
        self._client: Any = get_default_generative_client()
        # By default ten connections are kept, and each call beyond opens one and logs a warning. The SDK has no option
        # for it; at the end of its life, its private names will not change any more.
        session = self._client.transport._session  # noqa: SLF001
        session.mount("https://", HTTPAdapter(pool_maxsize=CONNECTIONS))
        session.mount("http://", HTTPAdapter(pool_maxsize=CONNECTIONS))

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        return write_in_thread(
            lambda delivery: self._answer(prompt, within, delivery),
            name="gemini-legacy",
            within=within,
            stop=stop,
            on_chunk=on_chunk,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.transport.close()

    def _answer(self, prompt: Prompt, within: timedelta, delivery: Delivery) -> Answer:
        answer = _Reading(self._model, Chunks(delivery))
        try:
            # The time is per read. By default the SDK goes on trying for ten minutes, whatever the time is.
            chunks = self._client.stream_generate_content(
                _request_for(self._model, prompt), timeout=max(within.total_seconds(), 0.001), retry=None
            )
            with _closed_unless_read(chunks):
                for chunk in chunks:
                    if delivery.over:
                        raise AnswerStopped
                    answer.read(chunk)
        except GoogleAPICallError as error:  # `from None`: the SDK's text may quote the prompt
            raise answer.failure_by(error) from None
        except NO_ANSWER:
            raise AnswerFailed(FailureReason.MODEL_UNREACHABLE) from None
        return answer.finished()


@contextmanager
def _closed_unless_read(chunks: Any) -> Iterator[None]:
    """Closes it unless the answer was read to its end, in which case it can be used again."""
    try:
        yield
    except BaseException:
        chunks.cancel()
        raise


class _Reading:
    """An answer as far as it has been read."""

    def __init__(self, model: str, chunks: Chunks) -> None:
        self._model = model
        self._pieces = chunks
        self._finish = FINISH.FINISH_REASON_UNSPECIFIED
        self._blocked = False
        self._tokens: tuple[int, int] | None = None

    def read(self, chunk: Any) -> None:
        self._model = chunk.model_version or self._model
        if chunk.usage_metadata:
            self._tokens = (chunk.usage_metadata.prompt_token_count, chunk.usage_metadata.candidates_token_count)
        self._blocked = self._blocked or bool(chunk.prompt_feedback.block_reason)
        if not chunk.candidates:
            return
        candidate = chunk.candidates[0]
        self._finish = candidate.finish_reason or self._finish
        for part in candidate.content.parts:
            self._pieces.add(part.text)

    def finished(self) -> Answer:
        if self._blocked:
            raise AnswerFailed(FailureReason.REFUSED)
        if self._finish == FINISH.FINISH_REASON_UNSPECIFIED:
            # The last chunk of an answer says why it is the last: this one was cut. An error in the middle of the
            # stream comes here as a chunk without anything in it.
            raise AnswerFailed(FailureReason.MODEL_UNREACHABLE)
        if self._finish not in {FINISH.STOP, FINISH.MAX_TOKENS}:
            raise AnswerFailed(FailureReason.REFUSED)
        input_tokens, output_tokens = self._tokens or (None, None)
        return Answer(
            text=self._pieces.whole(),
            model=self._model,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            truncated=self._finish == FINISH.MAX_TOKENS,
        )

    def failure_by(self, error: Any) -> AnswerFailed:
        if error.response is None:
            return AnswerFailed(FailureReason.MODEL_UNREACHABLE)
        headers: Mapping[str, str] = error.response.headers
        return AnswerFailed(
            reason_of(error.code), retry_after=retry_info(_body_of(error.response)) or retry_after(headers)
        )


def _body_of(response: Any) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _request_for(model: str, prompt: Prompt) -> Any:
    contents = []
    for exchange in prompt.history:
        contents.append(_content("user", exchange.prompt))
        contents.append(_content("model", exchange.answer))
    contents.append(_content("user", prompt.text))
    return genai.protos.GenerateContentRequest(
        model=model if "/" in model else f"models/{model}",
        contents=contents,
        system_instruction={"parts": [{"text": prompt.system}]} if prompt.system else None,
    )


def _content(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": text}]}
