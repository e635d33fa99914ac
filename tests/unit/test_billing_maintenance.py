"""The worker's part of billing, and the operator's commands."""

from datetime import timedelta
from typing import Any, cast

import orjson
import pytest

from application.background_use_cases import BillingMaintenance
from entrypoints.cli import billing as commands
from entrypoints.worker.billing import BillingTask
from tests.builders import ASHA
from tests.concurrency import eventually
from tests.stripe_house import FOREIGN_PRICE, Buyer, StripeHouse


@pytest.fixture
def house() -> StripeHouse:
    return StripeHouse()


@pytest.fixture
def asha(house: StripeHouse) -> Buyer:
    return house.buyer(ASHA)


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    out = capsys.readouterr().out
    return orjson.loads(out[out.index("{\n") :])  # the log's lines come before, where it is not configured


# --- The worker ---


def test_a_sweep_applies_and_heals(house: StripeHouse, asha: Buyer):
    task = BillingTask(house.maintenance)
    asha.buy()
    house.down = True
    house.deliver_all()
    house.clock.advance(timedelta(minutes=1))
    assert not task.sweep()
    assert asha.plan() == "basic"
    house.down = False
    house.clock.advance(timedelta(hours=1))
    assert task.sweep()
    assert asha.plan() == "pro"


def test_it_sweeps_until_it_is_stopped(house: StripeHouse, asha: Buyer):
    asha.buy()
    task = BillingTask(house.maintenance)
    task.start()
    assert eventually(lambda: asha.plan() == "pro", within=10)
    task.stop()
    task._thread.join(5)
    assert not task._thread.is_alive()


def test_whatever_goes_wrong_it_goes_on():
    class Broken:
        def apply_pending(self) -> None:
            raise ValueError

    assert not BillingTask(cast(BillingMaintenance, Broken())).sweep()


# --- The commands ---


def test_reconcile_says_what_it_healed(house: StripeHouse, asha: Buyer, capsys: pytest.CaptureFixture[str]):
    asha.buy()
    assert commands.reconcile(house.maintenance) == 0
    told = printed(capsys)
    [healed] = told["healed"]
    assert (told["compared"], healed["userId"], healed["before"]) == (1, str(asha.user_id), None)
    assert healed["after"]["status"] == "active"


def test_reconcile_fails_while_stripe_is_down(house: StripeHouse, asha: Buyer, capsys: pytest.CaptureFixture[str]):
    asha.buy()
    house.down = True
    assert commands.reconcile(house.maintenance) == 1
    assert printed(capsys) == {"compared": 0, "healed": [], "stoppedBecauseDown": "stripe"}


def test_replay_says_what_became_of_it(house: StripeHouse, asha: Buyer, capsys: pytest.CaptureFixture[str]):
    asha.buy()
    [event, *_] = house.deliver_all()
    assert commands.replay(house.maintenance, event["id"]) == 0
    assert printed(capsys) == {"event": event["id"], "state": "done"}
    house.down = True
    assert commands.replay(house.maintenance, event["id"]) == 1
    assert printed(capsys) == {"event": event["id"], "state": "pending", "waitsFor": "stripe"}
    assert commands.replay(house.maintenance, "evt_unknown") == 1
    assert "No such event" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("because", "deeds"),
    [
        ("never began to subscribe", []),
        ("never had a subscription", ["subscribe"]),
        ("the subscription is active", ["buy"]),
        ("the subscription is active, ends with its period", ["buy", "end"]),
        ("the subscription is past_due, within the grace", ["buy", "past_due"]),
        ("the subscription is past_due", ["buy", "past_due", "wait"]),
        ("the subscription is canceled", ["buy", "canceled"]),
        ("the subscription is active, but at a price that is not ours", ["subscribe", "other"]),
    ],
)
def test_explain_says_why(
    house: StripeHouse, asha: Buyer, capsys: pytest.CaptureFixture[str], because: str, deeds: list[str]
):
    subscription_id = ""
    for deed in deeds:
        match deed:
            case "subscribe":
                asha.subscribe()
            case "buy":
                subscription_id = asha.buy()
            case "end":
                house.stripe.set_renewal(subscription_id, renew=False)
            case "wait":
                house.deliver_all()
                house.clock.advance(timedelta(days=8))
            case "other":
                house.stripe.sell(asha.customer_id, FOREIGN_PRICE)
            case _:
                house.stripe.become(subscription_id, deed)
    house.deliver_all()
    house.say(asha.principal, house.room(asha.principal), "hi")
    assert commands.explain(house.maintenance, ASHA, days=7) == 0
    told = printed(capsys)
    assert told["because"] == because
    assert told["plan"] == asha.plan()
    assert len(told["prompts"]) == 1
    assert commands.explain(house.maintenance, "+910000000000", days=7) == 1
