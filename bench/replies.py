"""What one worker process does: throughput with a backlog, and latency when idle. The model takes a second.

make bench-replies
"""

import argparse
import sys
import time
from contextlib import ExitStack, closing
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import plot
import psutil
import psycopg2
from figures import percentile
from people import queue
from stage import MODEL_SECONDS, Stage, answers, free_port, stage, until, usage_of

from adapters.sql.replies import CLAIM_DUE

# How the numbers of users begin whose replies are queued.
NEW = "+999"
# Turns of long ago, about which the statistics know everything, and nothing of what is queued afterwards.
OLD = """
ALTER TABLE replies SET (autovacuum_enabled = off);
INSERT INTO users (id, phone, created_at)
    SELECT gen_random_uuid(), '+998' || lpad(n::text, 9, '0'), now() FROM generate_series(1, 2000) n;
INSERT INTO chatrooms (id, user_id, name, created_at, updated_at, last_sequence)
    SELECT gen_random_uuid(), id, 'old', now(), now(), 1000000 FROM users, generate_series(1, 10);
ALTER TABLE messages DISABLE TRIGGER number_entry; ALTER TABLE replies DISABLE TRIGGER number_entry;
INSERT INTO messages (id, chatroom_id, content, created_at, sequence)
    SELECT gen_random_uuid(), c.id, 'What did you think?', now(), 2 * n
    FROM generate_series(1, %(old)s / 20000) n, (SELECT id FROM chatrooms) c;
INSERT INTO replies (id, message_id, chatroom_id, user_id, state, attempt, run, available_at, deadline, charged_on,
                     content, created_at, started_at, finished_at, sequence)
    SELECT gen_random_uuid(), m.id, c.id, c.user_id, 'done', 1, 1, now() - interval '1 day', now(), current_date,
           'Much of it.', now(), now() - interval '1 day', now() - interval '1 day', m.sequence + 1
    FROM messages m JOIN chatrooms c ON c.id = m.chatroom_id;
ALTER TABLE messages ENABLE TRIGGER number_entry; ALTER TABLE replies ENABLE TRIGGER number_entry;
"""
CLAIMS = 20
DONE = "SELECT count(*) FROM replies WHERE state = 'done'"
SPAN = "SELECT EXTRACT(EPOCH FROM max(finished_at) - min(started_at))::float FROM replies"
LATENCIES = "SELECT EXTRACT(EPOCH FROM finished_at - available_at)::float FROM replies ORDER BY id OFFSET %s"
WARM_UP = 5
# A drain that takes longer is given up.
LONGEST_DRAIN = 150.0
RESULTS = Path(__file__).parent / "results"


def throughput(here: Stage, replies: int, *, concurrency: int, provider: str) -> None:
    """A backlog that is there when the worker starts."""
    queue(here, replies, sort=NEW)
    settings = {"WORKER_CONCURRENCY": str(concurrency), "LLM_PROVIDER": provider}
    with here.running("-m", "entrypoints.cli", "worker", **settings) as worker:
        until(lambda: _done(here) > 0)
        cpu_before, _ = usage_of(worker)
        counted_from = _done(here)
        peak = 0.0
        while (done := _done(here)) < replies:
            peak = max(peak, usage_of(worker)[1])
            time.sleep(0.25)
        cpu, memory = usage_of(worker)
        seconds = here.query(SPAN)[0][0]
        print(
            f"{provider}, {replies} replies, concurrency {concurrency}: {replies / seconds:.0f} replies/s, "
            f"{(cpu - cpu_before) / (done - counted_from) * 1000:.2f} CPU s per 1000, {max(peak, memory):.0f} MB PSS"
        )
    here.query("TRUNCATE users CASCADE")


def big_table(here: Stage, *, old: int, replies: int, provider: str) -> None:
    """Backlogs on a table of old replies, statistics being those of a day without a queue."""
    here.query(OLD, {"old": old})
    here.run_alone("VACUUM ANALYZE")
    lines = {}
    for workers, pieces in ((1, 0), (4, 0), (1, 50)):
        name = f"{workers} x 200, {pieces or 'a few'} pieces"
        lines[name] = _drain(here, name, replies, workers=workers, pieces=pieces, provider=provider)
        plot.draw(RESULTS / "big_table.svg", f"{replies:,} queued on {old:,} old replies: answered", "seconds", lines)


def _drain(here: Stage, name: str, replies: int, *, workers: int, pieces: int, provider: str) -> plot.Line:
    queue(here, replies, sort=NEW)
    old = _done(here)
    claims = _claim_milliseconds(here, limit=200)
    port = free_port()
    settings = {
        "WORKER_CONCURRENCY": "200",
        "LLM_PROVIDER": provider,
        "GEMINI_BASE_URL": f"http://127.0.0.1:{port}",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
    }
    line: plot.Line = []
    with ExitStack() as processes:
        model = ("bench/model_server.py", str(port), str(MODEL_SECONDS), *([str(pieces)] if pieces else []))
        processes.enter_context(here.running(*model, python=sys.executable))
        for _ in range(workers):
            processes.enter_context(here.running("-m", "entrypoints.cli", "worker", **settings))
        until(lambda: _done(here) > old)
        began = time.monotonic()
        while (done := _done(here) - old) < replies:
            line.append((time.monotonic() - began, done))
            if time.monotonic() - began > LONGEST_DRAIN:
                break
            time.sleep(0.5)
        line.append((time.monotonic() - began, done))
    seconds, answered = line[-1][0], line[-1][1] - line[0][1]
    print(
        f"{provider}, {replies:,} queued on {old:,} old replies, {name}: "
        f"{answered / seconds:.0f} replies/s; a claim p50 {percentile(claims, 0.5):.1f} ms, "
        f"p95 {percentile(claims, 0.95):.1f} ms while all wait",
        flush=True,
    )
    here.query("DELETE FROM users WHERE id IN (SELECT user_id FROM chatrooms WHERE name = 'bench')")
    return line


