"""The examination: what the facts mean, and that nothing which hangs holds it up."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from threading import Event
from typing import Any

import httpx
import pytest

from adapters.llm.gemini import GOOGLE
from adapters.llm.inspection import GeminiInspection, OpenAiInspection
from adapters.stripe.inspection import EVENTS, StripeInspection
from adapters.stripe.payments import API_VERSION
from adapters.stripe.webhook_events import ABOUT_SUBSCRIPTIONS, MONEY_KINDS
from application.operations.doctor import (
    Examine,
    Finding,
    Verdict,
    judge_database,
    judge_model,
    judge_payments,
    judge_redis,
)
from application.ports.inspection import (
    DatabaseFacts,
    ModelFacts,
    NotInspected,
    PaymentFacts,
    RedisFacts,
    WebhookEndpoint,
)
from tests.builders import NOW

WELL = Finding(Verdict.OK, "a thing", "is well")
GOOD_DATABASE = DatabaseFacts(
    server="PostgreSQL 18.0",
    local=False,
    encrypted=True,
    encoding="UTF8",
    revision="0042",
    isolation="read committed",
    read_only=False,
    superuser=False,
    logs_values=False,
    pooler_fault=None,
    clock=NOW,
)
GOOD_REDIS = RedisFacts(
    server="Valkey 9.0",
    local=False,
    encrypted=True,
    takes_writes=True,
    cluster=False,
    eviction="noeviction",
    memory_limit=1_000_000,
    append_only=True,
)
WEBHOOK = "https://chat.example/webhook/stripe"
ENDPOINT = WebhookEndpoint(WEBHOOK, enabled=True, events=frozenset(EVENTS), api_version=API_VERSION)


def wrong(findings: Sequence[Finding]) -> dict[str, Verdict]:
    """What is not well. Each says what to do."""
    found: dict[str, Verdict] = {one.subject: one.verdict for one in findings if one.verdict is not Verdict.OK}
    assert all(one.remedy for one in findings if one.verdict is not Verdict.OK)
    return found


class TestDatabase:
    def judge(self, *, in_production: bool = True, **changes: Any) -> dict[str, Verdict]:
        facts = GOOD_DATABASE._replace(**changes)
        return wrong(list(judge_database(facts, now=NOW, revision="0042", in_production=in_production)))

    def test_a_good_one(self):
        assert self.judge() == {}

    @pytest.mark.parametrize(
        ("changes", "found"),
        [
            ({"revision": None}, {"database.schema": Verdict.FAIL}),
            ({"revision": "0041"}, {"database.schema": Verdict.FAIL}),
            ({"encoding": "SQL_ASCII"}, {"database.encoding": Verdict.FAIL}),
            ({"isolation": "serializable"}, {"database.isolation": Verdict.FAIL}),
            ({"read_only": True}, {"database.writable": Verdict.FAIL}),
            ({"pooler_fault": "There is a pooler."}, {"database.pooler": Verdict.FAIL}),
            ({"superuser": True}, {"database.role": Verdict.WARN}),
            ({"logs_values": True}, {"database.log": Verdict.WARN}),
            ({"encrypted": False}, {"database.tls": Verdict.WARN}),
            ({"encrypted": False, "local": True}, {}),
            ({"clock": NOW + timedelta(seconds=1)}, {}),
            ({"clock": NOW - timedelta(seconds=2)}, {"database.clock": Verdict.WARN}),
            ({"clock": NOW + timedelta(seconds=60)}, {"database.clock": Verdict.FAIL}),
        ],
    )
    def test_what_is_wrong_with_it(self, changes: dict[str, Any], found: dict[str, Verdict]):
        assert self.judge(**changes) == found

    def test_development_is_forgiven(self):
        assert self.judge(in_production=False, superuser=True, encrypted=False) == {}


class TestRedis:
    @pytest.mark.parametrize(
        ("changes", "found"),
        [
            ({}, {}),
            ({"takes_writes": False}, {"redis.writable": Verdict.FAIL}),
            ({"cluster": True}, {"redis.cluster": Verdict.FAIL}),
            ({"eviction": "allkeys-lru"}, {"redis.eviction": Verdict.FAIL}),
            ({"eviction": "allkeys-lru", "memory_limit": 0}, {}),
            ({"eviction": None}, {"redis.eviction": Verdict.WARN}),
            ({"append_only": False}, {"redis.persistence": Verdict.WARN}),
            ({"append_only": None}, {"redis.persistence": Verdict.WARN}),
            ({"encrypted": False}, {"redis.tls": Verdict.WARN}),
        ],
    )
    def test_what_is_wrong_with_it(self, changes: dict[str, Any], found: dict[str, Verdict]):
        assert wrong(list(judge_redis(GOOD_REDIS._replace(**changes), in_production=True))) == found


class TestPayments:
    def judge(self, facts: PaymentFacts) -> dict[str, Verdict]:
        found = judge_payments(
            facts, webhook_url=WEBHOOK, other_urls=[f"{WEBHOOK}/alias"], events=EVENTS, api_version=API_VERSION
        )
        return wrong(list(found))

    @pytest.mark.parametrize(
        ("endpoint", "found"),
        [
            (ENDPOINT, {}),
            (ENDPOINT._replace(url=f"{WEBHOOK}/alias", events=frozenset({"*"}), api_version=None), {}),
            (ENDPOINT._replace(url="https://elsewhere.example"), {"payments.webhook": Verdict.FAIL}),
            (ENDPOINT._replace(enabled=False), {"payments.webhook": Verdict.FAIL}),
            (ENDPOINT._replace(events=frozenset(EVENTS[1:])), {"payments.webhook": Verdict.FAIL}),
            (ENDPOINT._replace(api_version="2020-08-27"), {"payments.webhook_version": Verdict.WARN}),
        ],
    )
    def test_the_endpoint(self, endpoint: WebhookEndpoint, found: dict[str, Verdict]):
        assert self.judge(PaymentFacts(True, [endpoint])) == found

    def test_the_price(self):
        assert self.judge(PaymentFacts(False, [ENDPOINT])) == {"payments.price": Verdict.FAIL}

    def test_what_the_key_may_not_read_is_told(self):
        assert self.judge(PaymentFacts(None, None)) == {
            "payments.price": Verdict.WARN,
            "payments.webhook": Verdict.WARN,
        }

    def test_each_event_that_is_asked_for_does_something(self):
        assert [one for one in EVENTS if not (one.startswith(ABOUT_SUBSCRIPTIONS) or one in MONEY_KINDS)] == []


def test_only_the_first_model_must_be_there():
    assert wrong(list(judge_model(ModelFacts(["one", "two"], [])))) == {}
    assert wrong(list(judge_model(ModelFacts(["one", "two"], ["two"])))) == {"model": Verdict.WARN}
    assert wrong(list(judge_model(ModelFacts(["one", "two"], ["one"])))) == {"model": Verdict.FAIL}


class TestExamine:
    def test_the_findings_come_in_the_order_of_the_checks(self):
        other = replace(WELL, subject="another thing")
        examine = Examine({"a": lambda: [WELL], "b": lambda: [other]}, within=timedelta(seconds=10))
        assert examine() == [WELL, other]

    def test_what_hangs_is_a_finding_and_holds_up_nothing(self):
        for_ever = Event()

        def hang() -> Sequence[Finding]:
            for_ever.wait()
            return []

        found = Examine({"silent": hang, "good": lambda: [WELL]}, within=timedelta(milliseconds=20))()
        for_ever.set()
        assert [(one.verdict, one.subject) for one in found] == [(Verdict.FAIL, "silent"), (Verdict.OK, "a thing")]

    def test_what_cannot_be_asked_is_a_finding_and_so_is_a_broken_check(self):
        def refused() -> Sequence[Finding]:
            raise NotInspected("connection refused")

        def broken() -> Sequence[Finding]:
            raise KeyError("+911234567890")

        found = Examine({"one": refused, "two": broken}, within=timedelta(seconds=10))()
        assert [one.verdict for one in found] == [Verdict.FAIL, Verdict.FAIL]
        assert "connection refused" in found[0].says
        assert "+91" not in found[1].says


class TestInspectingStripe:
    """The adapter, against answers as Stripe documents them (docs.stripe.com/api/webhook_endpoints/object)."""

    def inspect(self, *, status: int = 200, price: Mapping[str, Any] = {}) -> PaymentFacts:
        endpoint = {
            "object": "webhook_endpoint",
            "id": "we_1",
            "url": WEBHOOK,
            "status": "enabled",
            "enabled_events": ["*"],
            "api_version": None,
        }

        def answer(
            _method: str, url: str, _headers: Mapping[str, str], _body: str
        ) -> tuple[bytes, int, Mapping[str, str]]:
            if status != 200:
                return (
                    json.dumps({"error": {"type": "invalid_request_error", "message": "sk_live_x"}}).encode(),
                    status,
                    {},
                )
            if "/v1/prices/price_1" in url:
                body = {"object": "price", "id": "price_1", "active": True, "type": "recurring", **price}
                return json.dumps(body).encode(), 200, {}
            body = {"object": "list", "data": [endpoint], "has_more": False, "url": "/v1/webhook_endpoints"}
            return json.dumps(body).encode(), 200, {}

        return StripeInspection(api_key="sk_test_1", price="price_1", transport=answer)()

    def test_what_it_has(self):
        assert self.inspect() == PaymentFacts(True, [WebhookEndpoint(WEBHOOK, True, frozenset({"*"}), None)])

    @pytest.mark.parametrize("price", [{"active": False}, {"type": "one_time"}])
    def test_a_price_that_sells_nothing(self, price: dict[str, Any]):
        assert self.inspect(price=price).sells is False

    def test_a_key_that_may_not_look(self):
        assert self.inspect(status=403) == PaymentFacts(None, None)

    @pytest.mark.parametrize("status", [401, 500])
    def test_a_key_that_is_refused_and_a_provider_that_is_down(self, status: int):
        with pytest.raises(NotInspected) as refused:
            self.inspect(status=status)
        assert "sk_live" not in str(refused.value)


class TestInspectingModels:
    """The adapters, against answers as ai.google.dev/api/models and OpenAI's API describe them."""

    def gemini(self, *answers: httpx.Response) -> GeminiInspection:
        left = list(answers)
        return GeminiInspection(
            api_key="hunter2", models=["one", "two"], transport=httpx.MockTransport(lambda _request: left.pop(0))
        )

    @pytest.mark.parametrize("base_url", [None, f"{GOOGLE}/", f"{GOOGLE}/v1beta"])
    def test_each_model_is_asked_for_by_name(self, base_url: str | None):
        asked = []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(str(request.url))
            assert request.headers["x-goog-api-key"] == "hunter2"
            return httpx.Response(200, json={"name": "models/one"})

        inspect = GeminiInspection(
            api_key="hunter2", models=["one"], base_url=base_url, transport=httpx.MockTransport(answer)
        )
        assert inspect() == ModelFacts(["one"], [])
        assert asked == ["https://generativelanguage.googleapis.com/v1beta/models/one"]

    def test_one_that_is_gone(self):
        assert self.gemini(httpx.Response(404), httpx.Response(200))() == ModelFacts(["one", "two"], ["one"])

    @pytest.mark.parametrize(
        "answer",
        [
            httpx.Response(400, json={"error": {"details": [{"reason": "API_KEY_INVALID"}]}}),
            httpx.Response(403),
            httpx.Response(500),
        ],
    )
    def test_a_refusal_is_told_without_the_key(self, answer: httpx.Response):
        with pytest.raises(NotInspected) as refused:
            self.gemini(answer)()
        assert "hunter2" not in str(refused.value)

    def test_a_network_that_fails(self):
        def fail(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("no route to hunter2", request=request)

        inspect = GeminiInspection(api_key="k", models=["one"], transport=httpx.MockTransport(fail))
        with pytest.raises(NotInspected, match=r"^ConnectError$"):
            inspect()

    @pytest.mark.parametrize(("listed", "missing"), [("llama", []), ("another", ["llama"])])
    def test_a_server_that_lists_its_models(self, listed: str, missing: list[str]):
        body = {"object": "list", "data": [{"id": listed, "object": "model"}]}
        inspect = OpenAiInspection(
            base_url="http://localhost:11434/v1/",
            model="llama",
            transport=httpx.MockTransport(lambda _request: httpx.Response(200, json=body)),
        )
        assert inspect() == ModelFacts(["llama"], missing)
