"""Stripe's account, as an operator's examination sees it: the price, and where events are sent."""

from collections.abc import Callable
from typing import Any, TypeVar

import stripe

from adapters.stripe.payments import Transport, new_client
from application.ports.inspection import InspectPayments, NotInspected, PaymentFacts, WebhookEndpoint

# What an endpoint must be sent. Without one of them a change shows when the customer is next compared.
EVENTS = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.deleted",
    "invoice.paid",
    "invoice.payment_failed",
    "charge.refunded",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.closed",
)
SECONDS = (3.0, 5.0)
ENDPOINTS = 100

T = TypeVar("T")


class StripeInspection(InspectPayments):
    """``transport``: a function in place of HTTP."""

    def __init__(
        self, *, api_key: str, price: str, base_url: str | None = None, transport: Transport | None = None
    ) -> None:
        self._price = price
        self._client = new_client(api_key, timeout=SECONDS, base_url=base_url, transport=transport)

    def __call__(self) -> PaymentFacts:
        return PaymentFacts(_permitted(self._sells), _permitted(self._endpoints))

    def _sells(self) -> bool:
        try:
            price = self._client.v1.prices.retrieve(self._price).to_dict()
        except stripe.InvalidRequestError:
            return False
        return bool(price.get("active")) and price.get("type") == "recurring"

    def _endpoints(self) -> list[WebhookEndpoint]:
        found = self._client.v1.webhook_endpoints.list({"limit": ENDPOINTS})
        return [_endpoint(one.to_dict()) for one in found.data]


def _endpoint(one: dict[str, Any]) -> WebhookEndpoint:
    return WebhookEndpoint(
        url=one["url"],
        enabled=one.get("status") == "enabled",
        events=frozenset(one.get("enabled_events") or ()),
        api_version=one.get("api_version"),
    )


def _permitted(ask: Callable[[], T]) -> T | None:
    """The answer; None when the key, a restricted one, may not ask for it."""
    try:
        return ask()
    except stripe.PermissionError:
        return None
    except stripe.AuthenticationError:
        raise NotInspected("the key is refused") from None
    except stripe.StripeError as error:  # its text may quote the key
        raise NotInspected(type(error).__name__) from None
