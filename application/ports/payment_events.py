"""News from the payment provider, as they arrive."""

from typing import Protocol

from domain.billing import PaymentEvent


class EventRejected(Exception):
    """It is not the provider's, or not an event. ``reason`` is a word that tells a forger nothing new."""

    def __init__(self, reason: str) -> None:
        """Keep the reason; nothing of the body."""
        super().__init__(reason)
        self.reason = reason


class ReadPaymentEvent(Protocol):
    """Proves where an event comes from, and reads it."""

    def __call__(self, body: bytes, signature: str | None) -> PaymentEvent:
        """The event. EventRejected when it is forged, stale, altered or malformed.

        WebhookNotConfigured when there is no secret to prove it with.
        """
