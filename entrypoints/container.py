"""The composition root: the only place that knows the adapters, and the only one that knows dependency_injector."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from dependency_injector import containers, providers

from adapters.bcrypt_password_hasher import BcryptPasswordHasher
from adapters.common_passwords import ListedCommonPasswords
from adapters.hmac_phone_digest import HmacPhoneDigest
from adapters.hmac_refresh_tokens import HmacRefreshTokens
from adapters.language_model_breaker import LanguageModelBreaker
from adapters.language_model_fallback import LanguageModelFallback
from adapters.no_payments import NoPayments
from adapters.offline_language_model import OfflineLanguageModel
from adapters.otp_delivery import ConsoleOtpDelivery, ResponseOtpDelivery
from adapters.phone_numbers import LibPhoneNumberReader, ServedCountries
from adapters.redis_connection import RedisProbe, connect, connect_for_rq
from adapters.redis_otp_sends import RedisOtpSends
from adapters.redis_otp_store import RedisOtpStore
from adapters.redis_rate_limiter import RedisRateLimiter
from adapters.redis_reply_stream import RedisReplyFeed, RedisReplyListener
from adapters.redis_room_list_cache import RedisRoomListCache
from adapters.redis_worker_presence import RedisWorkerPresence
from adapters.rq_job_queue import RqJobQueue, listen
from adapters.sql.audit import SqlAuditReader
from adapters.sql.database import Database, make_engine
from adapters.sql.export import SqlExport
from adapters.sql.ledger import SqlLedger
from adapters.sql.reader import SqlReader
from adapters.sql.unit_of_work import SqlUnitsOfWork
from adapters.stripe_events import StripeEventReader
from adapters.stripe_sandbox.fake import FakeStripe
from adapters.stripe_sandbox.sandbox import Sandbox, WebhookDelivery
from adapters.stripe_sandbox.state import StateInFile
from adapters.system_runtime import Uuid7Ids, random_code, system_clock, system_pause
from application.audit import ReadAudit
from application.auth.audit import Recorder
from application.auth.leaving import EraseAccount, ExportAccount
from application.auth.logout import EndSession, ListSessions, LogOut
from application.auth.one_time_passwords import RedeemCode, RequestCode, SendCode, VerifyCode
from application.auth.passwords import AcceptPassword, ChangePassword, CountPasswordTry, LogIn, ResetPassword
from application.auth.profile import ChangeProfile, ShowOwnProfile, ShowProfile
from application.auth.refresh import RefreshSession
from application.auth.sessions import Authenticate, StartSession
from application.auth.sign_up import SignUp
from application.auth.traffic import LimitRequests, RequestLimits
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
from application.chat.change_rooms import ChangeChatroom, RemoveChatroom
from application.chat.follow_reply import FollowReply, ReadEntry, ReadOn, WaitForReply
from application.chat.reply_again import AskAgain, CancelReply
from application.chat.rooms import ListChatrooms, OpenChatroom, ReadChatroom
from application.chat.send_message import SendMessage
from application.chat.write_reply import AskModel, ClaimReplies, FindStops, ReleaseReply, StoreOutcome, Sweep
from application.ports.access_tokens import AccessTokens
from application.ports.language_model import LanguageModel
from application.ports.otp_delivery import OtpDelivery
from application.ports.payment_sandbox import PaymentSandbox
from application.ports.payments import Payments
from application.ports.rate_limiter import Limit
from application.readiness import CheckReadiness
from application.use_cases import Auth, Billing, BillingUpkeep, Chat, Replying, UseCases
from domain.billing import BillingPolicy, RetryEvents
from domain.one_time_password import OtpPolicy, SendCaps
from domain.plans import Allowance, Allowances, Plan
from domain.replies import ReplyPolicy
from entrypoints.settings import Secret, Settings
from entrypoints.worker.run import WorkerParts

# Beside one for each request that is worked on: streams look at the database now and then.
STREAM_CONNECTIONS = 4

log = structlog.get_logger(__name__)

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
        user_concurrency=settings.user_concurrent_replies,
        user_backlog=settings.user_backlog_replies,
        backlog=settings.backlog_replies,
    )


def otp_caps_of(settings: Settings) -> SendCaps:
    """How many codes are sent. While they are in the answers nothing is sent, and everybody comes from one address."""
    if not settings.sends_codes:
        return SendCaps(per_number=settings.otp_daily_per_number)
    return SendCaps(
        per_number=settings.otp_daily_per_number,
        per_address=settings.otp_daily_per_address,
        per_prefix=settings.otp_daily_per_prefix,
        total=settings.otp_daily_total,
    )


def request_limits_of(settings: Settings) -> RequestLimits:
    """How many requests, a minute. By address only where strangers come from more than one."""
    return RequestLimits(
        per_user=_a_minute("user", settings.rate_limit_per_user),
        per_address=_a_minute("address", settings.rate_limit_per_address) if settings.sends_codes else None,
        logins=_a_minute("login", settings.rate_limit_logins) if settings.sends_codes else None,
    )


def _a_minute(name: str, requests: int) -> Limit | None:
    return Limit(name, requests, timedelta(minutes=1)) if requests else None


def _otp_delivery(settings: Settings) -> OtpDelivery:
    if settings.otp_delivery == "response":
        return ResponseOtpDelivery()
    if settings.otp_delivery == "console":
        return ConsoleOtpDelivery()
    # Imported here: the HTTP client takes a tenth of a second, which nobody else should pay.
    from adapters.sms_otp_delivery import TwilioOtpDelivery, WebhookOtpDelivery  # noqa: PLC0415

    if settings.otp_delivery == "twilio":
        return TwilioOtpDelivery(
            account_sid=settings.twilio_account_sid or "",
            auth_token=settings.twilio_auth_token.reveal(),
            sender=settings.twilio_from or "",
            base_url=settings.twilio_api_base,
        )
    return WebhookOtpDelivery(url=settings.otp_webhook_url or "", secret=settings.otp_webhook_secret.reveal().encode())


def _access_tokens(settings: Settings) -> AccessTokens:
    # Imported here: the library takes 9 MB, and a worker sees no tokens.
    from adapters.jwt_access_tokens import JwtAccessTokens  # noqa: PLC0415

    return JwtAccessTokens(*(secret.reveal().encode() for secret in settings.jwt_secrets))


def _language_model(settings: Settings) -> LanguageModel:
    if settings.llm_provider == "offline":
        return OfflineLanguageModel()
    return LanguageModelBreaker(_provider(settings), clock=system_clock)


def _provider(settings: Settings) -> LanguageModel:
    # Imported here: an SDK takes half a second and 50 MB, which no other process should pay.
    if settings.llm_provider == "openai-compatible":
        from adapters.openai_compatible_language_model import OpenAiCompatibleLanguageModel  # noqa: PLC0415

        return OpenAiCompatibleLanguageModel(
            base_url=settings.openai_base_url or "",
            model=settings.openai_model or "",
            api_key=settings.openai_api_key.reveal() or None,
        )
    key, url = settings.gemini_api_key.reveal(), settings.gemini_base_url
    if settings.llm_provider == "gemini-legacy":
        from adapters.gemini_legacy_language_model import GeminiLegacyLanguageModel  # noqa: PLC0415

        names = (settings.gemini_model, *settings.gemini_fallback_models)
        models: list[LanguageModel] = [
            GeminiLegacyLanguageModel(api_key=key, model=name, base_url=url) for name in names
        ]
        return LanguageModelFallback(models, clock=system_clock)
    from adapters.gemini_language_model import GeminiLanguageModel  # noqa: PLC0415

    first = GeminiLanguageModel(api_key=key, model=settings.gemini_model, base_url=url)
    others = map(first.with_model, settings.gemini_fallback_models)
    return LanguageModelFallback([first, *others], clock=system_clock)


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
    return _derived(settings.jwt_secret, use)


def _derived(secret: Secret, use: str) -> bytes:
    return hmac.new(secret.reveal().encode(), use.encode(), hashlib.sha256).digest()


class Inside(containers.DeclarativeContainer):
    """The stories, wired to whatever adapters ``outside`` provides."""

    outside = providers.DependenciesContainer()
    otp_policy = providers.Object(OtpPolicy())

    recorder = providers.Factory(
        Recorder,
        begin=outside.begin,
        clock=outside.clock,
        new_id=outside.new_id,
        phone_digest=outside.phone_digest,
    )
    start_session = providers.Factory(
        StartSession,
        access_tokens=outside.access_tokens,
        refresh_tokens=outside.refresh_tokens,
        recorder=recorder,
        new_id=outside.new_id,
        token_lifetime=outside.access_token_lifetime,
    )
    redeem_code = providers.Factory(RedeemCode, otp_store=outside.otp_store, recorder=recorder, policy=otp_policy)
    accept_password = providers.Factory(AcceptPassword, is_common=outside.is_common_password)
    count_password_try = providers.Factory(CountPasswordTry, rate_limiter=outside.rate_limiter, recorder=recorder)
    show_profile = providers.Factory(ShowProfile, reader=outside.reader, allowances=outside.allowances)
    auth = providers.Factory(
        Auth,
        sign_up=providers.Factory(
            SignUp,
            begin=outside.begin,
            read_phone_number=outside.read_phone_number,
            accept_password=accept_password,
            password_hasher=outside.password_hasher,
            recorder=recorder,
            clock=outside.clock,
            new_id=outside.new_id,
        ),
        request_code=providers.Factory(
            RequestCode,
            send_code=providers.Factory(
                SendCode,
                otp_store=outside.otp_store,
                otp_sends=outside.otp_sends,
                otp_delivery=outside.otp_delivery,
                policy=otp_policy,
                caps=outside.otp_caps,
            ),
            otp_store=outside.otp_store,
            read_phone_number=outside.read_phone_number,
            is_served=outside.is_served,
            recorder=recorder,
            clock=outside.clock,
            new_code=outside.new_code,
            policy=otp_policy,
            fixed_codes=outside.fixed_codes,
        ),
        verify_code=providers.Factory(
            VerifyCode,
            begin=outside.begin,
            redeem_code=redeem_code,
            read_phone_number=outside.read_phone_number,
            start_session=start_session,
            clock=outside.clock,
            new_id=outside.new_id,
        ),
        log_in=providers.Factory(
            LogIn,
            begin=outside.begin,
            read_phone_number=outside.read_phone_number,
            password_hasher=outside.password_hasher,
            count_try=count_password_try,
            start_session=start_session,
            recorder=recorder,
            clock=outside.clock,
        ),
        reset_password=providers.Factory(
            ResetPassword,
            begin=outside.begin,
            redeem_code=redeem_code,
            read_phone_number=outside.read_phone_number,
            accept_password=accept_password,
            password_hasher=outside.password_hasher,
            recorder=recorder,
            clock=outside.clock,
            new_id=outside.new_id,
        ),
        change_password=providers.Factory(
            ChangePassword,
            begin=outside.begin,
            redeem_code=redeem_code,
            accept_password=accept_password,
            password_hasher=outside.password_hasher,
            count_try=count_password_try,
            recorder=recorder,
            clock=outside.clock,
        ),
        authenticate=providers.Factory(
            Authenticate,
            access_tokens=outside.access_tokens,
            reader=outside.reader,
            clock=outside.clock,
        ),
        show_profile=show_profile,
        show_own_profile=providers.Factory(
            ShowOwnProfile,
            access_tokens=outside.access_tokens,
            reader=outside.reader,
            clock=outside.clock,
            allowances=outside.allowances,
        ),
        refresh_session=providers.Factory(
            RefreshSession,
            begin=outside.begin,
            access_tokens=outside.access_tokens,
            refresh_tokens=outside.refresh_tokens,
            recorder=recorder,
            clock=outside.clock,
            token_lifetime=outside.access_token_lifetime,
        ),
        log_out=providers.Factory(LogOut, begin=outside.begin, recorder=recorder),
        list_sessions=providers.Factory(ListSessions, reader=outside.reader),
        end_session=providers.Factory(EndSession, begin=outside.begin, recorder=recorder),
        change_profile=providers.Factory(
            ChangeProfile, begin=outside.begin, show_profile=show_profile, recorder=recorder
        ),
        erase_account=providers.Factory(
            EraseAccount,
            begin=outside.begin,
            before_leaving=outside.before_leaving,
            room_list_cache=outside.room_list_cache,
            recorder=recorder,
        ),
        export_account=providers.Factory(
            ExportAccount, export=outside.export, rate_limiter=outside.rate_limiter, recorder=recorder
        ),
        limit_requests=providers.Factory(
            LimitRequests, rate_limiter=outside.rate_limiter, limits=outside.request_limits
        ),
    )
    read_entry = providers.Factory(ReadEntry, reader=outside.reader)
    wait_for_reply = providers.Factory(
        WaitForReply, read_entry=read_entry, listener=outside.reply_listener, clock=outside.clock
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
        change_chatroom=providers.Factory(
            ChangeChatroom,
            begin=outside.begin,
            room_list_cache=outside.room_list_cache,
            clock=outside.clock,
        ),
        remove_chatroom=providers.Factory(RemoveChatroom, begin=outside.begin, room_list_cache=outside.room_list_cache),
        cancel_reply=providers.Factory(CancelReply, begin=outside.begin),
        ask_again=providers.Factory(
            AskAgain,
            begin=outside.begin,
            job_queue=outside.job_queue,
            clock=outside.clock,
            new_id=outside.new_id,
            allowances=outside.allowances,
            policy=outside.reply_policy,
        ),
        read_entry=read_entry,
        read_on=providers.Factory(
            ReadOn,
            reader=outside.reader,
            wait_for_reply=wait_for_reply,
            clock=outside.clock,
            pause=outside.pause,
        ),
        wait_for_reply=wait_for_reply,
        follow_reply=providers.Factory(FollowReply, read_entry=read_entry, listener=outside.reply_listener),
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
        ask_model=providers.Factory(
            AskModel,
            reader=outside.reader,
            language_model=outside.language_model,
            feed=outside.reply_feed,
            policy=outside.reply_policy,
            history_tokens=outside.history_tokens,
        ),
        store_outcome=providers.Factory(
            StoreOutcome, begin=outside.begin, feed=outside.reply_feed, policy=outside.reply_policy
        ),
        find_stops=providers.Factory(FindStops, begin=outside.begin),
        release=providers.Factory(ReleaseReply, begin=outside.begin),
        sweep=providers.Factory(Sweep, begin=outside.begin, policy=outside.reply_policy),
    )


class Outside(containers.DeclarativeContainer):
    """The adapters of a running service."""

    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)
    connections: providers.Dependency[int] = providers.Dependency(instance_of=int)
    application_name: providers.Dependency[str] = providers.Dependency(instance_of=str)

    clock = providers.Object(system_clock)
    new_id = providers.ThreadSafeSingleton(Uuid7Ids)
    new_code = providers.Object(random_code)
    pause = providers.Object(system_pause)

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
    reply_feed = providers.ThreadSafeSingleton(RedisReplyFeed, redis)
    reply_listener = providers.ThreadSafeSingleton(RedisReplyListener, redis)

    access_tokens = providers.ThreadSafeSingleton(_access_tokens, settings)
    access_token_lifetime = settings.provided.access_token
    refresh_tokens = providers.ThreadSafeSingleton(
        lambda settings: HmacRefreshTokens(_key_for("refresh", settings)), settings
    )
    phone_digest = providers.ThreadSafeSingleton(
        lambda settings: HmacPhoneDigest(_key_for("audit", settings)), settings
    )
    rate_limiter = providers.ThreadSafeSingleton(
        lambda redis, settings: RedisRateLimiter(redis, key=_key_for("limits", settings)), redis, settings
    )
    request_limits = providers.ThreadSafeSingleton(request_limits_of, settings)
    otp_sends = providers.ThreadSafeSingleton(
        lambda redis, settings: RedisOtpSends(redis, key=_key_for("otp sends", settings)), redis, settings
    )
    otp_caps = providers.ThreadSafeSingleton(otp_caps_of, settings)
    fixed_codes = settings.provided.otp_test_numbers
    is_served = providers.ThreadSafeSingleton(lambda settings: ServedCountries(settings.otp_countries), settings)
    is_common_password = providers.ThreadSafeSingleton(ListedCommonPasswords)
    export = providers.ThreadSafeSingleton(SqlExport, database)
    password_hasher = providers.ThreadSafeSingleton(
        lambda settings: BcryptPasswordHasher(
            pepper=settings.password_pepper.reveal().encode(),
            cost=settings.password_hash_cost,
            # Half of the threads go on serving everybody else, however many log in.
            places=max(settings.web_threads // 2, 1),
        ),
        settings,
    )
    read_phone_number = providers.ThreadSafeSingleton(
        lambda settings: LibPhoneNumberReader(
            default_region=settings.phone_default_region, only_valid=settings.in_production
        ),
        settings,
    )
    otp_delivery = providers.ThreadSafeSingleton(_otp_delivery, settings)
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

    before_leaving = providers.Factory(EndBilling, begin=begin, payments=payments)

    allowances = providers.ThreadSafeSingleton(allowances_of, settings)
    reply_policy = providers.ThreadSafeSingleton(reply_policy_of, settings)
    history_tokens = settings.provided.history_tokens


@dataclass(frozen=True, slots=True)
class Web:
    """What a web process needs."""

    use_cases: UseCases
    close: Callable[[], None]
    sandbox: PaymentSandbox | None = None


def build_web(settings: Settings) -> Web:
    """The use cases of a web process, built to the last leaf: wrong wiring dies here, at the start."""
    outside = Outside(settings=settings, connections=settings.web_threads + STREAM_CONNECTIONS, application_name="web")
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


def build_audit(settings: Settings) -> ReadAudit:
    """How an operator reads the audit trail."""
    outside = Outside(settings=settings, connections=1, application_name="audit")
    return ReadAudit(
        audit_reader=SqlAuditReader(outside.database()),
        read_phone_number=outside.read_phone_number(),
        phone_digests=[HmacPhoneDigest(_derived(secret, "audit")) for secret in settings.jwt_secrets],
    )


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
        job_queue=outside.job_queue(),
        listen=listen_for_rings,
        close=outside.database().close,
        concurrency=settings.worker_concurrency,
    )


def upgrade(database_url: str) -> None:
    """Bring a database to the newest schema."""
    # Imported here: Alembic takes 10 MB, which web and worker have no use for.
    from adapters.sql import migrate  # noqa: PLC0415

    migrate.upgrade(database_url)


def new_migration(database_url: str, message: str) -> None:
    """Write a migration from the newest one to what the tables have become."""
    from adapters.sql import migrate  # noqa: PLC0415

    migrate.new_migration(database_url, message)
