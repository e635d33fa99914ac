"""The payment provider that the settings choose."""

from functools import partial
from typing import TYPE_CHECKING

from adapters.no_payments import NoPayments
from adapters.system_runtime import system_clock
from application.billing.account import RememberAccount
from application.operations.startup import CannotStart
from application.ports.payments import Payments
from application.ports.unit_of_work import UnitOfWorkFactory
from domain.billing import Mode, mode_of_key
from entrypoints.container.keys import key_for
from entrypoints.container.policies import billing_policy_of
from entrypoints.settings import Settings

if TYPE_CHECKING:
    from adapters.stripe.sandbox.pages import Sandbox

SANDBOX_KEY = "sk_test_sandbox"  # not a secret: it opens nothing but the stand-in in this process


def webhook_secrets_of(settings: Settings) -> list[str]:
    """What events may be signed with. The sandbox signs with a secret of its own."""
    if settings.payment_provider == "sandbox":
        return [_sandbox_secret(settings)]
    return [secret.reveal() for secret in settings.stripe_webhook_secrets]


def _sandbox_secret(settings: Settings) -> str:
    return "whsec_" + key_for("sandbox-webhook", settings).hex()


def sandbox_of(settings: Settings) -> "Sandbox | None":
    """The stand-in for Stripe, where no key was given."""
    if settings.payment_provider != "sandbox":
        return None
    # Imported here: production does not need it.
    from adapters.stripe.sandbox.fake import FakeStripe
    from adapters.stripe.sandbox.pages import Sandbox, WebhookDelivery
    from adapters.stripe.sandbox.state import StateInFile

    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 - everywhere is also here
    state = StateInFile(settings.data_dir / "sandbox-payments.json")
    try:
        state.check()
    except ValueError as error:
        raise CannotStart(str(error)) from None
    stripe = FakeStripe(
        state=state,
        clock=system_clock,
        api_key=SANDBOX_KEY,
        prices=frozenset({billing_policy_of(settings).price}),
        pages=f"{settings.public_url}/sandbox",
    )
    return Sandbox(
        stripe,
        clock=system_clock,
        deliver=WebhookDelivery(f"http://{host}:{settings.port}/webhook/stripe"),
        secret=_sandbox_secret(settings),
    )


def payments_of(settings: Settings, sandbox: "Sandbox | None", unit_of_work: UnitOfWorkFactory) -> Payments:
    """Who takes the money."""
    if settings.payment_provider == "none":
        return NoPayments()
    # Imported here: a service that sells nothing need not carry the library.
    from adapters.stripe.payments import StripePayments

    if sandbox is not None:
        return StripePayments(api_key=SANDBOX_KEY, transport=sandbox.handle, mode=Mode.SANDBOX)
    return StripePayments(
        api_key=settings.stripe_secret_key.reveal(),
        base_url=settings.stripe_api_base,
        asks_for_address=settings.stripe_billing_address == "required",
        remember_account=partial(RememberAccount(unit_of_work), payment_mode_of(settings)),
    )


def payment_mode_of(settings: Settings) -> Mode:
    """Where the customers of this service exist."""
    if settings.payment_provider == "stripe":
        return mode_of_key(settings.stripe_secret_key.reveal()) or Mode.LIVE
    return Mode.SANDBOX if settings.payment_provider == "sandbox" else Mode.NONE


def webhook_mode_of(settings: Settings) -> Mode | None:
    """The mode that events must be of; None where the API key does not say it."""
    return mode_of_key(settings.stripe_secret_key.reveal()) if settings.payment_provider == "stripe" else None
