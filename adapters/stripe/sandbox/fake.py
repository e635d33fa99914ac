"""Stripe's API as far as this service uses it, and what happens on its other side: buyers, banks, time.

Stateful and strict: unknown parameters, missing objects and reused idempotency keys are refused as Stripe does. It
answers in the shapes of API 2025-03-31 and later, or, with ``old_shapes``, in those before.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from adapters.stripe.sandbox.state import Json, Objects, State
from application.ports.runtime import Clock

MONTH = int(timedelta(days=30).total_seconds())
DAY = int(timedelta(days=1).total_seconds())
AMOUNT = 900
CURRENCY = "usd"

ENDED = {"canceled", "incomplete_expired"}

# Stripe gives these two no code.
ENDED_IS_FINAL = "A canceled subscription can only update its cancellation_details and metadata."
MANAGED_BY_SCHEDULE = (
    "The subscription is managed by the subscription schedule, and updating any cancelation behavior directly is not"
    " allowed. Please update the schedule instead."
)
# Stripe lists as many items of a subscription with it; the others have a list of their own.
ITEMS_SHOWN = 20


class Refused(Exception):
    """An error response of Stripe's API."""

    def __init__(
        self, status: int, kind: str, code: str | None = None, param: str | None = None, message: str | None = None
    ) -> None:
        super().__init__(f"{status} {kind} {code} {param}")
        self.status = status
        message = message or f"{kind}: {code} {param}"
        self.body = {"error": {"type": kind, "code": code, "param": param, "message": message}}


def missing(param: str) -> Refused:
    """The error for an object that does not exist."""
    return Refused(404, "invalid_request_error", "resource_missing", param)


@dataclass(frozen=True, slots=True)
class Call:
    """The parameters of a request, by their names in the form."""

    params: Mapping[str, str]

    def take(self, *names: str) -> None:
        """Refuse parameters whose names match none of ``names`` (regular expressions)."""
        for name in self.params:
            if not any(re.fullmatch(pattern, name) for pattern in names):
                raise Refused(400, "invalid_request_error", "parameter_unknown", name)

    def need(self, name: str) -> str:
        """The value of a required parameter."""
        if not self.params.get(name):
            raise Refused(400, "invalid_request_error", "parameter_missing", name)
        return self.params[name]

    def below(self, prefix: str) -> dict[str, str]:
        """The members of a hash: ``metadata[user_id]`` below ``metadata``."""
        pattern = re.compile(re.escape(prefix) + r"\[([^\]]+)\]")
        return {found[1]: value for name, value in self.params.items() if (found := pattern.fullmatch(name))}


