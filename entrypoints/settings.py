"""Settings: the only reader of the environment. All faults are collected and reported at once; secrets are never shown.

Every variable stands in ``VARIABLES``; the README's table and ``.env.example`` are held to it by tests.
"""

import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import quote

from dotenv import dotenv_values

from domain.accounts import PhoneNumber
from domain.errors import DomainError
from domain.one_time_password import FixedCode

T = TypeVar("T")
Network = IPv4Network | IPv6Network

# A page's origin (RFC 6454) as browsers send it; no path, and no asterisk.
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?")
TEST_NUMBER = re.compile(r"(\+[0-9]{5,15}):([0-9]{6,10}):([0-9]{4}-[0-9]{2}-[0-9]{2})", re.ASCII)
OTP_DELIVERY_NEEDS = {
    "twilio": ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM"),
    "webhook": ("OTP_WEBHOOK_URL", "OTP_WEBHOOK_SECRET"),
}

DEVELOPMENT = "development"
PRODUCTION = "production"
SECRET_MIN_BYTES = 32
LLM_PROVIDERS = {"gemini", "gemini-legacy", "openai-compatible", "offline"}

ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?", re.ASCII)


class Variable(NamedTuple):
    """A variable of the environment: its name, what it is when unset (for people to read), and what it means."""

    name: str
    default: str
    meaning: str


