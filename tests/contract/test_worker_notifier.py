"""The contract of the worker notifier, and what a planted job cannot do."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event, Thread

import pytest
from redis import Redis
from rq import Callback, Queue
from rq.job import JobStatus
from rq.serializers import DefaultSerializer, JSONSerializer
from structlog.testing import capture_logs

from adapters.background_notifier import BackgroundNotifier
from adapters.memory.stores import MemoryWorkerNotifier
from adapters.redis import rq_worker_notifier
from adapters.redis.connection import connect, connect_for_rq
from adapters.redis.rq_worker_notifier import ANSWER_DUE, QUEUE, RqWorkerNotifier, listen
from application.ports.worker_notifier import WorkerNotifier
from tests.concurrency import eventually, together
from tests.contract import planted
from tests.redis_doubles import DOWN, closed_port


class WorkerNotifierContract:
    def test_notifies_and_never_raises(self, worker_notifier: WorkerNotifier, notifications: Callable[[], int]) -> None:
        assert notifications() == 0
        worker_notifier.notify()
        assert eventually(lambda: notifications() >= 1)


class TestMemoryWorkerNotifier(WorkerNotifierContract):
    @pytest.fixture
    def worker_notifier(self) -> MemoryWorkerNotifier:
        return MemoryWorkerNotifier()

    @pytest.fixture
    def notifications(self, worker_notifier: MemoryWorkerNotifier) -> Callable[[], int]:
        return lambda: worker_notifier.notified


class TestBackgroundNotifier(WorkerNotifierContract):
    @pytest.fixture
    def behind(self) -> MemoryWorkerNotifier:
        return MemoryWorkerNotifier()

    @pytest.fixture
    def worker_notifier(self, behind: MemoryWorkerNotifier) -> BackgroundNotifier:
        return BackgroundNotifier(behind)

    @pytest.fixture
    def notifications(self, behind: MemoryWorkerNotifier) -> Callable[[], int]:
        return lambda: behind.notified

    def test_each_message_is_followed_by_a_notification(
        self, worker_notifier: BackgroundNotifier, behind: MemoryWorkerNotifier
    ) -> None:
        for _ in range(3):
            before = behind.notified
            worker_notifier.notify()
            assert eventually(lambda: behind.notified > before)  # noqa: B023 - called before the next round

    def test_notify_does_not_wait(self) -> None:
        class Stuck(WorkerNotifier):
            def __init__(self) -> None:
                self.go_on = Event()

            def notify(self) -> None:
                self.go_on.wait()

        stuck = Stuck()
        notifier = BackgroundNotifier(stuck)
        for _ in range(100):
            notifier.notify()
        stuck.go_on.set()

    def test_one_that_fails_is_followed_by_others(self) -> None:
        class Broken(WorkerNotifier):
            tried = 0

            def notify(self) -> None:
                self.tried += 1
                raise RuntimeError

        broken = Broken()
        notifier = BackgroundNotifier(broken)
        with capture_logs() as logs:
            notifier.notify()
            assert eventually(lambda: broken.tried == 1)
            notifier.notify()
            assert eventually(lambda: broken.tried == 2)
        assert "notification_failed" in [line["event"] for line in logs]

    def test_without_a_thread_nothing_is_raised_and_the_next_one_is_notified(
        self, worker_notifier: BackgroundNotifier, behind: MemoryWorkerNotifier, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(thread: Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as full, capture_logs() as logs:
            full.setattr(Thread, "start", refuse)
            worker_notifier.notify()
        assert [line["event"] for line in logs] == ["notify_failed"]
        worker_notifier.notify()
        assert eventually(lambda: behind.notified == 1)


class Listener:
    """Listens in this thread, and tells this process to stop once it has heard enough."""

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url
        self.heard = 0

    def listen(self, *, until: int, meanwhile: Callable[[], object] | None = None) -> bool:
        """Listen for so many notifications; ``meanwhile`` runs in a thread once we listen. What ``listen`` returned."""

        def answer_due() -> None:
            self.heard += 1
            if self.heard == until:
                os.kill(os.getpid(), signal.SIGTERM)

        def when_listening(action: Callable[[], object]) -> None:
            with connect(self._redis_url) as redis:
                assert eventually(lambda: redis.scard("rq:workers") == 1)
                action()

        with ThreadPoolExecutor(1) as thread:
            done = thread.submit(when_listening, meanwhile) if meanwhile is not None else None
            stopped = listen(connect_for_rq(self._redis_url), answer_due=answer_due)
            if done is not None:
                done.result()
        return stopped


class TestRqWorkerNotifier(WorkerNotifierContract):
    @pytest.fixture
    def redis(self, clean_redis: str) -> Iterator[Redis]:
        with connect(clean_redis) as redis:
            yield redis

    @pytest.fixture
    def worker_notifier(self, redis: Redis) -> RqWorkerNotifier:
        return RqWorkerNotifier(redis)

    @pytest.fixture
    def notifications(self, redis: Redis) -> Callable[[], int]:
        return lambda: int(redis.llen(f"rq:queue:{QUEUE}"))

    @pytest.fixture
    def subscriber(self, clean_redis: str) -> Iterator[Listener]:
        numbers = (signal.SIGINT, signal.SIGTERM)
        handlers = [signal.getsignal(number) for number in numbers]
        yield Listener(clean_redis)
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)

    @pytest.fixture
    def rq_queue(self, redis: Redis) -> Queue:
        """RQ's own queue of the same name, as another program would write to it."""
        return Queue(QUEUE, connection=redis, serializer=JSONSerializer)

    def test_a_notification_wakes_a_listener(self, worker_notifier: WorkerNotifier, subscriber: Listener) -> None:
        assert subscriber.listen(until=1, meanwhile=worker_notifier.notify)
        assert subscriber.heard == 1

    def test_a_notification_waits_for_a_listener(self, worker_notifier: WorkerNotifier, subscriber: Listener) -> None:
        worker_notifier.notify()
        assert subscriber.listen(until=1)

    def test_every_later_notification_is_heard_too(self, worker_notifier: WorkerNotifier, subscriber: Listener) -> None:
        def notify_when_it_was_heard() -> None:
            worker_notifier.notify()
            assert eventually(lambda: subscriber.heard == 1)
            worker_notifier.notify()
            assert eventually(lambda: subscriber.heard == 2)
            worker_notifier.notify()

        assert subscriber.listen(until=3, meanwhile=notify_when_it_was_heard)
        assert subscriber.heard == 3

    def test_unanswered_notifications_are_one(
        self, worker_notifier: WorkerNotifier, notifications: Callable[[], int]
    ) -> None:
        for _ in range(10):
            worker_notifier.notify()
        assert notifications() == 1

    def test_unanswered_notifications_of_a_long_time_are_two(
        self, worker_notifier: WorkerNotifier, notifications: Callable[[], int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rq_worker_notifier, "ASKS_WITHIN_SECONDS", 0.0)
        for _ in range(10):
            worker_notifier.notify()
        assert notifications() == 2

    def test_notifications_of_many_at_once_are_few(
        self, worker_notifier: WorkerNotifier, notifications: Callable[[], int], redis: Redis
    ) -> None:
        together([worker_notifier.notify] * 16)
        assert 1 <= notifications() <= 16
        assert redis.scard("rq:queues") == 1

    def test_an_answered_notification_leaves_nothing_behind(
        self, worker_notifier: WorkerNotifier, subscriber: Listener, redis: Redis
    ) -> None:
        worker_notifier.notify()
        assert subscriber.listen(until=1)
        assert list(redis.scan_iter("rq:job:*")) == []
        assert redis.scard("rq:workers") == 0

    def test_a_notification_is_heard_whatever_became_of_its_job(
        self, worker_notifier: WorkerNotifier, subscriber: Listener, redis: Redis
    ) -> None:
        worker_notifier.notify()
        redis.delete(*redis.scan_iter("rq:job:*"))
        assert subscriber.listen(until=1)

    def test_one_whose_answer_fails_goes_on_listening(self, worker_notifier: WorkerNotifier, clean_redis: str) -> None:
        heard = 0

        def answer_due() -> None:
            nonlocal heard
            heard += 1
            if heard == 1:
                worker_notifier.notify()
                raise RuntimeError("the database went away")
            os.kill(os.getpid(), signal.SIGTERM)

        worker_notifier.notify()
        assert listen(connect_for_rq(clean_redis), answer_due=answer_due)
        assert heard == 2

    # A notification carries no data, and a client that can write to Redis cannot make a worker run anything else.

    def test_a_notification_names_no_user(self, worker_notifier: WorkerNotifier, rq_queue: Queue) -> None:
        worker_notifier.notify()
        (job,) = rq_queue.jobs
        assert (job.func_name, list(job.args), job.kwargs, job.description) == (ANSWER_DUE, [], {}, ANSWER_DUE)

    @pytest.mark.parametrize(
        "name",
        [
            "os.system",
            "subprocess.call",
            "builtins.exec",
            "tests.contract.planted.touch",
            "adapters.redis.rq_worker_notifier.listen",
            "",
            "func",
            "registered.get",
        ],
    )
    def test_a_planted_job_is_not_executed(
        self, name: str, rq_queue: Queue, subscriber: Listener, tmp_path: Path
    ) -> None:
        trace = tmp_path / "trace"
        argument = str(trace) if name.endswith("touch") else f"touch {trace}"
        job = rq_queue.enqueue_call(name, args=[argument], failure_ttl=60)
        rq_queue.enqueue_call(ANSWER_DUE)
        assert subscriber.listen(until=1)
        assert not trace.exists()
        assert job.get_status() is JobStatus.FAILED

    def test_the_callbacks_of_a_planted_job_are_not_executed(self, rq_queue: Queue, subscriber: Listener) -> None:
        callback = Callback("tests.contract.planted.leave_a_trace")
        planted.TRACES.clear()
        rq_queue.enqueue_call("os.system", args=["true"], on_failure=callback, on_success=callback)
        rq_queue.enqueue_call(ANSWER_DUE, on_failure=callback, on_success=callback)
        assert subscriber.listen(until=1)
        assert planted.TRACES == []

    def test_a_planted_pickle_is_not_opened(
        self, rq_queue: Queue, subscriber: Listener, redis: Redis, tmp_path: Path
    ) -> None:
        trace = tmp_path / "trace"

        class Bomb:
            def __reduce__(self) -> tuple[object, ...]:
                return (planted.touch, (str(trace),))

        Queue(QUEUE, connection=redis, serializer=DefaultSerializer).enqueue_call(ANSWER_DUE, args=[Bomb()])
        rq_queue.enqueue_call(ANSWER_DUE)
        assert subscriber.listen(until=1)
        assert not trace.exists()


@pytest.mark.parametrize("down", DOWN)
def test_without_redis_a_notification_is_lost_and_nothing_else(down: Callable[[], AbstractContextManager[str]]) -> None:
    with down() as url, connect(url) as redis:
        RqWorkerNotifier(redis).notify()


def test_without_redis_listening_ends_without_a_request_to_stop() -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with closed_port() as url:
        assert not listen(connect_for_rq(url), answer_due=lambda: None)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
