"""A payment provider in memory, and what its buyers do."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from threading import RLock
from typing import Any

from application.ports.payments import ChangeRefused, CustomerUnknown, NamedCustomer, Order, Payments
from application.ports.runtime import Clock
from domain.accounts import UserId
from domain.billing import (
    ENDED,
    Checkout,
    CheckoutId,
    CheckoutState,
    CustomerId,
    Mode,
    ProvidedSubscription,
    RefundOutcome,
    SubscriptionId,
    SubscriptionStatus,
)
from domain.errors import DependencyDown

MONTH = timedelta(days=30)
CHECKOUT_LIFETIME = timedelta(hours=24)
KEYS_KEPT = timedelta(hours=24)


class MemoryPayments(Payments):
    """A provider that answers unless it is ``down``; what was bought and refunded can be looked at.

    ``deleted``: customers that were deleted there. ``managed``: subscriptions that it will not change.
    ``not_refundable``: subscriptions whose payment it will not give back.
    """

    name = "stripe"
    mode = Mode.TEST

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
        self.deleted: set[CustomerId] = set()
        self.managed: set[SubscriptionId] = set()
        self.not_refundable: set[SubscriptionId] = set()
        self._names: dict[CustomerId, UserId] = {}
        self._made_at: dict[CustomerId, datetime] = {}
        self._states: dict[CheckoutId, CheckoutState] = {}
        self._wishes: set[str] = set()

    def account(self) -> str | None:
        with self._answering("account"):
            return "acct_memory"

    def new_customer(self, user_id: UserId, *, instead_of: CustomerId | None = None) -> CustomerId:
        with self._answering("new_customer"):
            known = self.customers.get(user_id)
            forgotten = known is not None and self._clock() - self._made_at[known] >= KEYS_KEPT
            if known is None or known == instead_of or forgotten:
                known = self.customers[user_id] = CustomerId(f"cus_{len(self._names) + 1}")
                self._names[known], self._made_at[known] = user_id, self._clock()
            return known

    def customers_of(self, user_id: UserId) -> Sequence[CustomerId]:
        with self._answering("customers_of"):
            return [one for one, named in self._names.items() if named == user_id and one not in self.deleted]

    def user_of(self, customer_id: CustomerId) -> UserId | None:
        with self._answering("user_of"):
            return None if customer_id in self.deleted else self._names.get(customer_id)

    def all_customers(self) -> Iterator[NamedCustomer]:
        with self._answering("all_customers"):
            found = [NamedCustomer(*one) for one in self._names.items() if one[0] not in self.deleted]
        yield from found

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

    def expire_checkouts(self, customer_id: CustomerId) -> None:
        with self._answering("expire_checkouts"):
            self._assert_known(customer_id)
            for checkout_id, (_, buyer, _) in self.orders.items():
                if buyer == customer_id and self._states[checkout_id] is CheckoutState.OPEN:
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
            if subscription_id in self.managed:
                raise ChangeRefused
            if one is not None and one.status not in ENDED and key not in self._wishes:
                self._wishes.add(key)
                self.subscriptions[subscription_id] = replace(one, cancel_at_period_end=not renew)

    def cancel(self, subscription_id: SubscriptionId) -> None:
        with self._answering("cancel"):
            if subscription_id in self.managed:
                raise ChangeRefused
            self._end(subscription_id)

    def refund(self, subscription_id: SubscriptionId) -> RefundOutcome:
        with self._answering("refund"):
            if subscription_id in self.not_refundable:
                return RefundOutcome.REFUSED
            if f"ch_{subscription_id}" not in self.charges:
                return RefundOutcome.NOTHING_PAID
            if subscription_id not in self.refunded:
                self.refunded.append(subscription_id)
            return RefundOutcome.DONE

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
            subscription_id = self.sell(customer_id, order.price_id)
            self.subscriptions[subscription_id] = replace(self.subscriptions[subscription_id], sold_here=True)
            return subscription_id

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
            if status is not SubscriptionStatus.INCOMPLETE:
                self.charges[f"ch_{subscription_id}"] = customer_id
            return subscription_id

    def become(self, subscription_id: SubscriptionId, status: SubscriptionStatus) -> None:
        with self._lock:
            one = self.subscriptions[subscription_id]
            self.subscriptions[subscription_id] = replace(one, status=status)

    def delete_customer(self, customer_id: CustomerId) -> None:
        """An operator deletes the customer, and with it all that runs."""
        with self._lock:
            self.deleted.add(customer_id)
            for one in list(self.subscriptions.values()):
                if one.customer_id == customer_id:
                    self._end(one.id)

    def _answering(self, call: str) -> AbstractContextManager[Any]:
        """Notes the call and gives the lock. DependencyDown while the provider is down."""
        if self.down:
            raise DependencyDown(self.name)
        self.calls.append(call)
        return self._lock

    def _assert_known(self, customer_id: CustomerId) -> None:
        if customer_id not in self._names or customer_id in self.deleted:
            raise CustomerUnknown(customer_id)

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
