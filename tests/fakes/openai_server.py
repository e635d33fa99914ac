"""A scripted stand-in for servers of OpenAI's chat completions, streamed (developers.openai.com/api/reference/
resources/chat/subresources/completions/streaming-events), with the script and the controls of ``gemini_server``.

    with FakeOpenAi() as openai:
        openai.will(Outcome("error", status=503), Outcome(text="Hello"))
        …  OPENAI_BASE_URL=openai.base_url, any OPENAI_API_KEY  …
"""

import json
from typing import Any

from tests.fakes.gemini_server import Call, FakeGemini, Outcome, _Handler, pieces_of

FINISH_REASONS = {
    "max_tokens": "length",
    "withheld": "content_filter",
    "safety": "content_filter",
    "blocked": "refusal",
}


class FakeOpenAi(FakeGemini):
    """The server in this process, in threads of its own."""

    @property
    def base_url(self) -> str:
        return f"{super().base_url}/v1"

    def handler(self) -> type[_Handler]:
        return _OpenAiHandler


class _OpenAiHandler(_Handler):
    last_event = b"data: [DONE]\n\n"

    def do_POST(self) -> None:  # noqa: N802 - the name http.server calls
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self.path.startswith("/control/"):
            self._control(self.path.removeprefix("/control/"), body)
            return
        if self.path != "/v1/chat/completions" or not body["stream"]:
            self._json(404, self.error_body(404, "no such path"))
            return
        call = Call(
            api="chat/completions",
            model=body["model"],
            prompt=body["messages"][-1]["content"],
            target=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            connection=self.number,
        )
        self._answer(call, self.server.gemini.take(call), "sse")

    def objects_of(self, call: Call, outcome: Outcome, *, in_pieces: bool) -> list[dict[str, Any]]:
        """The chunks: the chunks, the finish reason, the usage."""
        text = f"echo: {call.prompt}" if outcome.text is None else outcome.text
        if outcome.kind in {"safety", "empty"}:
            text = ""
        deltas: list[dict[str, str]] = [{"content": chunk} for chunk in pieces_of(text)]
        if outcome.kind == "blocked":
            deltas = [{"refusal": "I cannot help with that."}]
        if outcome.kind in {"cut", "stall", "withheld"}:
            deltas.pop()
        chunks = [_chunk(call, [{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
        if outcome.kind not in {"cut", "stall", "broken", "unfinished"}:
            reason = FINISH_REASONS.get(outcome.kind, "stop")
            chunks.append(_chunk(call, [{"index": 0, "delta": {}, "finish_reason": reason}]))
        tokens = {"prompt_tokens": len(call.prompt.split()), "completion_tokens": len(text.split())}
        return [*chunks, {**_chunk(call, []), "usage": tokens}]

    def error_body(self, status: int, message: str, retry_after: float | None = None) -> dict[str, Any]:
        return {"error": {"message": message, "type": "scripted", "param": None, "code": status}}


def _chunk(call: Call, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": f"{call.model}-001",
        "choices": choices,
    }
