"""What one worker process does: throughput with a backlog, and latency when idle. The model takes a second.

make bench-replies
"""

import argparse
import sys
import time
from contextlib import ExitStack

import httpx
import psutil
from stage import MODEL_SECONDS, Stage, answers, free_port, percentile, stage, until, usage_of

# A user and a chatroom for each reply: nothing waits for its turn.
BACKLOG = """
WITH u AS (
    INSERT INTO users (id, phone, created_at)
    SELECT gen_random_uuid(), '+999' || lpad(n::text, 9, '0'), now() FROM generate_series(1, %s) n RETURNING id
), c AS (
    INSERT INTO chatrooms (id, user_id, name, created_at, updated_at)
    SELECT gen_random_uuid(), id, 'bench', now(), now() FROM u RETURNING id, user_id
), m AS (
    INSERT INTO messages (id, chatroom_id, content, created_at)
    SELECT gen_random_uuid(), id, 'What do you think?', now() FROM c RETURNING id, chatroom_id
)
INSERT INTO replies (id, message_id, chatroom_id, user_id, state, available_at, deadline, charged_on, created_at)
SELECT gen_random_uuid(), m.id, c.id, c.user_id, 'queued', now(), now() + interval '1 hour', current_date, now()
FROM m JOIN c ON c.id = m.chatroom_id
"""
DONE = "SELECT count(*) FROM replies WHERE state = 'done'"
SPAN = "SELECT EXTRACT(EPOCH FROM max(finished_at) - min(started_at))::float FROM replies"
LATENCIES = "SELECT EXTRACT(EPOCH FROM finished_at - available_at)::float FROM replies ORDER BY id OFFSET %s"
WARM_UP = 5


def throughput(here: Stage, replies: int, *, concurrency: int, provider: str) -> None:
    """A backlog that is there when the worker starts."""
    here.query(BACKLOG, replies)
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
    print(
        f"idle, {messages} messages: accepted -> stored, beyond the model's own time: "
        f"p50 {percentile(added, 0.5):.1f} ms, p99 {percentile(added, 0.99):.1f} ms"
    )
    here.query("TRUNCATE users CASCADE")


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
    options = parser.parse_args()
    print(f"{psutil.cpu_count()} cores")
    with stage(options.python) as it:
        for name in options.providers:
            for at_once in options.concurrency:
                throughput(it, options.replies, concurrency=at_once, provider=name)
        latency(it, options.messages)
        fairness(it, options.messages // 3)
