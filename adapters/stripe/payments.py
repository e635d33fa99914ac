"""Payments through Stripe's library. No other module knows the library, or the shapes of Stripe's API objects.

The API version is pinned, so that later versions change nothing here. Objects are read in the shape of 2025-03-31 and
later (periods on subscription items, payments of an invoice as a list) and in the one before, for servers that still
answer so.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import stripe
import structlog

from application.ports.payments import CHECKOUT_ID, Order, Payments
from domain.accounts import UserId
from domain.billing import (
    Checkout,
    CheckoutId,
    CheckoutState,
    CustomerId,
    ProvidedSubscription,
    SubscriptionId,
    SubscriptionStatus,
)
from domain.errors import DependencyDown

API_VERSION = "2026-10-28.endive"

# Seconds to connect, and between two chunks of a response. The library's defaults are 80.
PATIENT = (3.0, 10.0)
HURRIED = (1.0, 2.0)
RETRIES = 2

# Stripe stores an internal error under the idempotency key it happened with, for a day: so the next key is tried.
KEYS_PER_WRITE = 3

PROVIDER = "stripe"
LONG = 30

T = TypeVar("T")
Json = dict[str, Any]
# From method, URL, headers and body to the response's body, status and headers.
Transport = Callable[[str, str, Mapping[str, str], str], tuple[bytes, int, Mapping[str, str]]]

log = structlog.get_logger(__name__)


class _Missing(Exception):
    """Stripe has no such object."""


class _StoredFailure(Exception):
    """Stripe has stored an internal error under this idempotency key and will replay it."""


class _InProcess(stripe.HTTPClient):
    """Calls a function in place of the network."""

    name = "in-process"

    def __init__(self, transport: Transport) -> None:
        super().__init__()
        self._transport = transport

    def request(  # type: ignore[override]  # as all of the library's own clients
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        return self._transport(method, url, headers or {}, post_data or "")

    def close(self) -> None:
        pass


class StripePayments(Payments):
    """``base_url``: another server with Stripe's API. ``transport``: a function in place of HTTP.

    Nothing connects before the first call.
    """

    name = PROVIDER

    def __init__(self, *, api_key: str, base_url: str | None = None, transport: Transport | None = None) -> None:

        def client(timeout: tuple[float, float], retries: int) -> stripe.StripeClient:
            http = _InProcess(transport) if transport else stripe.RequestsClient(timeout=timeout)
            return stripe.StripeClient(
                api_key,
                stripe_version=API_VERSION,
                base_addresses={"api": base_url.rstrip("/")} if base_url else None,
                max_network_retries=0 if transport else retries,
                http_client=http,
            )

        self._patient = client(PATIENT, RETRIES)
        self._hurried = client(HURRIED, 0)

    def new_customer(self, user_id: UserId) -> CustomerId:
        customer = self._write(
            f"customer-{user_id}",
            lambda key: self._patient.v1.customers.create(
                {"metadata": {"user_id": str(user_id)}}, {"idempotency_key": key}
            ),
        )
        return CustomerId(customer.id)

    def open_checkout(self, order: Order, customer_id: CustomerId) -> Checkout:
        metadata = {"user_id": str(order.user_id)}
        try:
            session = self._write(
                f"checkout-{order.attempt_id}",
                lambda key: self._patient.v1.checkout.sessions.create(
                    {
                        "mode": "subscription",
                        "customer": customer_id,
                        "client_reference_id": str(order.user_id),
                        "line_items": [{"price": order.price_id, "quantity": 1}],
                        "metadata": metadata,
                        # Stripe does not copy the session's metadata to the subscription.
                        "subscription_data": {"metadata": metadata},
                        "success_url": order.success_url.replace(CHECKOUT_ID, "{CHECKOUT_SESSION_ID}"),
                        "cancel_url": order.cancel_url,
                    },
                    {"idempotency_key": key},
                ),
            )
        except _Missing:
            raise _unknown(customer_id) from None
        return _checkout(session.to_dict())

    def checkout(self, checkout_id: CheckoutId) -> Checkout | None:
        try:
            return _checkout(self._read(lambda: self._patient.v1.checkout.sessions.retrieve(checkout_id).to_dict()))
        except _Missing:
            return None

    def expire_checkout(self, checkout_id: CheckoutId) -> None:
        known = self.checkout(checkout_id)
        if known is None or known.state is not CheckoutState.OPEN:
            return
        try:
            self._write(
                f"expire-{checkout_id}",
                lambda key: self._patient.v1.checkout.sessions.expire(checkout_id, {}, {"idempotency_key": key}),
            )
        except _Missing:
            return
        except DependencyDown:
            # Stripe also refuses when the checkout was paid in this moment: then there is nothing to do.
            now = self.checkout(checkout_id)
            if now is not None and now.state is CheckoutState.OPEN:
                raise

    def open_portal(self, customer_id: CustomerId, *, return_url: str) -> str:
        # A portal session lives for a few minutes and costs nothing, so no key is needed: each call opens a new one.
        try:
            session = self._read(
                lambda: self._patient.v1.billing_portal.sessions.create(
                    {"customer": customer_id, "return_url": return_url}
                )
            )
        except _Missing:
            raise _unknown(customer_id) from None
        return session.url

    def subscriptions_of(self, customer_id: CustomerId, *, hurry: bool = False) -> Sequence[ProvidedSubscription]:
        client = self._hurried if hurry else self._patient

        def all_of_them() -> list[Json]:
            first = client.v1.subscriptions.list({"customer": customer_id, "status": "all", "limit": 100})
            return [one.to_dict() for one in first.auto_paging_iter()]

        try:
            return [_subscription(one) for one in self._read(all_of_them)]
        except _Missing:
            raise _unknown(customer_id) from None

    def renew(self, subscription_id: SubscriptionId, *, renew: bool, key: str) -> None:
        try:
            now = self._read(lambda: self._patient.v1.subscriptions.retrieve(subscription_id).to_dict())
            # An end that was set as a day (cancel_at) is removed as such, not by the flag.
            set_otherwise = renew and now.get("cancel_at") and not now.get("cancel_at_period_end")
            self._write(
                key,
                lambda key: self._patient.v1.subscriptions.update(
                    subscription_id,
                    {"cancel_at": ""} if set_otherwise else {"cancel_at_period_end": not renew},
                    {"idempotency_key": key},
                ),
            )
        except _Missing:
            return  # it has ended

    def cancel(self, subscription_id: SubscriptionId, *, refund: bool) -> None:
        try:
            if refund:
                self._refund_newest_invoice(subscription_id)
            self._write(
                f"cancel-{subscription_id}",
                lambda key: self._patient.v1.subscriptions.cancel(
                    subscription_id, {"invoice_now": False, "prorate": False}, {"idempotency_key": key}
                ),
            )
        except _Missing:
            return  # it has ended

    def customer_of_charge(self, charge_id: str) -> CustomerId | None:
        try:
            charge = self._read(lambda: self._hurried.v1.charges.retrieve(charge_id).to_dict())
        except _Missing:
            return None
        customer_id = _id(charge.get("customer"))
        return CustomerId(customer_id) if customer_id else None

    def _refund_newest_invoice(self, subscription_id: SubscriptionId) -> None:
        subscription = self._read(
            lambda: self._patient.v1.subscriptions.retrieve(
                subscription_id, {"expand": ["latest_invoice.payments"]}
            ).to_dict()
        )
        invoice = subscription.get("latest_invoice")
        for payment in _payments_of(invoice) if isinstance(invoice, dict) else []:
            self._refund(payment)

    def _refund(self, payment: dict[str, str]) -> None:
        (paid_with,) = payment.values()

        def refund(key: str) -> None:
            try:
                self._patient.v1.refunds.create(
                    {**payment, "reason": "duplicate"},  # type: ignore[arg-type]  # either of two members
                    {"idempotency_key": key},
                )
            except stripe.InvalidRequestError as error:
                if error.code != "charge_already_refunded":
                    raise

        self._write(f"refund-{paid_with}", refund)

    def _write(self, key: str, write: Callable[[str], T]) -> T:
        """Write under a key, or under the next one where Stripe has stored an internal error under the first."""
        for number in range(KEYS_PER_WRITE):
            numbered = f"{key}-{number}" if number else key

            def under_this_key(numbered: str = numbered) -> T:
                return write(numbered)

            try:
                return self._read(under_this_key)
            except _StoredFailure:
                continue
        raise DependencyDown(PROVIDER, retry_after=LONG)

    def _read(self, call: Callable[[], T]) -> T:
        """Call Stripe and translate its errors, without their texts: those may quote the request."""
        try:
            return call()
        except stripe.InvalidRequestError as error:
            if error.code == "resource_missing" and error.param in {None, "id", "session", "customer"}:
                raise _Missing from None
            log.error("stripe_refused", code=error.code, param=error.param, stripe_request_id=error.request_id)
            raise DependencyDown(PROVIDER, retry_after=LONG) from None
        except (stripe.AuthenticationError, stripe.PermissionError) as error:
            log.error("stripe_key_refused", stripe_request_id=error.request_id)
            raise DependencyDown(PROVIDER, retry_after=LONG) from None
        except stripe.StripeError as error:
            if (error.headers or {}).get("idempotent-replayed") == "true" and (error.http_status or 0) >= 500:
                raise _StoredFailure from None
            log.warning("stripe_unavailable", error=type(error).__name__, status=error.http_status)
            raise DependencyDown(PROVIDER) from None


def _unknown(customer_id: CustomerId) -> DependencyDown:
    """Most likely the API key is one of another account: no reason to end subscriptions that users have paid for."""
    log.error("stripe_customer_unknown", customer_id=customer_id)
    return DependencyDown(PROVIDER, retry_after=LONG)


def _checkout(session: Json) -> Checkout:
    state = CheckoutState(session["status"])
    return Checkout(CheckoutId(session["id"]), state, session.get("url") if state is CheckoutState.OPEN else None)


def _subscription(one: Json) -> ProvidedSubscription:
    items: list[Json] = (one.get("items") or {}).get("data") or []
    ends = [item["current_period_end"] for item in items if item.get("current_period_end")]
    starts = [item["current_period_start"] for item in items if item.get("current_period_start")]
    period_end = max(ends, default=one.get("current_period_end"))
    # The portal may set the day of the end in place of the flag.
    cancel_at = one.get("cancel_at")
    return ProvidedSubscription(
        id=SubscriptionId(one["id"]),
        customer_id=CustomerId(_id(one["customer"]) or ""),
        status=SubscriptionStatus(one["status"]),
        price_ids=tuple(item["price"]["id"] for item in items if item.get("price")),
        created_at=_moment(one["created"]),
        period_start=_moment_or_none(max(starts, default=one.get("current_period_start"))),
        period_end=_moment_or_none(min(cancel_at, period_end) if cancel_at and period_end else period_end),
        cancel_at_period_end=bool(one.get("cancel_at_period_end") or cancel_at),
    )


def _payments_of(invoice: Json) -> list[dict[str, str]]:
    """The payments of an invoice, each as the parameter of a refund."""
    if invoice.get("payments"):
        paid = [one["payment"] for one in invoice["payments"]["data"] if one.get("status") == "paid"]
    else:
        paid = [invoice] if invoice.get("amount_paid") else []
    found = []
    for one in paid:
        if intent := _id(one.get("payment_intent")):
            found.append({"payment_intent": intent})
        elif charge := _id(one.get("charge")):
            found.append({"charge": charge})
    return found


def _id(value: Any) -> str | None:
    """The id of an object, whether Stripe has expanded it or not."""
    if isinstance(value, dict):
        value = value.get("id")
    return value if isinstance(value, str) else None


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _moment_or_none(seconds: int | None) -> datetime | None:
    return None if seconds is None else _moment(seconds)
