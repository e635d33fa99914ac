"""What one web process does with the requests that matter most, beside a bare Express app in the same run.

make bench-requests
"""

import argparse
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from uuid import UUID

import psutil
from stage import ROOT, Stage, answers, free_port, stage, until

from adapters.crypto.jwt_access_tokens import JwtAccessTokens
from domain.accounts import LoginMethod, Session, SessionId, UserId

CONNECTIONS = 32
# So many that no user meets a limit: each user sends a few requests a second, from an address of their own.
USERS = 400
ROOMS = 20
TURNS = 25

EXPRESS = "express@5.3.0"
EXPRESS_APP = """
const app = require('express')();
app.get('/', (req, res) => res.json({ ok: true }));
app.listen(Number(process.argv[2]), '127.0.0.1');
"""

BARE_REQUEST = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: application/json\r\n\r\n"

# One half reads: so many chatrooms each, and one of them with a conversation. The other half writes, into one chatroom.
PEOPLE = """
INSERT INTO users (id, phone, name, created_at, verified_at)
SELECT gen_random_uuid(), '+999' || lpad(n::text, 9, '0'), 'Bench', now(), now() FROM generate_series(1, %s) n
"""
SESSIONS = """
INSERT INTO sessions (id, user_id, method, started_at, expires_at, last_used_at)
SELECT gen_random_uuid(), id, 'otp', now(), now() + interval '1 day', now() FROM users
"""
CHATROOMS = """
INSERT INTO chatrooms (id, user_id, name, created_at, updated_at)
SELECT gen_random_uuid(), u.id, 'Chatroom number ' || n, now(), now()
FROM (SELECT id, row_number() OVER (ORDER BY phone) AS nth FROM users) u
CROSS JOIN generate_series(1, %s) n WHERE n = 1 OR u.nth <= %s
"""
CONVERSATIONS = """
WITH m AS (
    INSERT INTO messages (id, chatroom_id, content, created_at)
    SELECT gen_random_uuid(), c.id, 'What do you think of the plan for ' || c.name || ', in a few words?', now()
    FROM (SELECT DISTINCT ON (user_id) id, name FROM chatrooms ORDER BY user_id, id) c
    CROSS JOIN generate_series(1, %s) RETURNING id, chatroom_id
)
INSERT INTO replies (id, message_id, chatroom_id, user_id, state, attempt, run, available_at, deadline, charged_on,
                     content, model, input_tokens, output_tokens, created_at, started_at, finished_at)
SELECT gen_random_uuid(), m.id, c.id, c.user_id, 'done', 1, 1, now(), now(), current_date,
       repeat('It depends on what you want to reach. ', 6), 'gemini-flash-latest', 20, 60, now(), now(), now()
FROM m JOIN chatrooms c ON c.id = m.chatroom_id
"""
STATISTICS = "ANALYZE"
# The first chatroom of each is the one with the conversation.
KNOWN = """
SELECT u.id, s.id, (SELECT c.id FROM chatrooms c WHERE c.user_id = u.id ORDER BY c.id LIMIT 1)
FROM users u JOIN sessions s ON s.user_id = u.id ORDER BY u.phone
"""
# No worker runs. Between rounds the backlog is taken away, as workers that keep up would.
ANSWER_ALL = """
UPDATE replies SET state = 'done', content = 'Yes.', model = 'bench', finished_at = now() WHERE state = 'queued'
"""


@dataclass(frozen=True)
class Endpoint:
    """Requests of one kind, and the mark: CPU and requests/s of the Node service to beat, as parts of bare Express."""

    name: str
    requests: Sequence[str]
    cpu_mark: float
    rate_mark: float


@dataclass(frozen=True)
class Measured:
    """What one round was; ``p50`` and ``p99`` in milliseconds."""

    rate: float
    web_cpu: float
    servers_cpu: float
    failed: int
    p50: float
    p99: float


@dataclass(frozen=True)
class Person:
    """A user who is logged in."""

    user_id: UUID
    session_id: UUID
    room: UUID


def people(here: Stage) -> list[Person]:
    """Everybody, with what they have."""
    here.query(PEOPLE, USERS)
    here.query(SESSIONS)
    here.query(CHATROOMS, ROOMS, USERS // 2)
    here.query(CONVERSATIONS, TURNS)
    here.query(STATISTICS)
    return [Person(*row) for row in here.query(KNOWN)]


def endpoints(everybody: Sequence[Person], secret: str) -> list[Endpoint]:
    """What is measured."""
    readers, writers = everybody[: USERS // 2], everybody[USERS // 2 :]
    tokens = JwtAccessTokens(secret.encode())
    now = datetime.now(UTC)

    def asked(who: Sequence[Person], method: str, path: str, body: object = None) -> list[str]:
        return [
            _request(method, path.format(room=one.room), body, _token(tokens, one, now), address=n)
            for n, one in enumerate(who)
        ]

    sent = {"message": "What do you think of the plan, in a few words?"}
    return [
        Endpoint("GET /user/me", asked(readers, "GET", "/user/me"), 2.5, 2017 / 5300),
        Endpoint("GET /chatroom, warm", asked(readers, "GET", "/chatroom"), 2.2, 2460 / 5300),
        Endpoint("GET /chatroom/{id}, 50", asked(readers, "GET", "/chatroom/{room}"), 4.3, 1277 / 5300),
        Endpoint("POST /chatroom", asked(writers, "POST", "/chatroom", {"name": "Bench"}), 2.8, 1789 / 5300),
        Endpoint("POST message", asked(writers, "POST", "/chatroom/{room}/message", sent), 3.9, 1421 / 5300),
    ]


def _token(tokens: JwtAccessTokens, one: Person, now: datetime) -> str:
    session = Session(
        SessionId(one.session_id), UserId(one.user_id), LoginMethod.OTP, now, now + timedelta(days=1), device=None
    )
    return tokens.issue(session, at=now, lifetime=timedelta(hours=2))


def _request(method: str, path: str, body: object, token: str, *, address: int) -> str:
    content = "" if body is None else json.dumps(body)
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {token}",
        f"X-Forwarded-For: 10.9.{address // 250}.{address % 250 + 1}",
        "User-Agent: bench",
        "Accept: application/json",
    ]
    if content:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", content])


def measured(port: int, requests: Sequence[str], seconds: float, web: psutil.Process) -> Measured:
    """One round."""
    plan = {"port": port, "connections": CONNECTIONS, "seconds": seconds, "requests": requests}
    web_before, servers_before = _cpu(_family(web)), _cpu(_servers())
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench/load.py")],
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        check=True,
    )
    web_cpu, servers_cpu = _cpu(_family(web)) - web_before, _cpu(_servers()) - servers_before
    found = json.loads(done.stdout)
    good = sum(count for status, count in found["statuses"].items() if status.startswith("2"))
    return Measured(
        rate=good / found["seconds"],
        web_cpu=web_cpu / good * 1000,
        servers_cpu=servers_cpu / good * 1000,
        failed=sum(found["statuses"].values()) - good,
        p50=found["p50"],
        p99=found["p99"],
    )


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _servers() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if process.name().startswith(("postgres", "valkey")):
                found.append(process)
    return found


