"""Billing on the real stack: PostgreSQL, Stripe's library over HTTP, everything as the container builds it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import psycopg2
import pytest

from adapters.stripe.sandbox.fake import signature_of
from adapters.stripe.sandbox.state import StateInMemory
from adapters.system_runtime import system_clock
from application.billing.payment_events import Received
from application.use_cases import UseCases
from domain.accounts import UserId
from domain.billing import Checkout
from domain.errors import AlreadySubscribed
from domain.plans import Plan
from entrypoints.container.build import OperatorCommands, build_operator_commands
from tests.concurrency import at_once, together
from tests.fakes.stripe_scenarios import StripeScenarios
from tests.fakes.stripe_server import StripeServer, serving
from tests.integration.conftest import BuildUseCases, settings_of
from tests.integration.people import new_user

SECRET = "whsec_of_these_tests"
KEY = "sk_test_of_these_tests"
PRICE = "price_pro"
DELIVERIES = 12


@pytest.fixture
def stripe() -> StripeScenarios:
    return StripeScenarios(state=StateInMemory(), clock=system_clock, api_key=KEY, prices=frozenset({PRICE}))


@pytest.fixture
def server(stripe: StripeScenarios) -> Iterator[StripeServer]:
    with serving(stripe) as server:
        yield server


@pytest.fixture
def stripe_settings(server: StripeServer) -> dict[str, str]:
    return {
        "STRIPE_SECRET_KEY": KEY,
        "STRIPE_PRICE_ID": PRICE,
        "STRIPE_WEBHOOK_SECRET": f"whsec_former, {SECRET}",
        "STRIPE_API_BASE": server.url,
    }


@pytest.fixture
def use_cases(
    build_use_cases: BuildUseCases, clean_database: str, clean_redis: str, stripe_settings: dict[str, str]
) -> UseCases:
    return build_use_cases(clean_database, clean_redis, **stripe_settings)


@pytest.fixture
def operators(
    tmp_path: Path, clean_database: str, redis_url: str, stripe_settings: dict[str, str]
) -> Iterator[list[OperatorCommands]]:
    """Two processes that look after billing, as workers and operators do."""
    settings = settings_of(tmp_path, database_url=clean_database, redis_url=redis_url, **stripe_settings)
    built = [build_operator_commands(settings) for _ in range(2)]
    yield built
    for operator in built:
        operator.close()


def deliver(use_cases: UseCases, event: dict[str, Any]) -> Received:
    body = orjson.dumps(event)
    signature = signature_of(body, secret=SECRET, at=int(datetime.now(UTC).timestamp()))
    return use_cases.billing.receive_event(body=body, signature=signature)


def plan_of(use_cases: UseCases, user_id: UserId) -> Plan:
    return use_cases.billing.show_plan_status(user_id=user_id).plan


def rows(database_url: str, statement: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(database_url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def test_twenty_parallel_subscribes_are_one_customer_and_one_session(
    use_cases: UseCases, stripe: StripeScenarios
) -> None:
    user_id = new_user(use_cases)
    checkouts = together([lambda: use_cases.billing.subscribe(user_id=user_id)] * 20)
    assert len(set(checkouts)) == 1
    objects = stripe.look()
    assert (len(objects.customers), len(objects.sessions)) == (1, 1)

    stripe.pay(checkouts[0].id)
    outcomes = at_once([lambda: use_cases.billing.subscribe(user_id=user_id)] * 4)
    assert not any(isinstance(outcome, Checkout) for outcome in outcomes)
    assert any(isinstance(outcome, AlreadySubscribed) for outcome in outcomes)
    assert plan_of(use_cases, user_id) is Plan.PRO
    assert len(stripe.look().sessions) == 1


def test_parallel_deliveries_of_an_event_have_one_effect(
    use_cases: UseCases, stripe: StripeScenarios, clean_database: str
) -> None:
    user_id = new_user(use_cases)
    stripe.pay(use_cases.billing.subscribe(user_id=user_id).id)
    event = stripe.take_events()[0]
    together([lambda: deliver(use_cases, event)] * DELIVERIES)
    assert deliver(use_cases, event).duplicate
    assert rows(clean_database, "SELECT event_id, state, attempts FROM payment_events") == [(event["id"], "done", 0)]
    assert rows(clean_database, "SELECT version, status FROM subscriptions") == [(1, "active")]
    assert plan_of(use_cases, user_id) is Plan.PRO


def test_all_events_of_a_life_at_once_end_in_stripes_state(
    use_cases: UseCases, stripe: StripeScenarios, operators: list[OperatorCommands], clean_database: str
) -> None:
    user_id = new_user(use_cases)
    subscription_id = stripe.pay(use_cases.billing.subscribe(user_id=user_id).id)
    stripe.renew(subscription_id, paid=False)
    stripe.payment_arrives(subscription_id)
    stripe.become(subscription_id, "canceled")
    events = stripe.take_events()
    together([lambda event=event: deliver(use_cases, event) for event in events * 2])  # type: ignore[misc]
    rows(clean_database, "UPDATE payment_events SET due_at = now() WHERE state = 'pending'")
    while operators[0].billing.apply_pending().taken:
        pass
    assert rows(clean_database, "SELECT status FROM subscriptions") == [("canceled",)]
    assert rows(clean_database, "SELECT state, count(*) FROM payment_events GROUP BY state") == [("done", len(events))]
    assert plan_of(use_cases, user_id) is Plan.BASIC


def test_what_was_taken_by_a_process_that_died_is_applied_once_by_two_that_live(
    use_cases: UseCases,
    stripe: StripeScenarios,
    server: StripeServer,
    operators: list[OperatorCommands],
    clean_database: str,
) -> None:
    user_id = new_user(use_cases)
    stripe.pay(use_cases.billing.subscribe(user_id=user_id).id)
    events = stripe.take_events()
    server.faults.down = True
    for event in events:
        assert not deliver(use_cases, event).duplicate
    server.faults.down = False
    # Taken, the attempt counted; then the process died.
    rows(clean_database, "UPDATE payment_events SET attempts = 1, due_at = now()")
    swept = together([operator.billing.apply_pending for operator in operators])
    while sum(one.applied for one in swept) < len(events):
        rows(clean_database, "UPDATE payment_events SET due_at = now() WHERE state = 'pending'")
        swept += [operators[0].billing.apply_pending()]
    assert sum(one.applied for one in swept) == len(events)
    assert rows(clean_database, "SELECT version FROM subscriptions") == [(len(events),)]
    assert plan_of(use_cases, user_id) is Plan.PRO


def test_each_customer_is_compared_by_one_of_two_processes(
    use_cases: UseCases, stripe: StripeScenarios, operators: list[OperatorCommands]
) -> None:
    users = [new_user(use_cases) for _ in range(6)]
    for user_id in users:
        stripe.pay(use_cases.billing.subscribe(user_id=user_id).id)
    stripe.take_events()
    since = datetime.now(UTC)
    done = together([lambda one=one: one.billing.reconcile(since=since) for one in operators])  # type: ignore[misc]
    done += [operators[0].billing.reconcile(since=since)]
    assert sum(one.compared for one in done) == 6
    assert sorted(healed.user_id for one in done for healed in one.corrected) == sorted(users)
    assert {plan_of(use_cases, user_id) for user_id in users} == {Plan.PRO}


def test_stripe_down_and_up_again(use_cases: UseCases, stripe: StripeScenarios, server: StripeServer) -> None:
    user_id = new_user(use_cases)
    server.faults.lost = 1
    first = use_cases.billing.subscribe(user_id=user_id)  # the answer was lost, and asked for again
    assert use_cases.billing.subscribe(user_id=user_id) == first
    assert (len(stripe.look().customers), len(stripe.look().sessions)) == (1, 1)
