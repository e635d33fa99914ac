"""What every process shows: the servers it asks, its database connections, and the queue."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog
from prometheus_client import CollectorRegistry, Counter, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from adapters.outage import Outage
from application.ports.observation import RoomState
from application.ports.queue_state import ReadQueue
from domain.errors import DependencyDown
from domain.replies import FailureReason, ReplyState

log = structlog.get_logger(__name__)


class ProcessMetrics:
    """A registry of its own: several sets of adapters may exist in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._ended = Counter(
            "gemini_chat_replies_ended", "Replies that ended.", ["state", "reason"], registry=self.registry
        )
        self.payment_events = Counter(
            "gemini_chat_payment_events",
            "Payment events: received, rejected; of those kept as pending: applied later, failed again.",
            ["outcome"],
            registry=self.registry,
        )

    def reply_ended(self, state: ReplyState, reason: FailureReason | None) -> None:
        self._ended.labels(state.value, reason.value if reason else "").inc()


class ServersCollector(Collector):
    """What this process knows of the servers it asks. Nothing is asked for it."""

    def __init__(self, outages: Mapping[str, Outage], pool: Callable[[], tuple[int, int]]) -> None:
        self._outages = outages
        self._pool = pool

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily(
            "gemini_chat_dependency_up", "1 unless the last try found it down.", labels=["dependency"]
        )
        errors = CounterMetricFamily(
            "gemini_chat_dependency_errors", "Tries that found it down or refusing.", labels=["dependency"]
        )
        for name, outage in self._outages.items():
            up.add_metric([name], 0.0 if outage.known else 1.0)
            errors.add_metric([name], outage.errors)
        in_use, size = self._pool()
        return [
            up,
            errors,
            GaugeMetricFamily("gemini_chat_database_connections_in_use", "Connections given out.", value=in_use),
            GaugeMetricFamily("gemini_chat_database_connections_max", "Size of the pool.", value=size),
        ]


class QueueCollector(Collector):
    """Read from the database at each scrape. Every process tells the same: take the maximum, not the sum."""

    def __init__(self, read_queue: ReadQueue) -> None:
        self._read_queue = read_queue

    def collect(self) -> Iterable[Metric]:
        readable = GaugeMetricFamily("gemini_chat_queue_readable", "1 if the state of the queue could be read.")
        try:
            queue = self._read_queue()
        except Exception as error:  # the other metrics must be told all the same
            if not isinstance(error, DependencyDown):
                log.exception("queue_not_read")
            readable.add_metric([], 0)
            return [readable]
        readable.add_metric([], 1)
        unfinished = GaugeMetricFamily(
            "gemini_chat_replies_unfinished", "Replies that are queued or running.", labels=["state"]
        )
        unfinished.add_metric(["queued"], queue.queued)
        unfinished.add_metric(["running"], queue.running)
        return [
            readable,
            unfinished,
            GaugeMetricFamily(
                "gemini_chat_oldest_due_reply_seconds",
                "How long the oldest reply that may be claimed has waited.",
                value=queue.oldest_due or 0.0,
            ),
            GaugeMetricFamily(
                "gemini_chat_payment_events_pending", "Payment events without effect yet.", value=queue.events_pending
            ),
            GaugeMetricFamily(
                "gemini_chat_oldest_pending_payment_event_seconds",
                "How long ago the oldest of them arrived.",
                value=queue.oldest_event or 0.0,
            ),
        ]


class RoomsCollector(Collector):
    def __init__(self, rooms: Callable[[], Sequence[RoomState]]) -> None:
        self._rooms = rooms

    def collect(self) -> Iterable[Metric]:
        threads = GaugeMetricFamily("gemini_chat_room_threads", "Requests answered at once.", labels=["room"])
        running = GaugeMetricFamily("gemini_chat_room_running", "Requests being answered.", labels=["room"])
        waiting = GaugeMetricFamily("gemini_chat_room_waiting", "Requests waiting for their turn.", labels=["room"])
        refused = CounterMetricFamily("gemini_chat_room_refused", "Requests that found it full.", labels=["room"])
        for room in self._rooms():
            threads.add_metric([room.name], room.threads)
            running.add_metric([room.name], room.running)
            waiting.add_metric([room.name], room.waiting)
            refused.add_metric([room.name], room.refused)
        return [threads, running, waiting, refused]
