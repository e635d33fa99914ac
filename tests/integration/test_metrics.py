"""The metrics of real processes, and that dashboards and alerts ask for metrics that there are."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psycopg2
import pytest
import yaml

from adapters.sql.queue_state import SqlQueueState
from application.ports.language_model import Stop
from application.ports.observation import RoomState
from application.ports.queue_state import Ended
from domain.errors import DependencyDown, ReplyNotRatable
from domain.feedback import Rating
from domain.one_time_password import Purpose
from domain.replies import FailureReason, ReplyState, Slots
from entrypoints.container.build import Web, build_web, build_worker
from entrypoints.metrics import serve_metrics
from entrypoints.server.rooms import Room
from entrypoints.worker.run import WorkerParts
from tests.contract.world import A_LEASE, sql_world
from tests.e2e.service import free_port
from tests.integration.conftest import settings_of

ROOT = Path(__file__).resolve().parents[2]
OBSERVABILITY = ROOT / "deploy" / "observability"
NAME = re.compile(r"\b(?:gemini_chat|process)_\w+")


class Processes(NamedTuple):
    web: Web
    worker: WorkerParts


@pytest.fixture
def processes(clean_database: str, clean_redis: str, tmp_path: Path) -> Iterator[Processes]:
    settings = settings_of(
        tmp_path, database_url=clean_database, redis_url=clean_redis, METRICS_PORT="9464", LLM_PROVIDER="offline"
    )
    web, worker = build_web(settings), build_worker(settings)
    assert web.metrics is not None
    web.metrics.watch_rooms(lambda: [RoomState("chat", 6, 1, 2, 3)])
    yield Processes(web, worker)
    web.close()
    worker.close()


def exposition(metrics: Any) -> str:
    body: list[bytes] = metrics.exposition({"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics"}, lambda *_: None)
    return b"".join(body).decode()


def samples(text: str) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_every_metric_that_dashboards_and_alerts_name_is_told_by_a_process(processes: Processes) -> None:
    """Series without labels yet are not shown as samples, but as families."""
    told = exposition(processes.web.metrics) + exposition(processes.worker.metrics)
    families = {line.split()[2]: line.split()[3] for line in told.splitlines() if line.startswith("# TYPE")}
    known = set(families)
    for name, kind in families.items():
        if kind == "histogram":
            known |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    asked = expressions()
    assert len(asked) > 20
    assert {name for one in asked for name in NAME.findall(one)} - known == set()


def expressions() -> list[str]:
    """All that is written in PromQL."""
    rules = yaml.safe_load((OBSERVABILITY / "alerts.yml").read_text(encoding="utf-8"))
    board = json.loads((OBSERVABILITY / "dashboard.json").read_text(encoding="utf-8"))
    alerts = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    return alerts + [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]


def test_an_alert_says_what_is_wrong_and_what_to_do() -> None:
    rules = yaml.safe_load((OBSERVABILITY / "alerts.yml").read_text(encoding="utf-8"))
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_a_process_tells_of_the_queue_its_servers_and_its_rooms(processes: Processes, clean_database: str) -> None:
    with sql_world(clean_database) as world:
        world.ask(world.room())
    told = samples(exposition(processes.web.metrics))
    assert told['gemini_chat_replies_unfinished{state="queued"}'] == 1
    assert told['gemini_chat_replies_unfinished{state="running"}'] == 0
    assert told["gemini_chat_oldest_due_reply_seconds"] > 0
    assert told["gemini_chat_queue_readable"] == 1
    assert told['gemini_chat_dependency_up{dependency="redis"}'] == 1
    assert told["gemini_chat_database_connections_max"] > 0
    assert told['gemini_chat_room_refused_total{room="chat"}'] == 3


def test_requests_codes_and_the_cache_are_counted(processes: Processes) -> None:
    web = processes.web
    assert web.metrics is not None
    assert web.metrics.on_request is not None
    for status in (200, 200, 404):
        web.metrics.on_request(method="GET", route="/chatroom/<uuid:id>", status=status, seconds=0.02)
    for method in ("BREW", "PROPFIND"):
        web.metrics.on_request(method=method, route=None, status=405, seconds=None)
    sent = web.use_cases.auth.request_code(mobile_number="+919876543210", purpose=Purpose.LOGIN)
    login = web.use_cases.auth.verify_code(mobile_number="+919876543210", code=sent.shown or "")
    for _ in range(2):
        web.use_cases.chat.list_chatrooms(user_id=login.user.id, version=0, render=lambda _: b"page")
    told = samples(exposition(web.metrics))
    route = "/chatroom/<uuid:id>"
    assert told[f'gemini_chat_http_requests_total{{method="GET",route="{route}",status="200"}}'] == 2
    assert told[f'gemini_chat_http_request_seconds_count{{method="GET",route="{route}"}}'] == 3
    assert told['gemini_chat_http_requests_total{method="other",route="none",status="405"}'] == 2
    assert told['gemini_chat_http_request_seconds_count{method="other",route="none"}'] == 0
    assert told['gemini_chat_otp_sends_total{outcome="sent"}'] == 1
    assert told['gemini_chat_room_list_cache_total{result="hit"}'] == 1
    assert told['gemini_chat_room_list_cache_total{result="miss"}'] == 1
    assert "9876543210" not in exposition(web.metrics)


def test_feedback_that_was_taken_is_counted_by_rating(processes: Processes, clean_database: str) -> None:
    chat = processes.web.use_cases.chat
    with sql_world(clean_database) as world:
        reply = world.ask(world.room())
        with pytest.raises(ReplyNotRatable):
            chat.give_feedback(user_id=reply.user_id, entry_id=reply.id, rating=Rating.UP)
        world.answer_all()
    for rating in (Rating.DOWN, Rating.DOWN, Rating.UP):
        chat.give_feedback(user_id=reply.user_id, entry_id=reply.id, rating=rating, comment="never told")
    chat.withdraw_feedback(user_id=reply.user_id, entry_id=reply.id)
    told = exposition(processes.web.metrics)
    assert samples(told)['gemini_chat_reply_feedback_total{rating="down"}'] == 2
    assert samples(told)['gemini_chat_reply_feedback_total{rating="up"}'] == 1
    assert "never told" not in told


def test_replies_are_counted_from_the_acceptance_of_the_message(processes: Processes, clean_database: str) -> None:
    worker = processes.worker
    assert worker.observer is not None
    with sql_world(clean_database) as world:
        world.ask(world.room())
        world.pass_time(timedelta(seconds=100))
    [reply] = worker.replying.claim(Slots(total=5, free=5))
    outcome = worker.replying.ask_model(reply, stop=Stop())
    stored = worker.replying.store_outcome(reply, outcome)
    assert stored is not None
    worker.observer.written(reply, stored.state, None, seconds=0.1)
    told = samples(exposition(worker.metrics))
    assert told['gemini_chat_replies_ended_total{reason="",state="done"}'] == 1
    assert told['gemini_chat_model_calls_total{outcome="answered"}'] == 1
    assert told["gemini_chat_reply_first_piece_seconds_sum"] > 99
    assert told["gemini_chat_reply_seconds_sum"] > 99
    assert told["gemini_chat_model_breaker_open"] == 0


def test_without_the_database_the_rest_is_told(processes: Processes, tmp_path: Path, clean_redis: str) -> None:
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    settings = settings_of(tmp_path, database_url=nowhere, redis_url=clean_redis, METRICS_PORT="9464")
    worker = build_worker(settings)
    told = samples(exposition(worker.metrics))
    worker.close()
    assert told["gemini_chat_queue_readable"] == 0
    assert "gemini_chat_oldest_due_reply_seconds" not in told
    assert "gemini_chat_claimed_replies_total" in told


def test_processes_of_one_machine_take_a_port_each(processes: Processes) -> None:
    assert processes.web.metrics is not None
    assert processes.worker.metrics is not None
    first = free_port()
    ports = [serve_metrics(replace(one, port=first)) for one in (processes.web.metrics, processes.worker.metrics)]
    assert ports[0] is not None
    assert ports[1] is not None
    assert first <= ports[0] < ports[1] < first + 10
    for port, name in zip(ports, ("gemini_chat_http_requests", "gemini_chat_claimed_replies"), strict=True):
        assert name in httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text


def test_a_room_counts_what_it_refuses() -> None:
    room = Room("full", threads=1, per_client=1)
    room.running = 1
    assert not room.enter("client", lambda: None)
    assert room.refused == 1


@pytest.fixture
def queue(clean_database: str) -> Iterator[SqlQueueState]:
    with closing(SqlQueueState(clean_database, user_concurrency=2, lifetime=timedelta(hours=1))) as queue:
        yield queue


def test_only_what_may_be_claimed_is_due(queue: SqlQueueState, clean_database: str) -> None:
    assert queue() == (0, 0, None, 0, None)
    with sql_world(clean_database) as world:
        user = world.user()
        rooms = [world.room(user) for _ in range(3)]
        for room in (*rooms, rooms[0]):
            world.ask(room)
        assert len(world.claim()) == 2
        # The third room's reply waits for its user, and the other one for the reply before it.
        assert queue()[:3] == (2, 2, None)
        world.pass_time(A_LEASE)
        state = queue()
        assert state.oldest_due is not None


def test_the_first_reply_of_a_chatroom_is_the_first_by_sequence_whatever_its_id(
    queue: SqlQueueState, clean_database: str
) -> None:
    with sql_world(clean_database) as world:
        room = world.room()
        world.ask(room)
        world.ask(room)
        world.claim_one()
        # As from a web process whose clock is ahead.
        world._run("UPDATE replies SET id = 'ffffffff-ffff-7fff-bfff-ffffffffffff' WHERE state = 'running'")
        assert queue()[:3] == (1, 1, None)


def test_replies_that_ended(queue: SqlQueueState, clean_database: str) -> None:
    with sql_world(clean_database) as world:
        world.end_three(world.room())
    assert sorted(queue.ended(timedelta(minutes=1))) == sorted(
        [
            Ended(ReplyState.DONE, None, 1),
            Ended(ReplyState.FAILED, FailureReason.REFUSED, 1),
            Ended(ReplyState.CANCELLED, None, 1),
        ],
        key=lambda one: one.state,
    )


def test_a_locked_table_ends_the_look_and_the_next_one_works(queue: SqlQueueState, clean_database: str) -> None:
    with closing(psycopg2.connect(clean_database)) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE replies IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DependencyDown):
            queue()
        connection.rollback()
        assert queue().queued == 0