VARIABLES = (
    Variable("APP_ENV", "development", "`development` or `production`; production refuses what is unsafe there"),
    Variable("HOST", "127.0.0.1", "address the web server listens on"),
    Variable("PORT", "8000", "port the web server listens on"),
    Variable("WEB_THREADS", "8", "requests one web process works on at once"),
    Variable("STREAM_THREADS", "600", "requests one web process lets wait at once: streams and long polls"),
    Variable("WEB_CORES", "one", "`one`: a web process keeps to one core, where others leave it most; or `all`"),
    Variable("DATABASE_URL", "embedded server", "PostgreSQL 15 or later, `postgresql://user:password@host:5432/name`"),
    Variable("REDIS_URL", "embedded server", "Redis or Valkey, `redis://[:password@]host:6379[/0]`"),
    Variable("REDIS_HOST", "", "host of Redis, in place of REDIS_URL"),
    Variable("REDIS_PORT", "6379", "port of Redis, together with REDIS_HOST"),
    Variable("DATA_DIR", ".data", "where the embedded servers and the generated secret are kept"),
    Variable("LOG_LEVEL", "info", "`debug`, `info`, `warning` or `error`"),
    Variable("JWT_SECRET", "generated", "signs access tokens, 32 bytes or more; several with commas, the first signs"),
    Variable("ACCESS_TOKEN_SECONDS", "900", "how long an access token is good"),
    Variable("PASSWORD_PEPPER", "", "mixed into password hashes; once set, never change it"),
    Variable(
        "PASSWORD_HASH_COST",
        "12",
        "bcrypt's cost: each step doubles the work; a login renews a hash of another cost",
    ),
    Variable("OTP_DELIVERY", "response", "`response` (refused in production), `console`, `twilio` or `webhook`"),
    Variable("OTP_COUNTRIES", "", "ISO 3166 regions that codes are sent to, with commas; unset: all"),
    Variable("OTP_TEST_NUMBERS", "", "`+number:code:last day` with commas: always this code, nothing is sent"),
    Variable("OTP_DAILY_PER_NUMBER", "20", "codes sent a day to one number"),
    Variable("OTP_DAILY_PER_PREFIX", "100", "codes sent a day to numbers that differ in their last three digits"),
    Variable("OTP_DAILY_PER_ADDRESS", "100", "codes sent a day for one IP address"),
    Variable("OTP_DAILY_TOTAL", "10000", "codes sent a day in all"),
    Variable("OTP_WEBHOOK_URL", "", "where `webhook` posts codes to"),
    Variable("OTP_WEBHOOK_SECRET", "", "signs what is posted there, 32 bytes or more"),
    Variable("TWILIO_ACCOUNT_SID", "", "account at Twilio"),
    Variable("TWILIO_AUTH_TOKEN", "", "its token"),
    Variable("TWILIO_FROM", "", "number or messaging service (MG…) that sends"),
    Variable("TWILIO_API_BASE", "https://api.twilio.com", "another server that speaks the Twilio API"),
    Variable("PHONE_DEFAULT_REGION", "IN", "ISO 3166 region of numbers written without a country code"),
    Variable("RATE_LIMIT_PER_USER", "3000", "requests a minute of one user; 0: no limit"),
    Variable("RATE_LIMIT_PER_ADDRESS", "6000", "requests a minute of one IP address; 0: no limit"),
    Variable("RATE_LIMIT_LOGINS", "60", "requests a minute of one IP address to log in or sign up; 0: no limit"),
    Variable("TRUSTED_PROXIES", "", "our own proxies' addresses or networks, with commas: their X-Forwarded-For holds"),
    Variable("CORS_ORIGINS", "", "origins whose pages may call the API, with commas"),
    Variable("LLM_PROVIDER", "by GEMINI_API_KEY", "`gemini`, `gemini-legacy`, `openai-compatible`, `offline`"),
    Variable("GEMINI_API_KEY", "", "key of the Gemini API"),
    Variable("GEMINI_MODEL", "gemini-flash-latest", "model that answers"),
    Variable("GEMINI_FALLBACK_MODELS", "gemini-flash-lite-latest", "what answers when it is gone; several with commas"),
    Variable("GEMINI_BASE_URL", "Google's", "another server that speaks the Gemini API"),
    Variable("OPENAI_BASE_URL", "", "such as `http://localhost:11434/v1`, for `openai-compatible`"),
    Variable("OPENAI_API_KEY", "", "its key, if it wants one"),
    Variable("OPENAI_MODEL", "", "model that answers there"),
    Variable("HISTORY_TOKENS", "8000", "how much of the conversation goes with a prompt; 0: nothing"),
    Variable("STRIPE_SECRET_KEY", "", "key of the Stripe API"),
    Variable("STRIPE_PRICE_ID", "", "price of the Pro plan"),
    Variable("STRIPE_WEBHOOK_SECRET", "", "signing secret of the webhook endpoint; several with commas"),
    Variable("STRIPE_API_BASE", "Stripe's", "another server that speaks the Stripe API"),
    Variable("STRIPE_OLD_PRICE_IDS", "", "earlier prices that are still the Pro plan; several with commas"),
    Variable("PAYMENT_PROVIDER", "by STRIPE_SECRET_KEY", "`stripe`, `sandbox` (refused in production) or `none`"),
    Variable("PUBLIC_URL", "by PORT", "address at which browsers reach this service"),
    Variable("RETURN_URL_ORIGINS", "", "other origins that a checkout may return to; several with commas"),
    Variable("PAST_DUE_GRACE_DAYS", "7", "how long a failed renewal still leaves Pro, from the end of the paid period"),
    Variable("DUPLICATE_SUBSCRIPTIONS", "cancel", "`cancel` (and refund) a second subscription, or only `keep` it"),
    Variable("DISPUTED_PAYMENTS", "record", "`record` a dispute, or `cancel` the subscription as well"),
    Variable("RECONCILE_SECONDS", "3600", "how often each customer is compared with Stripe"),
    Variable("BASIC_DAILY_PROMPTS", "5", "prompts a day on the Basic plan"),
    Variable("REPLY_LEASE_SECONDS", "60", "how long a worker that went silent keeps a reply from the others"),
    Variable("REPLY_MAX_ATTEMPTS", "3", "how often the model is asked for one reply"),
    Variable("REPLY_DEADLINE_SECONDS", "300", "after which an unanswered message has failed"),
    Variable("USER_CONCURRENT_REPLIES", "2", "replies of one user that are written at once"),
    Variable("USER_BACKLOG_REPLIES", "100", "unfinished replies of one user beyond which no message is accepted: 429"),
    Variable("BACKLOG_REPLIES", "10000", "unfinished replies of all users beyond which no message is accepted: 503"),
    Variable("WORKER_CONCURRENCY", "100", "replies one worker process writes at once"),
    Variable("ROOM_LIST_CACHE_SECONDS", "300", "how long a list of chatrooms is cached"),
    Variable("AUDIT_RETENTION_DAYS", "400", "how long events of the audit trail are kept"),
)  # fmt: skip


class SettingsError(Exception):
    """The settings cannot be used. ``faults`` says everything that is wrong, without showing a secret."""

    def __init__(self, faults: list[str]) -> None:
        """Keep the faults, one sentence each."""
        super().__init__("\n".join(f"  - {fault}" for fault in faults))
        self.faults = faults


