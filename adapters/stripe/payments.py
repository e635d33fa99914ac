"""Payments through Stripe's library. No other module knows the library, or the shapes of Stripe's API objects.

The API version is pinned, so that later versions change nothing here. Objects are read in the shape of 2025-03-31 and
later (periods on subscription items, payments of an invoice as a list) and in the one before, for servers that still
answer so.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import stripe
import structlog

from adapters.stripe.metadata import user_named_in
from adapters.stripe.shared_reads import SharedReads
from application.ports.payments import (
    CHECKOUT_ID,
    ChangeRefused,
    CustomerUnknown,
    NamedCustomer,
    Order,
    Payments,
)
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
    mode_of_key,
)
from domain.errors import DependencyDown

API_VERSION = "2026-10-28.endive"

# Seconds to connect, and between two chunks of a response. The library's defaults are 80.
PATIENT = (3.0, 10.0)
HURRIED = (1.0, 2.0)
RETRIES = 2

# Stripe stores an internal error under the idempotency key it happened with, for a day: so the next key is tried.
KEYS_PER_WRITE = 3

PROVIDER = "stripe"
LONG = 30

T = TypeVar("T")
Json = dict[str, Any]
# From method, URL, headers and body to the response's body, status and headers.
Transport = Callable[[str, str, Mapping[str, str], str], tuple[bytes, int, Mapping[str, str]]]

log = structlog.get_logger(__name__)


class _Missing(Exception):
    """Stripe has no such object."""


class _Refused(Exception):
    """Stripe understands the request and will not do it. The cause of the DependencyDown that callers get."""


class _StoredFailure(Exception):
    """Stripe has stored an internal error under this idempotency key and will replay it."""


class _InProcess(stripe.HTTPClient):
    """Calls a function in place of the network."""

    name = "in-process"

    def __init__(self, transport: Transport) -> None:
        super().__init__()
        self._transport = transport

    def request(  # type: ignore[override]  # as all of the library's own clients
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        return self._transport(method, url, headers or {}, post_data or "")

    def close(self) -> None:
        pass


def new_client(
    api_key: str, *, timeout: tuple[float, float], retries: int = 0, base_url: str | None, transport: Transport | None
) -> stripe.StripeClient:
    """``timeout``: in seconds, to connect and to read. ``transport``: a function in place of HTTP."""
    return stripe.StripeClient(
        api_key,
        stripe_version=API_VERSION,
        base_addresses={"api": base_url.rstrip("/")} if base_url else None,
        max_network_retries=0 if transport else retries,
        http_client=_InProcess(transport) if transport else stripe.RequestsClient(timeout=timeout),
    )


class StripePayments(Payments):
    """``base_url``: another server with Stripe's API. ``transport``: a function in place of HTTP.

    ``mode`` None: the key says it. ``remember_account``: stores the first account and returns the stored one; under the
    key of another account only the account is asked for, since its customers are not ours. ``asks_for_address``: every
    checkout asks for a billing address, which Stripe needs in some countries. Nothing connects before the first call.
    """

    name = PROVIDER

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str | None = None,
        transport: Transport | None = None,
        mode: Mode | None = None,
        asks_for_address: bool = False,
        remember_account: Callable[[str], str] | None = None,
    ) -> None:
        self._remember_account = remember_account
        self._is_of_another_account = False
        self._mode = mode or mode_of_key(api_key) or Mode.LIVE
        self._asks_for_address = asks_for_address
        # A function in this process answers at once, and may call back.
        self._shared: SharedReads[Sequence[ProvidedSubscription]] | None = None if transport else SharedReads()
        self._patient = new_client(api_key, timeout=PATIENT, retries=RETRIES, base_url=base_url, transport=transport)
        self._hurried = new_client(api_key, timeout=HURRIED, base_url=base_url, transport=transport)

    @property
    def mode(self) -> Mode:
        return self._mode

    def account(self) -> str | None:
        return self._account_by(self._patient)

    def _account_by(self, client: stripe.StripeClient) -> str | None:
        def asked() -> str | None:
            try:
                return client.v1.accounts.retrieve_current().id
            except stripe.PermissionError:
                return None  # a restricted key

        return self._translated(asked)

    def new_customer(self, user_id: UserId, *, instead_of: CustomerId | None = None) -> CustomerId:
        customer = self._write(
            f"customer-{user_id}" if instead_of is None else f"customer-{user_id}-{instead_of}",
            lambda key: self._patient.v1.customers.create(
                {"metadata": {"user_id": str(user_id)}}, {"idempotency_key": key}
            ),
        )
        return CustomerId(customer.id)

    def customers_of(self, user_id: UserId) -> Sequence[CustomerId]:
        def found() -> list[Json]:
            query = f"metadata['user_id']:'{user_id}'"
            first = self._patient.v1.customers.search({"query": query, "limit": 100})
            return [one.to_dict() for one in first.data]

        try:
            customers = self._read(found)
        except _Missing:
            return []
        except DependencyDown as down:
            if _is_refused(down):
                return []  # search is not offered in every country
            raise
        customers.sort(key=lambda one: (one.get("created") or 0, one["id"]))
        return [CustomerId(one["id"]) for one in customers if not one.get("deleted")]

    def user_of(self, customer_id: CustomerId) -> UserId | None:
        try:
            return user_named_in(self._read(lambda: self._patient.v1.customers.retrieve(customer_id).to_dict()))
        except _Missing:
            return None

    def all_customers(self) -> Iterator[NamedCustomer]:
        last: str | None = None
        while True:
            where = {"starting_after": last} if last else {}

            def page(where: dict[str, str] = where) -> Json:
                return self._patient.v1.customers.list({"limit": 100, **where}).to_dict()  # type: ignore[arg-type]

            answer = self._read(page)
            for one in answer["data"]:
                last = one["id"]
                yield NamedCustomer(CustomerId(one["id"]), user_named_in(one))
            if not answer.get("has_more"):
                return

    def open_checkout(self, order: Order, customer_id: CustomerId) -> Checkout:
        metadata = {"user_id": str(order.user_id)}
        address = {"billing_address_collection": "required"} if self._asks_for_address else {}
        try:
            session = self._write(
                f"checkout-{order.attempt_id}",
                lambda key: self._patient.v1.checkout.sessions.create(
                    {  # type: ignore[arg-type]  # address
                        "mode": "subscription",
                        "customer": customer_id,
                        "client_reference_id": str(order.user_id),
                        "line_items": [{"price": order.price_id, "quantity": 1}],
                        "metadata": metadata,
                        # Stripe does not copy the session's metadata to the subscription.
                        "subscription_data": {"metadata": metadata},
                        "success_url": order.success_url.replace(CHECKOUT_ID, "{CHECKOUT_SESSION_ID}"),
                        "cancel_url": order.cancel_url,
                        **address,
                    },
                    {"idempotency_key": key},
                ),
            )
        except _Missing:
            raise CustomerUnknown(customer_id) from None
        return _checkout(session.to_dict())

    def checkout(self, checkout_id: CheckoutId) -> Checkout | None:
        try:
            return _checkout(self._read(lambda: self._patient.v1.checkout.sessions.retrieve(checkout_id).to_dict()))
        except _Missing:
            return None

    def expire_checkout(self, checkout_id: CheckoutId) -> None:
        known = self.checkout(checkout_id)
        if known is None or known.state is not CheckoutState.OPEN:
            return
        try:
            self._write(
                f"expire-{checkout_id}",
                lambda key: self._patient.v1.checkout.sessions.expire(checkout_id, {}, {"idempotency_key": key}),
            )
        except _Missing:
            return
        except DependencyDown:
            # Stripe also refuses when the checkout was paid in this moment: then there is nothing to do.
            now = self.checkout(checkout_id)
            if now is not None and now.state is CheckoutState.OPEN:
                raise

    def expire_checkouts(self, customer_id: CustomerId) -> None:
        def open_ones() -> list[str]:
            first = self._patient.v1.checkout.sessions.list({"customer": customer_id, "status": "open", "limit": 100})
            return [one.id for one in first.auto_paging_iter()]

        try:
            found = self._read(open_ones)
        except _Missing:
            raise CustomerUnknown(customer_id) from None
        for checkout_id in found:
            self.expire_checkout(CheckoutId(checkout_id))

    def open_portal(self, customer_id: CustomerId, *, return_url: str) -> str:
        # A portal session lives for a few minutes and costs nothing, so no key is needed: each call opens a new one.
        try:
            session = self._read(
                lambda: self._patient.v1.billing_portal.sessions.create(
                    {"customer": customer_id, "return_url": return_url}
                )
            )
        except _Missing:
            raise CustomerUnknown(customer_id) from None
        return session.url

    def subscriptions_of(self, customer_id: CustomerId, *, hurry: bool = False) -> Sequence[ProvidedSubscription]:
        client = self._hurried if hurry else self._patient

        def all_of_them() -> list[Json]:
            first = client.v1.subscriptions.list({"customer": customer_id, "status": "all", "limit": 100})
            return [one.to_dict() for one in first.auto_paging_iter()]

        def ask() -> Sequence[ProvidedSubscription]:
            try:
                found = self._read(all_of_them, client=client)
            except _Missing:
                raise CustomerUnknown(customer_id) from None
            return [self._subscription(one, client) for one in found]

        # The events of one purchase come at once, and each is a reason to ask the same.
        return self._shared(f"{customer_id} {hurry}", ask) if self._shared else ask()

    def renew(self, subscription_id: SubscriptionId, *, renew: bool, key: str) -> None:
        try:
            now = self._read(lambda: self._patient.v1.subscriptions.retrieve(subscription_id).to_dict())
            if _status(now) in ENDED:
                return
            if schedule := _id(now.get("schedule")):
                # While a schedule manages the subscription, Stripe refuses to change its end.
                self._write(
                    f"{key}-release",
                    lambda key: self._patient.v1.subscription_schedules.release(schedule, {}, {"idempotency_key": key}),
                )
            # An end that was set as a day (cancel_at) is removed as such, not by the flag.
            set_otherwise = renew and now.get("cancel_at") and not now.get("cancel_at_period_end")
            self._write(
                key,
                lambda key: self._patient.v1.subscriptions.update(
                    subscription_id,
                    {"cancel_at": ""} if set_otherwise else {"cancel_at_period_end": not renew},
                    {"idempotency_key": key},
                ),
            )
        except _Missing:
            return
        except DependencyDown as down:
            if _is_refused(down):
                raise ChangeRefused from None
            raise

    def cancel(self, subscription_id: SubscriptionId) -> None:
        try:
            self._write(
                f"cancel-{subscription_id}",
                lambda key: self._patient.v1.subscriptions.cancel(
                    subscription_id, {"invoice_now": False, "prorate": False}, {"idempotency_key": key}
                ),
            )
        except _Missing:
            return
        except DependencyDown as down:
            if _is_refused(down):
                raise ChangeRefused from None
            raise

    def refund(self, subscription_id: SubscriptionId) -> RefundOutcome:
        try:
            invoice = self._newest_invoice(subscription_id, self._patient)
            payments = _payments_of(invoice)
            for payment in payments:
                self._refund(payment)
        except _Missing:
            return RefundOutcome.NOTHING_PAID
        except DependencyDown as down:
            if _is_refused(down):
                return RefundOutcome.REFUSED
            raise
        return RefundOutcome.DONE if payments else RefundOutcome.NOTHING_PAID

    def customer_of_charge(self, charge_id: str) -> CustomerId | None:
        try:
            charge = self._read(lambda: self._hurried.v1.charges.retrieve(charge_id).to_dict(), client=self._hurried)
        except _Missing:
            return None
        customer_id = _id(charge.get("customer"))
        return CustomerId(customer_id) if customer_id else None

    def _subscription(self, one: Json, client: stripe.StripeClient) -> ProvidedSubscription:
        items = self._items(one, client)
        ends = [item["current_period_end"] for item in items if item.get("current_period_end")]
        starts = [item["current_period_start"] for item in items if item.get("current_period_start")]
        period_start = max(starts, default=one.get("current_period_start"))
        period_end = max(ends, default=one.get("current_period_end"))
        # The portal may set the day of the end in place of the flag.
        cancel_at = one.get("cancel_at")
        status = _status(one)
        return ProvidedSubscription(
            id=SubscriptionId(one["id"]),
            customer_id=CustomerId(_id(one["customer"]) or ""),
            status=status,
            price_ids=tuple(item["price"]["id"] for item in items if item.get("price")),
            created_at=_moment(one["created"]),
            period_start=_moment_or_none(period_start),
            period_end=_moment_or_none(min(cancel_at, period_end) if cancel_at and period_end else period_end),
            cancel_at_period_end=bool(one.get("cancel_at_period_end") or cancel_at),
            sold_here=user_named_in(one) is not None,
            ever_paid=status is not SubscriptionStatus.PAST_DUE or self._ever_paid(one, period_start, client),
            scheduled=one.get("schedule") is not None,
            withheld=(one.get("pause_collection") or {}).get("behavior") == "void",
        )

    def _items(self, one: Json, client: stripe.StripeClient) -> list[Json]:
        items = one.get("items") or {}
        if not items.get("has_more"):
            return items.get("data") or []

        def all_of_them() -> list[Json]:
            first = client.v1.subscription_items.list({"subscription": one["id"], "limit": 100})
            return [item.to_dict() for item in first.auto_paging_iter()]

        return self._read(all_of_them)

    def _ever_paid(self, one: Json, period_start: int | None, client: stripe.StripeClient) -> bool:
        """Whether something was paid of an overdue subscription. Only in its first period Stripe has to be asked."""
        if period_start is None or period_start > max(one["created"], one.get("trial_end") or 0):
            return True
        try:
            invoice = self._newest_invoice(SubscriptionId(one["id"]), client)
        except _Missing:
            return False
        return bool(invoice.get("amount_paid")) or invoice.get("billing_reason") == "subscription_update"

    def _newest_invoice(self, subscription_id: SubscriptionId, client: stripe.StripeClient) -> Json:
        """The newest invoice with its payments; empty when there is none."""
        subscription = self._read(
            lambda: client.v1.subscriptions.retrieve(subscription_id, {"expand": ["latest_invoice.payments"]}).to_dict()
        )
        invoice = subscription.get("latest_invoice")
        return invoice if isinstance(invoice, dict) else {}

    def _refund(self, payment: dict[str, str]) -> None:
        (paid_with,) = payment.values()

        def refund(key: str) -> None:
            try:
                made = self._patient.v1.refunds.create(
                    {**payment, "reason": "duplicate"},  # type: ignore[arg-type]  # either of two members
                    {"idempotency_key": key},
                )
            except stripe.InvalidRequestError as error:
                if error.code != "charge_already_refunded":
                    raise
                return
            if made.to_dict().get("status") in {"failed", "canceled"}:
                raise DependencyDown(PROVIDER, retry_after=LONG) from _Refused()

        self._write(f"refund-{paid_with}", refund)

    def _write(self, key: str, write: Callable[[str], T]) -> T:
        """Write under a key, or under the next one where Stripe has stored an internal error under the first."""
        for number in range(KEYS_PER_WRITE):
            numbered = f"{key}-{number}" if number else key

            def under_this_key(numbered: str = numbered) -> T:
                return write(numbered)

            try:
                return self._read(under_this_key)
            except _StoredFailure:
                continue
        raise DependencyDown(PROVIDER, retry_after=LONG)

    def _read(self, call: Callable[[], T], *, client: stripe.StripeClient | None = None) -> T:
        """Call Stripe, once it is known that the key is of the account that our customers are of."""
        if self._remember_account is not None:
            self._check_account(self._remember_account, client or self._patient)
        return self._translated(call)

    def _check_account(self, remember: Callable[[str], str], client: stripe.StripeClient) -> None:
        account = self._account_by(client)
        ours = remember(account) if account is not None else None  # a restricted key may not say its account
        if ours == account:
            self._remember_account = None
            return
        if not self._is_of_another_account:
            log.error("stripe_key_of_another_account", account=account, ours=ours, fix="see gemini-chat stripe")
        self._is_of_another_account = True
        raise DependencyDown(PROVIDER, retry_after=LONG)

    def _translated(self, call: Callable[[], T]) -> T:
        """Call Stripe and translate its errors, without their texts: those may quote the request."""
        try:
            return call()
        except stripe.InvalidRequestError as error:
            if error.code == "resource_missing" and error.param in {None, "id", "session", "customer"}:
                raise _Missing from None
            log.error(
                "stripe_refused",
                code=error.code,
                param=error.param,
                status=error.http_status,
                stripe_request_id=error.request_id,
            )
            raise DependencyDown(PROVIDER, retry_after=LONG) from _Refused()
        except (stripe.AuthenticationError, stripe.PermissionError) as error:
            log.error("stripe_key_refused", stripe_request_id=error.request_id)
            raise DependencyDown(PROVIDER, retry_after=LONG) from None
        except stripe.StripeError as error:
            if (error.headers or {}).get("idempotent-replayed") == "true" and (error.http_status or 0) >= 500:
                raise _StoredFailure from None
            log.warning("stripe_unavailable", error=type(error).__name__, status=error.http_status)
            raise DependencyDown(PROVIDER) from None


def _is_refused(down: DependencyDown) -> bool:
    return isinstance(down.__cause__, _Refused)


def _checkout(session: Json) -> Checkout:
    state = CheckoutState(session["status"])
    return Checkout(CheckoutId(session["id"]), state, session.get("url") if state is CheckoutState.OPEN else None)


def _status(one: Json) -> SubscriptionStatus:
    try:
        return SubscriptionStatus(one["status"])
    except ValueError:
        return SubscriptionStatus.UNKNOWN


def _payments_of(invoice: Json) -> list[dict[str, str]]:
    """The payments of an invoice, each as the parameter of a refund."""
    if invoice.get("payments"):
        paid = [one["payment"] for one in invoice["payments"]["data"] if one.get("status") == "paid"]
    else:
        paid = [invoice] if invoice.get("amount_paid") else []
    found = []
    for one in paid:
        if intent := _id(one.get("payment_intent")):
            found.append({"payment_intent": intent})
        elif charge := _id(one.get("charge")):
            found.append({"charge": charge})
    return found


def _id(value: Any) -> str | None:
    """The id of an object, whether Stripe has expanded it or not."""
    if isinstance(value, dict):
        value = value.get("id")
    return value if isinstance(value, str) else None


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _moment_or_none(seconds: int | None) -> datetime | None:
    return None if seconds is None else _moment(seconds)
