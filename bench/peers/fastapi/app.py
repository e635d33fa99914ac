"""The five requests by FastAPI, asyncpg and arq, written for speed: a peer of the service in `make bench-requests`.

uvicorn app:app --loop uvloop --http httptools, with DATABASE_URL, REDIS_URL, JWT_SECRET and DAILY_PROMPTS set.
BARE=yes: no limits, no security headers, no line in the log.
"""

import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import asyncpg
import jwt
import orjson
from arq.connections import ArqRedis, RedisSettings, create_pool
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, Field

SECRET = os.environ["JWT_SECRET"]
DAILY_PROMPTS = int(os.environ["DAILY_PROMPTS"])
BARE = os.environ.get("BARE") == "yes"
PER_USER, PER_ADDRESS = 3_000, 6_000
CACHED_SECONDS = 300
PAGE = 50

SESSION = "SELECT user_id FROM sessions WHERE id = $1 AND ended_at IS NULL AND expires_at > now()"
# One query for the session and the profile: half the price of two.
PROFILE = """
SELECT u.id, u.phone AS "mobileNumber", u.name, u.email, u.created_at AS "createdAt", u.tier,
       coalesce(d.used, 0) AS used
FROM sessions s JOIN users u ON u.id = s.user_id LEFT JOIN daily_usage d ON d.user_id = u.id AND d.day = $2
WHERE s.id = $1 AND s.ended_at IS NULL AND s.expires_at > now()
"""
ROOM_COLUMNS = 'id, name, created_at AS "createdAt", updated_at AS "updatedAt"'
ROOMS = f"SELECT {ROOM_COLUMNS} FROM chatrooms WHERE user_id = $1 ORDER BY id DESC LIMIT {PAGE}"
ROOM = f'SELECT {ROOM_COLUMNS}, system_prompt AS "systemPrompt" FROM chatrooms WHERE id = $1 AND user_id = $2'
ENTRIES = f"SELECT * FROM messages WHERE chatroom_id = $1 ORDER BY id DESC LIMIT {PAGE + 1}"
NEW_ROOM = f"INSERT INTO chatrooms (user_id, name, system_prompt) VALUES ($1, $2, $3) RETURNING {ROOM_COLUMNS}"
SPEND = """
INSERT INTO daily_usage AS d (user_id, day, used) VALUES ($1, $2, 1)
ON CONFLICT (user_id, day) DO UPDATE SET used = d.used + 1 WHERE d.used < $3 RETURNING used
"""
NEW_MESSAGE = """
WITH message AS (
    INSERT INTO messages (chatroom_id, role, content)
    SELECT id, 'user', $3 FROM chatrooms WHERE id = $1 AND user_id = $2 RETURNING id, chatroom_id, created_at
), reply AS (
    INSERT INTO messages (chatroom_id, role, reply_to, status)
    SELECT chatroom_id, 'bot', id, 'queued' FROM message RETURNING id
)
SELECT message.id, message.created_at, reply.id AS reply_id FROM message, reply
"""
COUNT = """
local counts = {}
for i, key in ipairs(KEYS) do
    counts[i] = redis.call('INCR', key)
    if counts[i] == 1 then redis.call('EXPIRE', key, 60) end
end
return counts
"""

pool: asyncpg.Pool
redis: ArqRedis
count: Callable[..., Awaitable[list[int]]]


async def prepare(connection: asyncpg.Connection) -> None:
    """Ids as text, as they are sent."""
    await connection.set_type_codec("uuid", schema="pg_catalog", encoder=str, decoder=str, format="text")


async def leave_as_it_is(_: asyncpg.Connection) -> None:
    """No RESET ALL after each use: nothing here changes a connection, and it is a round trip."""


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    global pool, redis, count  # noqa: PLW0603
    pool = await asyncpg.create_pool(
        os.environ["DATABASE_URL"], min_size=10, max_size=10, init=prepare, reset=leave_as_it_is
    )
    redis = await create_pool(RedisSettings.from_dsn(os.environ["REDIS_URL"]))
    count = redis.register_script(COUNT)
    yield
    await redis.aclose()
    await pool.close()


app = FastAPI(lifespan=lifespan, openapi_url=None)


class Claims(NamedTuple):
    user_id: str
    session_id: str
    expires_at: float


@lru_cache(maxsize=4_096)
def verified(token: str) -> Claims:
    """Raises jwt.InvalidTokenError. A token stays genuine; whether it has expired is asked each time."""
    claims = jwt.decode(
        token, SECRET, ["HS256"], audience="gemini-chat-backend/api", issuer="gemini-chat-backend",
        options={"require": ["exp", "sub", "sid"], "verify_exp": False},
    )  # fmt: skip
    return Claims(claims["sub"], claims["sid"], claims["exp"])


