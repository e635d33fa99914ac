"""What happens at Stripe beyond the buttons of the sandbox's pages."""

from typing import Any

from adapters.stripe.sandbox.fake import CURRENCY, ENDED, FakeStripe


class StripeScenarios(FakeStripe):
    """The stand-in for Stripe, with slow payments, disputes and an operator at the dashboard."""

    def pay_later(self, session_id: str) -> str:
        """The buyer has chosen a way to pay that takes days; the id of the subscription."""
        with self._state() as objects:
            return self._complete(objects, session_id, paid=False)

    def payment_arrives(self, subscription_id: str) -> None:
        """What was chosen in ``pay_later`` is paid, or a renewal that had failed."""
        first = self.look().subscriptions[subscription_id]["status"] == "incomplete"
        super().payment_arrives(subscription_id)
        if first:
            self._tell_of_checkout(subscription_id, "checkout.session.async_payment_succeeded")

    def payment_never_arrives(self, subscription_id: str) -> None:
        """What was chosen in ``pay_later`` is not paid."""
        with self._state() as objects:
            subscription = self._known(objects.subscriptions, subscription_id, "id")
            subscription["status"] = "incomplete_expired"
            self._tell(objects, "customer.subscription.updated", subscription)
        self._tell_of_checkout(subscription_id, "checkout.session.async_payment_failed")

    def become(self, subscription_id: str, status: str) -> None:
        """Stripe's own rules, or an operator at its dashboard, change the status."""
        with self._state() as objects:
            subscription = self._known(objects.subscriptions, subscription_id, "id")
            if subscription["status"] in ENDED:
                return
            if status == "canceled":
                self._end(objects, subscription)
                return
            kind = "updated"
            if "paused" in {status, subscription["status"]}:
                kind = "paused" if status == "paused" else "resumed"
            subscription["status"] = status
            self._tell(objects, f"customer.subscription.{kind}", subscription)

    def sell(self, customer_id: str, price: str, status: str = "active") -> str:
        """A subscription is made without a checkout; its id."""
        with self._state() as objects:
            self._known(objects.customers, customer_id, "customer")
            subscription = self._new_subscription(objects, customer_id, price, status, {})
            self._invoice(objects, subscription, paid=status in {"active", "trialing"})
            return str(subscription["id"])

    def dispute(self, subscription_id: str) -> str:
        """The buyer tells the bank that it was not them; the id of the charge."""
        with self._state() as objects:
            subscription = self._known(objects.subscriptions, subscription_id, "id")
            charge_id = objects.invoices[subscription["latest_invoice"]]["sandbox_charge"]
            charge = objects.charges[charge_id]
            charge["disputed"] = True
            dispute = {
                "id": self._id("dp"),
                "object": "dispute",
                "charge": charge_id,
                "payment_intent": charge["payment_intent"],
                "amount": charge["amount"],
                "currency": CURRENCY,
            }
            self._tell(objects, "charge.dispute.created", dispute)
            return str(charge_id)

    def delete_customer(self, customer_id: str) -> None:
        """An operator deletes the customer, and with it all that runs."""
        with self._state() as objects:
            self._known(objects.customers, customer_id, "customer")
            objects.customers[customer_id] = {"id": customer_id, "object": "customer", "deleted": True}
            for subscription in objects.subscriptions.values():
                if subscription["customer"] == customer_id and subscription["status"] not in ENDED:
                    self._end(objects, subscription)
            self._tell(objects, "customer.deleted", objects.customers[customer_id])

    def change(self, subscription_id: str, **members: Any) -> None:
        """An operator, or Stripe, changes members of a subscription."""
        with self._state() as objects:
            subscription = self._known(objects.subscriptions, subscription_id, "id")
            subscription |= members
            self._tell(objects, "customer.subscription.updated", subscription)

    def give_back(self, subscription_id: str, amount: int) -> str:
        """An operator refunds a part of the newest payment; the id of the refund."""
        with self._state() as objects:
            subscription = self._known(objects.subscriptions, subscription_id, "id")
            charge = objects.charges[objects.invoices[subscription["latest_invoice"]]["sandbox_charge"]]
            return str(self._refund(objects, charge, amount)["id"])

    def refund_fails(self, refund_id: str) -> None:
        """The bank sends a refund back, days later."""
        with self._state() as objects:
            refund = objects.refunds[refund_id]
            refund["status"] = "failed"
            self._tell(objects, "refund.failed", refund)

    def _tell_of_checkout(self, subscription_id: str, kind: str) -> None:
        with self._state() as objects:
            sessions = objects.sessions.values()
            self._tell(objects, kind, next(one for one in sessions if one["subscription"] == subscription_id))
