"""A model that thinks for a while: the streaming APIs of Gemini and OpenAI with a fixed latency, cheap enough not to
disturb.

python bench/model_server.py PORT SECONDS
"""

import asyncio
import json
import sys

from aiohttp import web

PIECES = ("Here is ", "what I think ", "about that.")


def _event(chunk: str, *, last: bool) -> bytes:
    candidate: dict[str, object] = {"content": {"role": "model", "parts": [{"text": chunk}]}}
    chunk: dict[str, object] = {"candidates": [candidate], "modelVersion": "bench"}
    if last:
        candidate["finishReason"] = "STOP"
        chunk["usageMetadata"] = {"promptTokenCount": 5, "candidatesTokenCount": 8, "totalTokenCount": 13}
    return b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n"


def _chat_event(chunk: str, *, last: bool) -> bytes:
    choice = {"index": 0, "delta": {"content": chunk}, "finish_reason": "stop" if last else None}
    chunk: dict[str, object] = {"choices": [choice], "model": "bench"}
    if last:
        chunk["usage"] = {"prompt_tokens": 5, "completion_tokens": 8, "total_tokens": 13}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


BODY = b"".join(_event(chunk, last=chunk is PIECES[-1]) for chunk in PIECES)
CHAT_BODY = b"".join(_chat_event(chunk, last=chunk is PIECES[-1]) for chunk in PIECES) + b"data: [DONE]\n\n"


def application(seconds: float) -> web.Application:
    """Answers every call after ``seconds``."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(seconds)
        body = CHAT_BODY if request.path.endswith("/chat/completions") else BODY
        return web.Response(body=body, content_type="text/event-stream")

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    return app


if __name__ == "__main__":
    port, latency = int(sys.argv[1]), float(sys.argv[2])
    web.run_app(application(latency), host="127.0.0.1", port=port, print=None, access_log=None)