def _claim_milliseconds(here: Stage, *, limit: int) -> list[float]:
    """How long claims take, each of which is taken back."""
    values = {
        "limit": limit,
        "window": 4 * limit + 100,
        "basic_first": limit // 5,
        "max_attempts": 3,
        "user_concurrency": 2,
        "lease": timedelta(seconds=60),
    }
    milliseconds = []
    with closing(psycopg2.connect(here.database_url)) as connection, connection.cursor() as cursor:
        for _ in range(CLAIMS):
            began = time.monotonic()
            cursor.execute(CLAIM_DUE, values)
            cursor.fetchall()
            milliseconds.append((time.monotonic() - began) * 1000)
            connection.rollback()
    return milliseconds


def latency(here: Stage, messages: int) -> None:
    """One message at a time, from acceptance to the stored reply, less the model's own time."""
    with ExitStack() as processes:
        client = _client(here, processes, "+919000000001")
        room = client.post("/chatroom", json={"name": "bench"}).json()["id"]
        for _ in range(WARM_UP + messages):
            answer = client.post(
                f"/chatroom/{room}/message", json={"message": "What do you think?"}, headers={"Prefer": "wait=10"}
            )
            assert answer.status_code == 201, answer.text
    added = [(row[0] - MODEL_SECONDS) * 1000 for row in here.query(LATENCIES, WARM_UP)]
    alone = _model_milliseconds(here, messages)
    print(
        f"idle, {messages} messages: accepted -> stored, beyond the model's second: "
        f"p50 {percentile(added, 0.5):.1f} ms, p99 {percentile(added, 0.99):.1f} ms; "
        f"the model server alone: p50 {percentile(alone, 0.5):.1f} ms, p99 {percentile(alone, 0.99):.1f} ms"
    )
    here.query("TRUNCATE users CASCADE")


def _model_milliseconds(here: Stage, calls: int) -> list[float]:
    """What the model server takes beyond its second, as a client sees it that does nothing else."""
    address = urlsplit(here.environment["OPENAI_BASE_URL"])
    milliseconds = []
    with closing(HTTPConnection(address.hostname or "", address.port)) as connection:
        for _ in range(calls):
            began = time.monotonic()
            connection.request("POST", f"{address.path}/chat/completions", b"{}")
            connection.getresponse().read()
            milliseconds.append((time.monotonic() - began - MODEL_SECONDS) * 1000)
    return milliseconds


def fairness(here: Stage, messages: int) -> None:
    """How long one user waits while another floods."""
    with ExitStack() as processes:
        quiet = _client(here, processes, "+919000000003")
        idle = _p95(quiet, messages)
        flood = _log_in(str(quiet.base_url), "+919000000002")
        rooms = [flood.post("/chatroom", json={"name": f"{n}"}).json()["id"] for n in range(90)]
        for room in rooms:
            flood.post(f"/chatroom/{room}/message", json={"message": "flood"}).raise_for_status()
        flooded = _p95(quiet, messages)
        print(f"another user's p95, model included: {idle:.2f} s idle, {flooded:.2f} s while one user floods")


def _p95(client: httpx.Client, messages: int) -> float:
    room = client.post("/chatroom", json={"name": "quiet"}).json()["id"]
    seconds = []
    for _ in range(messages):
        began = time.monotonic()
        client.post(f"/chatroom/{room}/message", json={"message": "Hello?"}, headers={"Prefer": "wait=25"})
        seconds.append(time.monotonic() - began)
    return percentile(seconds, 0.95)


def _client(here: Stage, processes: ExitStack, phone: str) -> httpx.Client:
    """A user who has logged in to a service that was just started."""
    port = free_port()
    processes.enter_context(here.running("-m", "entrypoints.cli", "web", PORT=str(port)))
    processes.enter_context(here.running("-m", "entrypoints.cli", "worker"))
    base_url = f"http://127.0.0.1:{port}"
    until(lambda: answers(f"{base_url}/health/ready"))
    until(lambda: httpx.get(f"{base_url}/health/ready").json()["status"] == "ok")
    return _log_in(base_url, phone)


def _log_in(base_url: str, phone: str) -> httpx.Client:
    client = httpx.Client(base_url=base_url, timeout=60)
    code = client.post("/auth/send-otp", json={"mobileNumber": phone}).json()["otp"]
    token = client.post("/auth/verify-otp", json={"mobileNumber": phone, "otp": code}).json()["token"]
    client.headers["Authorization"] = f"Bearer {token}"
    return client


def _done(here: Stage) -> int:
    return int(here.query(DONE)[0][0])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs what is measured")
    parser.add_argument("--replies", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[100, 200])
    parser.add_argument("--providers", nargs="+", default=["gemini", "openai-compatible"])
    parser.add_argument("--messages", type=int, default=60)
    parser.add_argument("--old", type=int, default=500_000, help="old replies of the big table")
    parser.add_argument("--queued", type=int, default=10_000, help="replies queued on the big table")
    parser.add_argument("--only", choices=["small", "big"], help="the fresh table alone, or the big one")
    options = parser.parse_args()
    print(f"{psutil.cpu_count()} cores")
    with stage(options.python) as it:
        if options.only != "big":
            for name in options.providers:
                for at_once in options.concurrency:
                    throughput(it, options.replies, concurrency=at_once, provider=name)
            latency(it, options.messages)
            fairness(it, options.messages // 3)
        if options.only != "small":
            big_table(it, old=options.old, replies=options.queued, provider=options.providers[-1])
