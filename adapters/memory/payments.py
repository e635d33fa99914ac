"""A payment provider in memory, and what its buyers do."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from threading import RLock

from application.ports.payments import Order, Payments
from application.ports.runtime import Clock
from domain.accounts import UserId
from domain.billing import (
    ENDED,
    Checkout,
    CheckoutId,
    CheckoutState,
    CustomerId,
    ProvidedSubscription,
    SubscriptionId,
    SubscriptionStatus,
)
from domain.errors import DependencyDown

MONTH = timedelta(days=30)
CHECKOUT_LIFETIME = timedelta(hours=24)


class MemoryPayments(Payments):
    """A provider that answers unless it is ``down``; what was bought and refunded can be looked at."""

    name = "stripe"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = RLock()
        self._count = count(1)
        self.down = False
        self.calls: list[str] = []
        self.customers: dict[UserId, CustomerId] = {}
        self.orders: dict[CheckoutId, tuple[Order, CustomerId, datetime]] = {}
        self.subscriptions: dict[SubscriptionId, ProvidedSubscription] = {}
        self.charges: dict[str, CustomerId] = {}
        self.refunded: list[SubscriptionId] = []
        self._states: dict[CheckoutId, CheckoutState] = {}
        self._wishes: set[str] = set()

    def new_customer(self, user_id: UserId) -> CustomerId:
        with self._answering("new_customer"):
            return self.customers.setdefault(user_id, CustomerId(f"cus_{len(self.customers) + 1}"))

    def open_checkout(self, order: Order, customer_id: CustomerId) -> Checkout:
        with self._answering("open_checkout"):
            self._assert_known(customer_id)
            for checkout_id, (known, _, _) in self.orders.items():
                if known.attempt_id == order.attempt_id:
                    return self._checkout(checkout_id)
            checkout_id = CheckoutId(f"cs_{next(self._count)}")
            self.orders[checkout_id] = (order, customer_id, self._clock())
            self._states[checkout_id] = CheckoutState.OPEN
            return self._checkout(checkout_id)

    def checkout(self, checkout_id: CheckoutId) -> Checkout | None:
        with self._answering("checkout"):
            return self._checkout(checkout_id) if checkout_id in self.orders else None

    def expire_checkout(self, checkout_id: CheckoutId) -> None:
        with self._answering("expire_checkout"):
            if self._states.get(checkout_id) is CheckoutState.OPEN:
                self._states[checkout_id] = CheckoutState.EXPIRED

    def open_portal(self, customer_id: CustomerId, *, return_url: str) -> str:
        with self._answering("open_portal"):
            self._assert_known(customer_id)
            return f"https://portal.example/{customer_id}/{next(self._count)}"

    def subscriptions_of(self, customer_id: CustomerId, *, hurry: bool = False) -> Sequence[ProvidedSubscription]:
        with self._answering("subscriptions_of"):
            self._assert_known(customer_id)
            return [one for one in self.subscriptions.values() if one.customer_id == customer_id]

    def renew(self, subscription_id: SubscriptionId, *, renew: bool, key: str) -> None:
        with self._answering("renew"):
            one = self.subscriptions.get(subscription_id)
            if one is not None and one.status not in ENDED and key not in self._wishes:
                self._wishes.add(key)
                self.subscriptions[subscription_id] = replace(one, cancel_at_period_end=not renew)

    def cancel(self, subscription_id: SubscriptionId, *, refund: bool) -> None:
        with self._answering("cancel"):
            if refund and subscription_id in self.subscriptions and subscription_id not in self.refunded:
                self.refunded.append(subscription_id)
            self._end(subscription_id)

    def customer_of_charge(self, charge_id: str) -> CustomerId | None:
        with self._answering("customer_of_charge"):
            return self.charges.get(charge_id)

    # --- What happens at the provider ---

    def pay(self, checkout_id: CheckoutId) -> SubscriptionId:
        """The buyer pays: the checkout becomes a subscription."""
        with self._lock:
            order, customer_id, _ = self.orders[checkout_id]
            assert self._checkout(checkout_id).state is CheckoutState.OPEN  # noqa: S101 - the test's own mistake
            self._states[checkout_id] = CheckoutState.COMPLETE
            return self.sell(customer_id, order.price_id)

    def sell(
        self, customer_id: CustomerId, price_id: str, status: SubscriptionStatus = SubscriptionStatus.ACTIVE
    ) -> SubscriptionId:
        """A subscription of a customer, made without a checkout."""
        with self._lock:
            now = self._clock()
            subscription_id = SubscriptionId(f"sub_{next(self._count):06d}")
            self.subscriptions[subscription_id] = ProvidedSubscription(
                id=subscription_id,
                customer_id=customer_id,
                status=status,
                price_ids=(price_id,),
                created_at=now,
                period_start=now,
                period_end=now + MONTH,
                cancel_at_period_end=False,
            )
            self.charges[f"ch_{subscription_id}"] = customer_id
            return subscription_id

    def become(self, subscription_id: SubscriptionId, status: SubscriptionStatus) -> None:
        with self._lock:
            one = self.subscriptions[subscription_id]
            self.subscriptions[subscription_id] = replace(one, status=status)

    def _answering(self, call: str) -> RLock:
        """Notes the call and gives the lock. DependencyDown while the provider is down."""
        if self.down:
            raise DependencyDown(self.name)
        self.calls.append(call)
        return self._lock

    def _assert_known(self, customer_id: CustomerId) -> None:
        if customer_id not in self.customers.values():
            raise DependencyDown(self.name, retry_after=30)

    def _checkout(self, checkout_id: CheckoutId) -> Checkout:
        state = self._states[checkout_id]
        if state is CheckoutState.OPEN and self._clock() - self.orders[checkout_id][2] >= CHECKOUT_LIFETIME:
            state = CheckoutState.EXPIRED
        url = f"https://checkout.example/{checkout_id}" if state is CheckoutState.OPEN else None
        return Checkout(checkout_id, state, url)

    def _end(self, subscription_id: SubscriptionId) -> None:
        one = self.subscriptions.get(subscription_id)
        if one is not None and one.status not in ENDED:
            self.subscriptions[subscription_id] = replace(
                one, status=SubscriptionStatus.CANCELED, cancel_at_period_end=False
            )