class Secret:
    """A text that does not show itself."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Hide ``text``."""
        self._text = text

    def reveal(self) -> str:
        """The text."""
        return self._text

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._text)

    def __repr__(self) -> str:
        """Nothing of it."""
        return "Secret(…)"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the service was told. ``database_url`` and ``redis_url`` None: the embedded servers are to be used."""

    app_env: str
    host: str
    port: int
    web_threads: int
    stream_threads: int
    one_core: bool
    # They may hold passwords.
    database_url: str | None = field(repr=False)
    redis_url: str | None = field(repr=False)
    data_dir: Path
    log_level: str
    jwt_secrets: tuple[Secret, ...]
    access_token: timedelta
    password_pepper: Secret
    password_hash_cost: int
    otp_delivery: str
    otp_countries: tuple[str, ...]
    otp_test_numbers: tuple[FixedCode, ...]
    otp_daily_per_number: int
    otp_daily_per_prefix: int
    otp_daily_per_address: int
    otp_daily_total: int
    otp_webhook_url: str | None = field(repr=False)
    otp_webhook_secret: Secret
    twilio_account_sid: str | None
    twilio_auth_token: Secret
    twilio_from: str | None
    twilio_api_base: str
    phone_default_region: str
    rate_limit_per_user: int
    rate_limit_per_address: int
    rate_limit_logins: int
    trusted_proxies: tuple[Network, ...]
    cors_origins: frozenset[str]
    llm_provider: str
    gemini_api_key: Secret
    gemini_model: str
    gemini_fallback_models: tuple[str, ...]
    gemini_base_url: str | None
    openai_base_url: str | None
    openai_api_key: Secret
    openai_model: str | None
    history_tokens: int
    stripe_secret_key: Secret
    stripe_price_id: str | None
    stripe_webhook_secrets: tuple[Secret, ...]
    stripe_api_base: str | None
    stripe_old_price_ids: frozenset[str]
    payment_provider: str
    public_url: str
    return_url_origins: frozenset[str]
    past_due_grace: timedelta
    duplicate_subscriptions: str
    disputed_payments: str
    reconcile_every: timedelta
    basic_daily_prompts: int
    reply_lease: timedelta
    reply_max_attempts: int
    reply_deadline: timedelta
    user_concurrent_replies: int
    user_backlog_replies: int
    backlog_replies: int
    worker_concurrency: int
    room_list_cache: timedelta
    audit_retention: timedelta

    @property
    def in_production(self) -> bool:
        """Whether strangers use this process."""
        return self.app_env == PRODUCTION

    @property
    def jwt_secret(self) -> Secret:
        """The one that signs; the others only verify."""
        return self.jwt_secrets[0]

    @property
    def sends_codes(self) -> bool:
        """Whether codes cost money, and strangers ask for them: not while they are in the answers."""
        return self.otp_delivery != "response"


def load_settings() -> Settings:
    """The settings of this process: the environment, and for what it lacks the file ``.env``. SettingsError."""
    from_file = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    return read_settings({**from_file, **os.environ})


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings that ``environment`` gives. SettingsError with all that is wrong with it."""
    read = _Reading(environment)
    settings = read.settings()
    if read.faults:
        raise SettingsError(read.faults)
    return settings


