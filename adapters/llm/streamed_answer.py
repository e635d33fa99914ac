"""An answer that comes by HTTP, as server-sent events or as one document of JSON."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import aiohttp
import orjson

from adapters.llm.call_loop import CallLoop, Delivery
from adapters.llm.connections import proxy_of
from adapters.llm.provider_errors import ProviderError
from adapters.llm.reading import Reading
from adapters.llm.server_sent_events import LONGEST_EVENT, EventParser
from domain.replies import Answer, AnswerFailed, FailureReason

# How long the provider may be silent after the finish reason, before its count of tokens; and how long the connection
# has to end properly after the end, so that it can be used again.
USAGE_WITHIN = 2.0
END_WITHIN = 0.1
LONGEST_ERROR = 65_536
# What may be before the first character of JSON.
BLANK = b"\xef\xbb\xbf \t\r\n"
# The data of the last event of OpenAI's API, and of some that speak Gemini's.
END_OF_ANSWER = b"[DONE]"
END: Final = object()
# llama.cpp answers with 500 where the template of a model refuses.
REFUSED_REQUESTS = frozenset({400, 422, 500})
# Of Gemini's Gemma, OpenAI's o1-mini, and the templates of Gemma, Mistral and others in vLLM and llama.cpp.
NO_SYSTEM_ROLE = re.compile(
    r"developer instruction|system role|support '?system|roles must alternate|user and assistant roles", re.IGNORECASE
)
# Errors of a response that is not as documented: a lost connection, no JSON, and JSON of another shape, which the
# readings trip over.
NO_ANSWER = (
    aiohttp.ClientError,
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    IndexError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server understands of a request. Found out by asking, as no server says so before."""

    system_role: bool = True
    stream_options: bool = True
    max_tokens: bool = True

    def without(self, error: ProviderError) -> "Dialect":
        """What is left of it after this refusal; the same when that was about something else."""
        if error.status not in REFUSED_REQUESTS:
            return self
        if "stream_options" in error.body or "include_usage" in error.body:
            return replace(self, stream_options=False)
        if "max_completion_tokens" in error.message:
            return replace(self, max_tokens=False)
        if NO_SYSTEM_ROLE.search(error.message):
            return replace(self, system_role=False)
        return self


class Endpoint:
    """An address that answers a request with a streamed answer. ``headers``: besides those of the content."""

    def __init__(self, calls: CallLoop, url: str, headers: Mapping[str, str]) -> None:
        self._calls = calls
        self._url = url
        self._proxy = proxy_of(url)
        self._headers = {"Content-Type": "application/json", "Accept": "text/event-stream", **headers}
        self._dialect = Dialect()

    async def ask(self, request: Callable[[Dialect], Any], reading: Reading, delivery: Delivery) -> Answer:
        """The answer to ``request``. When a server does not know an option, it is asked once more without."""
        if self._proxy and not self._proxy.startswith(("http://", "https://")):
            raise AnswerFailed(FailureReason.MODEL_MISCONFIGURED, code="proxy_is_not_http")
        dialect = self._dialect
        asked = request(dialect)
        try:
            while error := await self._send(asked, reading, delivery):
                dialect = dialect.without(error)
                simpler = request(dialect)
                if simpler == asked:
                    raise error.failure()
                asked = simpler
            self._dialect = dialect
            return reading.answer()
        except NO_ANSWER:  # `from None`: their texts may quote the prompt
            raise AnswerFailed(FailureReason.MODEL_UNREACHABLE) from None

    async def _send(self, request: Any, reading: Reading, delivery: Delivery) -> ProviderError | None:
        """None when there was an answer to read."""
        body = orjson.dumps(request)
        posted = self._calls.connections.post(self._url, body=body, headers=self._headers, proxy=self._proxy)
        async with posted as response:
            if response.status != 200:
                return ProviderError.of_response(response.status, await _start_of(response), response.headers)
            await _read(response.content, reading, delivery)
            return None


async def _read(content: aiohttp.StreamReader, reading: Reading, delivery: Delivery) -> None:
    """Reads up to the end of the answer, whatever the connection does after it."""
    now = asyncio.get_running_loop().time
    ended = False
    try:
        async with (
            asyncio.timeout(None) as limit,
            aclosing(_parts_of(content, delivery)) as parts,
            aclosing(_values_of(parts)) as values,
        ):
            async for value in values:
                if value is END:
                    reading.end()
                    ended = True
                    limit.reschedule(now() + END_WITHIN)
                elif not ended:
                    reading.read(value)
                    if reading.ended:
                        limit.reschedule(now() + USAGE_WITHIN)
    except (*NO_ANSWER, TimeoutError):
        if not reading.ended:
            raise


async def _parts_of(content: aiohttp.StreamReader, delivery: Delivery) -> AsyncGenerator[bytes]:
    async for part in content.iter_any():
        delivery.is_alive()
        yield part
        delivery.flush()  # all of it was read


async def _values_of(parts: AsyncIterator[bytes]) -> AsyncGenerator[Any]:
    """The JSON of the events, and END where one says so. A server that does not stream sends one document."""
    start = b""
    async for part in parts:
        start += part
        if start.lstrip(BLANK):
            break
    if start.lstrip(BLANK).startswith((b"{", b"[")):
        document = _json_of(await _whole(start, parts))
        for value in document if isinstance(document, list) else [document]:
            yield value
        return
    parser = EventParser()
    for value in _values_in(parser.feed(start)):
        yield value
    async for part in parts:
        for value in _values_in(parser.feed(part)):
            yield value
    for value in _values_in(parser.end()):
        yield value


def _values_in(events: Iterator[bytes]) -> Iterator[Any]:
    for data in events:
        if data.strip() == END_OF_ANSWER:
            yield END
        elif data.strip() and not data.startswith(b":"):  # some write comments as data
            yield _json_of(data)


async def _whole(start: bytes, parts: AsyncIterator[bytes]) -> bytes:
    document = bytearray(start)
    async for part in parts:
        document += part
        if len(document) > LONGEST_EVENT:
            raise ValueError("a document without an end")
    return bytes(document)


def _json_of(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except ValueError:
        # It is strict with halves of surrogate pairs, and with bytes that are not UTF-8.
        return json.loads(data.decode("utf-8", "replace"))


async def _start_of(response: aiohttp.ClientResponse) -> bytes:
    """The body of an error, as far as it comes; its status says the most of it."""
    body = bytearray()
    with suppress(aiohttp.ClientError, OSError, TimeoutError):
        async with asyncio.timeout(USAGE_WITHIN):
            async for part in response.content.iter_any():
                body += part
                if len(body) > LONGEST_ERROR:
                    break
    return bytes(body)
