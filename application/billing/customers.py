"""Which customer of the payment provider a user is, also when our own row is missing or wrong."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from application.billing.ending import running_of
from application.ports.payments import Payments
from application.ports.unit_of_work import UnitOfWorkFactory
from domain.accounts import UserId
from domain.billing import BillingPolicy, CustomerId
from domain.errors import TokenInvalid

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FindCustomer:
    """Finds the customer of a user in our table, then in the provider's metadata, and else makes one."""

    unit_of_work: UnitOfWorkFactory
    payments: Payments
    policy: BillingPolicy

    def __call__(self, *, user_id: UserId, unknown: CustomerId | None = None) -> CustomerId:
        """Returns the customer, which is stored before there is a checkout. ``unknown``: one that is there no more.

        Raises TokenInvalid when the user was erased, and DependencyDown.
        """
        with self.unit_of_work() as work:
            kept = work.billing.customers.of(user_id, mode=self.payments.mode)
        if kept is not None and kept != unknown:
            return kept
        found = [one for one in self.payments.customers_of(user_id) if one != unknown]
        if found:
            customer_id = self._one_that_pays(found)
            log.warning("%s is linked to %s again, which its metadata names", user_id, customer_id)
        else:
            customer_id = self.payments.new_customer(user_id, instead_of=unknown)
        with self.unit_of_work() as work:
            stored = work.billing.customers.add(user_id, customer_id, mode=self.payments.mode, instead_of=unknown)
            work.commit()
        if stored is None:
            raise TokenInvalid
        return stored

    def _one_that_pays(self, customers: Sequence[CustomerId]) -> CustomerId:
        """The first of ``customers`` with a subscription of ours that runs; the first one if there is none."""
        for customer_id in customers if len(customers) > 1 else ():
            if running_of(customer_id, self.payments, self.policy):
                return customer_id
        return customers[0]


@dataclass(frozen=True, slots=True)
class LinkCustomers:
    """Links the provider's customers to our users by their metadata: for after a backup was restored."""

    unit_of_work: UnitOfWorkFactory
    payments: Payments

    def __call__(self) -> Sequence[UserId]:
        """Returns the users that were linked. A user who has a customer keeps it. Raises DependencyDown."""
        linked = []
        for customer_id, user_id in self.payments.all_customers():
            if user_id is not None and self.link(user_id, customer_id):
                linked.append(user_id)
        return linked

    def link(self, user_id: UserId, customer_id: CustomerId) -> bool:
        """Returns whether the user exists and had no customer before."""
        with self.unit_of_work() as work:
            customers = work.billing.customers
            if customers.of(user_id, mode=self.payments.mode) is not None or customers.is_erased(customer_id):
                return False
            stored = customers.add(user_id, customer_id, mode=self.payments.mode)
            work.commit()
        return stored == customer_id
