"""Codes by SMS: what a provider is sent, and what a failure of it comes to. Against a server of the test's own."""

import hashlib
import hmac
import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from threading import Event, Thread
from urllib.parse import parse_qs

import pytest
from structlog.testing import capture_logs

from adapters.otp_delivery.sms import AT_ONCE, TwilioOtpDelivery, WebhookOtpDelivery
from application.ports.otp_delivery import NotDelivered, OtpDelivery
from domain.accounts import PhoneNumber
from domain.languages import Language
from domain.one_time_password import Purpose
from entrypoints.container.build import build_web
from entrypoints.settings import read_settings
from tests.redis_doubles import black_hole, closed_port

ASHA = PhoneNumber("+919876543210")
SECRET = b"what the sender and we know: 32 bytes and more"


@dataclass
class Provider:
    """A server that notes what it is sent, and answers as it is told."""

    url: str = ""
    status: int = 201
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    may_answer: Event = field(default_factory=Event)


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    provider.may_answer.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            provider.requests.append((self.path, dict(self.headers.items()), body))
            provider.may_answer.wait(10)
            self.send_response(provider.status)
            self.send_header("Location", f"{provider.url}/elsewhere")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield provider
    provider.may_answer.set()
    server.shutdown()
    server.server_close()
    thread.join()


ENGLISH, HINDI = Language.ENGLISH, Language.HINDI
TEXTS = {
    ENGLISH: {Purpose.LOGIN: "{code} logs in at {host}", Purpose.PASSWORD_RESET: "{code} sets a new password"},
    HINDI: {Purpose.LOGIN: "लॉग इन: {code}", Purpose.PASSWORD_RESET: "पासवर्ड: {code}"},
}
HOST = "chat.example"


def twilio(base_url: str, sender: str = "+15005550006") -> OtpDelivery:
    return TwilioOtpDelivery(
        account_sid="AC1", auth_token="hunter2", sender=sender, base_url=base_url, texts=TEXTS, host=HOST, timeout=0.5
    )


def webhook(base_url: str) -> OtpDelivery:
    return WebhookOtpDelivery(url=f"{base_url}/sms", secret=SECRET, texts=TEXTS, host=HOST, timeout=0.5)


BOTH = pytest.mark.parametrize("delivery_to", [twilio, webhook])


@pytest.mark.parametrize(
    ("sender", "field_of_sender"), [("+15005550006", "From"), ("MG0123456789abcdef", "MessagingServiceSid")]
)
def test_twilio_is_sent_a_form(provider: Provider, sender: str, field_of_sender: str) -> None:
    assert twilio(provider.url, sender).deliver(ASHA, "012345", Purpose.LOGIN, ENGLISH) is None
    [(path, headers, body)] = provider.requests
    assert path == "/2010-04-01/Accounts/AC1/Messages.json"
    assert headers["Authorization"] == f"Basic {b64encode(b'AC1:hunter2').decode()}"
    form = parse_qs(body.decode())
    assert set(form) == {"To", "Body", field_of_sender}
    assert (form["To"], form[field_of_sender]) == ([ASHA.e164], [sender])
    assert "012345" in form["Body"][0]


def test_the_webhook_is_sent_signed_json(provider: Provider) -> None:
    assert webhook(provider.url).deliver(ASHA, "012345", Purpose.PASSWORD_RESET, HINDI) is None
    [(path, headers, body)] = provider.requests
    assert path == "/sms"
    sent = json.loads(body)
    assert (sent["mobileNumber"], sent["code"], sent["purpose"]) == (ASHA.e164, "012345", "password_reset")
    assert (sent["language"], sent["text"]) == ("hi", "पासवर्ड: 012345")
    assert abs(int(headers["X-Timestamp"]) - time.time()) < 60
    signed = f"{headers['X-Timestamp']}.".encode() + body
    assert headers["X-Signature"] == f"sha256={hmac.new(SECRET, signed, hashlib.sha256).hexdigest()}"


def test_two_posts_have_two_ids(provider: Provider) -> None:
    delivery = webhook(provider.url)
    for _ in range(2):
        delivery.deliver(ASHA, "012345", Purpose.LOGIN, ENGLISH)
    assert len({json.loads(body)["id"] for _, _, body in provider.requests}) == 2


@BOTH
def test_each_purpose_has_its_text_in_each_language(
    provider: Provider, delivery_to: Callable[[str], OtpDelivery]
) -> None:
    delivery = delivery_to(provider.url)
    for purpose, language in product(Purpose, Language):
        delivery.deliver(ASHA, "012345", purpose, language)
    texts = [text_of(body) for _, _, body in provider.requests]
    assert texts == [
        *("012345 logs in at chat.example", "लॉग इन: 012345"),
        *("012345 sets a new password", "पासवर्ड: 012345"),
    ]


