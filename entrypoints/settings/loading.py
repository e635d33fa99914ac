"""Reads the variables, completes what follows from others, and reports all faults at once."""

import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from dotenv import dotenv_values

from domain.billing import Mode, mode_of_key
from entrypoints.settings.readers import Refused, Secret
from entrypoints.settings.variables import IN_HINDI, SECRETS, VARIABLES, Settings

SECRET_MIN_BYTES = 32
# Fewer different characters are not random: of 32 random hexadecimal digits, 8 or fewer are one in 300,000.
MIN_CHARACTERS = 8
MIN_PERIOD = 8
EXAMPLES = ("change-me", "changeme", "change_me", "secret-key", "your-secret", "your_secret", "password", "example")
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
# Addresses and origins to which codes, tokens, keys or prompts are sent. A test finds one that is missing here.
CARRY_SECRETS = (
    "OTP_WEBHOOK_URL",
    "TWILIO_API_BASE",
    "PUBLIC_URL",
    "STRIPE_API_BASE",
    "GEMINI_BASE_URL",
    "OPENAI_BASE_URL",
    "CORS_ORIGINS",
    "RETURN_URL_ORIGINS",
)
# After the name of a secret: the file that it stands in.
FILE = "_FILE"
# Each process of a machine takes one of so many for its metrics.
METRICS_PORTS = 10
# Of the characters of two names, so many are the same in one order: GEMINI_APIKEY, WEB_THREAD, STRIPE_API_KEYS.
NEARLY = 0.85

# What a choice cannot do without. "X and Y" is one need.
NEEDS = {
    ("OTP_DELIVERY", "twilio"): ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM"),
    ("OTP_DELIVERY", "webhook"): ("OTP_WEBHOOK_URL", "OTP_WEBHOOK_SECRET"),
    ("LLM_PROVIDER", "gemini"): ("GEMINI_API_KEY",),
    ("LLM_PROVIDER", "gemini-legacy"): ("GEMINI_API_KEY",),
    ("LLM_PROVIDER", "openai-compatible"): ("OPENAI_BASE_URL and OPENAI_MODEL",),
    ("PAYMENT_PROVIDER", "stripe"): ("STRIPE_SECRET_KEY", "STRIPE_PRICE_ID"),
}
PRODUCTION_NEEDS = ("DATABASE_URL", "REDIS_URL or REDIS_HOST", "OTP_DELIVERY", "GEMINI_API_KEY or LLM_PROVIDER")
PRODUCTION_REFUSES = {
    ("OTP_DELIVERY", "response"): "anybody could log in as anybody",
    ("OTP_DELIVERY", "console"): "codes would be in the log, and not be sent",
    ("PAYMENT_PROVIDER", "sandbox"): "anybody could be Pro without paying",
}


class SettingsError(Exception):
    """The settings cannot be used. ``faults`` says everything that is wrong, without showing a secret."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(f"  - {fault}" for fault in faults))
        self.faults = faults


def load_settings() -> Settings:
    """The settings of this process: the environment, and for what it lacks the file ``.env``. SettingsError."""
    return read_settings(_environment())


def is_set(name: str) -> bool:
    """Whether the environment or the file ``.env`` gives this variable, so that its default does not count."""
    environment = _environment()
    return any(environment.get(one, "").strip() for one in (name, f"{name}{FILE}" if name in SECRETS else name))


def misspelt() -> list[tuple[str, str]]:
    """Variables that are none of ours, each with one of ours that it nearly is."""
    ours = [one.name for one in VARIABLES]
    known = {*ours, *(f"{name}{FILE}" for name in SECRETS)}
    near = [(name, get_close_matches(name, ours, n=1, cutoff=NEARLY)) for name in _environment() if name not in known]
    return sorted((name, found[0]) for name, found in near if found)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings that ``environment`` gives. SettingsError with all that is wrong with it."""
    faults: list[str] = []
    environment = _with_files(environment, faults)
    settings = _completed(Settings(**_values(environment, faults)), faults)
    faults += _contradictions(settings, {name: text.strip() for name, text in environment.items() if text.strip()})
    if faults:
        raise SettingsError(faults)
    return settings


def _environment() -> dict[str, str]:
    from_file = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    return {**from_file, **os.environ}


def _with_files(environment: Mapping[str, str], faults: list[str]) -> Mapping[str, str]:
    """With what stands in the files that NAME_FILE names, for each secret."""
    read: dict[str, str] = {}
    for name in SECRETS:
        path = environment.get(f"{name}{FILE}", "").strip()
        if not path:
            continue
        if environment.get(name, "").strip():
            faults.append(f"{name} and {name}{FILE} are both set; one of them must go")
            continue
        try:
            # Editors and `echo` end a file with a line break.
            read[name] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            faults.append(f"{name}{FILE} cannot be read: {reason}")
    return {**environment, **read}


def _values(environment: Mapping[str, str], faults: list[str]) -> dict[str, Any]:
    values = {}
    for one in VARIABLES:
        text = environment.get(one.name, one.default).strip()
        try:
            values[one.field] = one.read(text if text or one.may_be_blank else one.default)
        except Refused as refused:
            faults += [f"{one.name} {fault}" for fault in refused.args]
            values[one.field] = one.read(one.default)
    return values


