"""Subscriptions, when they make a user Pro, and the objects of the payment provider in this project's terms."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from domain.accounts import UserId
from domain.plans import Plan

CustomerId = NewType("CustomerId", str)
SubscriptionId = NewType("SubscriptionId", str)
CheckoutId = NewType("CheckoutId", str)


# A subscription that was not compared with the provider for this long after its period ended is Basic.
UNCONFIRMED_FOR = timedelta(days=7)
# So long after a checkout was opened its customer is compared as often as one who pays: an event of a purchase that was
# lost together with a comparison costs the buyer an hour, not a day.
MAY_HAVE_BOUGHT_FOR = timedelta(days=7)


class Mode(StrEnum):
    """Where a customer exists. NONE: there is no provider, so nothing of one can be told apart."""

    LIVE = "live"
    TEST = "test"
    SANDBOX = "sandbox"
    NONE = "none"

    @property
    def foreign(self) -> frozenset["Mode"]:
        """The modes whose customers do not exist in this one, and whose subscriptions give nothing in it."""
        if self is Mode.NONE:
            return frozenset({Mode.SANDBOX})
        return frozenset({Mode.LIVE, Mode.TEST, Mode.SANDBOX} - {self})


def mode_of_key(api_key: str) -> Mode | None:
    """The mode that a key of Stripe's begins with, as in sk_test_… (docs.stripe.com/keys); None where it says none."""
    if api_key.startswith(("sk_test_", "rk_test_")):
        return Mode.TEST
    return Mode.LIVE if api_key.startswith(("sk_live_", "rk_live_")) else None


class SubscriptionStatus(StrEnum):
    """Stripe's subscription statuses (docs.stripe.com/api/subscriptions/object#subscription_object-status).

    UNKNOWN: a status that this version does not know. It is neither paid for nor over.
    """

    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    CANCELED = "canceled"
    UNPAID = "unpaid"
    PAUSED = "paused"
    UNKNOWN = "unknown"


PAID_FOR = frozenset({SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING})

# A subscription in one of these is over for good.
ENDED = frozenset({SubscriptionStatus.CANCELED, SubscriptionStatus.INCOMPLETE_EXPIRED})

# The present period of a subscription in one of these was not paid for, so there is no paid time to wait for.
NOT_PAID = frozenset(
    {
        SubscriptionStatus.INCOMPLETE,
        SubscriptionStatus.PAST_DUE,
        SubscriptionStatus.UNPAID,
        SubscriptionStatus.PAUSED,
    }
)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A user's subscription at the moment of reading.

    ``price_is_ours``: its price is one of the Pro plan. ``in_grace``: the last renewal failed, and the grace period has
    not ended. ``lapsed``: its period has ended, and since then it was not compared with the provider for
    ``UNCONFIRMED_FOR``.
    """

    status: SubscriptionStatus
    current_period_end: datetime | None
    cancel_at_period_end: bool
    price_is_ours: bool = True
    in_grace: bool = False
    lapsed: bool = False

    @property
    def plan(self) -> Plan:
        """Pro while it is paid for, or past due within the grace period, at a price of ours; Basic otherwise."""
        paid_for = self.status in PAID_FOR or (self.status is SubscriptionStatus.PAST_DUE and self.in_grace)
        return Plan.PRO if paid_for and self.price_is_ours and not self.lapsed else Plan.BASIC


def plan_of(subscription: Subscription | None, *, granted: bool) -> Plan:
    """The plan of a user. ``subscription`` None: never had one; ``granted``: an operator's grant of Pro holds."""
    paid = subscription.plan if subscription is not None else Plan.BASIC
    return Plan.PRO if granted else paid


def has_lapsed(current_period_end: datetime | None, synced_at: datetime | None, now: datetime) -> bool:
    """Whether a subscription was left uncompared for too long after its period; ``synced_at``: the last comparison."""
    if synced_at is None:
        return False
    return max(synced_at, current_period_end or synced_at) + UNCONFIRMED_FOR < now


