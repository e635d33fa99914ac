"""Pro from beginning to end, offline: from the upgrade that a refusal names to the end of the period."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.service import ROOT, Person, Service, running, until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("pro"), BASIC_DAILY_PROMPTS="1") as started:
        yield started


def tier(person: Person) -> str:
    return str(person.get("/subscription/status")["tier"])


def press(person: Person, url: str, action: str) -> str:
    answer = person.http.post(url, data={"action": action})
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def test_from_the_refusal_to_the_end_of_the_period(service: Service) -> None:
    person = Person(service).log_in()
    person.sent("How high is K2?")
    refusal = person.send("How high is Makalu?")
    assert refusal.status_code == 429
    checkout = person.post(refusal.json()["upgrade"], 200)
    assert checkout["url"].startswith(f"{service.base}/sandbox/checkout/")
    assert tier(person) == "basic"

    landing = press(person, checkout["url"], "pay")
    until("the webhook has made them Pro", lambda: tier(person) == "pro")
    assert "You are Pro" in person.http.get(landing).text
    for text in ("How high is Lhotse?", "How high is Nuptse?", "And Cho Oyu?"):
        person.sent(text)
    assert person.http.post("/subscribe/pro").status_code == 409

    assert person.post("/subscription/cancel", 200)["cancelAtPeriodEnd"]
    press(person, person.post("/subscription/portal", 200)["url"], "renew")
    until("the period has ended", lambda: tier(person) == "basic")
    assert person.send("And Manaslu?").status_code == 429

    told = explained(service, person)
    assert (told["plan"], told["because"]) == ("basic", "the subscription is canceled")
    assert told["wouldBeRefused"]
    assert {event["state"] for event in told["billing"]["events"]} == {"done"}
    # Customers, checkouts and events stand in the log by their ids; who they are, nowhere.
    assert not [secret for secret in service.secrets if secret in service.logs()]


def explained(service: Service, person: Person) -> dict[str, Any]:
    """What an operator is told."""
    command = [sys.executable, "-m", "entrypoints.cli", "explain", person.number]
    environment = {
        "PYTHONPATH": str(ROOT),
        "DATA_DIR": str(service.data_dir),
        "PATH": "/usr/bin:/bin",
        **service._settings,
    }
    done = subprocess.run(
        command, cwd=service.data_dir.parent, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told
