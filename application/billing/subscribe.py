"""A user buys the Pro plan."""

from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from application.billing.sync import SyncSubscription
from application.ports.billing_work import KeptCheckout
from application.ports.payments import CHECKOUT_ID, Order, Payments
from application.ports.runtime import Clock, NewId
from application.ports.unit_of_work import UnitOfWorkFactory
from domain.accounts import UserId
from domain.billing import BillingPolicy, Checkout, CheckoutState, CustomerId
from domain.errors import AlreadySubscribed, DependencyDown, InvalidValue

# Below the day after which the provider forgets an idempotency key and an open checkout expires.
ATTEMPT_LIFETIME = timedelta(hours=23)
MAX_TRIES = 3
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
    policy: BillingPolicy
    return_urls: ReturnUrls
    clock: Clock
    new_id: NewId

    def __call__(self, *, user_id: UserId, success_url: str | None = None, cancel_url: str | None = None) -> Checkout:
        """Returns the open checkout.

        Raises AlreadySubscribed while there is a subscription that has not ended, InvalidValue for a URL that is not
        allowed, and DependencyDown; a later request then opens the same checkout.
        """
        order = Order(
            attempt_id=self.new_id(),
            user_id=user_id,
            price_id=self.policy.price,
            success_url=self.return_urls.success(success_url),
            cancel_url=self.return_urls.cancel(cancel_url),
        )
        for _ in range(MAX_TRIES):
            self._refuse_if_subscribed(user_id)
            kept = self._begin(order)
            checkout = self._open(kept) if kept is not None else None
            if checkout is not None and checkout.state is CheckoutState.OPEN:
                return checkout
            # It was paid or has expired meanwhile, so there may be a subscription now.
            if checkout is not None:
                self._close(user_id, checkout)
        raise DependencyDown(self.payments.name)

    def _refuse_if_subscribed(self, user_id: UserId) -> None:
        """Asks the provider, not our table: the event of a payment may not have arrived yet."""
        with self.unit_of_work() as work:
            customer_id = work.billing.customers.of(user_id)
            record = work.billing.subscriptions.get(user_id).record
        if customer_id is None:
            return
        found = self.payments.subscriptions_of(customer_id)
        known = record is not None and not record.ended
        if not known and all(self.policy.to_record(one).ended for one in found):
            return
        after = self.sync(user_id=user_id, customer_id=customer_id).after
        if after is not None and not after.ended:
            raise AlreadySubscribed(portal_url=self._portal(customer_id))

    def _begin(self, order: Order) -> KeptCheckout | None:
        """The user's present checkout, begun now if needed; None when there is a subscription.

        A paid checkout is closed only after its subscription is in our table. So when the checkout is read first, then
        the subscription, and there is neither, a new one may begin.
        """
        with self.unit_of_work() as work:
            current = work.billing.checkouts.current(order.user_id)
            record = work.billing.subscriptions.get(order.user_id).record
        if record is not None and not record.ended:
            return None
        if current is not None and (self._still_good(current, order) or self._is_paid(current)):
            return current
        with self.unit_of_work() as work:
            begun = work.billing.checkouts.begin(order, instead_of=current.order.attempt_id if current else None)
            work.commit()
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
        return fresh and not current.closed and current.order.price_id == order.price_id

    def _open(self, kept: KeptCheckout) -> Checkout:
        if kept.checkout_id is not None:
            found = self.payments.checkout(kept.checkout_id)
            return found or Checkout(kept.checkout_id, CheckoutState.EXPIRED, None)
        checkout = self.payments.open_checkout(kept.order, self._customer(kept.order.user_id))
        with self.unit_of_work() as work:
            work.billing.checkouts.opened(kept.order.attempt_id, checkout.id)
            work.commit()
        return checkout

    def _customer(self, user_id: UserId) -> CustomerId:
        with self.unit_of_work() as work:
            customer_id = work.billing.customers.of(user_id)
        if customer_id is not None:
            return customer_id
        made = self.payments.new_customer(user_id)
        with self.unit_of_work() as work:
            # Stored before there is a checkout, so that the owner of every purchase is known.
            customer_id = work.billing.customers.add(user_id, made)
            work.commit()
        return customer_id

    def _close(self, user_id: UserId, checkout: Checkout) -> None:
        if checkout.state is CheckoutState.COMPLETE:
            self.sync(user_id=user_id, customer_id=self._customer(user_id))
        with self.unit_of_work() as work:
            work.billing.checkouts.close(checkout.id)
            work.commit()

    def _portal(self, customer_id: CustomerId) -> str | None:
        try:
            return self.payments.open_portal(customer_id, return_url=self.return_urls.portal(None))
        except DependencyDown:
            return None  # the refusal is right without the URL