def _completed(settings: Settings, faults: list[str]) -> Settings:
    """The settings, with what follows from others where it was not set."""
    host, port = settings.redis_host, settings.redis_port
    model = "gemini" if settings.gemini_api_key else "offline"
    payments = "none" if settings.in_production else "sandbox"
    return replace(
        settings,
        redis_url=settings.redis_url or (f"redis://{quote(host, safe='[]:')}:{port}/0" if host else None),
        jwt_secrets=settings.jwt_secrets or _generated_secrets(settings, faults),
        llm_provider=settings.llm_provider or model,
        payment_provider=settings.payment_provider or ("stripe" if settings.stripe_secret_key else payments),
        public_url=settings.public_url or f"http://127.0.0.1:{settings.port}",
        # What an operator says in words of their own may have to be said in these (India registers templates).
        otp_text_hi=settings.otp_text_hi or IN_HINDI.get(settings.otp_text, settings.otp_text),
        otp_reset_text_hi=settings.otp_reset_text_hi or IN_HINDI.get(settings.otp_reset_text, settings.otp_reset_text),
    )


def _contradictions(settings: Settings, given: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the settings taken together; ``given``: the variables that are not blank."""
    for (name, value), needs in NEEDS.items():
        if getattr(settings, name.lower()) == value:
            yield from (f"{name}={value} needs {need}" for need in needs if not given.keys() >= {*need.split(" and ")})
    if any(map(_is_short, settings.jwt_secrets)):
        yield f"JWT_SECRET must have at least {SECRET_MIN_BYTES} bytes, each of several"
    if settings.otp_delivery == "webhook" and _is_short(settings.otp_webhook_secret):
        yield f"OTP_WEBHOOK_SECRET must have at least {SECRET_MIN_BYTES} bytes"
    if settings.trusted_proxies and settings.trusted_proxy_hops:
        yield "TRUSTED_PROXIES and TRUSTED_PROXY_HOPS are both set; one of them must go"
    first = settings.metrics_port
    if first is not None and first <= settings.port < first + METRICS_PORTS:
        yield f"METRICS_PORT must leave PORT out of the {METRICS_PORTS} ports from it on"
    if first is not None and (settings.web_processes or 1) > METRICS_PORTS:
        yield f"WEB_PROCESSES must be at most {METRICS_PORTS} where METRICS_PORT is set: each takes one port"
    if settings.in_production:
        yield from _dangers(given)
        yield from _weaknesses(settings)
        yield from _payment_dangers(settings, given)


def _dangers(given: Mapping[str, str]) -> Iterator[str]:
    """What production refuses."""
    for need in PRODUCTION_NEEDS:
        if given.keys().isdisjoint(need.split(" or ")):
            yield f"{need} is required in production"
    for (name, value), why in PRODUCTION_REFUSES.items():
        if given.get(name) == value:
            yield f"{name}={value} is refused in production: {why}"
    for name in CARRY_SECRETS:
        if any(_is_readable(url.strip()) for url in given.get(name, "").split(",")):
            yield f"{name} must begin with https:// in production"


def _weaknesses(settings: Settings) -> Iterator[str]:
    """Secrets that can be guessed, and proxies that anybody could be."""
    secrets_of = {
        "JWT_SECRET": settings.jwt_secrets,
        "OTP_WEBHOOK_SECRET": (settings.otp_webhook_secret,),
        "PASSWORD_PEPPER": (settings.password_pepper,),
    }
    for name, values in secrets_of.items():
        if any(value and _is_guessable(value.reveal()) for value in values):
            yield f"{name} can be guessed; make one with: openssl rand -base64 48"
    if any(network.prefixlen == 0 for network in settings.trusted_proxies):
        yield "TRUSTED_PROXIES must not hold every address: anybody could then name any address as their own"


def _payment_dangers(settings: Settings, given: Mapping[str, str]) -> Iterator[str]:
    if settings.payment_provider != "stripe":
        return
    if "PUBLIC_URL" not in given:
        yield "PUBLIC_URL is required in production with payments: buyers come back there"
    if not settings.stripe_webhook_secrets:
        yield "STRIPE_WEBHOOK_SECRET is required in production with payments: they would show after an hour"
    if mode_of_key(settings.stripe_secret_key.reveal()) is Mode.TEST and not settings.stripe_test_mode:
        yield "STRIPE_SECRET_KEY is a test key, which production takes with STRIPE_TEST_MODE=yes only"


def _is_readable(url: str) -> bool:
    """Whether others on the way can read what is sent there: http, unless it stays on this machine."""
    scheme, _, rest = url.partition("://")
    return scheme.lower() == "http" and urlsplit(f"//{rest}").hostname not in LOOPBACK


def _is_guessable(secret: str) -> bool:
    """A repeated text, few different characters, or one of the words that examples hold."""
    text = secret.lower()
    period = next(size for size in range(1, len(text) + 1) if (text[:size] * len(text))[: len(text)] == text)
    return period <= MIN_PERIOD or len(set(text)) < MIN_CHARACTERS or any(word in text for word in EXAMPLES)


def _is_short(secret: Secret) -> bool:
    return len(secret.reveal().encode()) < SECRET_MIN_BYTES


def _generated_secrets(settings: Settings, faults: list[str]) -> tuple[Secret, ...]:
    if settings.in_production:
        faults.append("JWT_SECRET is required in production")
        return ()
    try:
        kept = _kept_secret(settings.data_dir)
    except OSError as error:
        faults.append(f"DATA_DIR cannot be written: {error.strerror}")
        return ()
    if _is_short(kept):
        faults.append(f"{settings.data_dir / 'jwt_secret'} is damaged; delete it, and everybody logs in again")
        return ()
    return (kept,)


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
