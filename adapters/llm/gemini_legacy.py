"""Google Gemini through google-generativeai, unsupported since 2025-11-30 (github.com/google-gemini/
deprecated-generative-ai-python). Needs the extra ``legacy-gemini``: 218 MB, and it holds protobuf below 6.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import orjson

from adapters.llm.answer_text import Chunks
from adapters.llm.call_loop import IDLE, Delivery, write_in_thread
from adapters.llm.gemini import GeminiReading, contents_of
from adapters.llm.options import DEFAULTS, ModelOptions
from adapters.llm.provider_errors import ProviderError, failures_name
from application.ports.language_model import AnswerStopped, LanguageModel, Prompt, Stop
from domain.replies import Answer, AnswerFailed, FailureReason

with warnings.catch_warnings():
    # The SDK warns of its own end, and its dependencies of other deprecations.
    warnings.simplefilter("ignore")
    import google.generativeai as genai
    from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError
    from google.generativeai.client import get_default_generative_client
    from google.protobuf import json_format
    from requests.adapters import HTTPAdapter

# Errors of a response that is not as documented. Those of requests, the SDK's HTTP library, are OSErrors.
NO_ANSWER = (json_format.Error, GoogleAPIError, OSError, ValueError, TypeError, AttributeError, LookupError)
CONNECTIONS = 256
# Of characters. It takes a second of CPU; a megabyte would take minutes.
LONGEST_PART = 60_000


class GeminiLegacyLanguageModel(LanguageModel):
    """The SDK blocks, so each call has a thread. After a timeout or a stop the thread lives on until the next chunk, or
    until nothing has come for ``idle``.

    Uses the SDK's client directly: its ``GenerativeModel`` holds each chunk back until it has the next.

    The SDK has one global key and ``base_url``: those given to the adapter built last hold for all.
    Of ``options`` it does not send the thinking budget.
    """

    def __init__(
        self,
        *,
        api_key: str,
        model: str,
        base_url: str | None = None,
        options: ModelOptions = DEFAULTS,
        idle: timedelta = IDLE,
    ) -> None:
        self._model = model
        self._options = options
        self._idle = idle
        address = {"api_endpoint": base_url} if base_url else {}
        genai.configure(api_key=api_key, transport="rest", client_options=address)
        self._client: Any = get_default_generative_client()
        # By default ten connections are kept, and each call beyond them opens one and logs a warning. The SDK has no
        # option for it; as it is no longer developed, its private names will not change.
        session = self._client.transport._session  # noqa: SLF001
        session.mount("https://", HTTPAdapter(pool_maxsize=CONNECTIONS))
        session.mount("http://", HTTPAdapter(pool_maxsize=CONNECTIONS))

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        with failures_name(self._model):
            return write_in_thread(
                lambda delivery: self._answer(prompt, min(within, self._idle), delivery),
                name="gemini-legacy",
                within=within,
                idle=self._idle,
                stop=stop,
                on_chunk=on_chunk,
            )

    def close(self) -> None:
        """Close the connections."""
        self._client.transport.close()

    def _answer(self, prompt: Prompt, idle: timedelta, delivery: Delivery) -> Answer:
        answer = GeminiReading(self._model, Chunks(delivery))
        try:
            # The timeout is per read. Without retry=None the SDK would retry for ten minutes.
            chunks = self._client.stream_generate_content(
                _request_for(self._model, prompt, self._options), timeout=max(idle.total_seconds(), 0.001), retry=None
            )
            _give_json(chunks)
            with _closed_unless_read(chunks):
                for chunk in chunks:
                    if delivery.over:
                        raise AnswerStopped
                    delivery.is_alive()
                    answer.read(chunk)
                    delivery.flush()
        except GoogleAPICallError as error:  # `from None`: the SDK's text may quote the prompt
            raise _failure_by(error) from None
        except NO_ANSWER:
            if not answer.ended:
                raise AnswerFailed(FailureReason.MODEL_UNREACHABLE) from None
        return answer.answer()


def _give_json(chunks: Any) -> None:
    """Let the SDK's iterator give plain JSON: its own classes do not know thoughts from text.

    ValueError where a part is too long for its parser, whose time grows with the square of a part's length.
    """
    received = chunks._response_itr  # noqa: SLF001

    def bounded() -> Iterator[str]:
        for text in received:
            if len(chunks._obj) > LONGEST_PART:  # noqa: SLF001
                raise ValueError("a part without an end")
            yield text

    chunks._response_itr = bounded()  # noqa: SLF001
    chunks._grab = lambda: orjson.loads(chunks._ready_objs.popleft())  # noqa: SLF001


@contextmanager
def _closed_unless_read(chunks: Any) -> Iterator[None]:
    """Closes the connection unless the answer was read to its end: then it can be reused."""
    try:
        yield
    except BaseException:
        chunks.cancel()
        raise


def _failure_by(error: Any) -> AnswerFailed:
    if error.response is None:
        return AnswerFailed(FailureReason.MODEL_UNREACHABLE)
    return ProviderError.of_response(error.code, error.response.content, error.response.headers).failure()


def _request_for(model: str, prompt: Prompt, options: ModelOptions) -> Any:
    return genai.protos.GenerateContentRequest(
        model=model if "/" in model else f"models/{model}",
        contents=contents_of(prompt),
        system_instruction={"parts": [{"text": prompt.system}]} if prompt.system else None,
        safety_settings=options.safety_settings(),
        generation_config={"max_output_tokens": options.max_output_tokens},
    )
