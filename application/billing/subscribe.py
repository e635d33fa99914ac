"""A user buys the Pro plan."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

from application.billing.customers import FindCustomer
from application.billing.sync import SyncSubscription
from application.ports.billing_work import KeptCheckout
from application.ports.payments import CHECKOUT_ID, ChangeRefused, CustomerUnknown, Order, Payments
from application.ports.runtime import Clock, NewId
from application.ports.unit_of_work import UnitOfWorkFactory
from domain.accounts import UserId
from domain.billing import BillingPolicy, Checkout, CheckoutState, CustomerId, SubscriptionId, SubscriptionStatus
from domain.errors import AlreadySubscribed, DependencyDown, InvalidValue, TokenInvalid

# Below the day after which the provider forgets an idempotency key and an open checkout expires.
ATTEMPT_LIFETIME = timedelta(hours=23)
MAX_TRIES = 5
URL_MAX_LENGTH = 1_000


@dataclass(frozen=True, slots=True)
class ReturnUrls:
    """Checks the URLs to which the provider sends users back: our own origin, and those the operator allows."""

    public_url: str
    allowed_origins: frozenset[str]

    def success(self, wanted: str | None) -> str:
        """The URL after paying. The default one gets the checkout's id."""
        if wanted is None:
            return f"{self.public_url}/success?session_id={CHECKOUT_ID}"
        return self._checked(wanted, field="successUrl")

    def cancel(self, wanted: str | None) -> str:
        """The URL after leaving the checkout without paying."""
        return f"{self.public_url}/cancel" if wanted is None else self._checked(wanted, field="cancelUrl")

    def portal(self, wanted: str | None) -> str:
        """The URL after the portal."""
        return self.public_url if wanted is None else self._checked(wanted, field="returnUrl")

    def _checked(self, url: str, *, field: str) -> str:
        try:
            parts = urlsplit(url)
            origin = f"{parts.scheme}://{parts.netloc}".lower()
        except ValueError:
            raise InvalidValue(field, "not a URL") from None
        # Some browsers read backslashes and control characters differently; users misread user@host.
        plain = len(url) <= URL_MAX_LENGTH and url.isascii() and url.isprintable() and not set(url) & set(' \\"<>')
        if not plain or origin not in {self.public_url.lower(), *self.allowed_origins}:
            raise InvalidValue(field, "not at an allowed origin")
        return url


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Opens a checkout, or returns the open one. Concurrent requests get one customer and one checkout."""

    unit_of_work: UnitOfWorkFactory
    payments: Payments
    sync: SyncSubscription
    find_customer: FindCustomer
    policy: BillingPolicy
    return_urls: ReturnUrls
    clock: Clock
    new_id: NewId

    def __call__(self, *, user_id: UserId, success_url: str | None = None, cancel_url: str | None = None) -> Checkout:
        """Returns the open checkout, which sells the present price and leads to the given URLs.

        Raises AlreadySubscribed while there is a subscription of ours that has not ended, InvalidValue for a URL that
        is not allowed, TokenInvalid when the user is being erased, and DependencyDown; a later request then opens the
        same checkout.
        """
        order = Order(
            attempt_id=self.new_id(),
            user_id=user_id,
            price_id=self.policy.price,
            success_url=self.return_urls.success(success_url),
            cancel_url=self.return_urls.cancel(cancel_url),
        )
        unknown: CustomerId | None = None
        for _ in range(MAX_TRIES):
            customer_id = self.find_customer(user_id=user_id, unknown=unknown)
            try:
                checkout = self._try(order, customer_id)
            except CustomerUnknown:
                unknown = customer_id
                self._begin_anew(user_id)
                continue
            if checkout is not None and checkout.state is CheckoutState.OPEN:
                return checkout
            # It was paid or has expired meanwhile, so there may be a subscription now.
            if checkout is not None:
                self._close(user_id, customer_id, checkout)
            order = replace(order, attempt_id=self.new_id())
        raise DependencyDown(self.payments.name)

    def _try(self, order: Order, customer_id: CustomerId) -> Checkout | None:
        self._refuse_if_subscribed(order.user_id, customer_id)
        kept = self._begin(order)
        return self._open(kept, customer_id) if kept is not None else None

    def _refuse_if_subscribed(self, user_id: UserId, customer_id: CustomerId) -> None:
        """Asks the provider, not our table: the event of a payment may not have arrived yet."""
        with self.unit_of_work() as work:
            record = work.billing.subscriptions.get(user_id).record
        found = self.policy.ours_running(self.payments.subscriptions_of(customer_id))
        for one in found:
            if one.status is SubscriptionStatus.INCOMPLETE:
                self._give_up(one.id)
        if found or (record is not None and record.is_pro):
            running = self.policy.ours_running(self.sync(user_id=user_id, customer_id=customer_id).found)
            if running:
                raise AlreadySubscribed(portal_url=self._portal(customer_id))

    def _give_up(self, subscription_id: SubscriptionId) -> None:
        """Ends a subscription whose first payment did not come, and which the portal cannot pay."""
        with suppress(ChangeRefused):
            self.payments.cancel(subscription_id)

    def _begin_anew(self, user_id: UserId) -> None:
        """A checkout that was ordered for another customer is ordered under a new id."""
        with self.unit_of_work() as work:
            work.billing.checkouts.abandon(user_id)
            work.commit()

    def _begin(self, order: Order) -> KeptCheckout | None:
        """The user's present checkout, begun now if needed; None when there is a subscription.

        A paid checkout is closed only after its subscription is in our table. So when the checkout is read first, then
        the subscription, and there is neither, a new one may begin.
        """
        with self.unit_of_work() as work:
            current = work.billing.checkouts.current(order.user_id)
            record = work.billing.subscriptions.get(order.user_id).record
        if record is not None and record.is_pro:
            return None
        if current is not None and (self._still_good(current, order) or self._is_paid(current)):
            return current
        with self.unit_of_work() as work:
            begun = work.billing.checkouts.begin(order, instead_of=current.order.attempt_id if current else None)
            work.commit()
        if begun is None:
            raise TokenInvalid
        return begun

    def _is_paid(self, current: KeptCheckout) -> bool:
        """Whether an outdated checkout was paid. It is expired first, so that it cannot be paid afterwards."""
        if current.checkout_id is None or current.closed:
            return False
        self.payments.expire_checkout(current.checkout_id)
        found = self.payments.checkout(current.checkout_id)
        return found is not None and found.state is CheckoutState.COMPLETE

    def _still_good(self, current: KeptCheckout, order: Order) -> bool:
        fresh = self.clock() - current.begun_at < ATTEMPT_LIFETIME
        return fresh and not current.closed and replace(current.order, attempt_id=order.attempt_id) == order

    def _open(self, kept: KeptCheckout, customer_id: CustomerId) -> Checkout | None:
        if kept.checkout_id is not None:
            found = self.payments.checkout(kept.checkout_id)
            return found or Checkout(kept.checkout_id, CheckoutState.EXPIRED, None)
        checkout = self.payments.open_checkout(kept.order, customer_id)
        with self.unit_of_work() as work:
            opened = work.billing.checkouts.opened(kept.order.attempt_id, checkout.id)
            work.commit()
        if opened:
            return checkout
        # Its order is gone, so a payment would have no owner: it must not be payable.
        self.payments.expire_checkout(checkout.id)
        with self.unit_of_work() as work:
            replaced = work.billing.checkouts.current(kept.order.user_id) is not None
        if not replaced:
            raise TokenInvalid  # the user is being erased
        return None

    def _close(self, user_id: UserId, customer_id: CustomerId, checkout: Checkout) -> None:
        if checkout.state is CheckoutState.COMPLETE:
            self.sync(user_id=user_id, customer_id=customer_id)
        with self.unit_of_work() as work:
            work.billing.checkouts.close(checkout.id)
            work.commit()

    def _portal(self, customer_id: CustomerId) -> str | None:
        try:
            return self.payments.open_portal(customer_id, return_url=self.return_urls.portal(None))
        except (DependencyDown, CustomerUnknown):
            return None  # the refusal is right without the URL


class OpenCheckout(NamedTuple):
    """``repeated``: an earlier request with the same Idempotency-Key got the same."""

    checkout: Checkout
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class SubscribeOnce:
    """``Subscribe``, to which an open checkout is the same anyhow, by requests that may have an Idempotency-Key."""

    unit_of_work: UnitOfWorkFactory
    subscribe: Subscribe

    def __call__(
        self,
        *,
        user_id: UserId,
        success_url: str | None = None,
        cancel_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> OpenCheckout:
        """Raises as Subscribe, IdempotencyKeyReused or IdempotencyKeyInUse."""
        if idempotency_key is None:
            return OpenCheckout(self.subscribe(user_id=user_id, success_url=success_url, cancel_url=cancel_url))
        # Keys of clients have no blanks, so those of other requests are apart.
        key = f"subscribe {idempotency_key}"
        fingerprint = hashlib.sha256(repr((success_url, cancel_url)).encode()).digest()
        with self.unit_of_work() as work:
            earlier = work.idempotency_keys.recall_reference(user_id, key, fingerprint=fingerprint)
        checkout = self.subscribe(user_id=user_id, success_url=success_url, cancel_url=cancel_url)
        if checkout.id == earlier:
            return OpenCheckout(checkout, repeated=True)
        with self.unit_of_work() as work:
            # Once more, since the key was free while the provider was asked.
            work.idempotency_keys.recall_reference(user_id, key, fingerprint=fingerprint)
            work.idempotency_keys.remember_reference(user_id, key, fingerprint=fingerprint, reference=checkout.id)
            work.commit()
        return OpenCheckout(checkout)
