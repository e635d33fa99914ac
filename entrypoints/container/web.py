"""The web process."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from dependency_injector import providers

from adapters.crypto.bcrypt_password_hasher import BcryptPasswordHasher
from adapters.crypto.common_passwords import ListedCommonPasswords
from adapters.crypto.hmac_phone_digest import HmacPhoneDigest
from adapters.crypto.hmac_refresh_tokens import HmacRefreshTokens
from adapters.crypto.jwt_access_tokens import JwtAccessTokens
from adapters.otp_delivery.development import ConsoleOtpDelivery, ResponseOtpDelivery
from adapters.otp_delivery.phone_numbers import LibPhoneNumberReader, ServedCountries
from adapters.redis.connection import RedisProbe
from adapters.redis.otp_budget import RedisOtpBudget
from adapters.redis.otp_store import RedisOtpStore
from adapters.redis.rate_limiter import RedisRateLimiter
from adapters.redis.reply_stream import RedisReplySubscriber
from adapters.redis.room_list_cache import RedisRoomListCache
from adapters.sql.export import SqlExport
from adapters.stripe.webhook_events import StripeEventReader
from adapters.system_runtime import Uuid7Ids, random_code, system_clock, system_pause
from application.billing.manage import EndBilling
from application.billing.subscribe import ReturnUrls
from application.ports.otp_delivery import OtpDelivery
from application.ports.payment_sandbox import PaymentSandbox
from application.use_cases import UseCases
from entrypoints.container.inside import Inside
from entrypoints.container.keys import key_for
from entrypoints.container.outside import Outside
from entrypoints.container.payments import webhook_secrets_of
from entrypoints.container.policies import otp_caps_of, request_limits_of
from entrypoints.settings import Settings

# Beside one for each request that is worked on: streams look at the database now and then.
STREAM_CONNECTIONS = 4

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Web:
    """What a web process needs."""

    use_cases: UseCases
    close: Callable[[], None]
    sandbox: PaymentSandbox | None = None


def build_web(settings: Settings) -> Web:
    """The use cases of a web process, built to the last leaf: wrong wiring dies here, at the start."""
    outside = WebOutside(
        settings=settings, connections=settings.web_threads + STREAM_CONNECTIONS, application_name="web"
    )
    if settings.payment_provider == "stripe" and not webhook_secrets_of(settings):
        log.warning("stripe_webhook_secret_missing", effect="events are refused; changes are found by reconciling only")
    return Web(Inside(outside=outside).use_cases(), outside.database().close, outside.payment_sandbox())


def _otp_delivery(settings: Settings) -> OtpDelivery:
    if settings.otp_delivery == "response":
        return ResponseOtpDelivery()
    if settings.otp_delivery == "console":
        return ConsoleOtpDelivery()
    # Imported here: the HTTP client takes a tenth of a second, which nobody else should pay.
    from adapters.otp_delivery.sms import TwilioOtpDelivery, WebhookOtpDelivery  # noqa: PLC0415

    if settings.otp_delivery == "twilio":
        return TwilioOtpDelivery(
            account_sid=settings.twilio_account_sid or "",
            auth_token=settings.twilio_auth_token.reveal(),
            sender=settings.twilio_from or "",
            base_url=settings.twilio_api_base,
        )
    return WebhookOtpDelivery(url=settings.otp_webhook_url or "", secret=settings.otp_webhook_secret.reveal().encode())


class WebOutside(Outside):
    """The adapters of a web process."""

    settings, database, redis = Outside.settings, Outside.database, Outside.redis

    new_id = providers.ThreadSafeSingleton(Uuid7Ids)
    new_code = providers.Object(random_code)
    pause = providers.Object(system_pause)

    database_probe = database.provided.answers
    redis_probe = providers.ThreadSafeSingleton(RedisProbe, redis)
    otp_store = providers.ThreadSafeSingleton(
        lambda redis, settings: RedisOtpStore(redis, key=key_for("otp", settings)), redis, settings
    )
    room_list_cache = providers.ThreadSafeSingleton(
        lambda redis, settings: RedisRoomListCache(redis, keep=settings.room_list_cache),
        redis,
        settings,
    )
    reply_subscriber = providers.ThreadSafeSingleton(RedisReplySubscriber, redis)

    access_tokens = providers.ThreadSafeSingleton(
        lambda settings: JwtAccessTokens(*(secret.reveal().encode() for secret in settings.jwt_secrets)), settings
    )
    access_token_lifetime = settings.provided.access_token
    refresh_tokens = providers.ThreadSafeSingleton(
        lambda settings: HmacRefreshTokens(key_for("refresh", settings)), settings
    )
    phone_digest = providers.ThreadSafeSingleton(lambda settings: HmacPhoneDigest(key_for("audit", settings)), settings)
    rate_limiter = providers.ThreadSafeSingleton(
        lambda redis, settings: RedisRateLimiter(redis, key=key_for("limits", settings)), redis, settings
    )
    request_limits = providers.ThreadSafeSingleton(request_limits_of, settings)
    otp_budget = providers.ThreadSafeSingleton(
        lambda redis, settings: RedisOtpBudget(redis, key=key_for("otp sends", settings)), redis, settings
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

    read_payment_event = providers.ThreadSafeSingleton(
        lambda settings: StripeEventReader(secrets=webhook_secrets_of(settings), clock=system_clock), settings
    )
    return_urls = providers.ThreadSafeSingleton(
        lambda settings: ReturnUrls(settings.public_url, settings.return_url_origins), settings
    )

    before_erasure = providers.Factory(EndBilling, unit_of_work=Outside.unit_of_work, payments=Outside.payments)
