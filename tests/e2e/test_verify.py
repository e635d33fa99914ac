"""The verify kit: a service that keeps every promise passes, and each check fails where its promise is broken."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest

from tests.e2e import verify_faults
from tests.e2e.faulty_proxy import Answered, Asked, Fault, FaultyProxy, PassOn
from tests.e2e.service import ROOT, Person, Service, running
from tests.e2e.verify_faults import FAULTS, WEBHOOK_SECRET
from verify.__main__ import main
from verify.http import Http, Log
from verify.run import ALL

pytestmark = pytest.mark.real

SECRET = {"VERIFY_WEBHOOK_SECRET": WEBHOOK_SECRET}

Verify = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {"PASSWORD_HASH_COST": "10", "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET}
    with running(tmp_path_factory.mktemp("verify"), **settings) as started:
        yield started


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]) -> Verify:
    """Runs the kit; its status, and what it printed as JSON."""

    def run(url: str, *arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
        status = main([url, "--json", *arguments], environment)
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return status, found

    return run


def names(run: dict[str, Any], outcome: str) -> set[str]:
    return {check["name"] for check in run["checks"] if check["outcome"] == outcome}


def reasons(run: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["reason"] for check in run["checks"] if check["outcome"] == "failed"}


def users_of(service: Service) -> int:
    ((found,),) = service.query("SELECT count(*) FROM users")
    return int(found)


def test_a_service_that_keeps_its_promises_passes_and_nothing_stays(service, verify):
    before = users_of(service)
    status, run = verify(service.base, **SECRET)
    assert reasons(run) == {}
    assert names(run, "passed") == {check.name for check in ALL}
    assert (status, run["passed"], run["failed"], run["leftOut"]) == (0, len(ALL), 0, 0)
    assert run["users"]["made"] == run["users"]["erased"] > 10
    assert run["notRemoved"] == []
    assert users_of(service) == before


def test_there_is_a_fault_for_each_check():
    assert FAULTS.keys() == {check.name for check in ALL}


@pytest.mark.parametrize("check", FAULTS)
def test_a_broken_promise_is_found(service, verify, check):
    with FaultyProxy(service.base, [FAULTS[check]()]) as proxy:
        status, run = verify(proxy.base, "--only", check, **SECRET)
    assert (status, names(run, "failed")) == (1, {check})
    (found,) = run["checks"]
    assert found["reason"]
    assert found["exchanges"][-1]["response"]["status"]


GROUPS = [[*FAULTS][first::4] for first in range(4)]


@pytest.mark.parametrize("group", GROUPS, ids=",".join)
def test_no_other_check_fails(service, verify, group):
    # Several faults at once, far from each other: a run for each of them would take minutes.
    with FaultyProxy(service.base, [FAULTS[check]() for check in group]) as proxy:
        _, run = verify(proxy.base, **SECRET)
    assert names(run, "failed") == {*group}, reasons(run)
    assert names(run, "left out") == set()


def test_another_implementation_is_held_to_what_the_documents_say(service, verify):
    with FaultyProxy(service.base, [verify_faults.plain]) as proxy:
        status, run = verify(proxy.base, "--plain")
    assert reasons(run) == {}
    assert status == 0
    assert names(run, "passed") == {check.name for check in ALL if check.plain}
    assert names(run, "left out") == {check.name for check in ALL if not check.plain}
    assert run["notRemoved"], "it has no way to erase users"


def test_prompts_that_came_back_may_be_used_again(service, verify):
    with FaultyProxy(service.base, [FAULTS["quota-race"](), verify_faults.replies_fail]) as proxy:
        status, run = verify(proxy.base, "--only", "quota-race")
    assert (status, names(run, "left out")) == (0, {"quota-race"})
    assert "gave their prompts back" in run["checks"][0]["reason"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [(verify_faults.codes_are_sent, "codes are not in the answers"),
     (verify_faults.numbers_must_be_assignable, "cannot be assigned")],
)  # fmt: skip
def test_what_needs_users_is_left_out_where_codes_are_sent(service, verify, fault: Fault, said: str):
    with FaultyProxy(service.base, [fault]) as proxy:
        status, run = verify(proxy.base)
    assert (status, run["failed"]) == (0, 0)
    public = {"home", "liveness", "readiness", "openapi", "security-headers"}
    public |= {"problems", "cors", "request-id", "no-versions"}
    assert names(run, "passed") == public
    (login,) = (check for check in run["checks"] if check["name"] == "login")
    assert said in login["reason"]
    assert "VERIFY_TOKEN" in login["reason"]
    assert run["users"]["made"] == 0


def test_users_who_are_given_are_used_and_stay(service, verify):
    person, other = Person(service).log_in(), Person(service).log_in()
    with FaultyProxy(service.base, [verify_faults.codes_are_sent]) as proxy:
        status, run = verify(proxy.base, VERIFY_TOKEN=person.token, VERIFY_TOKEN_2=other.token, **SECRET)
    assert (status, reasons(run)) == (0, {})
    # Five prompts of one and five of the other are enough for all but what needs new users.
    assert names(run, "left out") == {
        *("sign-up", "login", "wrong-code", "code-once", "refresh", "logout", "password-reset", "erasure"),
        *("subscription", "checkout-once"),
    }
    assert run["users"] == {"made": 0, "erased": 0}
    assert [room["id"] for room in person.get("/chatroom")] == [person.room]
    assert [room["id"] for room in other.get("/chatroom")] == [other.room]


def test_an_exchange_shows_neither_tokens_nor_codes_nor_numbers(service, verify, capsys):
    with FaultyProxy(service.base, [FAULTS["login"]()]) as proxy:
        _, masked = verify(proxy.base, "--only", "login")
        _, unmasked = verify(proxy.base, "--only", "login", "--unmasked")
    (check,) = unmasked["checks"]
    login = next(one for one in check["exchanges"] if one["request"]["url"].endswith("/auth/verify-otp"))
    for body in (login["request"]["body"], login["response"]["body"]):
        assert "***" not in body
    assert '"mobileNumber": "+91110' in login["request"]["body"]
    assert "eyJ" not in json.dumps(masked)
    assert "+91110" not in json.dumps(masked)
    (check,) = masked["checks"]
    login = next(one for one in check["exchanges"] if one["request"]["url"].endswith("/auth/verify-otp"))
    assert login["request"]["body"] == '{"mobileNumber": "***", "otp": "***"}'
    assert json.loads(login["response"]["body"])["token"] == "***"
    assert ["Authorization", "Bearer ***"] in check["exchanges"][-1]["request"]["headers"]


def test_people_see_the_promise_the_reason_and_the_exchange(service, capsys):
    with FaultyProxy(service.base, [FAULTS["liveness"]()]) as proxy:
        assert main([proxy.base, "--only", "liveness", "--only", "home"], {}) == 1
    said = capsys.readouterr().out
    assert "pass      home               The home route answers" in said
    assert "FAIL      liveness           The process says that it lives.\n          status is not ok" in said
    assert f"          > GET {proxy.base}/health/live" in said
    assert '          < {"status": "starting"}' in said
    assert f"> GET {proxy.base}/\n" not in said, "of a check that passed nothing is shown"
    assert "1 passed, 1 failed, 0 left out" in said


def test_as_a_program(service):
    # -I: nothing but the standard library and the kit itself.
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.modules['httpx'] = None; import verify.__main__ as kit"
    )
    run = f"{program}; sys.exit(kit.main([{service.base!r}, '--verbose', '--only', 'readiness'], {{}}))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", run], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "/health/ready" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [[], ["ftp://127.0.0.1"], ["http://user:password@127.0.0.1"], ["http://127.0.0.1:1"],
     ["http://127.0.0.1:1", "--only", "nothing"]],
)  # fmt: skip
def test_what_cannot_run_has_a_status_of_its_own(arguments, capsys):
    assert main(arguments, {}) == 2
    assert capsys.readouterr().err.startswith("Could not run: ")


def test_a_service_that_says_nothing_is_given_up(capsys):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert main([url, "--timeout", "0.2"], {}) == 2
    assert "no whole answer in at most 0.2 s" in capsys.readouterr().err


def test_an_event_may_be_as_long_as_an_answer():
    data = json.dumps({"content": "a" * 100_000})
    body = f"id: 1-100000\nevent: done\ndata: {data}\n\n".encode()

    def long_answer(asked: Asked, pass_on: PassOn) -> Answered:
        return Answered(200, {"content-type": "text/event-stream"}, body)

    with FaultyProxy("http://127.0.0.1:1", [long_answer]) as proxy:
        http = Http(proxy.base, timeout=5, deadline=time.monotonic() + 5, log=Log())
        with http.stream("/message/1/stream", token="", within=5) as events:
            assert [json.dumps(event.data) for event in events] == [data]


def test_a_run_has_an_end(service, verify):
    never = Event()

    def silent(asked: Asked, pass_on: PassOn) -> Answered:
        if asked.path == "/health/live":
            never.wait(60)
        return pass_on(asked)

    with FaultyProxy(service.base, [silent]) as proxy:
        try:
            status, run = verify(proxy.base, "--deadline", "1", "--only", "liveness", "--only", "readiness")
        finally:
            never.set()
    assert status == 1
    assert reasons(run) == dict.fromkeys(("liveness", "readiness"), "the time of the whole run is up (--deadline)")