def _cpu(processes: Sequence[psutil.Process]) -> float:
    """CPU seconds so far, those of children that have ended among them."""
    seconds = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            seconds += sum(process.cpu_times()[:4])
    return seconds


@contextmanager
def bare_express() -> Iterator[tuple[int, psutil.Process] | None]:
    """The reference, in a directory that is gone afterwards; None where there is no Node to run it with."""
    if not (shutil.which("node") and shutil.which("npm")):
        yield None
        return
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", EXPRESS],
            cwd=directory,
            check=True,
            stderr=subprocess.DEVNULL,
        )
        Path(directory, "app.js").write_text(EXPRESS_APP, encoding="utf-8")
        port = free_port()
        process = subprocess.Popen(["env", "NODE_ENV=production", "node", "app.js", str(port)], cwd=directory)
        try:
            until(lambda: answers(f"http://127.0.0.1:{port}/"))
            yield port, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(10)


def compare(here: Stage, options: argparse.Namespace) -> None:
    """All endpoints in turn, round after round, so that a slow moment of the machine meets everybody."""
    secret = secrets.token_hex(32)
    kinds = [one for one in endpoints(people(here), secret) if options.only in one.name]
    port = free_port()
    environment = {
        "PORT": str(port),
        "JWT_SECRET": secret,
        # Limits by user and by address, as they are in production behind a proxy.
        "OTP_DELIVERY": "console",
        "TRUSTED_PROXIES": "127.0.0.1",
        "LOG_LEVEL": options.log_level,
        "BACKLOG_REPLIES": "1000000",
        "USER_BACKLOG_REPLIES": "100000",
    }
    with here.running("-m", "entrypoints.cli", "web", **environment) as web, bare_express() as express:
        until(lambda: answers(f"http://127.0.0.1:{port}/health/live"))
        express_rounds: list[Measured] = []
        rounds: dict[str, list[Measured]] = {kind.name: [] for kind in kinds}
        for number in range(options.rounds + 1):
            seconds = options.seconds if number else min(options.seconds, 2)
            if express:
                express_rounds.append(
                    measured(express[0], ["GET / HTTP/1.1\r\nHost: x\r\n\r\n"] * 32, seconds, express[1])
                )
            for kind in kinds:
                rounds[kind.name].append(measured(port, kind.requests, seconds, web))
                here.query(ANSWER_ALL)
        _report(kinds, {name: of[1:] for name, of in rounds.items()}, express_rounds[1:])


def _report(kinds: Sequence[Endpoint], rounds: dict[str, list[Measured]], express: Sequence[Measured]) -> None:
    """A line an endpoint: the best rate, the median of the rest. The first round, which warms up, is not in it."""
    if express:
        print(f"bare Express: {_best_rate(express):,.0f} requests/s, {_median_cpu(express):.3f} CPU s per 1000")
    else:
        print("no node and npm here: no ratios to a bare Express app")
    print(f"{'':24}   req/s  CPU s/1000  servers  failed  CPU/Express (mark)  req/s/Express (mark)")
    for kind in kinds:
        of = rounds[kind.name]
        servers = median(one.servers_cpu for one in of)
        line = f"{kind.name:24}{_best_rate(of):8,.0f}{_median_cpu(of):12.3f}{servers:9.3f}"
        line += f"{sum(one.failed for one in of):8}"
        if express:
            cpu = median(one.web_cpu / beside.web_cpu for one, beside in zip(of, express, strict=True))
            rate = _best_rate(of) / _best_rate(express)
            line += f"{cpu:13.2f} ({kind.cpu_mark:.1f}){rate:17.2f} ({kind.rate_mark:.2f})"
        print(line)


def _best_rate(rounds: Sequence[Measured]) -> float:
    return max(one.rate for one in rounds)


def _median_cpu(rounds: Sequence[Measured]) -> float:
    return median(one.web_cpu for one in rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs what is measured")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--log-level", default="info", help="info, as by default, is one line a request")
    parser.add_argument("--only", default="", help="part of the name of an endpoint")
    options = parser.parse_args()
    print(f"{psutil.cpu_count()} cores, {CONNECTIONS} connections, {options.rounds} rounds of {options.seconds:g} s")
    with stage(options.python) as it:
        compare(it, options)
