"""What is measured side by side: the service, two peers that do the same, and bare Express, which does nothing."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import StringIO
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg2
from people import Requests
from redis import Redis
from stage import ROOT, Stage, answers, free_port, until

PEERS = Path(__file__).parent / "peers"
PEERS_PYTHON = ROOT / ".venv-peers/bin/python"

# No worker runs. Between rounds the backlog is taken away, as workers that keep up would.
ANSWER_ALL = """
UPDATE replies SET state = 'done', content = 'Yes.', model = 'bench', finished_at = now() WHERE state = 'queued'
"""
# By table, the rows of the peers as the service has them.
COPIED = {
    "users (id, phone, name, created_at)": "SELECT id, phone, name, created_at FROM users",
    "sessions (id, user_id, expires_at)": "SELECT id, user_id, expires_at FROM sessions",
    "chatrooms (id, user_id, name, created_at, updated_at)": (
        "SELECT id, user_id, name, created_at, updated_at FROM chatrooms"
    ),
    "messages (id, chatroom_id, role, content, created_at)": (
        "SELECT id, chatroom_id, 'user', content, created_at FROM messages"
    ),
    "messages (id, chatroom_id, role, content, created_at, reply_to, status, finished_at, model, truncated,"
    " input_tokens, output_tokens)": (
        "SELECT id, chatroom_id, 'bot', content, created_at, message_id, 'done', finished_at, model, false,"
        " input_tokens, output_tokens FROM replies"
    ),
}
NAMES = {
    "bare": "bare Express 5",
    "ours": "this service",
    "fastapi": "FastAPI, asyncpg, arq",
    "express": "Express 5, pg, ioredis, BullMQ",
}


class Running(NamedTuple):
    """A server under its name in ``NAMES``. ``is_bare``: it answers one path, and knows nobody."""

    name: str
    port: int
    process: psutil.Process
    is_bare: bool = False

    def settle(self, here: Stage) -> None:
        """Take away what is queued."""
        if self.name == "ours":
            here.query(ANSWER_ALL)
        elif not self.is_bare:
            redis = Redis.from_url(redis_of(here, self.name))
            for pattern in ("arq:*", "bull:*"):
                while keys := [key for _, key in zip(range(5_000), redis.scan_iter(pattern, 5_000), strict=False)]:
                    redis.unlink(*keys)
            redis.close()


@contextmanager
def contenders(
    here: Stage, wanted: list[str], requests: Requests, *, processes: int, cores: list[int], plain: bool
) -> Iterator[list[Running]]:
    """The wanted ones, started and kept to ``cores``.

    ``plain``: without limits and lines in the log; the peers without security headers, too.
    """
    with ExitStack() as stack:
        found = []
        for name in wanted:
            port = free_port()
            command, environment = command_of(here, name, requests, port, processes, plain=plain)
            directory = PEERS / name if name in ("express", "fastapi") else ROOT
            process = stack.enter_context(
                here.program(*command, directory=directory, cores=cores, **environment)
            )  # fmt: skip
            until(lambda port=port: answers(f"http://127.0.0.1:{port}/health/live"))
            found.append(Running(name, port, process, is_bare=name == "bare"))
        yield found


def command_of(
    here: Stage, name: str, requests: Requests, port: int, processes: int, *, plain: bool
) -> tuple[list[str], dict[str, str]]:
    """How a contender is started, and what its environment says on top of the stage's."""
    peer = {
        "PORT": str(port),
        "PROCESSES": str(processes),
        "NODE_ENV": "production",
        "JWT_SECRET": requests.secret,
        "DAILY_PROMPTS": here.environment["BASIC_DAILY_PROMPTS"],
        "DATABASE_URL": database_of(here, name),
        "REDIS_URL": redis_of(here, name),
        "BARE": "yes" if plain else "no",
    }
    uvicorn = ["-m", "uvicorn", "app:app", "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    match name:
        case "bare":
            return ["node", str(PEERS / "express/bare.js")], peer
        case "express":
            return ["node", "app.js"], peer
        case "fastapi":
            return [str(PEERS_PYTHON), *uvicorn, "--port", str(port), "--workers", str(processes)], peer
    unlimited = {"RATE_LIMIT_PER_USER": "0", "RATE_LIMIT_PER_ADDRESS": "0", "LOG_LEVEL": "warning"}
    ours = {**requests.settings(port), "WEB_PROCESSES": str(processes), **(unlimited if plain else {})}
    return [here.python, "-m", "entrypoints.cli", "web"], ours


def answer(port: int, request: str) -> bytes:
    """All bytes of the answer to one request, from a connection that is closed afterwards."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request.encode())
        received = b""
        while b"\r\n\r\n" not in received or not _is_whole(received):
            chunk = connection.recv(65_536)
            if not chunk:
                break
            received += chunk
    return received


def _is_whole(received: bytes) -> bool:
    head, _, body = received.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    return len(body) >= int(length or 0)


def fill(here: Stage, name: str) -> None:
    """A database of the peer's own, with everything that the service has of these people."""
    here.run_alone(f"CREATE DATABASE {name}")
    ours, theirs = psycopg2.connect(here.database_url), psycopg2.connect(database_of(here, name))
    with ours.cursor() as source, theirs.cursor() as target:
        target.execute((PEERS / "schema.sql").read_text(encoding="utf-8"))
        for table, rows in COPIED.items():
            text = StringIO()
            source.copy_expert(f"COPY ({rows}) TO STDOUT", text)
            text.seek(0)
            target.copy_expert(f"COPY {table} FROM STDIN", text)
    theirs.commit()
    theirs.autocommit = True
    theirs.cursor().execute("VACUUM ANALYZE")
    ours.close()
    theirs.close()


def database_of(here: Stage, name: str) -> str:
    return urlunsplit(urlsplit(here.database_url)._replace(path=f"/{name}"))


def redis_of(here: Stage, name: str) -> str:
    number = list(NAMES).index(name)
    return urlunsplit(urlsplit(here.redis_url)._replace(path=f"/{number}"))
