"""A scripted stand-in for Google's Gemini HTTP API (ai.google.dev/api/generate-content).

It speaks ``POST /v1beta/models/{model}:generateContent`` and ``:streamGenerateContent`` (server-sent events with
``?alt=sse``, a JSON array without; v1 as well as v1beta). Each call takes the next outcome of the script; without one
it is answered ``echo: <prompt>`` after the server's own latency.

In a test::

    with FakeGemini() as gemini:
        gemini.will(Outcome("error", status=503), Outcome(text="Hello", latency=0.2))
        …  GEMINI_BASE_URL=gemini.base_url, any GEMINI_API_KEY  …
        assert gemini.calls[0].prompt == "Hi"

As a process of its own (prints ``listening on http://127.0.0.1:PORT`` when it is ready; ends on SIGTERM or Ctrl-C)::

    python -m tests.fakes.gemini_server --port 0 --latency 1.0

and over HTTP, for tests that talk to that process::

    POST /control/script   [{"kind": "error", "status": 503}, {"text": "Hello", "latency": 0.2}]   more of the script
    POST /control/latency  {"latency": 1.5}                                  for calls without a scripted outcome
    POST /control/reset                                                     empty the script and forget the calls
    GET  /control/calls    [{"model": …, "prompt": …, "api": …, "connection": 1, "headers": {…}, "body": {…}, …}]

An outcome with ``prompt`` waits for a call whose prompt contains that text, whatever other calls come before it; of
those that fit a call the first is taken. Names of the headers are in lower case.
"""

import argparse
import contextlib
import dataclasses
import json
import re
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

Kind = Literal[
    "text",  # an answer
    "max_tokens",  # an answer that ran into the output limit
    "error",  # an HTTP error: ``status`` and ``text`` as its body, or a body made of ``retry_after``, a RetryInfo
    "blocked",  # the prompt was blocked: no candidates
    "safety",  # the answer was withheld: finish reason SAFETY, no content
    "empty",  # finish reason STOP, no text
    "malformed",  # 200, and a body that is not JSON
    "not_an_answer",  # 200, and JSON of another shape
    "drip",  # the answer, one byte every ``interval`` seconds
    "hang",  # no byte, until the caller or the server goes away
    "reset",  # the connection is reset instead of an answer
    "raw",  # 200, ``content_type`` and ``text`` as the body, which ends as ``then`` says
    "slow",  # the same, a line every ``interval`` seconds
    # of streams only:
    "stall",  # all chunks but the last, then no byte, until the caller or the server goes away
    "pause",  # all chunks but the last, which comes when ``go_on`` is set, in the test's own process
    "withheld",  # some chunks, then the rest is withheld: finish reason SAFETY
    "broken",  # some chunks, then an error of ``status``
    "cut",  # some chunks, then the connection ends in the middle of the next
    "unfinished",  # some chunks, then a proper end of the stream without a finish reason
]

SOME_PIECES = frozenset({"stall", "broken", "cut", "unfinished"})

_STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_CALL = re.compile(r"/(?:v1|v1beta)/models/([^/:]+):(generateContent|streamGenerateContent)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What comes of one call. ``text`` None: an echo of the prompt. ``latency``: seconds until the first byte."""

    kind: Kind = "text"
    text: str | None = None
    latency: float = 0.0
    status: int = 500
    retry_after: float | None = None
    retry_after_header: str | None = None
    interval: float = 0.05
    prompt: str | None = None
    content_type: str = "text/event-stream"
    # "cut": the connection ends without the end of the body; "linger": neither ends before the caller goes away.
    then: Literal["end", "cut", "linger"] = "end"
    # Members of each chunk of a stream that read otherwise.
    changed: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it came in. ``connection``: the number of the connection it came by, from 1."""

    api: str
    model: str
    prompt: str
    target: str
    headers: dict[str, str]
    body: dict[str, Any]
    connection: int

    @property
    def key(self) -> str:
        """The API key, as either API has it."""
        return self.headers.get("x-goog-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")


class FakeGemini:
    """The server in this process, in threads of its own; ``latency`` is that of calls without a scripted outcome."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, latency: float = 0.0) -> None:
        self.latency = latency
        self.calls: list[Call] = []
        # Of each of the calls.
        self.outcomes: list[Outcome] = []
        # Calls with another key are refused; None: any key will do.
        self.keys: set[str] | None = None
        self.hang_ups = 0  # of callers who were seen to leave before the end
        self.stopping = Event()
        self.go_on = Event()
        self.lock = Lock()
        self._script: list[Outcome] = []
        self._server = _Server((host, port), self)
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), name="fake-gemini", daemon=True)

    def handler(self) -> "type[_Handler]":
        return _Handler

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def base_url(self) -> str:
        return f"http://{self._server.server_address[0]!s}:{self.port}"

    @property
    def settings(self) -> dict[str, str]:
        return {"GEMINI_API_KEY": "x", "GEMINI_BASE_URL": self.base_url}

    @property
    def connections(self) -> int:
        """How many connections were opened so far."""
        return self._server.connections

    def will(self, *outcomes: Outcome) -> None:
        with self.lock:
            self._script.extend(outcomes)

    def reset_script(self) -> None:
        """Forget what was going to happen, not what did."""
        with self.lock:
            self._script.clear()

    def reset(self) -> None:
        self.go_on.clear()
        with self.lock:
            self._script.clear()
            self.calls.clear()
            self.outcomes.clear()

    def asked(self, prompt: str) -> int:
        """How often it was asked this."""
        with self.lock:
            return sum(call.prompt == prompt for call in self.calls)

    def take(self, call: Call) -> Outcome:
        """Note a call and say what comes of it."""
        with self.lock:
            self.calls.append(call)
            if self.keys is not None and call.key not in self.keys:
                self.outcomes.append(Outcome("error", status=403))
                return self.outcomes[-1]
            fitting = (
                index
                for index, outcome in enumerate(self._script)
                if outcome.prompt is None or outcome.prompt in call.prompt
            )
            index = next(fitting, None)
            outcome = Outcome(latency=self.latency) if index is None else self._script.pop(index)
            self.outcomes.append(outcome)
            return outcome

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, whatever the calls are waiting for."""
        self.stopping.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close waits for the calls to end
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], gemini: FakeGemini) -> None:
        self.gemini = gemini
        self.connections = 0
        self._open: set[socket.socket] = set()
        super().__init__(address, gemini.handler())

    def opened(self, connection: socket.socket) -> int:
        with self.gemini.lock:
            self._open.add(connection)
            self.connections += 1
            return self.connections

    def closed(self, connection: socket.socket) -> None:
        with self.gemini.lock:
            self._open.discard(connection)

    def hang_up(self) -> None:
        with self.gemini.lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # callers may hang up
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one chunk
    server: _Server
    last_event = b""

    def objects_of(self, call: Call, outcome: Outcome, *, in_pieces: bool) -> list[dict[str, Any]]:
        """The answer as objects of the API: one, or one for each chunk."""
        return _responses(call, outcome, in_pieces=in_pieces)

    def error_body(self, status: int, message: str, retry_after: float | None = None) -> dict[str, Any]:
        return _error(status, message, retry_after)

    def setup(self) -> None:
        super().setup()
        self.number = self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        with contextlib.suppress(ConnectionError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path != "/control/calls":
            self._json(404, self.error_body(404, "no such path"))
            return
        with self.server.gemini.lock:
            calls = [dataclasses.asdict(call) for call in self.server.gemini.calls]
        self._json(200, calls)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self.path.startswith("/control/"):
            self._control(self.path.removeprefix("/control/"), body)
            return
        url = urlsplit(self.path)
        match = _CALL.fullmatch(url.path)
        if match is None:
            self._json(404, self.error_body(404, "no such path"))
            return
        call = Call(
            api=match[2],
            model=match[1],
            prompt=_prompt_of(body),
            target=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            connection=self.number,
        )
        streamed = call.api == "streamGenerateContent"
        sse = parse_qs(url.query).get("alt") == ["sse"]
        self._answer(call, self.server.gemini.take(call), "sse" if streamed and sse else "array" if streamed else None)

    def _control(self, what: str, body: Any) -> None:
        gemini = self.server.gemini
        if what == "script":
            gemini.will(*(Outcome(**outcome) for outcome in body))
        elif what == "latency":
            gemini.latency = float(body["latency"])
        elif what == "reset":
            gemini.reset()
        else:
            self._json(404, self.error_body(404, "no such path"))
            return
        self._json(200, {})

    def _answer(self, call: Call, outcome: Outcome, stream: Literal["sse", "array"] | None) -> None:
        try:
            self._play(call, outcome, stream)
        except ConnectionError:
            with self.server.gemini.lock:
                self.server.gemini.hang_ups += 1
            raise

    def _play(self, call: Call, outcome: Outcome, stream: Literal["sse", "array"] | None) -> None:
        if self.server.gemini.stopping.wait(outcome.latency):
            return
        match outcome.kind:
            case "hang":
                self._be_silent()
            case "reset":
                self._reset()
            case "error":
                extra = {"Retry-After": outcome.retry_after_header} if outcome.retry_after_header else {}
                if outcome.text is not None:
                    self._bytes(outcome.status, "application/json", outcome.text.encode(), extra=extra)
                    return
                self._json(outcome.status, self.error_body(outcome.status, "scripted", outcome.retry_after), extra)
            case "raw" | "slow":
                self._raw(outcome)
            case "malformed":
                self._bytes(200, "application/json", b'{"candidates": [{"content": ')
            case "not_an_answer":
                self._json(200, {"candidates": "none", "usageMetadata": [1]})
            case _ if stream is not None:
                self._stream(call, outcome, stream)
            case _:
                (whole,) = self.objects_of(call, outcome, in_pieces=False)
                self._bytes(200, "application/json", json.dumps(whole).encode(), drip=outcome)

    def _stream(self, call: Call, outcome: Outcome, form: Literal["sse", "array"]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if form == "sse" else "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        objects = self.objects_of(call, outcome, in_pieces=True)
        if outcome.kind in SOME_PIECES:
            objects = objects[:-1]
        if outcome.kind == "broken":
            objects.append(self.error_body(outcome.status, "scripted", outcome.retry_after))
        for index, chunk in enumerate(objects):
            if outcome.kind == "pause" and index == len(objects) - 1:
                self._be_silent(until=self.server.gemini.go_on)
            text = json.dumps(chunk | outcome.changed)
            whole = f"data: {text}\r\n\r\n" if form == "sse" else ("[" if index == 0 else ",\r\n") + text
            for part in _drops(whole.encode(), outcome):
                self._chunk(part)
                if outcome.kind == "drip" and self.server.gemini.stopping.wait(outcome.interval):
                    return
        if outcome.kind == "stall":
            self._be_silent()
        elif outcome.kind == "cut":
            self._chunk(b'data: {"cand' if form == "sse" else b',{"cand', whole=False)
            self.close_connection = True
        else:
            last = b"]" if form == "array" else b"" if outcome.kind == "unfinished" else self.last_event
            if last:
                self._chunk(last)
            self._chunk(b"")

    def _raw(self, outcome: Outcome) -> None:
        self.send_response(200)
        self.send_header("Content-Type", outcome.content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        text = outcome.text or ""
        for part in text.splitlines(keepends=True) if outcome.kind == "slow" else [text]:
            self._chunk(part.encode())
            if outcome.kind == "slow" and self.server.gemini.stopping.wait(outcome.interval):
                return
        if outcome.then == "linger":
            self._be_silent()
        elif outcome.then == "cut":
            self.close_connection = True
        else:
            self._chunk(b"")

    def _be_silent(self, until: Event | None = None) -> None:
        self.close_connection = True
        while not self.server.gemini.stopping.wait(0.02):
            if until is not None and until.is_set():
                return
            with contextlib.suppress(BlockingIOError):
                if not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                    raise ConnectionAbortedError

    def _chunk(self, data: bytes, *, whole: bool = True) -> None:
        self.wfile.write(b"%x\r\n%s" % (len(data) + (not whole), data) + b"\r\n" * whole)
        self.wfile.flush()

    def _json(self, status: int, body: object, extra: dict[str, str] | None = None) -> None:
        self._bytes(status, "application/json; charset=UTF-8", json.dumps(body).encode(), extra=extra)

    def _bytes(
        self,
        status: int,
        content_type: str,
        body: bytes,
        *,
        extra: dict[str, str] | None = None,
        drip: Outcome | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        self.end_headers()
        for part in _drops(body, drip):
            self.wfile.write(part)
            if drip is not None and drip.kind == "drip":
                self.wfile.flush()
                if self.server.gemini.stopping.wait(drip.interval):
                    return

    def _reset(self) -> None:
        # Closed with a linger of zero seconds, a socket sends RST in place of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.rfile.close()
        self.connection.close()


def _drops(data: bytes, outcome: Outcome | None) -> Iterator[bytes]:
    """The data as it leaves: byte by byte when it drips, else whole."""
    if outcome is None or outcome.kind != "drip":
        yield data
        return
    for index in range(len(data)):
        yield data[index : index + 1]


def pieces_of(text: str) -> list[str]:
    """The words, each with the space behind it."""
    return re.findall(r"\S+\s*|^\s+", text) or [""]


def _prompt_of(body: dict[str, Any]) -> str:
    """The texts of the last content, as the caller's newest words."""
    contents = body.get("contents") or [{}]
    return "".join(part.get("text", "") for part in contents[-1].get("parts", []))


