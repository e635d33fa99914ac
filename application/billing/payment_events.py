"""Webhook events of the payment provider: each takes effect once, in whatever order they arrive."""

import logging
from dataclasses import dataclass

from application.billing.customers import LinkCustomers
from application.billing.ending import EndErased, running_of
from application.billing.sync import SyncSubscription, TakesLonger
from application.ports.payment_events import ReadPaymentEvent
from application.ports.payments import Payments
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from domain.accounts import UserId
from domain.billing import (
    BillingPolicy,
    Concern,
    CustomerId,
    InboxState,
    MoneyKind,
    OwedState,
    PaymentEvent,
    RetryEvents,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ApplyPaymentEvent:
    """Asks the provider for the present state of the customer that an event is about, and stores it.

    The event is marked as done in the transaction of its effect.
    """

    unit_of_work: UnitOfWorkFactory
    payments: Payments
    sync: SyncSubscription
    policy: BillingPolicy
    link: LinkCustomers
    end_erased: EndErased

    def __call__(self, event: PaymentEvent, *, hurry: bool = False) -> InboxState:
        """Returns the new state of the event. When it raises, the event has had no effect."""
        if event.concern is Concern.NOTHING:
            return self._ignore(event)
        customer_id = event.customer_id
        if customer_id is None and event.charge_id is not None:
            customer_id = self.payments.customer_of_charge(event.charge_id)
        if customer_id is None:
            return self._ignore(event)
        user_id = self._owner(event, customer_id, hurry=hurry)
        if user_id is None:
            return self._ignore(event)
        if self._must_end(event):
            if hurry:
                raise TakesLonger
            self._end_subscriptions(customer_id)
        synced = self.sync(user_id=user_id, customer_id=customer_id, also=MarkDone(event, user_id), hurry=hurry)
        if event.type == "invoice.paid" and not self.policy.ours_running(synced.found):
            log.warning("%s: %s has paid, and no subscription of ours runs", event.id, customer_id)
        return InboxState.DONE

    def _owner(self, event: PaymentEvent, customer_id: CustomerId, *, hurry: bool) -> UserId | None:
        """The user of a customer. One that is not in our table may be named by what we wrote at the provider."""
        with self.unit_of_work() as work:
            customers = work.billing.customers
            user_id = customers.owner(customer_id)
            erased = customers.is_erased(customer_id)
            foreign = work.billing.inbox.has_ignored(customer_id)
        if user_id is not None:
            return user_id
        if erased:
            self._end_what_erased_bought(customer_id, hurry=hurry)
            return None
        named = event.named_user
        if named is None and not foreign:
            named = self.payments.user_of(customer_id)
        if named is None or not self.link.link(named, customer_id):
            return None
        log.warning("%s is linked to %s again, which its metadata names", named, customer_id)
        return named

    def _end_what_erased_bought(self, customer_id: CustomerId, *, hurry: bool) -> None:
        if not running_of(customer_id, self.payments, self.policy, hurry=hurry):
            return
        if hurry:
            raise TakesLonger
        self.end_erased.end_all(customer_id)

    def _must_end(self, event: PaymentEvent) -> bool:
        disputed = event.money is not None and event.money.kind is MoneyKind.DISPUTE_OPENED
        return disputed and self.policy.cancels_on_dispute

    def _end_subscriptions(self, customer_id: CustomerId) -> None:
        for one in running_of(customer_id, self.payments, self.policy):
            self.payments.cancel(one.id)

    def _ignore(self, event: PaymentEvent) -> InboxState:
        """Stores an event that has no effect here."""
        with self.unit_of_work() as work:
            if work.billing.inbox.settle(event, InboxState.IGNORED, user_id=None):
                _record(work, event, None)
                work.commit()
        return InboxState.IGNORED


@dataclass(frozen=True, slots=True)
class Received:
    """The event is stored. ``duplicate``: it had arrived before."""

    duplicate: bool


@dataclass(frozen=True, slots=True)
class ReceivePaymentEvent:
    """Verifies an event and applies it at once if that is quick; otherwise ApplyPendingEvents does it later."""

    unit_of_work: UnitOfWorkFactory
    read_event: ReadPaymentEvent
    apply: ApplyPaymentEvent
    retry: RetryEvents

    def __call__(self, *, body: bytes, signature: str | None) -> Received:
        """Returns when the event is stored. Raises EventRejected or WebhookNotConfigured.

        Raises DependencyDown("database") when it could not be stored: the provider must send it again.
        """
        event = self.read_event(body, signature)
        with self.unit_of_work() as work:
            known = work.billing.inbox.find(event.id)
        if known is not None:
            # If it is pending, ApplyPendingEvents takes care of it.
            return Received(duplicate=True)
        try:
            self.apply(event, hurry=True)
        except Exception as error:  # noqa: BLE001 - whatever it was, the event must not be lost
            with self.unit_of_work() as work:
                work.billing.inbox.postpone(event, failure=type(error).__name__, retry=self.retry)
                work.commit()
        return Received(duplicate=False)


@dataclass(frozen=True, slots=True)
class Swept:
    """``failures``: the name of the exception by the id of each event that could not be applied."""

    applied: int
    failures: dict[str, str]

    @property
    def taken(self) -> int:
        """How many events were due."""
        return self.applied + len(self.failures)


@dataclass(frozen=True, slots=True)
class ApplyPendingEvents:
    """Applies events that could not be applied when they arrived."""

    unit_of_work: UnitOfWorkFactory
    apply: ApplyPaymentEvent
    retry: RetryEvents
    batch: int = 20

    def __call__(self) -> Swept:
        """Tries up to ``batch`` events that are due, once each."""
        with self.unit_of_work() as work:
            events = work.billing.inbox.take_pending(limit=self.batch, retry=self.retry)
            work.commit()
        applied, failures = 0, {}
        for event in events:
            try:
                self.apply(event)
                applied += 1
            except Exception as error:  # noqa: BLE001 - one event must not hold up the others
                failures[event.id] = type(error).__name__
                self._note(event, type(error).__name__)
        return Swept(applied, failures)

    def _note(self, event: PaymentEvent, failure: str) -> None:
        with self.unit_of_work() as work:
            work.billing.inbox.note_failure(event.id, failure)
            work.commit()


@dataclass(frozen=True, slots=True)
class ReplayPaymentEvent:
    """Applies an event once more, for an operator. The provider is asked anew, so this does no harm."""

    unit_of_work: UnitOfWorkFactory
    apply: ApplyPaymentEvent

    def __call__(self, *, event_id: str) -> InboxState | None:
        """Returns its new state; None when no such event arrived. After DependencyDown it is tried again later."""
        with self.unit_of_work() as work:
            event = work.billing.inbox.reopen(event_id)
            work.commit()
        return None if event is None else self.apply(event)


@dataclass(frozen=True, slots=True)
class MarkDone:
    """Marks an event as done, with what it means besides the subscription, in the transaction of its effect."""

    event: PaymentEvent
    user_id: UserId

    def __call__(self, work: UnitOfWork) -> bool:
        """Returns False when the event was done before; then nothing is written."""
        if not work.billing.inbox.settle(self.event, InboxState.DONE, user_id=self.user_id):
            return False
        _record(work, self.event, self.user_id)
        if self.event.checkout_id is not None:
            work.billing.checkouts.close(self.event.checkout_id)
        return True


def _record(work: UnitOfWork, event: PaymentEvent, user_id: UserId | None) -> None:
    """Adds the money of an event to the books. A refund that has failed is owed again."""
    if event.money is None:
        return
    work.billing.inbox.record_money(event, user_id=user_id)
    if event.money.kind is MoneyKind.REFUND_FAILED:
        work.billing.refunds_owed.note(event.money.object_id, event.customer_id, state=OwedState.FAILED)
        log.error("the refund %s has failed at the bank: it is owed", event.money.object_id)
