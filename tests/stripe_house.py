"""A house whose payment provider is the stand-in for Stripe, reached through Stripe's own library in this process."""

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import orjson

from adapters.stripe.payments import StripePayments
from adapters.stripe.sandbox.fake import signature_of
from adapters.stripe.sandbox.state import StateInMemory
from application.billing.account import RememberAccount
from application.billing.payment_events import Received, ReceivePaymentEvent
from application.ports.payments import Payments
from application.ports.runtime import Clock
from domain.accounts import Principal
from domain.billing import BillingPolicy, CheckoutId, CustomerId, Mode, SubscriptionRecord
from domain.plans import Plan
from tests.builders import ASHA, PRICE, WEBHOOK_SECRET, House
from tests.fakes.stripe_scenarios import StripeScenarios

KEY = "sk_test_of_the_tests"
OLD_PRICE = "price_pro_2025"
FOREIGN_PRICE = "price_of_something_else"

Event = dict[str, Any]


class StripeHouse(House):
    """A house with a Stripe. ``down``: it does not answer. ``in_between``: done once, after it has answered."""

    def __init__(self, policy: BillingPolicy | None = None) -> None:
        self.policy_of_billing = policy or BillingPolicy(price=PRICE, old_prices=frozenset({OLD_PRICE}))
        self._ids = count(1)
        self.down = False
        self.in_between: Callable[[], None] | None = None
        super().__init__(billing_policy=self.policy_of_billing, payments=self._payments)

    def _payments(self, clock: Clock) -> Payments:
        self.stripe = StripeScenarios(
            state=StateInMemory(),
            clock=clock,
            api_key=KEY,
            prices=frozenset({PRICE, OLD_PRICE, FOREIGN_PRICE}),
            # The same in every run, and in the order in which things were made.
            new_id=lambda: f"{next(self._ids):012d}",
        )
        self.provider = StripePayments.__new__(StripePayments)
        self.restart()
        return self.provider

    def restart(self) -> None:
        """As a new process, whose key may be another one."""
        StripePayments.__init__(
            self.provider,
            api_key=KEY,
            transport=self._handle,
            remember_account=lambda account: RememberAccount(self.unit_of_work)(Mode.TEST, account),
        )

    def _handle(
        self, method: str, url: str, headers: Mapping[str, str], body: str
    ) -> tuple[bytes, int, Mapping[str, str]]:
        if self.down:
            return b'{"error": {"type": "api_error"}}', 503, {}
        answer = self.stripe.handle(method, url, headers, body)
        if method.upper() == "GET" and "/v1/subscriptions?" in url and self.in_between is not None:
            meanwhile, self.in_between = self.in_between, None
            meanwhile()
        return answer

    def buyer(self, phone: str = ASHA) -> "Buyer":
        return Buyer(self, self.user(phone))

    def deliver(
        self, event: Event, *, secret: str = WEBHOOK_SECRET, receive: ReceivePaymentEvent | None = None
    ) -> Received:
        body = orjson.dumps(event)
        signature = signature_of(body, secret=secret, at=int(self.clock().timestamp()))
        return (receive or self.use_cases.billing.receive_event)(body=body, signature=signature)

    def deliver_all(self) -> list[Event]:
        """All that happened is told, in order."""
        events = self.stripe.take_events()
        for event in events:
            self.deliver(event)
        return events


class Buyer:
    """A user, and the customer they are."""

    def __init__(self, house: StripeHouse, principal: Principal) -> None:
        self.house = house
        self.principal = principal
        self.user_id = principal.user_id

    def subscribe(self) -> CheckoutId:
        return self.house.use_cases.billing.subscribe(user_id=self.user_id).id

    def buy(self) -> str:
        """Open a checkout and pay; the id of the subscription. No event is sent yet."""
        return self.house.stripe.pay(self.subscribe())

    @property
    def customer_id(self) -> CustomerId:
        with self.house.unit_of_work() as work:
            found = work.billing.customers.of(self.user_id)
        assert found is not None
        return found

    @property
    def record(self) -> SubscriptionRecord | None:
        with self.house.unit_of_work() as work:
            return work.billing.subscriptions.get(self.user_id).record

    @property
    def truth(self) -> SubscriptionRecord | None:
        """What our table should say: Stripe's state, as the policy reads it."""
        policy = self.house.policy_of_billing
        counts = policy.current(self.house.provider.subscriptions_of(self.customer_id))
        return None if counts is None else policy.to_record(counts)

    def plan(self) -> Plan:
        return self.house.use_cases.billing.show_plan_status(user_id=self.user_id).plan
