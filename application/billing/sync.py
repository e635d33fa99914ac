"""Our table becomes what the payment provider says, whoever asks and in whatever order."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from application.ports.payments import Payments
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from domain.accounts import UserId
from domain.billing import (
    BillingPolicy,
    CustomerId,
    DuplicateSubscription,
    ProvidedSubscription,
    SubscriptionId,
    SubscriptionRecord,
)
from domain.errors import DependencyDown

ENOUGH_TRIES = 5

log = logging.getLogger(__name__)


class TakesLonger(Exception):
    """It is more than one may do while the provider waits for an answer to its news."""


def nothing_else(_work: UnitOfWork) -> bool:
    """Write nothing beside the subscription."""
    return True


@dataclass(frozen=True, slots=True)
class Synced:
    """What our table said before and says now; subscriptions that were ended because they were one too many."""

    before: SubscriptionRecord | None
    after: SubscriptionRecord | None
    ended: tuple[SubscriptionId, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the table was wrong, or the provider had to be put right."""
        return self.before != self.after or bool(self.ended)


@dataclass(frozen=True, slots=True)
class SyncSubscription:
    """Reads our row's version, asks the provider with no transaction open, and writes over that version only.

    Whoever asked earlier and writes later finds a newer version and asks again, so an old answer never covers a newer
    one. That is why even a write that changes nothing counts the version up.
    """

    unit_of_work: UnitOfWorkFactory
    payments: Payments
    policy: BillingPolicy

    def __call__(
        self,
        *,
        user_id: UserId,
        customer_id: CustomerId,
        also: Callable[[UnitOfWork], bool] = nothing_else,
        hurry: bool = False,
    ) -> Synced:
        """What changed. DependencyDown("stripe"), and TakesLonger in a ``hurry``: nothing did.

        ``also`` writes more in the same transaction; where it says False, everything was written before and nothing
        is now.
        """
        ended: tuple[SubscriptionId, ...] = ()
        leave_duplicates = False
        for _ in range(ENOUGH_TRIES):
            with self.unit_of_work() as work:
                before, version = work.billing.subscriptions.get(user_id)
            found = self.payments.subscriptions_of(customer_id, hurry=hurry)
            if not leave_duplicates and (duplicates := self.policy.duplicates(found)):
                if hurry:
                    raise TakesLonger
                ended += tuple(one.subscription.id for one in duplicates if self._end(one, customer_id))
                # How things are now, the provider knows. What cannot be ended at the moment is tried again when the
                # customer is next compared; the plan of whoever has paid does not wait for that.
                leave_duplicates = True
                continue
            after = self._record(found, before)
            with self.unit_of_work() as work:
                if not also(work):
                    return Synced(before, before, ended)
                if after is None or work.billing.subscriptions.put(user_id, after, over=version):
                    work.commit()
                    return Synced(before, after, ended)
        raise DependencyDown(self.payments.name, retry_after=1)

    def _end(self, duplicates: DuplicateSubscription, customer_id: CustomerId) -> bool:
        subscription_id = duplicates.subscription.id
        try:
            self.payments.cancel(subscription_id, refund=duplicates.refund)
        except DependencyDown:
            log.error("%s of %s is one subscription too many, and cannot be ended now", subscription_id, customer_id)
            return False
        refunded = ", and refunded" if duplicates.refund else ""
        log.warning("%s of %s was one subscription too many: ended%s", subscription_id, customer_id, refunded)
        return True

    def _record(
        self, found: Sequence[ProvidedSubscription], before: SubscriptionRecord | None
    ) -> SubscriptionRecord | None:
        counts = self.policy.current(found)
        if counts is not None:
            return self.policy.to_record(counts)
        # A provider that has forgotten a subscription will not charge for it.
        return None if before is None else before.forgotten()
