"""What a web process counts."""

from collections.abc import Callable, Collection, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram

from adapters.metrics.process import ProcessMetrics
from application.ports.feedback import FeedbackStore
from application.ports.observation import RequestObserver
from application.ports.otp_budget import OtpBudget
from application.ports.otp_delivery import NotDelivered, OtpDelivery
from application.ports.payment_events import EventRejected, ReadPaymentEvent
from application.ports.rate_limiter import Hit, RateLimiter, WindowStatus
from application.ports.reply_stream import Chunk, ReplyPublisher
from application.ports.room_list_cache import RoomListCache
from domain.accounts import PhoneNumber, UserId
from domain.billing import PaymentEvent
from domain.chat import MessageId
from domain.errors import OtpSendsExhausted
from domain.feedback import Feedback, Rating
from domain.languages import Language
from domain.one_time_password import Purpose, SendCaps
from domain.replies import ReplyId, ReplyState

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Clients may send any method: they must not make series.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

Observed = tuple[Callable[[], None], Callable[[float], None]]


class RequestMetrics(RequestObserver):
    """Its series are kept by method, route and status: looking up labels costs as much as counting."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "gemini_chat_http_requests", "Responses.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "gemini_chat_http_request_seconds",
            "From the arrival of a request to its response; without those that waited because the client wished.",
            ["method", "route"],
            buckets=SECONDS,
            registry=registry,
        )
        self._series: dict[tuple[str, str | None, int], Observed] = {}

    def __call__(self, *, method: str, route: str | None, status: int, seconds: float | None) -> None:
        key = (method, route, status)
        series = self._series.get(key)
        if series is None:
            series = self._new_series(*key)
            if method in METHODS:
                self._series[key] = series
        count, observe = series
        count()
        if seconds is not None:
            observe(seconds)

    def _new_series(self, method: str, route: str | None, status: int) -> Observed:
        name = method if method in METHODS else "other"
        seconds = self._seconds.labels(name, route or "none")
        return self._requests.labels(name, route or "none", str(status)).inc, seconds.observe


class MeasuredRoomListCache(RoomListCache):
    def __init__(self, cache: RoomListCache, registry: CollectorRegistry) -> None:
        lookups = Counter("gemini_chat_room_list_cache", "Looks into the cache.", ["result"], registry=registry)
        self._hit, self._miss = lookups.labels("hit"), lookups.labels("miss")
        self._cache = cache

    def get(self, user_id: UserId, version: int) -> bytes | None:
        found = self._cache.get(user_id, version)
        (self._miss if found is None else self._hit).inc()
        return found

    def put(self, user_id: UserId, version: int, page: bytes) -> None:
        self._cache.put(user_id, version, page)


class MeasuredFeedbackStore(FeedbackStore):
    """Feedback that is changed counts again; what is withdrawn stays counted."""

    def __init__(self, store: FeedbackStore, registry: CollectorRegistry) -> None:
        self._store = store
        given = Counter("gemini_chat_reply_feedback", "Ratings that users gave replies.", ["rating"], registry=registry)
        self._given = {rating: given.labels(rating.value) for rating in Rating}

    def put(self, user_id: UserId, entry_id: MessageId | ReplyId, feedback: Feedback) -> None:
        self._store.put(user_id, entry_id, feedback)
        self._given[feedback.rating].inc()

    def remove(self, user_id: UserId, entry_id: MessageId | ReplyId) -> None:
        self._store.remove(user_id, entry_id)


class MeasuredRateLimiter(RateLimiter):
    def __init__(self, limiter: RateLimiter, registry: CollectorRegistry) -> None:
        self._limiter = limiter
        self._refused = Counter("gemini_chat_rate_limited", "Hits beyond a limit.", ["limit"], registry=registry)

    def __call__(self, hits: Sequence[Hit]) -> Sequence[WindowStatus]:
        statuses = self._limiter(hits)
        for status in statuses:
            if status.exceeded:
                self._refused.labels(status.limit.name).inc()
        return statuses

    def give_back(self, hits: Sequence[Hit]) -> None:
        self._limiter.give_back(hits)


class OtpMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._sends = Counter(
            "gemini_chat_otp_sends",
            "One-time passwords: sent, not sent, unknown (the provider did not answer), capped.",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("sent", "not_sent", "unknown", "capped"):
            self._sends.labels(outcome)

    def count(self, outcome: str) -> None:
        self._sends.labels(outcome).inc()


class MeasuredOtpDelivery(OtpDelivery):
    def __init__(self, delivery: OtpDelivery, metrics: OtpMetrics) -> None:
        self._delivery = delivery
        self._metrics = metrics

    def deliver(self, phone: PhoneNumber, code: str, purpose: Purpose, language: Language) -> str | None:
        try:
            shown = self._delivery.deliver(phone, code, purpose, language)
        except NotDelivered as failure:
            self._metrics.count("not_sent" if failure.surely else "unknown")
            raise
        self._metrics.count("sent")
        return shown


class MeasuredOtpBudget(OtpBudget):
    def __init__(self, budget: OtpBudget, metrics: OtpMetrics) -> None:
        self._budget = budget
        self._metrics = metrics

    def take(self, phone: PhoneNumber, address: str | None, caps: SendCaps, *, known: bool = False) -> None:
        try:
            self._budget.take(phone, address, caps, known=known)
        except OtpSendsExhausted:
            self._metrics.count("capped")
            raise

    def give_back(self, phone: PhoneNumber, address: str | None, caps: SendCaps, *, known: bool = False) -> None:
        self._budget.give_back(phone, address, caps, known=known)


class MeasuredEventReader(ReadPaymentEvent):
    def __init__(self, read_event: ReadPaymentEvent, metrics: ProcessMetrics) -> None:
        self._read_event = read_event
        self._received = metrics.payment_events.labels("received")
        self._rejected = metrics.payment_events.labels("rejected")

    def __call__(self, body: bytes, signature: str | None) -> PaymentEvent:
        try:
            event = self._read_event(body, signature)
        except EventRejected:
            self._rejected.inc()
            raise
        self._received.inc()
        return event


class MeasuredPublisher(ReplyPublisher):
    """In a web process the last chunk of a reply means that it was cancelled while it was queued."""

    def __init__(self, publisher: ReplyPublisher, metrics: ProcessMetrics) -> None:
        self._publisher = publisher
        self._metrics = metrics

    def publish(self, reply_id: ReplyId, chunk: Chunk) -> None:
        if chunk.final:
            self._metrics.reply_ended(ReplyState.CANCELLED, None)
        self._publisher.publish(reply_id, chunk)

    def forget(self, reply_ids: Collection[ReplyId]) -> None:
        self._publisher.forget(reply_ids)