async def counted(request: Request) -> Claims:
    """The claims of a genuine token, counted for its user and for the address."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    now = time.time()
    try:
        claims = verified(token)
    except jwt.InvalidTokenError:
        raise HTTPException(401) from None
    if scheme.lower() != "bearer" or claims.expires_at <= now:
        raise HTTPException(401)
    if not BARE:
        minute = int(now // 60)
        address = request.client.host if request.client else ""
        by_user, by_address = await count(
            keys=[f"limit:user:{claims.user_id}:{minute}", f"limit:address:{address}:{minute}"]
        )
        request.scope["left"] = PER_USER - by_user, 60 - int(now % 60)
        if by_user > PER_USER or by_address > PER_ADDRESS:
            raise HTTPException(429)
    return claims


async def signed_in(claims: Annotated[Claims, Depends(counted)]) -> str:
    """The user whose session lives, by its row."""
    user_id = await pool.fetchval(SESSION, claims.session_id)
    if user_id != claims.user_id:
        raise HTTPException(401)
    return user_id


UserId = Annotated[str, Depends(signed_in)]


def json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body, option=orjson.OPT_UTC_Z), status, headers, "application/json")


def quota(used: int) -> dict[str, Any]:
    tomorrow = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return {"limit": DAILY_PROMPTS, "used": used, "remaining": DAILY_PROMPTS - used, "resetsAt": tomorrow}


@app.get("/health/live")
async def live() -> Response:
    return Response(status_code=204)


@app.get("/user/me")
async def me(claims: Annotated[Claims, Depends(counted)]) -> Response:
    row = await pool.fetchrow(PROFILE, claims.session_id, datetime.now(UTC).date())
    if row is None:
        raise HTTPException(401)
    body = dict(row)
    body["usage"] = {"tier": body["tier"], **quota(body.pop("used"))}
    return json(body)


@app.get("/chatroom")
async def rooms(user_id: UserId) -> Response:
    page = await redis.get(f"rooms:{user_id}")
    if page is None:
        page = orjson.dumps([dict(row) for row in await pool.fetch(ROOMS, user_id)], option=orjson.OPT_UTC_Z)
        await redis.set(f"rooms:{user_id}", page, ex=CACHED_SECONDS)
    return Response(page, media_type="application/json")


class NewRoom(BaseModel):
    name: str = Field(min_length=1, max_length=100)
    system_prompt: str | None = Field(None, alias="systemPrompt", max_length=4_000)


@app.post("/chatroom")
async def open_room(user_id: UserId, body: NewRoom) -> Response:
    row = await pool.fetchrow(NEW_ROOM, user_id, body.name, body.system_prompt)
    await redis.delete(f"rooms:{user_id}")
    return json(dict(row), 201, {"Location": f"/chatroom/{row['id']}"})


@app.get("/chatroom/{room_id}")
async def room(user_id: UserId, room_id: UUID) -> Response:
    async with pool.acquire() as connection:
        found = await connection.fetchrow(ROOM, room_id, user_id)
        if found is None:
            raise HTTPException(404)
        newest = await connection.fetch(ENTRIES, room_id)
    page = [entry(row) for row in reversed(newest[:PAGE])]
    cursor = page[0]["id"] if len(newest) > PAGE else None
    return json({**found, "messages": page, "nextCursor": cursor})


def entry(row: asyncpg.Record) -> dict[str, Any]:
    shown = {
        "id": row["id"],
        "chatroomId": row["chatroom_id"],
        "role": row["role"],
        "content": row["content"],
        "createdAt": row["created_at"],
    }
    if row["role"] == "bot":
        shown["replyTo"], shown["status"] = row["reply_to"], row["status"]
        if row["finished_at"] is not None:
            shown["finishedAt"], shown["model"], shown["truncated"] = row["finished_at"], row["model"], row["truncated"]
            shown["usage"] = {"inputTokens": row["input_tokens"], "outputTokens": row["output_tokens"]}
    return shown


class NewMessage(BaseModel):
    message: str = Field(min_length=1, max_length=8_000)


@app.post("/chatroom/{room_id}/message")
async def send(user_id: UserId, room_id: UUID, body: NewMessage) -> Response:
    async with pool.acquire() as connection, connection.transaction():
        used = await connection.fetchval(SPEND, user_id, datetime.now(UTC).date(), DAILY_PROMPTS)
        if used is None:
            raise HTTPException(429)
        row = await connection.fetchrow(NEW_MESSAGE, room_id, user_id, body.message)
        if row is None:
            raise HTTPException(404)
    await redis.enqueue_job("write_reply", row["reply_id"])
    message = {
        "id": row["id"],
        "chatroomId": room_id,
        "role": "user",
        "content": body.message,
        "createdAt": row["created_at"],
    }
    reply = f"/message/{row['reply_id']}"
    answer = {
        "message": message,
        "reply": {"id": row["reply_id"], "status": "queued"},
        "quota": quota(used),
        "links": {"chatroom": f"/chatroom/{room_id}", "reply": reply, "stream": f"{reply}/stream"},
    }
    return json(answer, 202, {"Location": reply})


SECURITY = [
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
    (b"ratelimit-policy", b'"user";q=%d;w=60' % PER_USER),
]
Message = MutableMapping[str, Any]


class HeadersAndLog:
    """Security headers and a line of JSON for each request, as ASGI: FastAPI's own kind of middleware costs more."""

    def __init__(self, wrapped: Callable[..., Awaitable[None]]) -> None:
        self._wrapped = wrapped

    async def __call__(self, scope: Message, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] != "http":
            await self._wrapped(scope, receive, send)
            return
        began, request_id, status = time.perf_counter(), secrets.token_hex(8), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += [*SECURITY, (b"x-request-id", request_id.encode())]
                if "left" in scope:
                    message["headers"].append((b"ratelimit", b'"user";r=%d;t=%d' % scope["left"]))
            await send(message)

        await self._wrapped(scope, receive, sent)
        line = {
            "event": "request",
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "ms": round((time.perf_counter() - began) * 1000, 1),
            "request_id": request_id,
            "timestamp": datetime.now(UTC),
            "level": "info",
        }
        sys.stderr.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


if not BARE:
    app.add_middleware(HeadersAndLog)
