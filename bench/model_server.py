"""A model that thinks for a while: the streaming APIs of Gemini and OpenAI with a fixed latency, cheap enough not to
disturb.

python bench/model_server.py PORT SECONDS [PIECES]

With a number of pieces an answer is streamed in so many, evenly over that time.
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


def application(seconds: float, pieces: int) -> web.Application:
    """Answers every call after ``seconds``; or streams ``pieces`` over them, if there are any."""

    async def stream(request: web.Request) -> web.StreamResponse:
        await request.read()
        event = _chat_event if request.path.endswith("/chat/completions") else _event
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number in range(1, pieces + 1):
            await asyncio.sleep(seconds / pieces)
            await response.write(event(f"piece {number} ", last=number == pieces))
        if event is _chat_event:
            await response.write(b"data: [DONE]\n\n")
        return response

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(seconds)
        body = CHAT_BODY if request.path.endswith("/chat/completions") else BODY
        return web.Response(body=body, content_type="text/event-stream")

    app = web.Application()
    app.router.add_post("/{path:.*}", stream if pieces else answer)
    return app


if __name__ == "__main__":
    port, latency = int(sys.argv[1]), float(sys.argv[2])
    web.run_app(
        application(latency, int(sys.argv[3]) if len(sys.argv) > 3 else 0),
        host="127.0.0.1",
        port=port,
        print=None,
        access_log=None,
    )
