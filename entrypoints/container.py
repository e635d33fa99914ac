"""The composition root: the only place that knows the adapters, and the only one that knows dependency_injector."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from dependency_injector import containers, providers

from adapters.bcrypt_password_hasher import BcryptPasswordHasher
from adapters.jwt_access_tokens import JwtAccessTokens
from adapters.no_payments import NoPayments
from adapters.offline_language_model import OfflineLanguageModel
from adapters.otp_delivery import ConsoleOtpDelivery, ResponseOtpDelivery
from adapters.phone_numbers import LibPhoneNumberReader
from adapters.redis_connection import RedisProbe, connect, connect_for_rq
from adapters.redis_otp_store import RedisOtpStore
from adapters.redis_room_list_cache import RedisRoomListCache
from adapters.redis_worker_presence import RedisWorkerPresence
from adapters.rq_job_queue import RqJobQueue, listen
from adapters.sql.database import Database, make_engine
from adapters.sql.ledger import SqlLedger
from adapters.sql.migrate import new_migration, upgrade
from adapters.sql.reader import SqlReader
from adapters.sql.unit_of_work import SqlUnitsOfWork
from adapters.stripe_events import StripeEventReader
from adapters.stripe_sandbox.fake import FakeStripe
from adapters.stripe_sandbox.sandbox import Sandbox, WebhookDelivery
from adapters.stripe_sandbox.state import StateInFile
from adapters.system_runtime import Uuid7Ids, random_code, system_clock
from application.auth.one_time_passwords import RequestCode, VerifyCode
from application.auth.passwords import ChangePassword, LogIn, ResetPassword
from application.auth.profile import ShowProfile
from application.auth.sessions import Authenticate, StartSession
from application.auth.sign_up import SignUp
from application.billing.ledger import Explain, ShowDays
from application.billing.manage import EndBilling, OpenPortal, SetRenewal, SyncCheckout
from application.billing.payment_events import (
    ApplyPaymentEvent,
    ApplyPendingEvents,
    ReceivePaymentEvent,
    ReplayPaymentEvent,
)
from application.billing.reconcile import Reconcile
from application.billing.standing import ShowStanding
from application.billing.subscribe import ReturnUrls, Subscribe
from application.billing.sync import SyncSubscription
from application.chat.rooms import ListChatrooms, OpenChatroom, ReadChatroom
from application.chat.send_message import SendMessage
from application.chat.write_reply import ClaimReplies, FailHopelessReplies, ReleaseReply, WriteReply
from application.ports.language_model import LanguageModel
from application.ports.payment_sandbox import PaymentSandbox
from application.ports.payments import Payments
from application.readiness import CheckReadiness
from application.use_cases import Auth, Billing, BillingUpkeep, Chat, Replying, UseCases
from domain.billing import BillingPolicy, RetryEvents
from domain.one_time_password import OtpPolicy
from domain.plans import Allowance, Allowances, Plan
from domain.replies import ReplyPolicy
from entrypoints.settings import Settings
from entrypoints.worker.run import WorkerParts

log = structlog.get_logger(__name__)

__all__ = ["build_operator", "build_web", "build_worker", "new_migration", "upgrade"]

# Until there are refresh tokens a login lasts a day; a session that is ended stops working at once all the same.
SESSION_LIFETIME = timedelta(days=1)

# Connections of a worker: its replies need one for a few milliseconds at the beginning and at the end.
WORKER_CONNECTIONS = 8


def allowances_of(settings: Settings) -> Allowances:
    """What each plan allows. Limits are data."""
    return {Plan.BASIC: Allowance(settings.basic_daily_prompts), Plan.PRO: Allowance(None)}


def reply_policy_of(settings: Settings) -> ReplyPolicy:
    """How long and how often a reply is tried."""
    return ReplyPolicy(
        lease=settings.reply_lease,
        max_attempts=settings.reply_max_attempts,
        deadline=settings.reply_deadline,
    )


def _language_model(settings: Settings) -> LanguageModel:
    if settings.llm_provider == "offline":
        return OfflineLanguageModel()
    # Imported here: the SDK takes half a second and 50 MB, which no other process should pay.
    from adapters.gemini_language_model import GeminiLanguageModel  # noqa: PLC0415

    return GeminiLanguageModel(
        api_key=settings.gemini_api_key.reveal(),
        model=settings.gemini_model,
        base_url=settings.gemini_base_url,
    )


SANDBOX_PRICE = "price_sandbox_pro"
SANDBOX_KEY = "sk_test_sandbox"  # not a secret: it opens nothing but the stand-in in this process


def billing_policy_of(settings: Settings) -> BillingPolicy:
    """What is sold, and what is done where payments go wrong."""
    return BillingPolicy(
        price=settings.stripe_price_id or SANDBOX_PRICE,
        old_prices=settings.stripe_old_price_ids,
        grace=settings.past_due_grace,
        cancels_duplicates=settings.duplicate_subscriptions == "cancel",
        cancels_on_dispute=settings.disputed_payments == "cancel",
    )


def webhook_secrets_of(settings: Settings) -> list[str]:
    """What events may be signed with. The sandbox signs with a secret of its own."""
    if settings.payment_provider == "sandbox":
        return [_sandbox_secret(settings)]
    return [secret.reveal() for secret in settings.stripe_webhook_secrets]


def _sandbox_secret(settings: Settings) -> str:
    return "whsec_" + _key_for("sandbox-webhook", settings).hex()


def _sandbox(settings: Settings) -> Sandbox | None:
    if settings.payment_provider != "sandbox":
        return None
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 - everywhere is also here
    stripe = FakeStripe(
        state=StateInFile(settings.data_dir / "sandbox-payments.json"),
        clock=system_clock,
        api_key=SANDBOX_KEY,
        prices=frozenset({billing_policy_of(settings).price}),
        pages=f"{settings.public_url}/sandbox",
    )
    return Sandbox(
        stripe,
        clock=system_clock,
        deliver=WebhookDelivery(f"http://{host}:{settings.port}/webhook/stripe"),
        secret=_sandbox_secret(settings),
    )


def _payments(settings: Settings, sandbox: Sandbox | None) -> Payments:
    if settings.payment_provider == "none":
        return NoPayments()
    # Imported here: a service that sells nothing need not carry the library.
    from adapters.stripe_payments import StripePayments  # noqa: PLC0415

    if sandbox is not None:
        return StripePayments(api_key=SANDBOX_KEY, transport=sandbox.handle)
    return StripePayments(api_key=settings.stripe_secret_key.reveal(), base_url=settings.stripe_api_base)


def _key_for(use: str, settings: Settings) -> bytes:
    """A key of its own for each use of the one secret (NIST SP 800-108: separate keys for separate purposes)."""
    return hmac.new(settings.jwt_secret.reveal().encode(), use.encode(), hashlib.sha256).digest()


class Inside(containers.DeclarativeContainer):
    """The stories, wired to whatever adapters ``outside`` provides."""

    outside = providers.DependenciesContainer()
    otp_policy = providers.Object(OtpPolicy())

    start_session = providers.Factory(
        StartSession,
        access_tokens=outside.access_tokens,
        new_id=outside.new_id,
        lifetime=SESSION_LIFETIME,
    )
    auth = providers.Factory(
        Auth,
        sign_up=providers.Factory(
            SignUp,
            begin=outside.begin,
            read_phone_number=outside.read_phone_number,
            password_hasher=outside.password_hasher,
            clock=outside.clock,
            new_id=outside.new_id,
        ),
        request_code=providers.Factory(
            RequestCode,
            otp_store=outside.otp_store,
            otp_delivery=outside.otp_delivery,
            read_phone_number=outside.read_phone_number,
            new_code=outside.new_code,
            policy=otp_policy,
        ),
        verify_code=providers.Factory(
            VerifyCode,
            begin=outside.begin,
            otp_store=outside.otp_store,
            read_phone_number=outside.read_phone_number,
            start_session=start_session,
            clock=outside.clock,
            new_id=outside.new_id,
            policy=otp_policy,
        ),
        log_in=providers.Factory(
            LogIn,
            begin=outside.begin,
            read_phone_number=outside.read_phone_number,
            password_hasher=outside.password_hasher,
            start_session=start_session,
            clock=outside.clock,
        ),
        reset_password=providers.Factory(
            ResetPassword,
            begin=outside.begin,
            otp_store=outside.otp_store,
            read_phone_number=outside.read_phone_number,
            password_hasher=outside.password_hasher,
            clock=outside.clock,
            new_id=outside.new_id,
            policy=otp_policy,
        ),
        change_password=providers.Factory(
            ChangePassword,
            begin=outside.begin,
            otp_store=outside.otp_store,
            password_hasher=outside.password_hasher,
            clock=outside.clock,
            policy=otp_policy,
        ),
        authenticate=providers.Factory(
            Authenticate,
            access_tokens=outside.access_tokens,
            reader=outside.reader,
            clock=outside.clock,
        ),
        show_profile=providers.Factory(ShowProfile, reader=outside.reader, allowances=outside.allowances),
    )
    chat = providers.Factory(
        Chat,
        open_chatroom=providers.Factory(
            OpenChatroom,
            begin=outside.begin,
            room_list_cache=outside.room_list_cache,
            clock=outside.clock,
            new_id=outside.new_id,
        ),
        list_chatrooms=providers.Factory(ListChatrooms, reader=outside.reader, room_list_cache=outside.room_list_cache),
        read_chatroom=providers.Factory(ReadChatroom, reader=outside.reader),
        send_message=providers.Factory(
            SendMessage,
            begin=outside.begin,
            job_queue=outside.job_queue,
            clock=outside.clock,
            new_id=outside.new_id,
            allowances=outside.allowances,
            policy=outside.reply_policy,
        ),
    )
    sync_subscription = providers.Factory(
        SyncSubscription, begin=outside.begin, payments=outside.payments, policy=outside.billing_policy
    )
    apply_payment_event = providers.Factory(
        ApplyPaymentEvent,
        begin=outside.begin,
        payments=outside.payments,
        sync=sync_subscription,
        policy=outside.billing_policy,
    )
    billing = providers.Factory(
        Billing,
        show_standing=providers.Factory(ShowStanding, reader=outside.reader, allowances=outside.allowances),
        show_days=providers.Factory(ShowDays, ledger=outside.ledger),
        subscribe=providers.Factory(
            Subscribe,
            begin=outside.begin,
            payments=outside.payments,
            sync=sync_subscription,
            policy=outside.billing_policy,
            return_urls=outside.return_urls,
            clock=outside.clock,
            new_id=outside.new_id,
        ),
        receive_event=providers.Factory(
            ReceivePaymentEvent,
            begin=outside.begin,
            read_event=outside.read_payment_event,
            apply=apply_payment_event,
            retry=outside.retry_events,
        ),
        open_portal=providers.Factory(
            OpenPortal, begin=outside.begin, payments=outside.payments, return_urls=outside.return_urls
        ),
        set_renewal=providers.Factory(
            SetRenewal, begin=outside.begin, payments=outside.payments, sync=sync_subscription
        ),
        sync_checkout=providers.Factory(
            SyncCheckout, begin=outside.begin, payments=outside.payments, sync=sync_subscription
        ),
        end_billing=providers.Factory(EndBilling, begin=outside.begin, payments=outside.payments),
    )
    billing_upkeep = providers.Factory(
        BillingUpkeep,
        apply_pending=providers.Factory(
            ApplyPendingEvents, begin=outside.begin, apply=apply_payment_event, retry=outside.retry_events
        ),
        reconcile=providers.Factory(
            Reconcile,
            begin=outside.begin,
            sync=sync_subscription,
            clock=outside.clock,
            every=outside.reconcile_every,
        ),
        replay=providers.Factory(ReplayPaymentEvent, begin=outside.begin, apply=apply_payment_event),
        explain=providers.Factory(Explain, ledger=outside.ledger, reader=outside.reader, allowances=outside.allowances),
    )
    use_cases = providers.Factory(
        UseCases,
        auth=auth,
        chat=chat,
        billing=billing,
        check_readiness=providers.Factory(
            CheckReadiness,
            database=outside.database_probe,
            redis=outside.redis_probe,
            workers=outside.worker_presence,
        ),
    )
    replying = providers.Factory(
        Replying,
        claim=providers.Factory(ClaimReplies, begin=outside.begin, policy=outside.reply_policy),
        write=providers.Factory(
            WriteReply,
            begin=outside.begin,
            language_model=outside.language_model,
            policy=outside.reply_policy,
        ),
        release=providers.Factory(ReleaseReply, begin=outside.begin),
        fail_hopeless=providers.Factory(FailHopelessReplies, begin=outside.begin, policy=outside.reply_policy),
    )


class Outside(containers.DeclarativeContainer):
    """The adapters of a running service."""

    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)
    connections: providers.Dependency[int] = providers.Dependency(instance_of=int)
    application_name: providers.Dependency[str] = providers.Dependency(instance_of=str)

    clock = providers.Object(system_clock)
    new_id = providers.ThreadSafeSingleton(Uuid7Ids)
    new_code = providers.Object(random_code)

    database = providers.ThreadSafeSingleton(
        lambda settings, size, name: Database(
            make_engine(settings.database_url, pool_size=size, application_name=name)
        ),
        settings,
        connections,
        application_name,
    )
    begin = providers.ThreadSafeSingleton(SqlUnitsOfWork, database)
    reader = providers.ThreadSafeSingleton(SqlReader, database)
    database_probe = database.provided.answers

    redis = providers.ThreadSafeSingleton(lambda settings: connect(settings.redis_url), settings)
    redis_probe = providers.ThreadSafeSingleton(RedisProbe, redis)
    otp_store = providers.ThreadSafeSingleton(
        lambda redis, settings: RedisOtpStore(redis, key=_key_for("otp", settings)), redis, settings
    )
    room_list_cache = providers.ThreadSafeSingleton(
        lambda redis, settings: RedisRoomListCache(redis, keep=settings.room_list_cache),
        redis,
        settings,
    )
    worker_presence = providers.ThreadSafeSingleton(RedisWorkerPresence, redis)
    job_queue = providers.ThreadSafeSingleton(RqJobQueue, redis)

    access_tokens = providers.ThreadSafeSingleton(
        lambda settings: JwtAccessTokens(settings.jwt_secret.reveal().encode()), settings
    )
    password_hasher = providers.ThreadSafeSingleton(
        lambda settings: BcryptPasswordHasher(pepper=settings.password_pepper.reveal().encode()),
        settings,
    )
    read_phone_number = providers.ThreadSafeSingleton(
        lambda settings: LibPhoneNumberReader(
            default_region=settings.phone_default_region, only_valid=settings.in_production
        ),
        settings,
    )
    otp_delivery = providers.ThreadSafeSingleton(
        lambda settings: ResponseOtpDelivery() if settings.otp_delivery == "response" else ConsoleOtpDelivery(),
        settings,
    )
    language_model = providers.ThreadSafeSingleton(_language_model, settings)

    ledger = providers.ThreadSafeSingleton(SqlLedger, database)
    payment_sandbox = providers.ThreadSafeSingleton(_sandbox, settings)
    payments = providers.ThreadSafeSingleton(_payments, settings, payment_sandbox)
    read_payment_event = providers.ThreadSafeSingleton(
        lambda settings: StripeEventReader(secrets=webhook_secrets_of(settings), clock=system_clock), settings
    )
    billing_policy = providers.ThreadSafeSingleton(billing_policy_of, settings)
    return_urls = providers.ThreadSafeSingleton(
        lambda settings: ReturnUrls(settings.public_url, settings.return_url_origins), settings
    )
    retry_events = providers.Object(RetryEvents())
    reconcile_every = settings.provided.reconcile_every

    allowances = providers.ThreadSafeSingleton(allowances_of, settings)
    reply_policy = providers.ThreadSafeSingleton(reply_policy_of, settings)


@dataclass(frozen=True, slots=True)
class Web:
    """What a web process needs."""

    use_cases: UseCases
    close: Callable[[], None]
    sandbox: PaymentSandbox | None = None


def build_web(settings: Settings) -> Web:
    """The use cases of a web process, built to the last leaf: wrong wiring dies here, at the start."""
    # One connection a request at a time, and one for the probes.
    outside = Outside(settings=settings, connections=settings.web_threads + 1, application_name="web")
    if settings.payment_provider == "stripe" and not webhook_secrets_of(settings):
        log.warning("stripe_webhook_secret_missing", effect="events are refused; changes are found by reconciling only")
    return Web(Inside(outside=outside).use_cases(), outside.database().close, outside.payment_sandbox())


@dataclass(frozen=True, slots=True)
class Operator:
    """What an operator's command needs."""

    billing: BillingUpkeep
    close: Callable[[], None]


def build_operator(settings: Settings) -> Operator:
    """The use cases of a command that keeps billing true or explains it."""
    outside = Outside(settings=settings, connections=2, application_name="operator")
    return Operator(Inside(outside=outside).billing_upkeep(), outside.database().close)


def build_worker(settings: Settings) -> WorkerParts:
    """The use cases of a worker process, its doorbell and its presence."""
    outside = Outside(settings=settings, connections=WORKER_CONNECTIONS, application_name="worker")
    redis_url = settings.redis_url or ""

    def listen_for_rings(answer_due: Callable[[], None]) -> bool:
        return listen(connect_for_rq(redis_url), answer_due=answer_due)

    return WorkerParts(
        replying=Inside(outside=outside).replying(),
        billing=Inside(outside=outside).billing_upkeep(),
        presence=outside.worker_presence(),
        listen=listen_for_rings,
        close=outside.database().close,
        concurrency=settings.worker_concurrency,
    )
