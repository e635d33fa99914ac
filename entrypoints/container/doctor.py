"""The examination of the service, assembled from the settings."""

from collections.abc import Sequence
from datetime import timedelta

from adapters.sql.schema import REVISION
from adapters.system_runtime import system_clock
from application.operations.doctor import (
    Check,
    Examine,
    Finding,
    Verdict,
    judge_database,
    judge_model,
    judge_payments,
    judge_redis,
)
from application.ports.inspection import InspectModel
from entrypoints.settings import Settings

# A database that drops packets takes three seconds for each of two connections.
WITHIN = timedelta(seconds=15)
WEBHOOK, WEBHOOK_ALIAS = "/webhook/stripe", "/subscription/webhook/stripe"


def examination_of(settings: Settings, *, ask_model: bool) -> Examine:
    checks: dict[str, Check] = {"database": lambda: _database(settings), "redis": lambda: _redis(settings)}
    if settings.payment_provider == "stripe":
        checks["payments"] = lambda: _payments(settings)
    if ask_model and settings.llm_provider != "offline":
        checks["model"] = lambda: list(judge_model(_model_inspection(settings)()))
    return Examine(checks, WITHIN)


def _database(settings: Settings) -> Sequence[Finding]:
    from adapters.sql.inspection import SqlInspection

    if settings.database_url is None:
        says = "none is named, and that of `make run` does not run"
        return [Finding(Verdict.WARN, "database", says, "Set DATABASE_URL, or start `make run`.")]
    facts = SqlInspection(settings.database_url, sessions_are_shared=settings.sessions_are_shared)()
    now = system_clock()
    return list(judge_database(facts, now=now, revision=REVISION, in_production=settings.in_production))


def _redis(settings: Settings) -> Sequence[Finding]:
    from adapters.redis.inspection import RedisInspection

    if settings.redis_url is None:
        says = "none is named; that of `make run` is not looked at"
        return [Finding(Verdict.WARN, "redis", says, "Set REDIS_URL in production.")]
    inspect = RedisInspection(settings.redis_url, prefix=settings.key_prefix)
    return list(judge_redis(inspect(), in_production=settings.in_production))


def _payments(settings: Settings) -> Sequence[Finding]:
    from adapters.stripe.inspection import EVENTS, StripeInspection
    from adapters.stripe.payments import API_VERSION

    inspect = StripeInspection(
        api_key=settings.stripe_secret_key.reveal(),
        price=settings.stripe_price_id or "",
        base_url=settings.stripe_api_base,
    )
    return list(
        judge_payments(
            inspect(),
            webhook_url=settings.public_url + WEBHOOK,
            other_urls=[settings.public_url + WEBHOOK_ALIAS],
            events=EVENTS,
            api_version=API_VERSION,
        )
    )


def _model_inspection(settings: Settings) -> InspectModel:
    from adapters.llm.inspection import GeminiInspection, OpenAiInspection

    if settings.llm_provider == "openai-compatible":
        return OpenAiInspection(
            base_url=settings.openai_base_url or "",
            model=settings.openai_model or "",
            api_key=settings.openai_api_key.reveal() or None,
        )
    return GeminiInspection(
        api_key=settings.gemini_api_key.reveal(),
        models=(settings.gemini_model, *settings.gemini_fallback_models),
        base_url=settings.gemini_base_url,
    )
