"""The whole application on fakes, so that a test reads as what users do.

    house = House()
    asha = house.user("+919876543210")
    room = house.room(asha)
    house.say(asha, room, "hi")
    house.work()
    assert house.conversation(asha, room) == [("user", "hi"), ("bot", "echo: hi")]

Wired as the running service is; only what is outside is of memory.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar, cast

from dependency_injector import containers, providers

from adapters.crypto.common_passwords import ListedCommonPasswords
from adapters.crypto.hmac_phone_digest import HmacPhoneDigest
from adapters.crypto.jwt_access_tokens import JwtAccessTokens
from adapters.memory.audit import MemoryAuditReader
from adapters.memory.doubles import (
    CountingIds,
    CountingRefreshTokens,
    Outbox,
    PlainPasswordHasher,
    RecordingErasureHook,
    ScriptedLanguageModel,
    SettableClock,
)
from adapters.memory.export import MemoryExport, MemoryRoomExport
from adapters.memory.feedback import MemoryFeedbackStore
from adapters.memory.ledger import MemoryLedger
from adapters.memory.payments import MemoryPayments
from adapters.memory.reader import MemoryReader
from adapters.memory.reply_files import MemoryReplyFiles
from adapters.memory.search import MemorySearch, MemorySearchIndex
from adapters.memory.stores import (
    MemoryOtpBudget,
    MemoryOtpStore,
    MemoryRateLimiter,
    MemoryReplyStream,
    MemoryRoomListCache,
    MemoryWorkerNotifier,
)
from adapters.memory.tables import MemoryDatabase, ReplyRow
from adapters.memory.unit_of_work import MemoryUnitOfWork, MemoryUnitOfWorkFactory
from adapters.otp_delivery.phone_numbers import LibPhoneNumberReader, ServedCountries
from adapters.stripe.webhook_events import StripeEventReader
from application.auth.rate_limits import RequestLimits
from application.auth.sessions import LoggedIn
from application.background_use_cases import Administration, BillingMaintenance, ReplyUseCases
from application.billing.subscribe import ReturnUrls
from application.chat.follow_reply import Stream, StreamEvent, Wait, Waiting
from application.chat.send_message import SentMessage
from application.ports.health import Fault, Faults, Part, Probe
from application.ports.language_model import LanguageModel, Stop
from application.ports.payment_events import ReadPaymentEvent
from application.ports.payments import Payments
from application.ports.reader import Entry
from application.ports.reply_stream import START, Chunk, Position, ReplySubscription
from application.ports.runtime import Clock, NewCode
from application.ports.unit_of_work import UnitOfWorkFactory
from application.ports.worker_heartbeat import WorkerHeartbeat
from application.use_cases import UseCases
from domain.accounts import PhoneNumber, Principal
from domain.billing import BillingPolicy, RetryEvents, Subscription, SubscriptionStatus
from domain.chat import ChatroomId, MessageId
from domain.errors import DependencyDown, OtpResendTooSoon
from domain.languages import Language
from domain.one_time_password import FixedCode, Purpose, SendCaps
from domain.plans import Allowance, Allowances, Plan
from domain.replies import ClaimedReply, ReplyId, ReplyPolicy, ReplyState, Slots, basic_places
from entrypoints.container.administration import administration
from entrypoints.container.background_use_cases import billing_maintenance, replying
from entrypoints.container.use_cases import auth_use_cases, billing_use_cases, chat_use_cases, check_readiness
from entrypoints.container.web_adapters import WebAdapters
from entrypoints.container.worker_adapters import WorkerAdapters

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
SIGNING_KEY = b"a key that only the tests know, and everybody may"

PRICE = "price_pro"
WEBHOOK_SECRET = "whsec_of_the_tests"
PUBLIC_URL = "https://chat.example"

AUDIT_RETENTION = timedelta(days=400)
LONGEST_SESSION = timedelta(days=365)

T = TypeVar("T")
ASHA = "+919876543210"
RAVI = "+919876543211"


class Switch:
    """A server that answers while it is ``on``."""

    def __init__(self) -> None:
        self.on = True


class SettableProbe(Probe):
    """Finds the faults that a test has set, and a database that is switched off."""

    def __init__(self, database: Switch) -> None:
        self.faults: dict[Part, Fault] = {}
        self._database = database

    def __call__(self) -> Faults:
        return self.faults if self._database.on else {Part.DATABASE: Fault.UNREACHABLE, **self.faults}


class CountingHeartbeat(WorkerHeartbeat):
    def __init__(self) -> None:
        self.announced = 0

    def announce(self) -> None:
        self.announced += 1


class SwitchedUnitOfWorkFactory(UnitOfWorkFactory):
    """Raises DependencyDown while the database is switched off."""

    def __init__(self, database: MemoryDatabase, switch: Switch) -> None:
        self._unit_of_work = MemoryUnitOfWorkFactory(database)
        self._switch = switch
        # Done before each: what another process does in between.
        self.before_each: Callable[[], object] = bool

    def __call__(self) -> AbstractContextManager[MemoryUnitOfWork]:
        self._raise_if_down()
        return self._unit_of_work()

    def autocommit(self) -> AbstractContextManager[MemoryUnitOfWork]:
        self._raise_if_down()
        return self._unit_of_work.autocommit()

    def _raise_if_down(self) -> None:
        self.before_each()
        if not self._switch.on:
            raise DependencyDown("database")


class SwitchedReader:
    """A Reader that raises DependencyDown while the database is switched off."""

    def __init__(self, database: MemoryDatabase, switch: Switch) -> None:
        self._reader = MemoryReader(database)
        self._switch = switch

    def __getattr__(self, question: str) -> Callable[..., Any]:
        def ask(*args: Any, **values: Any) -> Any:
            if not self._switch.on:
                raise DependencyDown("database")
            return getattr(self._reader, question)(*args, **values)

        return ask


class ShowingOutbox(Outbox):
    """As OTP_DELIVERY=response: the answer shows the code."""

    def deliver(self, phone: PhoneNumber, code: str, purpose: Purpose, language: Language) -> str | None:
        super().deliver(phone, code, purpose, language)
        return code


class CountingCodes(NewCode):
    """100001, 100002, …, so that 000000 is always a wrong code."""

    def __init__(self) -> None:
        self._count = count(1)

    def __call__(self, digits: int) -> str:
        return f"1{next(self._count):0{digits - 1}d}"


class Meanwhile:
    """Runs the next step that the test has planned instead of waiting; without one, advances the clock."""

    def __init__(self, clock: SettableClock) -> None:
        self._clock = clock
        self._plan: deque[Callable[[], object]] = deque()

    def plan(self, *steps: Callable[[], object]) -> None:
        """Adds steps; each wait runs one of them."""
        self._plan.extend(steps)

    def __call__(self, seconds: float) -> None:
        if self._plan:
            self._plan.popleft()()
        else:
            self._clock.advance(timedelta(seconds=seconds))


class MeanwhileSubscription(ReplySubscription):
    """Runs ``meanwhile`` instead of waiting."""

    confirmed = True

    def __init__(self, subscription: ReplySubscription, meanwhile: Meanwhile) -> None:
        self._subscription = subscription
        self._meanwhile = meanwhile

    def next(self, *, within: float) -> Chunk | None:
        chunk = self._subscription.next(within=0)
        if chunk is None:
            self._meanwhile(within)
            chunk = self._subscription.next(within=0)
        return chunk

    def when_ready(self, callback: Callable[[], None]) -> None:
        self._subscription.when_ready(callback)


def events_of(stream: Stream) -> Iterator[StreamEvent]:
    """The events of a stream, one after the other; its waits are waited for here."""
    chunk: Chunk | None = None
    with suppress(StopIteration):
        while True:
            step = stream.send(chunk)
            chunk = None
            if isinstance(step, Wait):
                assert step.source is not None
                chunk = step.source.next(within=step.seconds)
            else:
                yield step


class MeanwhileStream(MemoryReplyStream):
    """A reply stream for tests with one thread."""

    def __init__(self, meanwhile: Meanwhile) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    @contextmanager
    def listen(self, reply_id: ReplyId) -> Iterator[ReplySubscription]:
        with super().listen(reply_id) as subscription:
            yield MeanwhileSubscription(subscription, self._meanwhile)


class MemoryAdapters(containers.DeclarativeContainer):
    """All the adapters, in memory."""

    now = providers.Dependency(instance_of=datetime)
    allowances = providers.Dependency(instance_of=Mapping)  # type: ignore[type-abstract]
    reply_policy = providers.Dependency(instance_of=ReplyPolicy)
    history_tokens = providers.Dependency(instance_of=int)
    max_chatrooms = providers.Dependency(instance_of=int)
    otp_delivery = providers.Dependency(instance_of=Outbox)

    clock = providers.Singleton(SettableClock, now)
    new_id = providers.Singleton(CountingIds)
    new_code = providers.Singleton(CountingCodes)
    meanwhile = providers.Singleton(Meanwhile, clock)

    database = providers.Singleton(MemoryDatabase, clock)
    database_probe = providers.Singleton(Switch)
    unit_of_work = providers.Singleton(SwitchedUnitOfWorkFactory, database, database_probe)
    reader = providers.Singleton(SwitchedReader, database, database_probe)

    probe = providers.Singleton(SettableProbe, database_probe)
    worker_heartbeat = providers.Singleton(CountingHeartbeat)
    otp_store = providers.Singleton(MemoryOtpStore, clock)
    room_list_cache = providers.Singleton(MemoryRoomListCache)
    worker_notifier = providers.Singleton(MemoryWorkerNotifier)
    reply_publisher = reply_subscriber = providers.Singleton(MeanwhileStream, meanwhile)

    access_tokens = providers.Singleton(JwtAccessTokens, SIGNING_KEY)
    access_token_lifetime = providers.Object(timedelta(minutes=15))
    longest_session = providers.Object(LONGEST_SESSION)
    refresh_tokens = providers.Singleton(CountingRefreshTokens)
    phone_digest = providers.Singleton(HmacPhoneDigest, b"a key of the tests")
    older_phone_digests = providers.Object((HmacPhoneDigest(b"a key that was replaced"),))
    rate_limiter = providers.Singleton(MemoryRateLimiter, clock)
    request_limits = providers.Dependency(instance_of=RequestLimits)
    otp_budget = providers.Singleton(MemoryOtpBudget, clock)
    otp_caps = providers.Dependency(instance_of=SendCaps)
    fixed_codes = providers.Dependency(instance_of=tuple)
    is_served = providers.Dependency(instance_of=ServedCountries)
    is_common_password = providers.Singleton(ListedCommonPasswords)
    export = providers.Singleton(MemoryExport, database)
    room_export = providers.Singleton(MemoryRoomExport, database)
    feedback_store = providers.Singleton(MemoryFeedbackStore, database)
    audit_reader = providers.Singleton(MemoryAuditReader, database)
    reply_files = providers.Singleton(MemoryReplyFiles, database)
    search = providers.Singleton(MemorySearch, database)
    search_index = providers.Singleton(MemorySearchIndex, database)
    password_hasher = providers.Singleton(PlainPasswordHasher)
    read_phone_number = providers.Singleton(LibPhoneNumberReader, default_region="IN", only_valid=False)
    language_model = providers.Singleton(ScriptedLanguageModel)

    audit_retention = providers.Object(AUDIT_RETENTION)

    ledger = providers.Singleton(MemoryLedger, database)
    payments: providers.Dependency[Payments] = providers.Dependency()
    read_payment_event = providers.Singleton(StripeEventReader, secrets=[WEBHOOK_SECRET], clock=clock)
    billing_policy = providers.Object(BillingPolicy(price=PRICE))
    return_urls = providers.Object(ReturnUrls(PUBLIC_URL, frozenset({"https://app.example"})))
    retry_events = providers.Object(RetryEvents())
    reconcile_every = providers.Object(timedelta(hours=1))


class House:
    """The application, its people and the hands of its worker. Time stands still until ``clock`` is moved."""

    def __init__(
        self,
        *,
        basic_daily_prompts: int = 5,
        allowances: Allowances | None = None,
        reply_policy: ReplyPolicy | None = None,
        history_tokens: int = 0,
        max_chatrooms: int = 1_000,
        now: datetime = NOW,
        shows_codes: bool = False,
        request_limits: RequestLimits = RequestLimits(),  # noqa: B008 - a value
        otp_caps: SendCaps = SendCaps(per_number=1_000),  # noqa: B008 - a value
        fixed_codes: tuple[FixedCode, ...] = (),
        otp_countries: tuple[str, ...] = (),
        billing_policy: BillingPolicy | None = None,
        payments: Callable[[Clock], Payments] | None = None,
        language_model: Callable[[Clock], LanguageModel] | None = None,
        read_event: ReadPaymentEvent | None = None,
    ) -> None:
        """An empty house. ``shows_codes``: one-time passwords are in the answers, as in development.

        ``payments``, ``language_model``: make another payment provider or model than the one in memory.
        """
        self.policy = reply_policy or ReplyPolicy()
        self.outbox: Outbox = ShowingOutbox() if shows_codes else Outbox()
        memory = MemoryAdapters(
            now=now,
            allowances=allowances or {Plan.BASIC: Allowance(basic_daily_prompts), Plan.PRO: Allowance(None)},
            reply_policy=self.policy,
            history_tokens=history_tokens,
            max_chatrooms=max_chatrooms,
            otp_delivery=self.outbox,
            request_limits=request_limits,
            otp_caps=otp_caps,
            fixed_codes=fixed_codes,
            is_served=ServedCountries(otp_countries),
        )
        self.clock: SettableClock = memory.clock()
        if billing_policy is not None:
            memory.billing_policy.override(billing_policy)
        if read_event is not None:
            memory.read_payment_event.override(providers.Object(read_event))
        self.payments = MemoryPayments(self.clock)
        memory.payments.override(payments(self.clock) if payments else self.payments)
        self.model: ScriptedLanguageModel = memory.language_model()
        if language_model is not None:
            memory.language_model.override(providers.Object(language_model(self.clock)))
        self.database: MemoryDatabase = memory.database()
        self.unit_of_work: SwitchedUnitOfWorkFactory = memory.unit_of_work()
        self.worker_notifier: MemoryWorkerNotifier = memory.worker_notifier()
        self.meanwhile: Meanwhile = memory.meanwhile()
        self.stream: MeanwhileStream = memory.reply_publisher()
        self.otp_store: MemoryOtpStore = memory.otp_store()
        self.room_list_cache: MemoryRoomListCache = memory.room_list_cache()
        self.erasure_hook = RecordingErasureHook()
        self.database_probe: Switch = memory.database_probe()
        self.probe: SettableProbe = memory.probe()
        self.worker_heartbeat: CountingHeartbeat = memory.worker_heartbeat()
        web, worker = WebAdapters(), WorkerAdapters()
        web.override(memory)
        worker.override(memory)
        self.use_cases = UseCases(
            auth=auth_use_cases(web, erasure_hook=self.erasure_hook),
            chat=chat_use_cases(web),
            billing=billing_use_cases(web),
            check_readiness=check_readiness(web),
        )
        self.replying: ReplyUseCases = replying(worker)
        self.maintenance: BillingMaintenance = billing_maintenance(worker)
        self.administration: Administration = administration(web)

    # --- People ---

    def code(self, phone: str, purpose: Purpose = Purpose.LOGIN) -> str:
        """A code that was just sent to ``phone``; where one was sent a moment ago, time moves on until it may be."""
        request_code = self.use_cases.auth.request_code
        try:
            request_code(mobile_number=phone, purpose=purpose)
        except OtpResendTooSoon as too_soon:
            self.clock.advance(timedelta(seconds=too_soon.retry_after))
            request_code(mobile_number=phone, purpose=purpose)
        return self.outbox.last_code()

    def log_in(self, phone: str) -> LoggedIn:
        """Log in by one-time password; a new number becomes an account."""
        return self.use_cases.auth.verify_code(mobile_number=phone, code=self.code(phone))

    def token(self, phone: str) -> str:
        """The token of a new login by one-time password."""
        return self.log_in(phone).token

    def user(self, phone: str) -> Principal:
        """A user who has just logged in by one-time password."""
        return self.use_cases.auth.authenticate(self.token(phone))

    def user_with_password(self, phone: str, password: str) -> Principal:
        """A user who has just logged in by one-time password, and has a password too."""
        principal = self.user(phone)
        self.use_cases.auth.change_password(principal=principal, new_password=password)
        return principal

    def subscribe(self, principal: Principal, status: SubscriptionStatus = SubscriptionStatus.ACTIVE) -> None:
        """Give a user a subscription: with ``ACTIVE`` they are Pro."""
        ends = self.clock() + timedelta(days=30)
        self.database.tables.subscriptions[principal.user_id] = Subscription(status, ends, cancel_at_period_end=False)

    # --- Rooms and messages ---

    def room(self, principal: Principal, name: str | None = "Room", *, system_prompt: str | None = None) -> ChatroomId:
        opened = self.use_cases.chat.open_chatroom(user_id=principal.user_id, name=name, system_prompt=system_prompt)
        return opened.chatroom.id

    def list_version(self, principal: Principal) -> int:
        """The version of the user's list of chatrooms."""
        found = MemoryReader(self.database).principal_with_list_version(principal.session_id)
        assert found is not None
        return found[1]

    def remove_room(self, principal: Principal, room: ChatroomId) -> None:
        self.use_cases.chat.remove_chatroom(user_id=principal.user_id, chatroom_id=room)

    def say(self, principal: Principal, room: ChatroomId, text: str, *, key: str | None = None) -> SentMessage:
        return self.use_cases.chat.send_message(
            sender=principal.user_id, chatroom_id=room, text=text, idempotency_key=key
        )

    def cancel(self, principal: Principal, entry_id: MessageId | ReplyId) -> ReplyState:
        """Stop a reply; what state that leaves it in."""
        return self.use_cases.chat.cancel_reply(user_id=principal.user_id, entry_id=entry_id)[1]

    def retry(self, principal: Principal, entry_id: MessageId | ReplyId) -> SentMessage:
        return self.use_cases.chat.ask_again.retry(user_id=principal.user_id, entry_id=entry_id)

    def regenerate(self, principal: Principal, entry_id: MessageId | ReplyId) -> SentMessage:
        return self.use_cases.chat.ask_again.regenerate(user_id=principal.user_id, entry_id=entry_id)

    def entry(self, principal: Principal, entry_id: MessageId | ReplyId) -> Entry:
        """One message or one reply, as its owner reads it."""
        return self.use_cases.chat.read_entry(user_id=principal.user_id, entry_id=entry_id)

    def follow(
        self, principal: Principal, entry_id: MessageId | ReplyId, *, after: Position = START
    ) -> Iterator[StreamEvent]:
        """Watch a reply being written."""
        return events_of(self.use_cases.chat.follow_reply(user_id=principal.user_id, entry_id=entry_id, after=after))

    def finish(self, waiting: Waiting[T]) -> T:
        """Take the steps of a use case that waits, to its end; time passes as the test has planned."""
        chunk: Chunk | None = None
        while True:
            try:
                wait = waiting.send(chunk)
            except StopIteration as end:
                return cast("T", end.value)
            if wait.source is None:
                self.meanwhile(wait.seconds)
                chunk = None
            else:
                chunk = wait.source.next(within=wait.seconds)

    def conversation(self, principal: Principal, room: ChatroomId) -> list[tuple[str, str]]:
        """Who said what: ``("user", text)``, then ``("bot", text)``, or the state and the failure of the reply."""
        said = []
        for turn in self.use_cases.chat.read_chatroom(user_id=principal.user_id, chatroom_id=room).turns:
            said.append(("user", turn.content))
            if turn.reply_state is ReplyState.DONE:
                said.append(("bot", turn.reply_content or ""))
            else:
                said.append((turn.reply_state.value, turn.failure.value if turn.failure else ""))
        return said

    def reply(self, sent: SentMessage) -> ReplyRow:
        """The row of the reply to a message."""
        return self.database.tables.replies[sent.reply_id]

    def used(self, principal: Principal) -> int:
        """How many of today's prompts a user has used."""
        return self.use_cases.billing.show_plan_status(user_id=principal.user_id).quota.used

    # --- The worker ---

    def claim(self, limit: int = 100) -> list[ClaimedReply]:
        """Take what is due, and write none of it: into so many slots of a worker in which Basic has its share."""
        return list(self.replying.claim(Slots(total=100, free=limit, basic=basic_places(100, turn=0))))

    def claim_one(self) -> ClaimedReply:
        """Take the only reply that is due."""
        [claimed] = self.claim()
        return claimed

    def write(self, reply: ClaimedReply, *, stop: Stop | None = None) -> ReplyState | None:
        """Ask the model for a claimed reply and store what came of it: the state that leaves it in."""
        outcome = self.replying.ask_model(reply, stop=stop or Stop())
        stored = self.replying.store_outcome(reply, outcome)
        return stored.state if stored else None

    def work(self) -> list[ReplyState | None]:
        """Claim and write everything due, until nothing is; what each attempt came to."""
        states = []
        while claimed := self.claim():
            states += [self.write(reply) for reply in claimed]
        return states

    def sweep(self) -> int:
        """Fail expired replies; how many that were."""
        return len(self.replying.fail_expired())


class OneReply:
    """A house in which Asha has sent one message, and the reply to it, which waits in the queue."""

    def __init__(self, *, key: str | None = None, **options: Any) -> None:
        self.house = House(**options)
        self.asha = self.house.user(ASHA)
        self.room = self.house.room(self.asha)
        self.sent = self.house.say(self.asha, self.room, "hi", key=key)

    @property
    def row(self) -> ReplyRow:
        return self.house.reply(self.sent)

    @property
    def state(self) -> ReplyState:
        return self.row.state

    @property
    def used(self) -> int:
        """How many prompts Asha was charged and not given back."""
        return self.house.used(self.asha)

    def follow(self, after: Position = START) -> Iterator[StreamEvent]:
        """Watch it being written."""
        return self.house.follow(self.asha, self.sent.reply_id, after=after)
