"""Verifies the signature of Stripe's events (docs.stripe.com/webhooks/signature) and reads them.

Without Stripe's library: it accepts an empty secret, and malformed requests make it raise a dozen kinds of built-in
errors.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from adapters.stripe.metadata import user_named_in
from application.ports.payment_events import EventRejected, ReadPaymentEvent
from application.ports.runtime import Clock
from domain.accounts import UserId
from domain.billing import CheckoutId, Concern, CustomerId, Mode, Money, MoneyKind, PaymentEvent
from domain.errors import WebhookNotConfigured

TOLERANCE = timedelta(seconds=300)

HEADER_MAX_LENGTH = 4_096
TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
WORD = re.compile(r"[A-Za-z0-9_.]{1,255}", re.ASCII)
AMOUNT_MAX = 2**62

# Events after which the customer's subscriptions are read from Stripe.
ABOUT_SUBSCRIPTIONS = (
    "customer.subscription.",
    "customer.deleted",
    "checkout.session.",
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice.payment_failed",
)
MONEY_KINDS = {
    "charge.refunded": MoneyKind.REFUND,
    "refund.failed": MoneyKind.REFUND_FAILED,
    "charge.dispute.created": MoneyKind.DISPUTE_OPENED,
    "charge.dispute.updated": MoneyKind.DISPUTE_CHANGED,
    "charge.dispute.funds_withdrawn": MoneyKind.DISPUTE_CHANGED,
    "charge.dispute.funds_reinstated": MoneyKind.DISPUTE_CHANGED,
    "charge.dispute.closed": MoneyKind.DISPUTE_CLOSED,
}

Json = dict[str, Any]

log = structlog.get_logger(__name__)


class StripeEventReader(ReadPaymentEvent):
    """Accepts a signature by any of ``secrets``. Empty secrets are ignored: they would prove nothing.

    Events that an endpoint should not be set to are read as being about nothing, so that they are stored and Stripe
    does not switch the endpoint off, and each is an error in the log that says what to set: thin events, those of
    connected accounts, and those of another mode than ``mode``.
    """

    def __init__(self, *, secrets: Sequence[str], clock: Clock, mode: Mode | None = None) -> None:
        self._mode = mode
        self._secrets = [secret.encode() for secret in secrets if secret.strip()]
        self._clock = clock

    def __call__(self, body: bytes, signature: str | None) -> PaymentEvent:
        if not self._secrets:
            raise WebhookNotConfigured
        self._verify(body, signature or "")
        try:
            event = json.loads(body)
        except (ValueError, RecursionError):
            raise EventRejected("malformed") from None
        return self._event(event)

    def _event(self, event: Any) -> PaymentEvent:
        if isinstance(event, dict) and event.get("object") == "v2.core.event":
            log.error("webhook_event_is_thin", event_type=_word(event.get("type")), fix="send snapshot payloads")
            return _thin(event)
        read = _event(event)
        if event.get("account") is not None:
            log.error("webhook_event_of_connected_account", event_type=read.type, fix="listen to your account only")
        elif self._is_of_another_mode(event):
            log.error("webhook_event_of_another_mode", event_type=read.type, fix="use the secret of this mode only")
        else:
            return read
        return _about_nothing(read)

    def _is_of_another_mode(self, event: Json) -> bool:
        live = event.get("livemode")
        if not isinstance(live, bool) or self._mode not in {Mode.LIVE, Mode.TEST}:
            return False
        return live is not (self._mode is Mode.LIVE)

    def _verify(self, body: bytes, signature: str) -> None:
        if len(signature) > HEADER_MAX_LENGTH or not signature.isascii():
            raise EventRejected("signature")
        pairs = [pair.strip().partition("=") for pair in signature.split(",")]
        timestamps = [value for name, _, value in pairs if name == "t" and TIMESTAMP.fullmatch(value)]
        digests = [value for name, _, value in pairs if name == "v1" and DIGEST.fullmatch(value)]
        if len(timestamps) != 1:
            raise EventRejected("signature")
        signed = f"{timestamps[0]}.".encode() + body
        right = [hmac.new(secret, signed, hashlib.sha256).hexdigest() for secret in self._secrets]
        if not any(hmac.compare_digest(one, digest) for one in right for digest in digests):
            raise EventRejected("signature")
        # Checked last: the timestamp means nothing before the signature is verified.
        age = self._clock().timestamp() - int(timestamps[0])
        if abs(age) > TOLERANCE.total_seconds():
            raise EventRejected("stale")


def _event(event: Any) -> PaymentEvent:
    if not isinstance(event, dict) or event.get("object") != "event":
        raise EventRejected("malformed")
    data = event.get("data")
    about = data.get("object") if isinstance(data, dict) else None
    if not isinstance(about, dict):
        raise EventRejected("malformed")
    kind = _word(event.get("type"))
    money_kind = MONEY_KINDS.get(kind)
    concern = Concern.MONEY if money_kind else Concern.NOTHING
    if kind.startswith(ABOUT_SUBSCRIPTIONS):
        concern = Concern.SUBSCRIPTION
    customer_id = _word(about.get("id")) if kind == "customer.deleted" else _reference(about, "customer")
    return PaymentEvent(
        id=_word(event.get("id")),
        type=kind,
        created_at=_moment(event.get("created")),
        concern=concern,
        customer_id=CustomerId(customer_id) if customer_id else None,
        checkout_id=CheckoutId(_word(about.get("id"))) if kind.startswith("checkout.session.") else None,
        charge_id=_reference(about, "charge") if money_kind else None,
        named_user=_named_user(about) if concern is Concern.SUBSCRIPTION else None,
        money=_money(about, money_kind) if money_kind else None,
    )


def _thin(event: Json) -> PaymentEvent:
    """A thin event names an object and has no copy of it (docs.stripe.com/event-destinations#thin-events)."""
    created = event.get("created")
    try:
        moment = datetime.fromisoformat(created) if isinstance(created, str) else _moment(created)
    except ValueError:
        raise EventRejected("malformed") from None
    if moment.tzinfo is None:
        raise EventRejected("malformed")
    return PaymentEvent(_word(event.get("id")), _word(event.get("type")), moment, Concern.NOTHING)


def _about_nothing(event: PaymentEvent) -> PaymentEvent:
    return PaymentEvent(event.id, event.type, event.created_at, Concern.NOTHING)


def _named_user(about: Json) -> UserId | None:
    """The user whose id is in the object, or in the subscription of an invoice."""
    details = about.get("subscription_details") or {}
    parent = about.get("parent")
    if isinstance(parent, dict):
        details = parent.get("subscription_details") or details
    return user_named_in(about) or user_named_in(details)


def _money(about: Json, kind: MoneyKind) -> Money:
    amount = about.get("amount_refunded" if kind is MoneyKind.REFUND else "amount")
    if not isinstance(amount, int) or isinstance(amount, bool) or not 0 <= amount < AMOUNT_MAX:
        raise EventRejected("malformed")
    return Money(kind, amount, _word(about.get("currency")), _word(about.get("id")))


def _reference(about: Json, name: str) -> str | None:
    """The id of another object, whether Stripe has expanded it or not."""
    value = about.get(name)
    if isinstance(value, dict):
        value = value.get("id")
    return None if value is None else _word(value)


def _word(value: Any) -> str:
    """A text that is safe to store; EventRejected for any other value."""
    if not isinstance(value, str) or not WORD.fullmatch(value):
        raise EventRejected("malformed")
    return value


def _moment(value: Any) -> datetime:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**11:
        raise EventRejected("malformed")
    return datetime.fromtimestamp(value, UTC)