class FakeStripe:
    """The API (``handle``) and the other side of it (``pay``, ``renew``, …). Every change adds an event to the outbox.

    ``pages``: the URL below which checkouts and portals are shown. ``account``: whose key it is; None: the key may not
    say.
    """

    def __init__(
        self,
        *,
        state: State,
        clock: Clock,
        api_key: str,
        prices: frozenset[str],
        pages: str = "https://checkout.example",
        old_shapes: bool = False,
        new_id: Callable[[], str] = lambda: secrets.token_hex(12),
    ) -> None:
        self.account: str | None = "acct_sandbox"
        self._new_id = new_id
        self._state = state
        self._clock = clock
        self._api_key = api_key
        self._prices = prices
        self._pages = pages
        self._old_shapes = old_shapes
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Json]]] = [
            (method, re.compile(path.replace("ID", r"([A-Za-z0-9_]+)")), view)
            for method, path, view in (
                ("GET", "/v1/account", self._get_account),
                ("POST", "/v1/customers", self._new_customer),
                ("GET", "/v1/customers", self._list_customers),
                ("GET", "/v1/customers/search", self._search_customers),
                ("GET", "/v1/customers/ID", self._get_customer),
                ("GET", "/v1/subscription_items", self._list_items),
                ("POST", "/v1/subscription_schedules/ID/release", self._release_schedule),
                ("POST", "/v1/checkout/sessions", self._new_session),
                ("GET", "/v1/checkout/sessions", self._list_sessions),
                ("GET", "/v1/checkout/sessions/ID", self._get_session),
                ("POST", "/v1/checkout/sessions/ID/expire", self._expire_session),
                ("POST", "/v1/billing_portal/sessions", self._new_portal),
                ("GET", "/v1/subscriptions", self._list_subscriptions),
                ("GET", "/v1/subscriptions/ID", self._get_subscription),
                ("POST", "/v1/subscriptions/ID", self._update_subscription),
                ("DELETE", "/v1/subscriptions/ID", self._cancel_subscription),
                ("GET", "/v1/charges/ID", self._get_charge),
                ("POST", "/v1/refunds", self._new_refund),
            )
        ]

    # --- The API ---

    def handle(
        self, method: str, url: str, headers: Mapping[str, str], body: str
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """The answer to a request: body, status, headers."""
        method, parts = method.upper(), urlsplit(url)
        known = {name.lower(): value for name, value in headers.items()}
        try:
            self._admit(known)
            params = dict(parse_qsl(parts.query if method in {"GET", "DELETE"} else body, keep_blank_values=True))
            with self._state() as objects:
                answer, replayed = self._once(objects, method, parts.path, params, known.get("idempotency-key"))
                answered = orjson.dumps(answer)
        except Refused as refusal:
            return orjson.dumps(refusal.body), refusal.status, {"request-id": "req_sandbox"}
        replay = {"idempotent-replayed": "true"} if replayed else {}
        return answered, 200, {"request-id": "req_sandbox", **replay}

    def _admit(self, headers: Mapping[str, str]) -> None:
        if headers.get("authorization") != f"Bearer {self._api_key}":
            raise Refused(401, "invalid_request_error")
        if not headers.get("stripe-version"):
            raise Refused(400, "invalid_request_error", "version_not_pinned")

    def _once(
        self, objects: Objects, method: str, path: str, params: dict[str, str], key: str | None
    ) -> tuple[Json, bool]:
        if method != "POST" or key is None:
            return self._route(objects, method, path, params), False
        now = self._now()
        kept = objects.answers.get(key)
        if kept is not None and now - kept["at"] < DAY:
            if kept["asked"] != [path, params]:
                raise Refused(400, "idempotency_error")
            return deepcopy(kept["answer"]), True
        answer = self._route(objects, method, path, params)
        objects.answers[key] = {"at": now, "asked": [path, params], "answer": deepcopy(answer)}
        return answer, False

    def _route(self, objects: Objects, method: str, path: str, params: dict[str, str]) -> Json:
        for known, pattern, view in self._routes:
            if known == method and (found := pattern.fullmatch(path)):
                return view(objects, Call(params), *found.groups())
        raise Refused(404, "invalid_request_error", "url_unknown")

    def _get_account(self, objects: Objects, call: Call) -> Json:
        call.take()
        if self.account is None:
            raise Refused(403, "invalid_request_error", "permission_denied")
        return {"id": self.account, "object": "account"}

    def _new_customer(self, objects: Objects, call: Call) -> Json:
        call.take(r"metadata\[\w+\]")
        customer_id = self._id("cus")
        customer = {"id": customer_id, "object": "customer", "created": self._now(), "metadata": call.below("metadata")}
        objects.customers[customer_id] = customer
        return customer

    def _get_customer(self, objects: Objects, call: Call, customer_id: str) -> Json:
        call.take()
        return self._known(objects.customers, customer_id, "id")

    def _list_customers(self, objects: Objects, call: Call) -> Json:
        call.take("limit", "starting_after")
        there = [one for one in objects.customers.values() if not one.get("deleted")]
        return _page(list(reversed(there)), call, "/v1/customers")

    def _search_customers(self, objects: Objects, call: Call) -> Json:
        call.take("query", "limit")
        wanted = re.fullmatch(r"metadata\['(\w+)'\]:'([^']+)'", call.need("query"))
        if wanted is None:
            raise Refused(400, "invalid_request_error", None, "query")
        found = [one for one in objects.customers.values() if one.get("metadata", {}).get(wanted[1]) == wanted[2]]
        return {"object": "search_result", "url": "/v1/customers/search", "has_more": False, "data": found}

    def _list_items(self, objects: Objects, call: Call) -> Json:
        call.take("subscription", "limit", "starting_after")
        subscription = self._known(objects.subscriptions, call.need("subscription"), "subscription")
        shown = deepcopy(subscription["items"]["data"])
        return _page(shown, call, "/v1/subscription_items")

    def _release_schedule(self, objects: Objects, call: Call, schedule_id: str) -> Json:
        call.take()
        for subscription in objects.subscriptions.values():
            if subscription.get("schedule") == schedule_id:
                subscription["schedule"] = None
                return {"id": schedule_id, "object": "subscription_schedule", "status": "released"}
        raise missing("id")

    def _new_session(self, objects: Objects, call: Call) -> Json:
        call.take(
            "billing_address_collection",
            "mode",
            "customer",
            "client_reference_id",
            r"line_items\[0\]\[(price|quantity)\]",
            r"metadata\[\w+\]",
            r"subscription_data\[metadata\]\[\w+\]",
            "success_url",
            "cancel_url",
        )
        if call.need("mode") != "subscription":
            raise Refused(400, "invalid_request_error", "mode_does_not_fit_price", "mode")
        self._present(objects, call.need("customer"))
        price = call.need("line_items[0][price]")
        if price not in self._prices:
            raise Refused(400, "invalid_request_error", "resource_missing", "line_items[0][price]")
        call.need("line_items[0][quantity]")
        now = self._now()
        session_id = self._id("cs_test")
        session = {
            "id": session_id,
            "object": "checkout.session",
            "created": now,
            "expires_at": now + DAY,
            "mode": "subscription",
            "status": "open",
            "payment_status": "unpaid",
            "customer": call.need("customer"),
            "client_reference_id": call.params.get("client_reference_id"),
            "metadata": call.below("metadata"),
            "subscription": None,
            "success_url": call.need("success_url"),
            "cancel_url": call.params.get("cancel_url"),
            "url": f"{self._pages}/checkout/{session_id}",
            "sandbox": {"price": price, "metadata": call.below("subscription_data[metadata]")},
        }
        objects.sessions[session_id] = session
        return session

    def _list_sessions(self, objects: Objects, call: Call) -> Json:
        call.take("customer", "status", "limit", "starting_after")
        self._known(objects.customers, call.need("customer"), "customer")
        newest_first = [self._session(objects, session_id) for session_id in reversed(objects.sessions)]
        found = [
            one
            for one in newest_first
            if one["customer"] == call.params["customer"] and call.params.get("status") in {None, one["status"]}
        ]
        return _page(found, call, "/v1/checkout/sessions")

    def _get_session(self, objects: Objects, call: Call, session_id: str) -> Json:
        call.take()
        return self._session(objects, session_id)

    def _expire_session(self, objects: Objects, call: Call, session_id: str) -> Json:
        call.take()
        session = self._session(objects, session_id)
        if session["status"] != "open":
            raise Refused(400, "invalid_request_error", None, "session")
        session |= {"status": "expired", "url": None}
        self._tell(objects, "checkout.session.expired", session)
        return session

    def _new_portal(self, objects: Objects, call: Call) -> Json:
        call.take("customer", "return_url")
        self._present(objects, call.need("customer"))
        portal_id = self._id("bps")
        portal = {
            "id": portal_id,
            "object": "billing_portal.session",
            "customer": call.params["customer"],
            "return_url": call.params.get("return_url"),
            "url": f"{self._pages}/portal/{portal_id}",
        }
        objects.portals[portal_id] = portal
        return portal

    def _list_subscriptions(self, objects: Objects, call: Call) -> Json:
        call.take("customer", "status", "limit", "starting_after")
        self._known(objects.customers, call.need("customer"), "customer")
        newest_first = list(reversed(objects.subscriptions.values()))
        found = [
            one
            for one in newest_first
            if one["customer"] == call.params["customer"]
            and (call.params.get("status") == "all" or one["status"] not in ENDED)
        ]
        page = _page(found, call, "/v1/subscriptions")
        return {**page, "data": [self._shown(one) for one in page["data"]]}

    def _get_subscription(self, objects: Objects, call: Call, subscription_id: str) -> Json:
        call.take(r"expand\[\d+\]")
        subscription = self._shown(self._known(objects.subscriptions, subscription_id, "id"))
        if "latest_invoice.payments" in call.params.values():
            subscription["latest_invoice"] = deepcopy(objects.invoices[str(subscription["latest_invoice"])])
        return subscription

    def _update_subscription(self, objects: Objects, call: Call, subscription_id: str) -> Json:
        call.take("cancel_at_period_end", "cancel_at")
        subscription = self._known(objects.subscriptions, subscription_id, "id")
        if subscription["status"] in ENDED:
            raise Refused(400, "invalid_request_error", message=ENDED_IS_FINAL)
        if subscription.get("schedule"):
            raise Refused(400, "invalid_request_error", message=MANAGED_BY_SCHEDULE)
        if "cancel_at" in call.params:
            subscription |= {"cancel_at": int(call.params["cancel_at"] or 0) or None, "cancel_at_period_end": False}
        else:
            end = call.need("cancel_at_period_end") == "true"
            subscription |= {"cancel_at_period_end": end, "cancel_at": _period(subscription)[1] if end else None}
        self._tell(objects, "customer.subscription.updated", subscription)
        return self._shown(subscription)

    def _cancel_subscription(self, objects: Objects, call: Call, subscription_id: str) -> Json:
        call.take("invoice_now", "prorate")
        subscription = self._known(objects.subscriptions, subscription_id, "id")
        if subscription["status"] in ENDED:
            raise missing("id")
        self._end(objects, subscription)
        return self._shown(subscription)

    def _get_charge(self, objects: Objects, call: Call, charge_id: str) -> Json:
        call.take()
        return self._known(objects.charges, charge_id, "id")

    def _new_refund(self, objects: Objects, call: Call) -> Json:
        call.take("payment_intent", "charge", "reason")
        name = "payment_intent" if "payment_intent" in call.params else "id"
        wanted = call.params.get("payment_intent") or call.need("charge")
        charge = next((one for one in objects.charges.values() if one[name] == wanted), None)
        if charge is None:
            raise missing("charge")
        if charge["refunded"]:
            raise Refused(400, "invalid_request_error", "charge_already_refunded")
        if charge.get("disputed"):
            raise Refused(400, "invalid_request_error", "charge_disputed")
        return self._refund(objects, charge, charge["amount"] - charge["amount_refunded"])

    def _refund(self, objects: Objects, charge: Json, amount: int) -> Json:
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        refund = {
            "id": self._id("re"),
            "object": "refund",
            "charge": charge["id"],
            "payment_intent": charge["payment_intent"],
            "amount": amount,
            "currency": charge["currency"],
            "status": "succeeded",
        }
        objects.refunds[refund["id"]] = refund
        self._tell(objects, "charge.refunded", charge)
        return refund

    # --- The other side ---

    def pay(self, session_id: str) -> str:
        """The buyer pays; the id of the subscription."""
        with self._state() as objects:
            return self._complete(objects, session_id, paid=True)

    def decline(self, session_id: str) -> None:
        """The bank declines the payment; the checkout stays open."""
        with self._state() as objects:
            session = self._open_session(objects, session_id)
            intent = {"id": self._id("pi"), "object": "payment_intent", "customer": session["customer"]}
            self._tell(objects, "payment_intent.payment_failed", intent)

    def payment_arrives(self, subscription_id: str) -> None:
        """The overdue payment of a renewal is made."""
        with self._state() as objects:
            subscription = self._known(objects.subscriptions, subscription_id, "id")
            subscription["status"] = "active"
            self._tell(objects, "customer.subscription.updated", subscription)
            self._invoice(objects, subscription, paid=True)

    def renew(self, subscription_id: str, *, paid: bool) -> None:
        """The period ends, and the subscription with it if cancelled; otherwise the next one begins, paid or not."""
        with self._state() as objects:
            subscription = self._known(objects.subscriptions, subscription_id, "id")
            if subscription["status"] in ENDED:
                return
            if subscription["cancel_at_period_end"]:
                self._end(objects, subscription)
                return
            start = _period(subscription)[1]
            _set_period(subscription, start, start + MONTH)
            subscription["status"] = "active" if paid else "past_due"
            self._tell(objects, "customer.subscription.updated", subscription)
            self._invoice(objects, subscription, paid=paid)

    def set_renewal(self, subscription_id: str, *, renew: bool) -> None:
        """The customer cancels in the portal, or takes that back."""
        with self._state() as objects:
            call = Call({"cancel_at_period_end": "false" if renew else "true"})
            self._update_subscription(objects, call, subscription_id)

    def look(self) -> Objects:
        """A copy of all objects."""
        with self._state() as objects:
            return deepcopy(objects)

    def take_events(self) -> list[Json]:
        """The events to be sent; empties the outbox."""
        with self._state() as objects:
            events, objects.outbox = objects.outbox, []
        return events

    # --- Shared ---

    def _complete(self, objects: Objects, session_id: str, *, paid: bool) -> str:
        session = self._open_session(objects, session_id)
        wanted = session["sandbox"]
        status = "active" if paid else "incomplete"
        subscription = self._new_subscription(objects, session["customer"], wanted["price"], status, wanted["metadata"])
        session |= {
            "status": "complete",
            "payment_status": "paid" if paid else "unpaid",
            "subscription": subscription["id"],
            "url": None,
        }
        self._tell(objects, "checkout.session.completed", session)
        self._invoice(objects, subscription, paid=paid)
        return str(subscription["id"])

    def _new_subscription(
        self, objects: Objects, customer_id: str, price: str, status: str, metadata: dict[str, str]
    ) -> Json:
        now = self._now()
        subscription: Json = {
            "id": self._id("sub"),
            "object": "subscription",
            "created": now,
            "customer": customer_id,
            "status": status,
            "cancel_at": None,
            "cancel_at_period_end": False,
            "schedule": None,
            "pause_collection": None,
            "trial_end": None,
            "metadata": metadata,
            "latest_invoice": None,
            "items": {"object": "list", "data": [{"id": self._id("si"), "price": {"id": price}, "quantity": 1}]},
        }
        _set_period(subscription, now, now + MONTH)
        objects.subscriptions[subscription["id"]] = subscription
        self._tell(objects, "customer.subscription.created", subscription)
        return subscription

    def _invoice(self, objects: Objects, subscription: Json, *, paid: bool) -> None:
        first = subscription["latest_invoice"] is None
        charge_id, intent_id, invoice_id = self._id("ch"), self._id("pi"), self._id("in")
        objects.charges[charge_id] = {
            "id": charge_id,
            "object": "charge",
            "customer": subscription["customer"],
            "payment_intent": intent_id,
            "amount": AMOUNT,
            "amount_refunded": 0,
            "currency": CURRENCY,
            "refunded": False,
        }
        invoice: Json = {
            "id": invoice_id,
            "object": "invoice",
            "customer": subscription["customer"],
            "status": "paid" if paid else "open",
            "amount_paid": AMOUNT if paid else 0,
            "billing_reason": "subscription_create" if first else "subscription_cycle",
            "currency": CURRENCY,
            "sandbox_charge": charge_id,
        }
        if self._old_shapes:
            invoice |= {"subscription": subscription["id"], "payment_intent": intent_id, "charge": charge_id}
        else:
            details = {"subscription_details": {"subscription": subscription["id"]}, "type": "subscription_details"}
            payment = {"status": "paid" if paid else "open", "payment": {"payment_intent": intent_id}}
            invoice |= {"parent": details, "payments": {"object": "list", "data": [payment]}}
        objects.invoices[invoice_id] = invoice
        subscription["latest_invoice"] = invoice_id
        for kind in ("invoice.paid", "invoice.payment_succeeded") if paid else ("invoice.payment_failed",):
            self._tell(objects, kind, invoice)

    def _end(self, objects: Objects, subscription: Json) -> None:
        subscription |= {"status": "canceled", "cancel_at_period_end": False}
        self._tell(objects, "customer.subscription.deleted", subscription)

    def _tell(self, objects: Objects, kind: str, about: Json) -> None:
        shown = self._shown(about) if about["object"] == "subscription" else deepcopy(about)
        event = {
            "id": self._id("evt"),
            "object": "event",
            "type": kind,
            "created": self._now(),
            "data": {"object": shown},
        }
        objects.outbox.append(event)

    def _shown(self, subscription: Json) -> Json:
        """A subscription in the shape of the API version."""
        shown = deepcopy(subscription)
        items = shown["items"]
        items |= {"data": items["data"][:ITEMS_SHOWN], "has_more": len(items["data"]) > ITEMS_SHOWN}
        if self._old_shapes:
            start, end = _period(subscription)
            for item in shown["items"]["data"]:
                del item["current_period_start"], item["current_period_end"]
            shown |= {"current_period_start": start, "current_period_end": end}
        return shown

    def _session(self, objects: Objects, session_id: str) -> Json:
        session = self._known(objects.sessions, session_id, "session")
        if session["status"] == "open" and session["expires_at"] <= self._now():
            session |= {"status": "expired", "url": None}
        return session

    def _open_session(self, objects: Objects, session_id: str) -> Json:
        session = self._session(objects, session_id)
        if session["status"] != "open":
            raise Refused(400, "invalid_request_error", "session_not_open", "session")
        return session

    def _present(self, objects: Objects, customer_id: str) -> None:
        """Refuse to make something for a customer that is unknown or deleted."""
        if self._known(objects.customers, customer_id, "customer").get("deleted"):
            raise missing("customer")

    def _known(self, kept: dict[str, Json], wanted: str, param: str) -> Json:
        if wanted not in kept:
            raise missing(param)
        return kept[wanted]

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self._new_id()}"

    def _now(self) -> int:
        return int(self._clock().timestamp())


def _page(found: list[Json], call: Call, url: str) -> Json:
    ids = [one["id"] for one in found]
    start = ids.index(call.params["starting_after"]) + 1 if "starting_after" in call.params else 0
    limit = int(call.params.get("limit", "10"))
    return {"object": "list", "url": url, "has_more": start + limit < len(found), "data": found[start : start + limit]}


def signature_of(body: bytes, *, secret: str, at: int) -> str:
    """The Stripe-Signature header of a body."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def _period(subscription: Json) -> tuple[Any, Any]:
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def _set_period(subscription: Json, start: int, end: int) -> None:
    for item in subscription["items"]["data"]:
        item |= {"current_period_start": start, "current_period_end": end}
