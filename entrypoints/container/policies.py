"""Settings in the words of the domain."""

from datetime import timedelta

from application.auth.rate_limits import RequestLimits
from application.ports.rate_limiter import Limit
from domain.billing import BillingPolicy
from domain.one_time_password import SendCaps
from domain.plans import Allowance, Allowances, Plan
from domain.replies import ReplyPolicy
from entrypoints.settings import Settings

SANDBOX_PRICE = "price_sandbox_pro"


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
        user_messages=settings.max_messages_per_user,
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


def billing_policy_of(settings: Settings) -> BillingPolicy:
    """What is sold, and what is done where payments go wrong."""
    return BillingPolicy(
        price=settings.stripe_price_id or SANDBOX_PRICE,
        old_prices=settings.stripe_old_price_ids,
        grace=settings.past_due_grace,
        cancels_duplicates=settings.duplicate_subscriptions == "cancel",
        cancels_on_dispute=settings.disputed_payments == "cancel",
    )


def _a_minute(name: str, requests: int) -> Limit | None:
    return Limit(name, requests, timedelta(minutes=1)) if requests else None