def text_of(body: bytes) -> str:
    """What the person reads, of a request to either provider."""
    text = json.loads(body)["text"] if body.startswith(b"{") else parse_qs(body.decode())["Body"][0]
    assert isinstance(text, str)
    return text


WORDS = {
    "OTP_TEXT": "<#> आपका कोड {code} है\n\n@{host} #app",
    "OTP_RESET_TEXT": "Acme: {code} sets a new password.",
    "OTP_RESET_TEXT_HI": "Acme: {code} नया पासवर्ड रखता है।",
    "PUBLIC_URL": "https://chat.acme.example",
}


@pytest.mark.parametrize(
    "chosen",
    [
        {"OTP_DELIVERY": "webhook", "OTP_WEBHOOK_SECRET": SECRET.decode()},
        {"OTP_DELIVERY": "twilio", "TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "t", "TWILIO_FROM": "MG1"},
    ],
)
def test_the_operators_own_words_are_sent_to_the_letter(
    provider: Provider, chosen: dict[str, str], tmp_path: Path
) -> None:
    nowhere = {"DATABASE_URL": "postgresql://nowhere/none", "REDIS_URL": "redis://nowhere", "DATA_DIR": str(tmp_path)}
    there = {"OTP_WEBHOOK_URL": f"{provider.url}/sms", "TWILIO_API_BASE": provider.url}
    web = build_web(read_settings({**nowhere, **there, **WORDS, **chosen}))
    delivery = web.use_cases.auth.request_code.send_code.otp_delivery
    for purpose, language in product((Purpose.LOGIN, Purpose.PASSWORD_RESET), (ENGLISH, HINDI)):
        delivery.deliver(ASHA, "012345", purpose, language)
    sent = [text_of(body) for _, _, body in provider.requests]
    # Who has words of their own for one language only wants no others to be sent: they may have to be registered.
    assert sent == [
        *["<#> आपका कोड 012345 है\n\n@chat.acme.example #app"] * 2,
        *("Acme: 012345 sets a new password.", "Acme: 012345 नया पासवर्ड रखता है।"),
    ]


@BOTH
@pytest.mark.parametrize("status", [200, 202, 204])
def test_any_success_is_one(provider: Provider, delivery_to: Callable[[str], OtpDelivery], status: int) -> None:
    provider.status = status
    delivery_to(provider.url).deliver(ASHA, "012345", Purpose.LOGIN, ENGLISH)


@BOTH
@pytest.mark.parametrize("status", [302, 400, 401, 404, 408, 429, 500, 502, 503, 504])
def test_of_anything_else_a_refusal_alone_says_that_nothing_was_sent(
    provider: Provider, delivery_to: Callable[[str], OtpDelivery], status: int
) -> None:
    provider.status = status
    with capture_logs() as lines, pytest.raises(NotDelivered) as failure:
        delivery_to(provider.url).deliver(ASHA, "012345", Purpose.LOGIN, ENGLISH)
    assert failure.value.surely == (status in {400, 401, 404, 429})
    assert len(provider.requests) == 1  # no redirect is followed, nothing is tried twice
    told = f"{lines} {failure.value!r} {failure.value.__cause__!r}"
    assert str(status) in told
    assert not any(secret in told for secret in ("012345", "9876543210", "hunter2"))


@BOTH
@pytest.mark.parametrize(("down", "surely"), [(closed_port, True), (black_hole, False)])
def test_no_server_there(
    delivery_to: Callable[[str], OtpDelivery], down: Callable[[], AbstractContextManager[str]], surely: bool
) -> None:
    with down() as url:
        began = time.perf_counter()
        with pytest.raises(NotDelivered) as failure:
            delivery_to(url.replace("redis://", "http://").removesuffix("/0")).deliver(
                ASHA, "1", Purpose.LOGIN, ENGLISH
            )
        assert time.perf_counter() - began < 2
        # Who took the request and fell silent may send it yet.
        assert failure.value.surely == surely


def test_a_provider_that_hangs_keeps_only_some_of_our_threads(provider: Provider) -> None:
    provider.may_answer.clear()
    delivery = WebhookOtpDelivery(url=provider.url, secret=SECRET, texts=TEXTS, host=HOST, timeout=5)
    threads = [Thread(target=delivery.deliver, args=(ASHA, "1", Purpose.LOGIN, ENGLISH)) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    while len(provider.requests) < AT_ONCE:
        time.sleep(0.01)
    began = time.perf_counter()
    with pytest.raises(NotDelivered):
        delivery.deliver(ASHA, "1", Purpose.LOGIN, ENGLISH)
    assert time.perf_counter() - began < 0.5
    provider.may_answer.set()
    for thread in threads:
        thread.join()
    delivery.deliver(ASHA, "1", Purpose.LOGIN, ENGLISH)
