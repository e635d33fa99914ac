"""A subscription without a Stripe account: pages to click on, signed events, our own adapter in between."""

import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from flask.testing import FlaskClient

from adapters.memory.doubles import SettableClock
from adapters.stripe.payments import StripePayments
from adapters.stripe.sandbox.fake import FakeStripe
from adapters.stripe.sandbox.pages import Sandbox, WebhookDelivery
from adapters.stripe.sandbox.state import StateInFile
from entrypoints.api.app import create_app
from tests.builders import ASHA, NOW, PRICE, PUBLIC_URL, WEBHOOK_SECRET, House
from tests.concurrency import eventually, together

KEY = "sk_test_sandbox"


class Newcomer:
    """A new user with a browser and a token, and a service in development."""

    def __init__(self, directory: Path) -> None:
        self.delivered: list[int] = []
        self.house = House(payments=self._payments(directory))
        self.browser: FlaskClient = create_app(self.house.use_cases, sandbox=self.sandbox).test_client()
        self.token = self.house.token(ASHA)

    def _payments(self, directory: Path):
        def make(clock):
            state = StateInFile(directory / "sandbox.json")
            stripe = FakeStripe(
                state=state, clock=clock, api_key=KEY, prices=frozenset({PRICE}), pages=f"{PUBLIC_URL}/sandbox"
            )
            self.sandbox = Sandbox(stripe, clock=clock, deliver=self.deliver, secret=WEBHOOK_SECRET)
            return StripePayments(api_key=KEY, transport=self.sandbox.handle)

        return make

    def deliver(self, body: bytes, signature: str) -> None:
        answer = self.browser.post("/webhook/stripe", data=body, headers={"Stripe-Signature": signature})
        self.delivered.append(answer.status_code)

    def api(self, method: str, path: str) -> dict[str, Any]:
        answer = self.browser.open(path, method=method, headers={"Authorization": f"Bearer {self.token}"})
        assert answer.status_code == 200, answer.text
        return answer.json or {}

    def buttons(self, url: str) -> dict[str, str]:
        page = self.browser.get(url.removeprefix(PUBLIC_URL))
        assert page.status_code == 200
        return dict(re.findall(r'value="(\w+)">([^<]+)<', page.text))

    def press(self, url: str, action: str) -> str:
        answer = self.browser.post(url.removeprefix(PUBLIC_URL), data={"action": action})
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]

    @property
    def tier(self) -> str:
        return str(self.api("GET", "/subscription/status")["tier"])


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    return Newcomer(tmp_path)


def test_from_checkout_to_the_end_of_the_subscription(newcomer: Newcomer):
    checkout = newcomer.api("POST", "/subscribe/pro")["url"]
    assert set(newcomer.buttons(checkout)) == {"pay", "fail", "back"}
    assert newcomer.press(checkout, "fail") == checkout
    assert newcomer.press(checkout, "back") == f"{PUBLIC_URL}/cancel"
    assert newcomer.tier == "basic"
    landed = newcomer.press(checkout, "pay")
    assert newcomer.tier == "pro"  # the events were faster than the browser
    assert "You are Pro" in newcomer.browser.get(landed.removeprefix(PUBLIC_URL)).text
    assert set(newcomer.buttons(checkout)) == {"return"}
    assert newcomer.press(checkout, "return") == landed

    portal = newcomer.api("POST", "/subscription/portal")["url"]
    assert newcomer.press(portal, "renew_unpaid") == portal
    assert newcomer.api("GET", "/subscription/status")["status"] == "past_due"
    newcomer.press(portal, "recover")
    newcomer.press(portal, "renew")
    newcomer.press(portal, "end")
    assert newcomer.api("GET", "/subscription/status")["cancelAtPeriodEnd"]
    newcomer.press(portal, "resume")
    assert not newcomer.api("POST", "/subscription/resume")["cancelAtPeriodEnd"]
    assert newcomer.api("POST", "/subscription/cancel")["cancelAtPeriodEnd"]
    assert newcomer.tier == "pro"
    newcomer.press(portal, "renew")
    assert newcomer.tier == "basic"
    assert set(newcomer.buttons(portal)) == {"return"}
    assert newcomer.press(portal, "return") == PUBLIC_URL
    assert set(newcomer.delivered) == {200}
    # And again from the start.
    newcomer.press(newcomer.api("POST", "/subscribe/pro")["url"], "pay")
    assert newcomer.tier == "pro"


@pytest.mark.parametrize("path", ["/sandbox/checkout/cs_invented", "/sandbox/portal/x", "/sandbox/nothing/x"])
def test_there_are_no_other_pages(newcomer: Newcomer, path: str):
    assert newcomer.browser.get(path).status_code in {404, 405}
    assert newcomer.browser.post(path, data={"action": "pay"}).status_code == 404


def test_a_button_that_is_not_there_does_nothing(newcomer: Newcomer):
    checkout = newcomer.api("POST", "/subscribe/pro")["url"].removeprefix(PUBLIC_URL)
    for action in ("", "renew", "<script>"):
        assert newcomer.browser.post(checkout, data={"action": action}).status_code == 404
    newcomer.press(checkout, "pay")
    assert newcomer.browser.post(checkout, data={"action": "pay"}).status_code == 404
    assert newcomer.tier == "pro"


def test_without_a_sandbox_there_are_no_pages():
    app = create_app(House().use_cases)
    assert not [rule for rule in app.url_map.iter_rules() if "sandbox" in rule.rule]


def test_processes_share_what_was_bought(tmp_path: Path):
    def stripe() -> FakeStripe:
        state = StateInFile(tmp_path / "sandbox.json")
        return FakeStripe(state=state, clock=SettableClock(NOW), api_key=KEY, prices=frozenset({PRICE}))

    def customer() -> None:
        StripePayments(api_key=KEY, transport=stripe().handle)._patient.v1.customers.create()

    together([customer] * 8)
    assert len(stripe().look().customers) == 8


@pytest.mark.parametrize("content", ['{"customers": {"cus_1": {"id"', "[]", '{"unknown": 1}', ""])
def test_a_damaged_file_is_said_to_be_at_the_start(tmp_path: Path, content: str):
    path = tmp_path / "sandbox.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=str(path)):
        StateInFile(path).check()


@pytest.fixture
def inbox() -> Iterator[tuple[str, list[tuple[bytes, str | None]]]]:
    """A web server that refuses the first event, and what it got."""
    got: list[tuple[bytes, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((body, self.headers["Stripe-Signature"]))
            self.send_response(503 if len(got) == 1 else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/webhook/stripe", got
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_event_is_posted_until_it_is_taken(inbox: tuple[str, list[tuple[bytes, str | None]]]):
    url, got = inbox
    WebhookDelivery(url)(b"{}", "t=1,v1=2")
    assert eventually(lambda: len(got) == 2, within=10)
    assert got == [(b"{}", "t=1,v1=2")] * 2
