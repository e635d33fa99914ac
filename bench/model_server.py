"""A model that thinks for a while: Gemini's streaming API with a fixed latency, cheap enough not to disturb.

python bench/model_server.py PORT SECONDS
"""

import asyncio
import json
import sys

from aiohttp import web

PIECES = ("Here is ", "what I think ", "about that.")


def _event(piece: str, *, last: bool) -> bytes:
    candidate: dict[str, object] = {"content": {"role": "model", "parts": [{"text": piece}]}}
    chunk: dict[str, object] = {"candidates": [candidate], "modelVersion": "bench"}
    if last:
        candidate["finishReason"] = "STOP"
        chunk["usageMetadata"] = {"promptTokenCount": 5, "candidatesTokenCount": 8, "totalTokenCount": 13}
    return b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n"


BODY = b"".join(_event(piece, last=piece is PIECES[-1]) for piece in PIECES)


def application(seconds: float) -> web.Application:
    """Answers every call after ``seconds``."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(seconds)
        return web.Response(body=BODY, content_type="text/event-stream")

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    return app


if __name__ == "__main__":
    port, latency = int(sys.argv[1]), float(sys.argv[2])
    web.run_app(application(latency), host="127.0.0.1", port=port, print=None, access_log=None)
