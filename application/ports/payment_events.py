"""Webhook events of the payment provider, as they arrive."""

from typing import Protocol

from domain.billing import PaymentEvent


class EventRejected(Exception):
    """The request is not an event of the provider. ``reason``: one word, safe to show to the sender."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ReadPaymentEvent(Protocol):
    def __call__(self, body: bytes, signature: str | None) -> PaymentEvent:
        """Verifies and parses an event. Raises EventRejected when it is forged, stale, altered or malformed.

        Raises WebhookNotConfigured when there is no secret to verify it with.
        """