class _Reading:
    """One pass over an environment that goes on after a fault."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.faults: list[str] = []

    def settings(self) -> Settings:
        app_env = self.choice("APP_ENV", DEVELOPMENT, {DEVELOPMENT, PRODUCTION})
        in_production = app_env == PRODUCTION
        data_dir = Path(self.text("DATA_DIR") or ".data").absolute()
        gemini_api_key = self.secret("GEMINI_API_KEY")
        settings = Settings(
            app_env=app_env,
            host=self.text("HOST") or "127.0.0.1",
            port=self.number("PORT", 8000, 1, 65535),
            web_threads=self.number("WEB_THREADS", 8, 1, 1000),
            stream_threads=self.number("STREAM_THREADS", 600, 1, 10_000),
            one_core=self.choice("WEB_CORES", "one", {"one", "all"}) == "one",
            database_url=self.url("DATABASE_URL", {"postgres", "postgresql", "postgresql+psycopg2"}),
            redis_url=self.redis_url(),
            data_dir=data_dir,
            log_level=self.choice("LOG_LEVEL", "info", {"debug", "info", "warning", "error"}),
            jwt_secrets=self.jwt_secrets(data_dir, in_production=in_production),
            access_token=self.seconds("ACCESS_TOKEN_SECONDS", 900, 1, 86_400),
            password_pepper=self.secret("PASSWORD_PEPPER"),
            password_hash_cost=self.number("PASSWORD_HASH_COST", 12, 10, 16),
            otp_delivery=self.otp_delivery(in_production=in_production),
            otp_countries=tuple(part.upper() for part in self.parts("OTP_COUNTRIES")),
            otp_test_numbers=self.otp_test_numbers(),
            otp_daily_per_number=self.number("OTP_DAILY_PER_NUMBER", 20, 1, 1_000),
            otp_daily_per_prefix=self.number("OTP_DAILY_PER_PREFIX", 100, 1, 1_000_000),
            otp_daily_per_address=self.number("OTP_DAILY_PER_ADDRESS", 100, 1, 1_000_000),
            otp_daily_total=self.number("OTP_DAILY_TOTAL", 10_000, 1, 100_000_000),
            otp_webhook_url=self.url("OTP_WEBHOOK_URL", {"https"} if in_production else {"http", "https"}),
            otp_webhook_secret=self.secret("OTP_WEBHOOK_SECRET"),
            twilio_account_sid=self.text("TWILIO_ACCOUNT_SID"),
            twilio_auth_token=self.secret("TWILIO_AUTH_TOKEN"),
            twilio_from=self.text("TWILIO_FROM"),
            twilio_api_base=self.url("TWILIO_API_BASE", {"http", "https"}) or "https://api.twilio.com",
            phone_default_region=(self.text("PHONE_DEFAULT_REGION") or "IN").upper(),
            rate_limit_per_user=self.number("RATE_LIMIT_PER_USER", 3_000, 0, 1_000_000),
            rate_limit_per_address=self.number("RATE_LIMIT_PER_ADDRESS", 6_000, 0, 1_000_000),
            rate_limit_logins=self.number("RATE_LIMIT_LOGINS", 60, 0, 1_000_000),
            trusted_proxies=self.networks("TRUSTED_PROXIES"),
            cors_origins=self.origins("CORS_ORIGINS"),
            llm_provider=self.llm_provider(gemini_api_key, in_production=in_production),
            gemini_api_key=gemini_api_key,
            gemini_model=self.text("GEMINI_MODEL") or "gemini-flash-latest",
            gemini_fallback_models=self.names("GEMINI_FALLBACK_MODELS", "gemini-flash-lite-latest"),
            gemini_base_url=self.url("GEMINI_BASE_URL", {"http", "https"}),
            openai_base_url=self.url("OPENAI_BASE_URL", {"http", "https"}),
            openai_api_key=self.secret("OPENAI_API_KEY"),
            openai_model=self.text("OPENAI_MODEL"),
            history_tokens=self.number("HISTORY_TOKENS", 8000, 0, 10_000_000),
            stripe_secret_key=self.secret("STRIPE_SECRET_KEY"),
            stripe_price_id=self.text("STRIPE_PRICE_ID"),
            stripe_webhook_secrets=self.secrets("STRIPE_WEBHOOK_SECRET"),
            stripe_api_base=self.url("STRIPE_API_BASE", {"http", "https"}),
            stripe_old_price_ids=self.words("STRIPE_OLD_PRICE_IDS"),
            payment_provider=self.payment_provider(in_production=in_production),
            public_url=self.public_url(),
            return_url_origins=self.origins("RETURN_URL_ORIGINS"),
            past_due_grace=timedelta(days=self.number("PAST_DUE_GRACE_DAYS", 7, 0, 365)),
            duplicate_subscriptions=self.choice("DUPLICATE_SUBSCRIPTIONS", "cancel", {"cancel", "keep"}),
            disputed_payments=self.choice("DISPUTED_PAYMENTS", "record", {"record", "cancel"}),
            reconcile_every=self.seconds("RECONCILE_SECONDS", 3600, 10, 604_800),
            basic_daily_prompts=self.number("BASIC_DAILY_PROMPTS", 5, 0, 1_000_000),
            reply_lease=self.seconds("REPLY_LEASE_SECONDS", 60, 1, 3600),
            reply_max_attempts=self.number("REPLY_MAX_ATTEMPTS", 3, 1, 100),
            reply_deadline=self.seconds("REPLY_DEADLINE_SECONDS", 300, 1, 86_400),
            user_concurrent_replies=self.number("USER_CONCURRENT_REPLIES", 2, 1, 1000),
            user_backlog_replies=self.number("USER_BACKLOG_REPLIES", 100, 1, 1_000_000),
            backlog_replies=self.number("BACKLOG_REPLIES", 10_000, 1, 10_000_000),
            worker_concurrency=self.number("WORKER_CONCURRENCY", 100, 1, 1000),
            room_list_cache=self.seconds("ROOM_LIST_CACHE_SECONDS", 300, 1, 86_400),
            audit_retention=timedelta(days=self.number("AUDIT_RETENTION_DAYS", 400, 1, 36_500)),
        )
        if in_production:
            self._require("DATABASE_URL", settings.database_url)
            self._require("REDIS_URL or REDIS_HOST", settings.redis_url)
        return settings

    def text(self, name: str) -> str | None:
        return self._environment.get(name, "").strip() or None

    def secret(self, name: str) -> Secret:
        return Secret(self.text(name) or "")

    def secrets(self, name: str) -> tuple[Secret, ...]:
        return tuple(Secret(part) for part in self.parts(name))

    def parts(self, name: str) -> list[str]:
        parts = (part.strip() for part in (self.text(name) or "").split(","))
        return [part for part in parts if part]

    def networks(self, name: str) -> tuple[Network, ...]:
        found = []
        for part in self.parts(name):
            try:
                found.append(ip_network(part, strict=False))
            except ValueError:
                self.faults.append(f"{name}: {part!r} is neither an address nor a network")
        return tuple(found)

    def origins(self, name: str) -> frozenset[str]:
        origins = frozenset(part.lower() for part in self.parts(name))
        for origin in sorted(origins):
            if not ORIGIN.fullmatch(origin):
                self.faults.append(f"{name}: {origin!r} is no origin like https://app.example.com")
        return origins

    def otp_test_numbers(self) -> tuple[FixedCode, ...]:
        found = []
        for part in self.parts("OTP_TEST_NUMBERS"):
            match = TEST_NUMBER.fullmatch(part)
            try:
                if match is None:
                    raise ValueError  # noqa: TRY301 - one fault, however it shows
                found.append(FixedCode(PhoneNumber(match[1]), match[2], date.fromisoformat(match[3])))
            except (ValueError, DomainError):
                # The value is not shown: it holds a code.
                self.faults.append("OTP_TEST_NUMBERS must be like +919999999999:123456:2026-12-31, with commas between")
        return tuple(found)

    def names(self, name: str, default: str) -> tuple[str, ...]:
        parts = (part.strip() for part in self._environment.get(name, default).split(","))
        return tuple(part for part in parts if part)

    def choice(self, name: str, default: str, allowed: set[str]) -> str:
        value = self.text(name) or default
        if value not in allowed:
            self.faults.append(f"{name} must be one of {', '.join(sorted(allowed))}")
            return default
        return value

    def number(self, name: str, default: int, least: int, most: int) -> int:
        text = self.text(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 9) or not least <= int(text) <= most:
            self.faults.append(f"{name} must be a whole number from {least} to {most}")
            return default
        return int(text)

    def seconds(self, name: str, default: int, least: int, most: int) -> timedelta:
        return timedelta(seconds=self.number(name, default, least, most))

    def url(self, name: str, schemes: set[str]) -> str | None:
        value = self.text(name)
        if value is not None and value.partition("://")[0] not in schemes:
            # The value is not shown: it may hold a password.
            self.faults.append(f"{name} must begin with one of {', '.join(sorted(schemes))} and ://")
        return value

    def redis_url(self) -> str | None:
        url = self.url("REDIS_URL", {"redis", "rediss", "unix"})
        host = self.text("REDIS_HOST")
        port = self.number("REDIS_PORT", 6379, 1, 65535)
        if url is not None or host is None:
            return url
        return f"redis://{quote(host, safe='[]:')}:{port}/0"

    def jwt_secrets(self, data_dir: Path, *, in_production: bool) -> tuple[Secret, ...]:
        given = self.secrets("JWT_SECRET")
        if any(len(secret.reveal().encode()) < SECRET_MIN_BYTES for secret in given):
            self.faults.append(f"JWT_SECRET must have at least {SECRET_MIN_BYTES} bytes, each of several")
        return given or (self.kept_jwt_secret(data_dir, in_production=in_production),)

    def kept_jwt_secret(self, data_dir: Path, *, in_production: bool) -> Secret:
        if in_production:
            self.faults.append("JWT_SECRET is required in production")
            return Secret("")
        kept = self._attempt("DATA_DIR cannot be written", lambda: _kept_secret(data_dir), None)
        if kept is not None and len(kept.reveal().encode()) < SECRET_MIN_BYTES:
            self.faults.append(f"{data_dir / 'jwt_secret'} is damaged; delete it, and everybody logs in again")
        return kept or Secret("")

    def otp_delivery(self, *, in_production: bool) -> str:
        value = self.choice("OTP_DELIVERY", "response", {"response", "console", "twilio", "webhook"})
        for name in OTP_DELIVERY_NEEDS.get(value, ()):
            if self.text(name) is None:
                self.faults.append(f"OTP_DELIVERY={value} needs {name}")
        if value == "webhook" and len((self.text("OTP_WEBHOOK_SECRET") or "").encode()) < SECRET_MIN_BYTES:
            self.faults.append(f"OTP_WEBHOOK_SECRET must have at least {SECRET_MIN_BYTES} bytes")
        if not in_production:
            return value
        if self.text("OTP_DELIVERY") is None:
            self.faults.append("OTP_DELIVERY is required in production")
        elif value == "response":
            self.faults.append("OTP_DELIVERY=response is refused in production: anybody could log in as anybody")
        return value

    def llm_provider(self, key: Secret, *, in_production: bool) -> str:
        value = self.choice("LLM_PROVIDER", "gemini" if key else "offline", LLM_PROVIDERS)
        if value in {"gemini", "gemini-legacy"} and not key:
            self.faults.append(f"LLM_PROVIDER={value} needs GEMINI_API_KEY")
        if value == "openai-compatible" and not (self.text("OPENAI_BASE_URL") and self.text("OPENAI_MODEL")):
            self.faults.append("LLM_PROVIDER=openai-compatible needs OPENAI_BASE_URL and OPENAI_MODEL")
        if value == "offline" and in_production and self.text("LLM_PROVIDER") is None:
            self.faults.append("GEMINI_API_KEY is required in production, or LLM_PROVIDER=offline")
        return value

    def words(self, name: str) -> frozenset[str]:
        return frozenset(word.strip() for word in (self.text(name) or "").split(",") if word.strip())

    def public_url(self) -> str:
        value = self.text("PUBLIC_URL")
        if value is None:
            return f"http://127.0.0.1:{self.text('PORT') or 8000}"
        if not ORIGIN.fullmatch(value.lower()):
            self.faults.append("PUBLIC_URL must be an origin such as https://chat.example.org, without a path")
        return value

    def payment_provider(self, *, in_production: bool) -> str:
        key = self.text("STRIPE_SECRET_KEY")
        otherwise = "none" if in_production else "sandbox"
        value = self.choice("PAYMENT_PROVIDER", "stripe" if key else otherwise, {"stripe", "sandbox", "none"})
        if value == "sandbox" and in_production:
            self.faults.append("PAYMENT_PROVIDER=sandbox is refused in production: anybody could be Pro without paying")
        if value == "stripe":
            needed = {"STRIPE_SECRET_KEY": key, "STRIPE_PRICE_ID": self.text("STRIPE_PRICE_ID")}
            self.faults.extend(f"PAYMENT_PROVIDER=stripe needs {name}" for name in needed if not needed[name])
        return value

    def _require(self, name: str, value: str | None) -> None:
        if value is None:
            self.faults.append(f"{name} is required in production")

    def _attempt(self, fault: str, action: Callable[[], T], otherwise: T) -> T:
        try:
            return action()
        except OSError as error:
            self.faults.append(f"{fault}: {error.strerror}")
            return otherwise


def _kept_secret(data_dir: Path) -> Secret:
    """The secret kept under ``data_dir``, made there by whichever process comes first."""
    path = data_dir / "jwt_secret"
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        draft = data_dir / f".jwt_secret.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)  # fails if another process was faster; never shows a half-written file
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return Secret(path.read_text().strip())
