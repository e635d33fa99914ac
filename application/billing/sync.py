"""Syncing our subscriptions with the payment provider, safe in any order and from any number of processes."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from application.billing.ending import EndAndRefund
from application.ports.payments import CustomerUnknown, Payments
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from domain.accounts import UserId
from domain.billing import (
    BillingPolicy,
    CustomerId,
    ProvidedSubscription,
    SubscriptionId,
    SubscriptionRecord,
)
from domain.errors import DependencyDown

MAX_TRIES = 5

log = logging.getLogger(__name__)


class TakesLonger(Exception):
    """Too slow for a webhook response; left to the retry sweeper."""


def nothing_else(_work: UnitOfWork) -> bool:
    """The default of ``also``: writes nothing beside the subscription."""
    return True


@dataclass(frozen=True, slots=True)
class Synced:
    """Our record before and after. ``ended``: duplicate subscriptions that were cancelled. ``found``: what there is."""

    before: SubscriptionRecord | None
    after: SubscriptionRecord | None
    ended: tuple[SubscriptionId, ...] = ()
    found: tuple[ProvidedSubscription, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether our table was wrong, or duplicates were cancelled."""
        return self.before != self.after or bool(self.ended)


@dataclass(frozen=True, slots=True)
class SyncSubscription:
    """Optimistic locking: reads our row's version, asks the provider outside of any transaction, and writes over it.

    A caller who asked earlier and writes later finds a newer version and asks again, so a stale answer never replaces a
    newer one. For this, a write that changes nothing increments the version, too. A caller whose answer is what another
    caller has just written does not ask again.
    """

    unit_of_work: UnitOfWorkFactory
    payments: Payments
    policy: BillingPolicy
    end: EndAndRefund

    def __call__(
        self,
        *,
        user_id: UserId,
        customer_id: CustomerId,
        also: Callable[[UnitOfWork], bool] = nothing_else,
        hurry: bool = False,
    ) -> Synced:
        """Returns what changed. Raises DependencyDown, and with ``hurry`` TakesLonger; then nothing has changed.

        ``also`` writes more in the same transaction. When it returns False, everything was written before, and nothing
        is written now.
        """
        ended: tuple[SubscriptionId, ...] = ()
        leave_duplicates = False
        found: Sequence[ProvidedSubscription] | None = None
        for _ in range(MAX_TRIES):
            with self.unit_of_work() as work:
                before, version = work.billing.subscriptions.get(user_id)
            if found is None or before is None or before != self._record(found, before):
                found = self._ask(customer_id, hurry=hurry)
            if not leave_duplicates and (duplicates := self.policy.duplicates(found)):
                if hurry:
                    raise TakesLonger
                ended += tuple(
                    one.subscription.id
                    for one in duplicates
                    if self.end(one.subscription.id, customer_id, refund=one.refund)
                )
                if ended:
                    log.warning("%s of %s were too many, and are ended", ", ".join(ended), customer_id)
                # The provider is asked for the state after that. A duplicate that could not be cancelled is tried again
                # at the next reconciliation; the plan of a paying user does not wait for it.
                leave_duplicates, found = True, None
                continue
            after = self._record(found, before)
            with self.unit_of_work() as work:
                if not also(work):
                    return Synced(before, before, ended, tuple(found))
                if after is None or work.billing.subscriptions.put(user_id, after, over=version):
                    work.commit()
                    return Synced(before, after, ended, tuple(found))
        raise DependencyDown(self.payments.name, retry_after=1)

    def _ask(self, customer_id: CustomerId, *, hurry: bool) -> Sequence[ProvidedSubscription]:
        try:
            return self.payments.subscriptions_of(customer_id, hurry=hurry)
        except CustomerUnknown:
            # Deleted there, or of another mode or account: what is unknown is not paid for.
            log.error("%s is a customer that the payment provider does not know", customer_id)
            return ()

    def _record(
        self, found: Sequence[ProvidedSubscription], before: SubscriptionRecord | None
    ) -> SubscriptionRecord | None:
        counts = self.policy.current(found)
        if counts is not None:
            return self.policy.to_record(counts)
        # A subscription that the provider does not know is not charged.
        return None if before is None else before.forgotten()
