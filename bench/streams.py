"""Very many open streams in one web process: what they cost, and whether other requests notice.

make bench-streams
"""

import argparse
import asyncio
import http.client
import resource
import secrets
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psutil
from figures import percentile
from stage import Stage, answers, free_port, stage, until, usage_of

from adapters.crypto.jwt_access_tokens import JwtAccessTokens
from domain.accounts import LoginMethod, Session, SessionId, UserId

# The bound on what one user may wait for (WAITING_REQUESTS_PER_USER).
STREAMS_OF_USER = 20
OPENED_AT_ONCE = 100
QUIET_SECONDS = 10.0
OTHER_FILES = 512

# Users who are logged in, each with a reply that a worker is writing, and says nothing of.
PEOPLE = """
WITH person AS (
    INSERT INTO users (id, phone, name, created_at, verified_at)
    SELECT gen_random_uuid(), '+999' || lpad(n::text, 9, '0'), 'Bench', now(), now() FROM generate_series(1, %s) n
    RETURNING id
), login AS (
    INSERT INTO sessions (id, user_id, method, started_at, expires_at, last_used_at)
    SELECT gen_random_uuid(), id, 'otp', now(), now() + interval '1 day', now() FROM person RETURNING id, user_id
), room AS (
    INSERT INTO chatrooms (id, user_id, name, created_at, updated_at)
    SELECT gen_random_uuid(), id, 'Bench', now(), now() FROM person RETURNING id, user_id
), message AS (
    INSERT INTO messages (id, chatroom_id, content, created_at)
    SELECT gen_random_uuid(), id, 'Why?', now() FROM room RETURNING id, chatroom_id
), reply AS (
    INSERT INTO replies (id, message_id, chatroom_id, user_id, state, attempt, run, available_at, deadline, lease_token,
                         lease_until, charged_on, created_at, started_at)
    SELECT gen_random_uuid(), message.id, room.id, room.user_id, 'running', 1, 1, now(), now() + interval '1 day',
           gen_random_uuid(), now() + interval '1 day', current_date, now(), now()
    FROM message JOIN room ON room.id = message.chatroom_id RETURNING id, user_id
)
SELECT login.user_id, login.id, reply.id FROM login JOIN reply USING (user_id)
"""


def headers_of(person: tuple[UUID, UUID, UUID], secret: str, number: int) -> dict[str, str]:
    user_id, session_id, _ = person
    now = datetime.now(UTC)
    session = Session(SessionId(session_id), UserId(user_id), LoginMethod.OTP, now, now + timedelta(days=1))
    token = JwtAccessTokens(secret.encode()).issue(session, at=now, lifetime=timedelta(hours=2))
    return {
        "Host": "127.0.0.1",
        "Authorization": f"Bearer {token}",
        "X-Forwarded-For": f"10.9.{number // 250}.{number % 250 + 1}",
    }


async def opened(port: int, requests: Sequence[bytes]) -> list[asyncio.StreamWriter]:
    """Streams that have answered 200, as many as there are requests."""
    gate = asyncio.Semaphore(OPENED_AT_ONCE)

    async def one(request: bytes) -> asyncio.StreamWriter:
        async with gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**12)
            writer.write(request)
            status = await reader.readline()
            assert b" 200 " in status, status
        reading = asyncio.create_task(read_on(reader))
        tasks.add(reading)
        return writer

    tasks: set[asyncio.Task[None]] = KEPT
    return await asyncio.gather(*map(one, requests))


KEPT: set[asyncio.Task[None]] = set()


async def read_on(reader: asyncio.StreamReader) -> None:
    while await reader.read(4096):
        pass


def latencies(port: int, headers: dict[str, str], seconds: float) -> list[float]:
    """In milliseconds, of one request after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    taken = []
    until_time = time.monotonic() + seconds
    while time.monotonic() < until_time:
        began = time.perf_counter()
        connection.request("GET", "/user/me", headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        taken.append((time.perf_counter() - began) * 1000)
        time.sleep(0.03)  # below the rate limit of a user
    connection.close()
    return taken


async def report(name: str, port: int, headers: dict[str, str], web: psutil.Process) -> float:
    """Prints what the process costs at rest, and what others wait; its memory in MB."""
    before, _ = usage_of(web)
    await asyncio.sleep(QUIET_SECONDS)
    after, memory = usage_of(web)
    taken = await asyncio.to_thread(latencies, port, headers, 2 * QUIET_SECONDS)
    print(
        f"{name}: {memory:.1f} MB PSS, {(after - before) / QUIET_SECONDS:.1%} of a core at rest; GET /user/me"
        f" p50 {percentile(taken, 0.5):.1f}, p99 {percentile(taken, 0.99):.1f}, max {max(taken):.1f} ms"
        f" ({len(taken)} requests)",
        flush=True,
    )
    return memory


async def measure(here: Stage, wanted: int) -> None:
    secret, port = secrets.token_hex(32), free_port()
    everybody = [(row[0], row[1], row[2]) for row in here.query(PEOPLE, -(-wanted // STREAMS_OF_USER) + 1)]
    headers = [headers_of(person, secret, number) for number, person in enumerate(everybody)]
    other = headers.pop()
    requests = [
        f"GET /message/{everybody[number % len(headers)][2]}/stream HTTP/1.1\r\n".encode()
        + "".join(f"{name}: {value}\r\n" for name, value in headers[number % len(headers)].items()).encode()
        + b"\r\n"
        for number in range(wanted)
    ]
    environment = {
        "PORT": str(port),
        "JWT_SECRET": secret,
        "OTP_DELIVERY": "console",
        "TRUSTED_PROXIES": "127.0.0.1",
        "WEB_CONNECTIONS": str(wanted + 1_000),
        "WAITING_REQUESTS": str(wanted),
    }
    with here.running("-m", "entrypoints.cli", "web", **environment) as web:
        until(lambda: answers(f"http://127.0.0.1:{port}/health/live"))
        await asyncio.to_thread(latencies, port, other, 3.0)
        before = await report("no stream", port, other, web)
        began = time.monotonic()
        streams = await opened(port, requests)
        print(f"{len(streams)} streams open after {time.monotonic() - began:.1f} s", flush=True)
        with_streams = await report(f"{len(streams)} streams", port, other, web)
        print(f"{(with_streams - before) * 1000 / len(streams):.2f} kB a stream")
        assert not any(task.done() for task in KEPT), "a stream has ended"
        for stream in streams:
            stream.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = options.streams if hard == resource.RLIM_INFINITY else min(options.streams, hard - OTHER_FILES)
    with stage(options.python) as here:
        asyncio.run(measure(here, wanted))


if __name__ == "__main__":
    main()