@dataclass(frozen=True, slots=True)
class SubscriptionRecord:
    """A row of our table: the provider's last answer, and what the policy made of it."""

    subscription_id: SubscriptionId
    price_id: str | None
    status: SubscriptionStatus
    current_period_end: datetime | None
    cancel_at_period_end: bool
    price_is_ours: bool
    grace_ends_at: datetime | None

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.status in ENDED

    @property
    def is_pro(self) -> bool:
        """Whether it is the Pro plan and not over. Only otherwise may another one be bought."""
        return self.price_is_ours and not self.ended

    def at(self, now: datetime) -> Subscription:
        """The subscription at the moment ``now``."""
        return Subscription(
            status=self.status,
            current_period_end=self.current_period_end,
            cancel_at_period_end=self.cancel_at_period_end,
            price_is_ours=self.price_is_ours,
            in_grace=self.grace_ends_at is not None and now < self.grace_ends_at,
        )

    def forgotten(self) -> "SubscriptionRecord":
        """The record once the provider does not know the subscription any more: cancelled."""
        return replace(self, status=SubscriptionStatus.CANCELED, cancel_at_period_end=False, grace_ends_at=None)


@dataclass(frozen=True, slots=True)
class ProvidedSubscription:
    """A subscription as the payment provider has it.

    ``sold_here``: it carries the mark of our checkout. ``ever_paid``: some invoice of it was paid. ``scheduled``: a
    schedule of the provider manages it. ``withheld``: its invoices are voided for now, which the provider describes as
    not being able to serve.
    """

    id: SubscriptionId
    customer_id: CustomerId
    status: SubscriptionStatus
    price_ids: tuple[str, ...]
    created_at: datetime
    period_start: datetime | None
    period_end: datetime | None
    cancel_at_period_end: bool
    sold_here: bool = False
    ever_paid: bool = True
    scheduled: bool = False
    withheld: bool = False

    @property
    def ended(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class DuplicateSubscription:
    """A subscription beside the current one. ``refund``: it is the newer one, so its payment is returned."""

    subscription: ProvidedSubscription
    refund: bool


@dataclass(frozen=True, slots=True)
class BillingPolicy:
    """The prices of the Pro plan, and what happens when payments fail or are disputed.

    ``price``: the price id of new subscriptions; ``old_prices``: price ids that earlier subscriptions still have.
    ``grace``: how long a user stays Pro after the last paid period when the renewal fails.
    """

    price: str
    old_prices: frozenset[str] = frozenset()
    grace: timedelta = timedelta(days=7)
    cancels_duplicates: bool = True
    cancels_on_dispute: bool = False

    def sells(self, subscription: ProvidedSubscription) -> bool:
        """Whether it is the Pro plan, and not something else that the same customer bought."""
        return not {self.price, *self.old_prices}.isdisjoint(subscription.price_ids)

    def is_ours(self, subscription: ProvidedSubscription) -> bool:
        """Whether it was sold here: at one of our prices, or through our checkout and moved to another price since.

        Nothing else is ever changed or cancelled by us.
        """
        return subscription.sold_here or self.sells(subscription)

    def ours_running(self, subscriptions: Iterable[ProvidedSubscription]) -> list[ProvidedSubscription]:
        """Those that were sold here and are not over."""
        return [one for one in subscriptions if self.is_ours(one) and not one.ended]

    def to_record(self, subscription: ProvidedSubscription) -> SubscriptionRecord:
        ours = self.sells(subscription)
        # A renewal that fails has already begun its period, whose start is the end of the last paid one. Counted from
        # there, and not from when an event arrived, the grace period does not depend on the order of events.
        overdue = subscription.status is SubscriptionStatus.PAST_DUE and subscription.ever_paid
        overdue_since = subscription.period_start if overdue else None
        return SubscriptionRecord(
            subscription_id=subscription.id,
            price_id=next((price for price in subscription.price_ids if self._is_ours(price)), None)
            or next(iter(subscription.price_ids), None),
            status=self._status(subscription),
            current_period_end=subscription.period_end,
            cancel_at_period_end=subscription.cancel_at_period_end,
            price_is_ours=ours,
            grace_ends_at=overdue_since + self.grace if overdue_since is not None else None,
        )

    def current(self, subscriptions: Iterable[ProvidedSubscription]) -> ProvidedSubscription | None:
        """The one that decides the plan.

        Of those that are paid for, one that goes on before one that is set to end, and the oldest of them; else the
        newest that may recover; else the newest.
        """
        return min(subscriptions, key=self._rank, default=None)

    def duplicates(self, subscriptions: Sequence[ProvidedSubscription]) -> list[DuplicateSubscription]:
        """The subscriptions that would be charged beside a paid one; none unless ``cancels_duplicates``.

        One whose first payment is under way is left out: cancelled now, it could still be paid, and would not be
        refunded. It either becomes active, and is a duplicate then, or expires. So is one that is paid for and set to
        end: it is charged no more.
        """
        counts = self.current(subscriptions)
        if counts is None or not self.cancels_duplicates or not self._is_paid_for(counts):
            return []
        return [
            DuplicateSubscription(one, refund=_age(one) > _age(counts))
            for one in subscriptions
            if one.id != counts.id
            and self.sells(one)
            and one.status not in {*ENDED, SubscriptionStatus.INCOMPLETE}
            and not (one.cancel_at_period_end and one.status in PAID_FOR)
        ]

    def _is_ours(self, price: str) -> bool:
        return price == self.price or price in self.old_prices

    def _is_paid_for(self, subscription: ProvidedSubscription) -> bool:
        return self.sells(subscription) and self._status(subscription) in PAID_FOR

    def _status(self, subscription: ProvidedSubscription) -> SubscriptionStatus:
        paid_for = subscription.status in PAID_FOR
        return SubscriptionStatus.PAUSED if subscription.withheld and paid_for else subscription.status

    def _rank(self, subscription: ProvidedSubscription) -> tuple[int, float, str]:
        seconds = subscription.created_at.timestamp()
        if self._is_paid_for(subscription):
            return (0 if not subscription.cancel_at_period_end else 1), seconds, subscription.id
        kinds = (
            self.sells(subscription) and subscription.status is SubscriptionStatus.PAST_DUE,
            self.sells(subscription) and subscription.status not in ENDED,
            self.is_ours(subscription) and subscription.status not in ENDED,
            self.sells(subscription),
        )
        rank = 2 + kinds.index(True) if True in kinds else 2 + len(kinds)
        return rank, -seconds, subscription.id


class CheckoutState(StrEnum):
    """The state of a checkout. Only an open one can be paid."""

    OPEN = "open"
    COMPLETE = "complete"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Checkout:
    """A page of the provider on which a subscription is bought. ``url`` is None unless it is open."""

    id: CheckoutId
    state: CheckoutState
    url: str | None


class Concern(StrEnum):
    """What an event is about: a subscription, money that is returned or disputed, or nothing that we handle."""

    SUBSCRIPTION = "subscription"
    MONEY = "money"
    NOTHING = "nothing"


class MoneyKind(StrEnum):
    """Refunds, and the stages of a dispute."""

    REFUND = "refund"
    REFUND_FAILED = "refund_failed"
    DISPUTE_OPENED = "dispute_opened"
    DISPUTE_CHANGED = "dispute_changed"
    DISPUTE_CLOSED = "dispute_closed"


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in the smallest unit of its currency, and the id of the charge, refund or dispute that it is about.

    The amount is a running total of that object: several partial refunds of a charge are told as 300, 500, 900.
    """

    kind: MoneyKind
    amount: int
    currency: str
    object_id: str


@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """A webhook event of the payment provider: that something happened, and whom to ask about.

    The states in it are left out on purpose: they may be stale, so the provider is asked for the present ones.
    ``named_user``: the user whose id our API key has written into the object.
    """

    id: str
    type: str
    created_at: datetime
    concern: Concern
    customer_id: CustomerId | None = None
    checkout_id: CheckoutId | None = None
    charge_id: str | None = None
    named_user: UserId | None = None
    money: Money | None = None


class RefundOutcome(StrEnum):
    """What became of a refund. REFUSED: for good, so an operator must pay it back otherwise."""

    DONE = "done"
    NOTHING_PAID = "nothing_paid"
    REFUSED = "refused"


class OwedState(StrEnum):
    """The state of a refund that we owe. REFUSED and FAILED are left to the operator."""

    DUE = "due"
    REFUSED = "refused"
    FAILED = "failed"
    SETTLED = "settled"


class InboxState(StrEnum):
    """The state of an event in the inbox. FAILED: its attempts are used up; an operator may replay it."""

    PENDING = "pending"
    DONE = "done"
    IGNORED = "ignored"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RetryEvents:
    """How long a pending event waits between attempts, and how many it has. An attempt counts when it begins."""

    first_wait: timedelta = timedelta(seconds=10)
    longest_wait: timedelta = timedelta(hours=1)
    max_attempts: int = 50

    def wait(self, attempt: int) -> timedelta:
        """How long after attempt number ``attempt`` the next one is due; 0: after the event has arrived."""
        doubled: timedelta = self.first_wait * 2 ** min(attempt, 16)
        return min(doubled, self.longest_wait)

    @property
    def waits(self) -> list[timedelta]:
        """The waits after attempts 1 to ``max_attempts``."""
        return [self.wait(attempt) for attempt in range(1, self.max_attempts + 1)]


def _age(subscription: ProvidedSubscription) -> tuple[datetime, str]:
    return subscription.created_at, subscription.id
