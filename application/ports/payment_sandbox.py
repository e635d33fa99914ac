"""The pages of the local stand-in for the payment provider, for development."""

from typing import NamedTuple, Protocol


class Button(NamedTuple):
    action: str
    label: str


class SandboxPage(NamedTuple):
    title: str
    lines: tuple[str, ...]
    buttons: tuple[Button, ...]


class PaymentSandbox(Protocol):
    """Lets a developer act as buyer, bank and time. Not used by use cases, only by the sandbox's own pages."""

    def checkout(self, checkout_id: str) -> SandboxPage | None:
        """The page of a checkout; None if there is no such checkout."""

    def portal(self, portal_id: str) -> SandboxPage | None:
        """The page of a customer; None if there is no such portal."""

    def press(self, page_id: str, action: str) -> str | None:
        """Performs the action of a button; returns the next URL, None if there is no such page or button."""
