"""The adapters of a web process."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from dependency_injector.providers import Object, Provider, ThreadSafeSingleton

from adapters.background_notifier import BackgroundNotifier
from adapters.concurrent_probes import ConcurrentProbes
from adapters.crypto.bcrypt_password_hasher import BcryptPasswordHasher
from adapters.crypto.common_passwords import ListedCommonPasswords
from adapters.crypto.hmac_phone_digest import HmacPhoneDigest
from adapters.crypto.hmac_refresh_tokens import HmacRefreshTokens
from adapters.crypto.jwt_access_tokens import JwtAccessTokens
from adapters.local_room_list_cache import LocalRoomListCache
from adapters.otp_delivery.development import ConsoleOtpDelivery, ResponseOtpDelivery
from adapters.otp_delivery.phone_numbers import LibPhoneNumberReader, ServedCountries
from adapters.redis.otp_budget import RedisOtpBudget
from adapters.redis.otp_store import RedisOtpStore
from adapters.redis.probe import RedisProbe
from adapters.redis.rate_limiter import RedisRateLimiter
from adapters.redis.reply_stream import RedisReplySubscriber
from adapters.redis.room_list_cache import RedisRoomListCache
from adapters.redis.rq_worker_notifier import RqWorkerNotifier
from adapters.sql.audit import SqlAuditReader
from adapters.sql.export import SqlExport, SqlRoomExport
from adapters.sql.feedback import SqlFeedbackStore
from adapters.sql.probe import DatabaseProbe
from adapters.sql.reply_files import SqlReplyFiles
from adapters.sql.search import SqlSearch
from adapters.stripe.lazy_payments import LazyPayments
from adapters.stripe.webhook_events import StripeEventReader
from adapters.system_runtime import Uuid7Ids, random_code, system_clock
from application.billing.subscribe import ReturnUrls
from application.ports.access_tokens import AccessTokens
from application.ports.audit import AuditReader, PhoneDigest
from application.ports.common_passwords import IsCommonPassword
from application.ports.export import Export, RoomExport
from application.ports.feedback import FeedbackStore
from application.ports.health import Part, Probe
from application.ports.otp_budget import OtpBudget
from application.ports.otp_delivery import OtpDelivery
from application.ports.otp_store import OtpStore
from application.ports.password_hasher import PasswordHasher
from application.ports.payment_events import ReadPaymentEvent
from application.ports.payments import Payments
from application.ports.phone_numbers import ReadPhoneNumber
from application.ports.rate_limiter import RateLimiter
from application.ports.refresh_tokens import RefreshTokens
from application.ports.reply_files import ReplyFiles
from application.ports.reply_stream import ReplySubscriber
from application.ports.room_list_cache import RoomListCache
from application.ports.runtime import NewCode, NewId
from application.ports.search import Search
from application.ports.served_countries import IsServed
from application.ports.worker_notifier import WorkerNotifier
from domain.languages import Language
from domain.one_time_password import Purpose
from entrypoints.container.adapters import SharedAdapters, singleton
from entrypoints.container.keys import derived, key_for
from entrypoints.container.payments import webhook_mode_of, webhook_secrets_of
from entrypoints.container.policies import otp_caps_of, request_limits_of
from entrypoints.settings import Settings

# Readiness is answered within a second, the rest of the request included.
PROBE_SECONDS = 0.9


def _password_hasher(settings: Settings) -> PasswordHasher:
    return BcryptPasswordHasher(
        pepper=settings.password_pepper.reveal().encode(),
        cost=settings.password_hash_cost,
        # Half of the threads go on serving everybody else, however many log in.
        places=max(settings.web_threads // 2, 1),
    )


def _otp_delivery(settings: Settings) -> OtpDelivery:
    if settings.otp_delivery == "response":
        return ResponseOtpDelivery()
    if settings.otp_delivery == "console":
        return ConsoleOtpDelivery()
    # Imported here: the HTTP client takes a tenth of a second, which other processes should not pay.
    from adapters.otp_delivery.sms import TwilioOtpDelivery, WebhookOtpDelivery

    texts = {
        Language.ENGLISH: {Purpose.LOGIN: settings.otp_text, Purpose.PASSWORD_RESET: settings.otp_reset_text},
        Language.HINDI: {Purpose.LOGIN: settings.otp_text_hi, Purpose.PASSWORD_RESET: settings.otp_reset_text_hi},
    }
    host = urlsplit(settings.public_url).hostname or ""
    if settings.otp_delivery == "twilio":
        return TwilioOtpDelivery(
            account_sid=settings.twilio_account_sid or "",
            auth_token=settings.twilio_auth_token.reveal(),
            sender=settings.twilio_from or "",
            base_url=settings.twilio_api_base,
            texts=texts,
            host=host,
        )
    return WebhookOtpDelivery(
        url=settings.otp_webhook_url or "",
        secret=settings.otp_webhook_secret.reveal().encode(),
        texts=texts,
        host=host,
    )


class WebAdapters(SharedAdapters):
    """The adapters of a web process."""

    settings, database, redis = SharedAdapters.settings, SharedAdapters.database, SharedAdapters.redis

    new_id: Provider[NewId] = singleton(lambda: Uuid7Ids())
    new_code: Provider[NewCode] = Object(random_code)

    database_probe = singleton(
        lambda settings: DatabaseProbe(
            settings.database_url or "",
            backlog=settings.backlog_replies,
            sessions_are_shared=settings.sessions_are_shared,
        ),
        settings,
    )
    probe: Provider[Probe] = singleton(
        lambda database_probe, redis: ConcurrentProbes(
            {Part.DATABASE: database_probe, Part.REDIS: RedisProbe(redis)}, seconds=PROBE_SECONDS
        ),
        database_probe,
        redis,
    )
    max_chatrooms = singleton(lambda settings: settings.max_chatrooms_per_user, settings)
    audit_reader: Provider[AuditReader] = singleton(lambda database: SqlAuditReader(database), database)
    reply_files: Provider[ReplyFiles] = singleton(lambda database: SqlReplyFiles(database), database)
    feedback_store: Provider[FeedbackStore] = singleton(lambda database: SqlFeedbackStore(database), database)
    search: Provider[Search] = singleton(lambda database: SqlSearch(database), database)
    export: Provider[Export] = singleton(lambda database: SqlExport(database), database)
    room_export: Provider[RoomExport] = singleton(lambda database: SqlRoomExport(database), database)
    room_list_cache: Provider[RoomListCache] = singleton(
        lambda redis, settings: LocalRoomListCache(RedisRoomListCache(redis, keep=settings.room_list_cache)),
        redis,
        settings,
    )
    worker_notifier: Provider[WorkerNotifier] = singleton(
        lambda redis: BackgroundNotifier(RqWorkerNotifier(redis)), redis
    )
    reply_subscriber: Provider[ReplySubscriber] = singleton(lambda redis: RedisReplySubscriber(redis), redis)

    access_tokens: Provider[AccessTokens] = singleton(
        lambda settings: JwtAccessTokens(*(secret.reveal().encode() for secret in settings.jwt_secrets)), settings
    )
    access_token_lifetime = singleton(lambda settings: settings.access_token, settings)
    longest_session = singleton(lambda settings: settings.session_max, settings)
    refresh_tokens: Provider[RefreshTokens] = singleton(
        lambda settings: HmacRefreshTokens(*(derived(secret, "refresh") for secret in settings.jwt_secrets)), settings
    )
    password_hasher: Provider[PasswordHasher] = singleton(_password_hasher, settings)
    is_common_password: Provider[IsCommonPassword] = singleton(lambda: ListedCommonPasswords())
    phone_digest: Provider[PhoneDigest] = singleton(
        lambda settings: HmacPhoneDigest(key_for("audit", settings)), settings
    )
    older_phone_digests: Provider[Sequence[PhoneDigest]] = singleton(
        lambda settings: [HmacPhoneDigest(derived(secret, "audit")) for secret in settings.jwt_secrets[1:]], settings
    )
    rate_limiter: Provider[RateLimiter] = singleton(
        lambda redis, settings: RedisRateLimiter(redis, key=key_for("limits", settings)), redis, settings
    )
    request_limits = singleton(request_limits_of, settings)

    read_phone_number: Provider[ReadPhoneNumber] = singleton(
        lambda settings: LibPhoneNumberReader(
            default_region=settings.phone_default_region,
            only_valid=settings.in_production,
            test_numbers=[fixed.phone for fixed in settings.otp_test_numbers],
        ),
        settings,
    )
    is_served: Provider[IsServed] = singleton(lambda settings: ServedCountries(settings.otp_countries), settings)
    otp_store: Provider[OtpStore] = singleton(
        lambda redis, settings: RedisOtpStore(redis, key=key_for("otp", settings)), redis, settings
    )
    otp_budget: Provider[OtpBudget] = singleton(
        lambda redis, settings: RedisOtpBudget(redis, key=key_for("otp sends", settings)), redis, settings
    )
    otp_caps = singleton(otp_caps_of, settings)
    otp_delivery: Provider[OtpDelivery] = singleton(_otp_delivery, settings)
    fixed_codes = singleton(lambda settings: settings.otp_test_numbers, settings)

    read_payment_event: Provider[ReadPaymentEvent] = singleton(
        lambda settings: StripeEventReader(
            secrets=webhook_secrets_of(settings), clock=system_clock, mode=webhook_mode_of(settings)
        ),
        settings,
    )
    # Given the provider, not what it provides: Stripe's library takes a tenth of a second and 6 MB.
    payments: Provider[Payments] = ThreadSafeSingleton(
        LazyPayments, SharedAdapters.payments.provider, SharedAdapters.payment_mode
    )
    return_urls = singleton(lambda settings: ReturnUrls(settings.public_url, settings.return_url_origins), settings)