def _responses(call: Call, outcome: Outcome, *, in_pieces: bool) -> list[dict[str, Any]]:
    """The GenerateContentResponse objects of an outcome: one, or several chunks of one answer."""
    if outcome.kind == "blocked":
        return [{"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "modelVersion": call.model}]
    if outcome.kind in {"safety", "empty"}:
        reason = "SAFETY" if outcome.kind == "safety" else "STOP"
        return [{"candidates": [{"finishReason": reason, "index": 0}], "modelVersion": call.model}]
    text = f"echo: {call.prompt}" if outcome.text is None else outcome.text
    chunks = pieces_of(text) if in_pieces else [text]
    responses = [_response(call, chunk, pieces_of=text) for chunk in chunks]
    if outcome.kind == "withheld":
        responses[-1]["candidates"] = [{"finishReason": "SAFETY", "index": 0}]
    else:
        responses[-1]["candidates"][0]["finishReason"] = "MAX_TOKENS" if outcome.kind == "max_tokens" else "STOP"
    return responses


def _response(call: Call, chunk: str, *, pieces_of: str) -> dict[str, Any]:
    prompt_tokens, answer_tokens = len(call.prompt.split()), len(pieces_of.split())
    return {
        "candidates": [{"content": {"parts": [{"text": chunk}], "role": "model"}, "index": 0}],
        "usageMetadata": {
            "promptTokenCount": prompt_tokens,
            "candidatesTokenCount": answer_tokens,
            "totalTokenCount": prompt_tokens + answer_tokens,
        },
        "modelVersion": f"{call.model}-001",
        "responseId": "fake",
    }


def _error(status: int, message: str, retry_after: float | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"code": status, "message": message, "status": _STATUS_NAMES.get(status, "UNKNOWN")}
    if retry_after is not None:
        retry_info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{retry_after:.3f}s"}
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.Help", "links": []}, retry_info]
    return {"error": error}


def main() -> None:
    """Serve until the process is told to stop."""
    parser = argparse.ArgumentParser(description="A scripted stand-in for the Gemini API.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    options = parser.parse_args()
    stopped = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with FakeGemini(port=options.port, latency=options.latency) as gemini:
        print(f"listening on {gemini.base_url}", flush=True)  # noqa: T201 - for the process that started it
        stopped.wait()


if __name__ == "__main__":
    main()
