"""The stand-in for Stripe with pages to click on. It sends signed events to our own webhook."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from threading import Thread

import orjson
import structlog

from adapters.stripe.sandbox.fake import ENDED, FakeStripe, Refused, signature_of
from adapters.stripe.sandbox.state import Json
from application.ports.payment_sandbox import Button, PaymentSandbox, SandboxPage
from application.ports.runtime import Clock

DELIVERY_TRIES = 3
DELIVERY_TIMEOUT = 10.0

PAY = Button("pay", "Pay with a card that works")
FAIL = Button("fail", "Pay with a card that is declined")
BACK = Button("back", "Go back without paying")
END = Button("end", "Cancel at the end of the period")
RESUME = Button("resume", "Do not cancel after all")
RENEW = Button("renew", "Let the period end (what renews is paid)")
RENEW_UNPAID = Button("renew_unpaid", "Let the period end (the card is declined)")
RECOVER = Button("recover", "Pay what is overdue")
RETURN = Button("return", "Back to the application")

log = structlog.get_logger(__name__)


class Sandbox(PaymentSandbox):
    """Also a transport for StripePayments (``handle``).

    ``deliver`` sends an event with its signature, which is made with ``secret``.
    """

    def __init__(self, stripe: FakeStripe, *, clock: Clock, deliver: Callable[[bytes, str], None], secret: str) -> None:
        self._stripe = stripe
        self._clock = clock
        self._deliver = deliver
        self._secret = secret

    def handle(
        self, method: str, url: str, headers: Mapping[str, str], body: str
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Answer a request to the API, and send the events of what it changed."""
        answer = self._stripe.handle(method, url, headers, body)
        self._tell()
        return answer

    def checkout(self, checkout_id: str) -> SandboxPage | None:
        session = self._stripe.look().sessions.get(checkout_id)
        if session is None:
            return None
        lines = ("This is the sandbox: no money, no card, no Stripe.", f"The Pro plan, {session['sandbox']['price']}.")
        if session["status"] != "open":
            return SandboxPage("Checkout", (*lines, f"This checkout is {session['status']}."), (RETURN,))
        return SandboxPage("Checkout", lines, (PAY, FAIL, BACK))

    def portal(self, portal_id: str) -> SandboxPage | None:
        objects = self._stripe.look()
        portal = objects.portals.get(portal_id)
        if portal is None:
            return None
        subscription = _running(objects.subscriptions, portal["customer"])
        if subscription is None:
            return SandboxPage("Your subscription", ("There is none that runs.",), (RETURN,))
        ends = subscription["cancel_at_period_end"]
        buttons = [RESUME if ends else END, RENEW, RENEW_UNPAID, RETURN]
        if subscription["status"] == "past_due":
            buttons.insert(0, RECOVER)
        lines = (f"It is {subscription['status']}.", "It ends with its period." if ends else "It renews each month.")
        return SandboxPage("Your subscription", lines, tuple(buttons))

    def press(self, page_id: str, action: str) -> str | None:
        try:
            objects = self._stripe.look()
            if page_id in objects.sessions:
                return self._press_checkout(objects.sessions[page_id], action)
            if page_id in objects.portals:
                portal = objects.portals[page_id]
                return self._press_portal(portal, _running(objects.subscriptions, portal["customer"]), action)
        except Refused:
            return None  # the state has changed meanwhile, in another window
        finally:
            self._tell()
        return None

    def _press_checkout(self, session: Json, action: str) -> str | None:
        checkout_id = str(session["id"])
        success = str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", checkout_id)
        match action:
            case "pay":
                self._stripe.pay(checkout_id)
                return success
            case "fail":
                self._stripe.decline(checkout_id)
                return str(session["url"])
            case "back" | "return":
                return success if session["status"] == "complete" else session["cancel_url"]
        return None

    def _press_portal(self, portal: Json, subscription: Json | None, action: str) -> str | None:
        if action == "return":
            return str(portal["return_url"]) if portal["return_url"] else None
        actions: dict[str, Callable[[str], None]] = {
            "end": lambda one: self._stripe.set_renewal(one, renew=False),
            "resume": lambda one: self._stripe.set_renewal(one, renew=True),
            "renew": lambda one: self._stripe.renew(one, paid=True),
            "renew_unpaid": lambda one: self._stripe.renew(one, paid=False),
            "recover": self._stripe.payment_arrives,
        }
        if subscription is None or action not in actions:
            return None
        actions[action](subscription["id"])
        return str(portal["url"])

    def _tell(self) -> None:
        for event in self._stripe.take_events():
            body = orjson.dumps(event)
            self._deliver(body, signature_of(body, secret=self._secret, at=int(self._clock().timestamp())))


class WebhookDelivery:
    """Posts events to ``url`` in threads of its own, since the webhook may be in this process; tries a few times."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, body: bytes, signature: str) -> None:
        Thread(target=self._post, args=(body, signature), name="sandbox-webhook", daemon=True).start()

    def _post(self, body: bytes, signature: str) -> None:
        headers = {"Content-Type": "application/json", "Stripe-Signature": signature}
        request = urllib.request.Request(self._url, body, headers)  # noqa: S310 - our own address, from the settings
        for wait in range(DELIVERY_TRIES):
            time.sleep(wait)
            try:
                with urllib.request.urlopen(request, timeout=DELIVERY_TIMEOUT):  # noqa: S310
                    return
            except (urllib.error.URLError, OSError):
                continue
        log.warning("sandbox_event_not_delivered")  # as with Stripe's own events: reconciliation will notice


def _running(subscriptions: dict[str, Json], customer_id: str) -> Json | None:
    mine = [one for one in subscriptions.values() if one["customer"] == customer_id and one["status"] not in ENDED]
    return mine[0] if mine else None
