"""The key of a provider is rotated by a restart: the second one is made, processes start with it, the first one goes.

While both are valid a process with either works, so a rolling restart loses nothing; and once the first one is gone
nothing is sent with it that anybody took.
"""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from adapters.llm.gemini import GeminiLanguageModel
from adapters.llm.openai_compatible import OpenAiCompatibleLanguageModel
from adapters.memory.doubles import SettableClock
from adapters.memory.tables import MemoryDatabase
from adapters.memory.unit_of_work import MemoryUnitOfWorkFactory
from adapters.sentry import SentryErrors
from adapters.stripe.sandbox.fake import FakeStripe
from adapters.stripe.sandbox.state import StateInMemory
from application.ports.language_model import LanguageModel, Prompt, Stop
from application.ports.otp_delivery import NotDelivered
from domain.accounts import PhoneNumber, UserId
from domain.errors import DependencyDown
from domain.languages import Language
from domain.one_time_password import Purpose
from domain.replies import AnswerFailed
from entrypoints.container.build import build_web
from entrypoints.container.payments import payments_of
from entrypoints.settings import Settings, read_settings
from tests.contract.world import MOMENT, new_id
from tests.fakes.gemini_server import FakeGemini
from tests.fakes.openai_server import FakeOpenAi
from tests.fakes.stripe_server import serving

ASHA = PhoneNumber("+919876543210")
# Whether a process that was started with this key gets done what it asks of the provider.
Works = Callable[[], bool]
# The keys that the provider takes, and what a process with a key does.
Rotation = tuple[set[str], Callable[[str], Works]]


def settings_of(**given: str) -> Settings:
    nowhere = {"DATABASE_URL": "postgresql://nowhere/none", "REDIS_URL": "redis://nowhere", "JWT_SECRET": "x" * 40}
    return read_settings({**nowhere, **given})


@contextmanager
def server_that_takes(taken: Callable[[Mapping[str, str], bytes], bool]) -> Iterator[str]:
    """The address of a server that answers 200, or 401 to what is not ``taken`` by its headers and body."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(200 if taken(headers, body) else 401)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answers(model: LanguageModel) -> Works:
    def works() -> bool:
        try:
            model.write(Prompt("Hi"), within=timedelta(seconds=10), stop=Stop(), on_chunk=lambda _: None)
        except AnswerFailed:
            return False
        return True

    return works


@contextmanager
def language_model(
    provider: FakeGemini, adapter: type[GeminiLanguageModel | OpenAiCompatibleLanguageModel]
) -> Iterator[Rotation]:
    with provider as server, ExitStack() as stack:
        server.keys = set()

        def process(key: str) -> Works:
            model = adapter(api_key=key, model="m", base_url=server.base_url)
            return answers(stack.enter_context(closing(model)))

        yield server.keys, process


class StripeOfKeys(FakeStripe):
    """A stand-in that takes each of ``keys``."""

    def __init__(self, keys: set[str]) -> None:
        super().__init__(
            state=StateInMemory(), clock=SettableClock(MOMENT), api_key="", prices=frozenset({"price_pro"})
        )
        self.keys = keys

    def _admit(self, headers: Mapping[str, str]) -> None:
        key = headers["authorization"].removeprefix("Bearer ")
        super()._admit({**headers, "authorization": "Bearer " if key in self.keys else "Bearer another"})


@contextmanager
def stripe() -> Iterator[Rotation]:
    keys: set[str] = set()

    def process(key: str) -> Works:
        settings = settings_of(STRIPE_SECRET_KEY=key, STRIPE_PRICE_ID="price_pro", STRIPE_API_BASE=server.url)
        payments = payments_of(settings, None, MemoryUnitOfWorkFactory(MemoryDatabase(SettableClock(MOMENT))))

        def works() -> bool:
            try:
                payments.new_customer(UserId(new_id()))
            except DependencyDown:
                return False
            return True

        return works

    with serving(StripeOfKeys(keys)) as server:
        yield keys, process


def sends(settings: Settings) -> Works:
    delivery = build_web(settings).use_cases.auth.request_code.send_code.otp_delivery

    def works() -> bool:
        try:
            delivery.deliver(ASHA, "012345", Purpose.LOGIN, Language.ENGLISH)
        except NotDelivered:
            return False
        return True

    return works


@contextmanager
def twilio() -> Iterator[Rotation]:
    keys: set[str] = set()

    def taken(headers: Mapping[str, str], _body: bytes) -> bool:
        return headers["authorization"] in {f"Basic {b64encode(f'AC1:{key}'.encode()).decode()}" for key in keys}

    with server_that_takes(taken) as url:
        account = {"OTP_DELIVERY": "twilio", "TWILIO_ACCOUNT_SID": "AC1", "TWILIO_FROM": "MG1", "TWILIO_API_BASE": url}
        yield keys, lambda key: sends(settings_of(TWILIO_AUTH_TOKEN=key, **account))


@contextmanager
def webhook() -> Iterator[Rotation]:
    keys: set[str] = set()

    def taken(headers: Mapping[str, str], body: bytes) -> bool:
        signed = f"{headers['x-timestamp']}.".encode() + body
        return headers["x-signature"] in {
            f"sha256={hmac.new(key.encode(), signed, hashlib.sha256).hexdigest()}" for key in keys
        }

    with server_that_takes(taken) as url:
        where = {"OTP_DELIVERY": "webhook", "OTP_WEBHOOK_URL": f"{url}/sms"}
        yield keys, lambda key: sends(settings_of(OTP_WEBHOOK_SECRET=key, **where))


@contextmanager
def sentry() -> Iterator[Rotation]:
    keys: set[str] = set()
    received: list[str] = []

    def taken(headers: Mapping[str, str], _body: bytes) -> bool:
        [key] = [one.split("=")[1] for one in headers["x-sentry-auth"].split(",") if "sentry_key" in one]
        received.append(key)
        return key in keys

    with server_that_takes(taken) as url:

        def process(key: str) -> Works:
            settings = settings_of(SENTRY_DSN=url.replace("http://", f"http://{key}@") + "/1")

            def works() -> bool:
                received.clear()
                reporter = SentryErrors(settings.sentry_dsn.reveal(), environment="production", release=None)
                reporter(RuntimeError(), event="unforeseen_error", facts={})
                reporter.close()
                return received == [key] and key in keys

            return works

        yield keys, process


ROTATIONS = {
    "GEMINI_API_KEY": lambda: language_model(FakeGemini(), GeminiLanguageModel),
    "OPENAI_API_KEY": lambda: language_model(FakeOpenAi(), OpenAiCompatibleLanguageModel),
    "STRIPE_SECRET_KEY": stripe,
    "TWILIO_AUTH_TOKEN": twilio,
    "OTP_WEBHOOK_SECRET": webhook,
    "SENTRY_DSN": sentry,
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("rotation", ROTATIONS.values(), ids=ROTATIONS)
def test_two_keys_are_valid_side_by_side_while_processes_restart(
    rotation: Callable[[], AbstractContextManager[Rotation]],
) -> None:
    first, second = "1" * 32, "2" * 32
    with rotation() as (keys, process):
        keys.add(first)
        before = process(first)
        assert before()
        keys.add(second)
        after = process(second)
        assert before()
        assert after()
        keys.remove(first)
        assert after()
        assert not before()
