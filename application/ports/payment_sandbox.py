"""The pages of a payment provider that exists on this machine only."""

from typing import NamedTuple, Protocol


class Button(NamedTuple):
    """Something that can be done on a page."""

    action: str
    label: str


class SandboxPage(NamedTuple):
    """What a page shows."""

    title: str
    lines: tuple[str, ...]
    buttons: tuple[Button, ...]


class PaymentSandbox(Protocol):
    """Lets a developer be buyer, bank and time. Not a port of the stories: only its own pages use it."""

    def checkout(self, checkout_id: str) -> SandboxPage | None:
        """The page of a checkout; None where there is none."""

    def portal(self, portal_id: str) -> SandboxPage | None:
        """The page of a customer; None where there is none."""

    def press(self, page_id: str, action: str) -> str | None:
        """Do what a button says; where to go then. None where there is no such page or button."""
