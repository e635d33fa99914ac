"""Every variable of the environment, once: type, reader, default and meaning.

Tests hold the README's table, ``.env.example`` and ``docker-compose.yml`` to it.
"""

from dataclasses import Field, dataclass, field, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from domain.one_time_password import FixedCode
from entrypoints.settings.readers import (
    Network,
    Reader,
    Secret,
    api_key,
    base_url,
    choice,
    code_text,
    days,
    dsn,
    fixed_code,
    key_prefix,
    network,
    number,
    optional,
    or_auto,
    origin,
    postgresql_url,
    redis_url,
    seconds,
    set_of,
    several,
    url,
    yes_or_no,
)

T = TypeVar("T")

HTTP = url("http", "https")

# What a text message with a code says. One message holds 160 characters of GSM-7; in Devanagari, which is sent as
# UCS-2, it holds 70.
LOGIN_TEXT = "{code} is your code for logging in. Do not tell it to anybody."
RESET_TEXT = "{code} is your code for setting a new password. Do not tell it to anybody."
IN_HINDI = {
    LOGIN_TEXT: "आपका लॉग इन कोड {code} है। इसे किसी को न बताएँ।",
    RESET_TEXT: "नया पासवर्ड रखने के लिए आपका कोड {code} है। इसे किसी को न बताएँ।",
}


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the environment: how it is read, and what the README says of it.

    ``is_secret``: it may be given as the name of a file, as container engines and orchestrators hand out secrets.
    """

    read: Reader[Any]
    default: str
    meaning: str
    unset: str
    may_be_blank: bool
    name: str
    field: str = ""
    is_secret: bool = False


def variable(
    read: Reader[T],
    default: str,
    meaning: str,
    *,
    unset: str = "",
    name: str = "",
    may_be_blank: bool = False,
    shown: bool = True,
) -> T:
    """A field of ``Settings``, read from the variable ``name``; by default that is the field's name in capitals.

    ``unset`` tells what holds where there is no default. A blank variable counts as unset, unless it ``may_be_blank``.
    What may hold a password is not ``shown`` in the repr.
    """
    declared: T = field(repr=shown, metadata={"variable": Variable(read, default, meaning, unset, may_be_blank, name)})
    return declared


@dataclass(frozen=True, slots=True)
class Settings:
    """What the service was told. ``database_url`` and ``redis_url`` None: the embedded servers are to be used."""

    # fmt: off
    app_env: str = variable(choice("development", "production"), "development",
        "`development` or `production`; production refuses what is unsafe there")
    host: str = variable(str, "127.0.0.1", "address the web server listens on")
    port: int = variable(number(1, 65535), "8000", "port the web server listens on")
    shared_port: bool = variable(yes_or_no, "no",
        "`yes`: several web processes may listen on the port; otherwise a second one is refused")
    web_processes: int | None = variable(or_auto(number(1, 256)), "1",
        "web processes on the port, under one command; `auto`: one for each core")
    web_threads: int = variable(number(1, 1000), "8", "requests one web process works on at once")
    web_connections: int = variable(number(16, 1_000_000), "20000",
        "connections of one web process; beyond them the one that is idle for longest is closed")
    waiting_requests: int = variable(number(1, 1_000_000), "10000",
        "requests one web process lets wait at once: streams and long polls")
    waiting_requests_per_user: int = variable(number(1, 1_000_000), "20", "of these, those of one user")
    database_url: str | None = variable(optional(postgresql_url), "",
        "PostgreSQL 15 or later, `postgresql://user:password@host:5432/name`", unset="embedded server", shown=False)
    database_pooler: str = variable(choice("none", "transaction"), "none",
        "`transaction`: DATABASE_URL names a pooler that gives each transaction another session (PgBouncer, Neon)")
    database_direct_url: str | None = variable(optional(postgresql_url), "",
        "the database itself, for migrations, where DATABASE_URL names a pooler", unset="DATABASE_URL", shown=False)
    redis_url: str | None = variable(optional(redis_url), "",
        "Redis or Valkey, `redis://[:password@]host:6379[/0]`", unset="embedded server", shown=False)
    redis_host: str | None = variable(optional(str), "", "host of Redis, in place of REDIS_URL")
    redis_port: int = variable(number(1, 65535), "6379", "port of Redis, together with REDIS_HOST")
    key_prefix: str = variable(key_prefix, "",
        "begins every key in Redis, such as `chat:`, where other services or deployments share it")
    data_dir: Path = variable(lambda text: Path(text).absolute(), ".data",
        "where the embedded servers and the generated secret are kept")
    log_level: str = variable(choice("debug", "info", "warning", "error"), "info",
        "`debug`, `info`, `warning` or `error`")
    metrics_port: int | None = variable(optional(number(1, 65535)), "",
        "first of ten ports of which each process takes a free one for `/metrics`", unset="off")
    metrics_host: str = variable(str, "127.0.0.1", "address that metrics are served on; never a public one")
    otlp_endpoint: str | None = variable(optional(HTTP), "",
        "OpenTelemetry collector that traces are sent to, such as `http://localhost:4318`; needs the extra `tracing`",
        unset="off", name="OTEL_EXPORTER_OTLP_ENDPOINT")
    sentry_dsn: Secret = variable(dsn, "", "where errors are told to Sentry; needs the extra `sentry`", unset="off")
    jwt_secrets: tuple[Secret, ...] = variable(several(Secret), "",
        "signs access tokens, 32 bytes or more; several with commas, the first signs",
        unset="generated", name="JWT_SECRET")
    access_token: timedelta = variable(seconds(1, 86_400), "900",
        "how long an access token is good", name="ACCESS_TOKEN_SECONDS")
    session_max: timedelta = variable(days(1, 36_500), "365",
        "a session ends so long after its login, however often it is refreshed", name="SESSION_MAX_DAYS")
    password_pepper: Secret = variable(Secret, "", "mixed into password hashes; once set, never change it")
    password_hash_cost: int = variable(number(10, 16), "12",
        "bcrypt's cost: each step doubles the work; a login renews a hash of another cost")
    otp_delivery: str = variable(choice("response", "console", "twilio", "webhook"), "response",
        "`response` or `console` (both refused in production), `twilio` or `webhook`")
    otp_text: str = variable(code_text, LOGIN_TEXT,
        "text message with a code; `{code}` and `{host}` stand for the code and PUBLIC_URL's host")
    otp_reset_text: str = variable(code_text, RESET_TEXT,
        "the same, with a code for setting a new password")
    otp_text_hi: str = variable(lambda text: text and code_text(text), "",
        "OTP_TEXT in Hindi, for clients that ask for it; a text of your own in OTP_TEXT is sent in its place",
        unset=IN_HINDI[LOGIN_TEXT])
    otp_reset_text_hi: str = variable(lambda text: text and code_text(text), "",
        "the same for OTP_RESET_TEXT", unset=IN_HINDI[RESET_TEXT])
    otp_countries: tuple[str, ...] = variable(several(str.upper), "",
        "ISO 3166 regions that codes are sent to, with commas; unset: all")
    otp_test_numbers: tuple[FixedCode, ...] = variable(several(fixed_code), "",
        "`+number:code:last day` with commas: always this code, nothing is sent")
    otp_daily_per_number: int = variable(number(1, 1_000), "20", "codes sent a day to one number")
    otp_daily_per_prefix: int = variable(number(1, 1_000_000), "100",
        "codes sent a day to numbers that differ in their last three digits")
    otp_daily_per_address: int = variable(number(1, 1_000_000), "100", "codes sent a day for one IP address")
    otp_daily_total: int = variable(number(1, 100_000_000), "10000", "codes sent a day in all")
    otp_webhook_url: str | None = variable(optional(HTTP), "", "where `webhook` posts codes to", shown=False)
    otp_webhook_secret: Secret = variable(Secret, "", "signs what is posted there, 32 bytes or more")
    twilio_account_sid: str | None = variable(optional(str), "", "account at Twilio")
    twilio_auth_token: Secret = variable(Secret, "", "its token")
    twilio_from: str | None = variable(optional(str), "", "number or messaging service (MG…) that sends")
    twilio_api_base: str = variable(HTTP, "https://api.twilio.com", "another server that speaks the Twilio API")
    phone_default_region: str = variable(str.upper, "IN", "ISO 3166 region of numbers written without a country code")
    rate_limit_per_user: int = variable(number(0, 1_000_000), "3000", "requests a minute of one user; 0: no limit")
    rate_limit_per_address: int = variable(number(0, 1_000_000), "6000",
        "requests a minute of one IP address; 0: no limit")
    rate_limit_logins: int = variable(number(0, 1_000_000), "60",
        "requests a minute of one IP address to log in or sign up; 0: no limit")
    chat_page: bool = variable(yes_or_no, "yes",
        "`no`: the service has no chat page at `/app`")
    trusted_proxies: tuple[Network, ...] = variable(several(network), "",
        "our own proxies' addresses or networks, with commas: their X-Forwarded-For holds")
    trusted_proxy_hops: int = variable(number(0, 16), "0",
        "or: how many proxies every request passes, where they have no fixed addresses (Render, Railway, Fly: 1)")
    cors_origins: frozenset[str] = variable(set_of(origin), "", "origins whose pages may call the API, with commas")
    llm_provider: str = variable(choice("gemini", "gemini-legacy", "openai-compatible", "offline"), "",
        "`gemini`, `gemini-legacy`, `openai-compatible`, `offline`", unset="by GEMINI_API_KEY")
    gemini_api_key: Secret = variable(api_key, "", "key of the Gemini API")
    gemini_model: str = variable(str, "gemini-flash-latest", "model that answers")
    gemini_fallback_models: tuple[str, ...] = variable(several(str), "gemini-flash-lite-latest",
        "what answers when it is gone, spent for the day or overloaded; several with commas", may_be_blank=True)
    gemini_base_url: str | None = variable(optional(HTTP), "",
        "another server that speaks the Gemini API", unset="Google's")
    openai_base_url: str | None = variable(optional(HTTP), "",
        "such as `http://localhost:11434/v1`, for `openai-compatible`")
    openai_api_key: Secret = variable(api_key, "", "its key, if it wants one")
    openai_model: str | None = variable(optional(str), "", "model that answers there")
    history_tokens: int = variable(number(0, 10_000_000), "8000",
        "how much of the conversation goes with a prompt; 0: nothing")
    model_idle: timedelta = variable(seconds(1, 3600), "60",
        "how long a model may send nothing, not even a thought, before its call ends", name="MODEL_IDLE_SECONDS")
    model_max_output_tokens: int | None = variable(optional(number(1, 10_000_000)), "",
        "tokens of an answer and its thoughts at most; beyond them it is `truncated`", unset="the model's")
    model_thinking_budget: int | None = variable(optional(number(0, 10_000_000)), "",
        "of these, tokens of thoughts; 0: none. `gemini` only", unset="the model's")
    model_safety: str | None = variable(optional(choice("OFF", "BLOCK_NONE", "BLOCK_ONLY_HIGH",
        "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_LOW_AND_ABOVE")), "",
        "threshold at which Gemini withholds an answer, by Google's names", unset="the model's")
    stripe_secret_key: Secret = variable(Secret, "", "key of the Stripe API")
    stripe_test_mode: bool = variable(yes_or_no, "no",
        "`yes`: production may run with Stripe's test keys")
    stripe_price_id: str | None = variable(optional(str), "", "price of the Pro plan")
    stripe_webhook_secrets: tuple[Secret, ...] = variable(several(Secret), "",
        "signing secret of the webhook endpoint; several with commas", name="STRIPE_WEBHOOK_SECRET")
    stripe_api_base: str | None = variable(optional(HTTP), "",
        "another server that speaks the Stripe API", unset="Stripe's")
    stripe_old_price_ids: frozenset[str] = variable(set_of(str), "",
        "earlier prices that are still the Pro plan; several with commas")
    stripe_billing_address: str = variable(choice("auto", "required"), "auto",
        "whether checkouts ask for a billing address: when Stripe needs it, or always")
    payment_provider: str = variable(choice("stripe", "sandbox", "none"), "",
        "`stripe`, `sandbox` (refused in production) or `none`", unset="by STRIPE_SECRET_KEY")
    public_url: str = variable(base_url, "", "address at which browsers reach this service", unset="by PORT")
    return_url_origins: frozenset[str] = variable(set_of(origin), "",
        "other origins that a checkout may return to; several with commas")
    past_due_grace: timedelta = variable(days(0, 365), "7",
        "how long a failed renewal still leaves Pro, from the end of the paid period", name="PAST_DUE_GRACE_DAYS")
    duplicate_subscriptions: str = variable(choice("cancel", "keep"), "cancel",
        "`cancel` (and refund) a second subscription, or only `keep` it")
    disputed_payments: str = variable(choice("record", "cancel"), "record",
        "`record` a dispute, or `cancel` the subscription as well")
    reconcile_every: timedelta = variable(seconds(10, 604_800), "3600",
        "how often each customer is compared with Stripe", name="RECONCILE_SECONDS")
    basic_daily_prompts: int = variable(number(0, 1_000_000), "5", "prompts a day on the Basic plan")
    reply_lease: timedelta = variable(seconds(1, 3600), "60",
        "how long a worker that went silent keeps a reply from the others", name="REPLY_LEASE_SECONDS")
    reply_max_attempts: int = variable(number(1, 100), "3",
        "how often the model is asked for one reply, while it is not busy")
    reply_deadline: timedelta = variable(seconds(1, 86_400), "300",
        "after which an unanswered message has failed", name="REPLY_DEADLINE_SECONDS")
    user_concurrent_replies: int = variable(number(1, 1000), "2",
        "replies of one user that are written at once; at most a quarter of `WORKER_CONCURRENCY`, at least one")
    user_backlog_replies: int = variable(number(1, 1_000_000), "100",
        "unfinished replies of one user beyond which no message is accepted: 429")
    backlog_replies: int = variable(number(1, 10_000_000), "10000",
        "unfinished replies of all users beyond which no message is accepted: 503")
    max_chatrooms_per_user: int = variable(number(1, 1_000_000), "1000",
        "chatrooms of one user beyond which none can be opened: 409")
    max_messages_per_user: int = variable(number(1, 100_000_000), "100000",
        "messages of one user that are kept; beyond them none is accepted: 409")
    worker_grace: timedelta = variable(seconds(1, 3_600), "25",
        "how long a worker that is stopped may finish replies before it hands them back; `make run`: 6",
        name="WORKER_GRACE_SECONDS")
    worker_concurrency: int = variable(number(1, 1000), "100", "replies one worker process writes at once")
    room_list_cache: timedelta = variable(seconds(1, 86_400), "300",
        "how long a list of chatrooms is kept in Redis", name="ROOM_LIST_CACHE_SECONDS")
    audit_retention: timedelta = variable(days(1, 36_500), "400",
        "how long events of the audit trail are kept", name="AUDIT_RETENTION_DAYS")
    # fmt: on

    @property
    def sessions_are_shared(self) -> bool:
        """Whether a pooler gives each transaction another session."""
        return self.database_pooler == "transaction"

    @property
    def in_production(self) -> bool:
        return self.app_env == "production"

    @property
    def jwt_secret(self) -> Secret:
        """The one that signs; the others only verify."""
        return self.jwt_secrets[0]

    @property
    def sends_codes(self) -> bool:
        """Whether codes cost money, and strangers ask for them: not while they are in the answers."""
        return self.otp_delivery != "response"


def _declared(one: "Field[Any]") -> Variable:
    variable: Variable = one.metadata["variable"]
    is_secret = not one.repr or "Secret" in str(one.type) or "FixedCode" in str(one.type)
    return replace(variable, field=one.name, name=variable.name or one.name.upper(), is_secret=is_secret)


VARIABLES = tuple(map(_declared, fields(Settings)))
SECRETS = tuple(one.name for one in VARIABLES if one.is_secret)
