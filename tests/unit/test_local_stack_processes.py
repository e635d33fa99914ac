"""The supervisor's care for its children, with children that do next to nothing."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from entrypoints.local_stack import up
from entrypoints.local_stack.children import ChildSpec, inherited_environment
from entrypoints.local_stack.errors import ChildFailed, StopRequested
from entrypoints.local_stack.inbox import QuietInbox, SignalInbox
from entrypoints.local_stack.processes import Supervisor
from entrypoints.server import serve
from entrypoints.settings import load_settings, read_settings

SLEEPER = "import time, sys; open(sys.argv[1], 'a').write('x'); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEPER


class ImpatientInbox(QuietInbox):
    """Asks for the end when the test says so."""

    def __init__(self) -> None:
        self.stop_requests = 0


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def inbox() -> ImpatientInbox:
    return ImpatientInbox()


@pytest.fixture
def supervisor(inbox: ImpatientInbox, lines: list[str]) -> Iterator[Supervisor]:
    supervisor = Supervisor(inbox, lines.append)
    yield supervisor
    supervisor.stop()


@pytest.fixture
def child(tmp_path: Path) -> Callable[..., ChildSpec]:
    def make(role: str, program: str = SLEEPER, **details: Any) -> ChildSpec:
        command = (sys.executable, "-c", program, str(tmp_path / role))
        # It has begun to work when it has written its file.
        spec = ChildSpec(
            role=role,
            command=command,
            environment=inherited_environment(),
            ready=(tmp_path / role).exists,
        )
        return replace(spec, **details)

    return make


def test_children_stop_in_reverse_order(supervisor, child, tmp_path, lines):
    note = f"""
import os, signal, sys, time
def stop(*_):
    with open({str(tmp_path / "order")!r}, "a") as file:
        file.write(os.path.basename(sys.argv[1]) + " ")
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
"""
    supervisor.start(child("first", note + SLEEPER), child("second", note + SLEEPER))
    supervisor.start(child("third", note + SLEEPER))
    supervisor.stop()
    assert (tmp_path / "order").read_text() == "third second first "
    assert lines == ["stopping (Ctrl-C again: at once) …"]


def test_a_child_that_ends_before_it_is_ready_fails_with_the_end_of_its_log(supervisor, child, tmp_path):
    talker = "import sys; print('why, oh why'); sys.exit(7)"
    spec = child("talker", talker, log=tmp_path / "logs" / "talker.log")
    with pytest.raises(ChildFailed, match=r"(?s)talker ended with status 7; .*why, oh why"):
        supervisor.start(spec)


def test_a_child_that_is_never_ready_fails_and_is_gone_and_the_others_stay(supervisor, child, tmp_path, lines):
    supervisor.start(child("good"))
    with pytest.raises(ChildFailed, match="bad was not ready after 0 s"):
        supervisor.start(child("bad", ready=lambda: False, ready_within=0.1))
    supervisor.stop()
    assert lines == ["stopping (Ctrl-C again: at once) …"]
    assert (tmp_path / "good").read_text() == "x"


def test_a_child_that_does_not_stop_is_killed_after_its_grace(supervisor, child, lines):
    supervisor.start(child("stubborn", STUBBORN, grace=0.1))
    supervisor.stop()
    assert lines[-1] == "stubborn is still running and is made to end"


def test_a_second_request_to_stop_ends_the_grace(supervisor, child, inbox, lines):
    supervisor.start(child("stubborn", STUBBORN, grace=600.0))
    inbox.stop_requests = 1
    with pytest.raises(StopRequested):
        supervisor.keep_running()
    waited = inbox.wait
    requests = iter([1, 1, 2])

    def wait(timeout: float | None) -> None:
        inbox.stop_requests = next(requests, 2)
        waited(timeout)

    inbox.wait = wait
    supervisor.stop()
    assert lines[-1] == "stubborn is still running and is made to end"


def test_a_dead_child_is_started_again_until_the_end_is_asked_for(supervisor, child, inbox, tmp_path, lines):
    ender = "import sys; open(sys.argv[1], 'a').write('x'); sys.exit(3)"
    spec = child("ender", ender, ready=None)
    waited = inbox.wait

    def wait(timeout: float | None) -> None:
        inbox.stop_requests = int(any("0.4 s" in line for line in lines))
        waited(timeout)

    inbox.wait = wait
    supervisor.start(spec)
    with pytest.raises(StopRequested):
        supervisor.keep_running()
    assert lines[0] == "ender ended with status 3; it is started again in 0.2 s"
    assert lines[1].startswith("ender is started again (process ")
    assert lines[2] == "ender ended with status 3; it is started again in 0.4 s"
    assert (tmp_path / "ender").read_text() == "xx"


def test_a_child_run_to_its_end_tells_its_status(supervisor, child):
    assert supervisor.run(child("good", "")) == 0
    assert supervisor.run(child("bad", "import sys; sys.exit(4)")) == 4
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert supervisor.run(child("killed", killed)) == -signal.SIGKILL


def test_what_a_dead_child_left_in_its_group_ends_with_it(supervisor, child, tmp_path):
    parent = """
import os, subprocess, sys, time
inner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1] + ".pid", "w").write(str(inner.pid))
os.replace(sys.argv[1] + ".pid", sys.argv[1])
time.sleep(600)
"""
    supervisor.start(child("parent", parent))
    inner = int((tmp_path / "parent").read_text())
    (entry,) = supervisor._children
    entry.send_signal(signal.SIGKILL)
    until(entry.has_ended)
    until(lambda: not is_at_work(inner))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_at_work(pid: int) -> bool:
    """Whether a process has not ended (its parent may not have taken notice yet)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_signals_wake_the_supervisor_and_several_at_once_are_one_request():
    now = 100.0
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with SignalInbox.open() as inbox:
        inbox._clock = lambda: now
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        inbox.wait(None)  # returns, since a signal came before
        assert inbox.stop_requests == 1
        now += 1
        os.kill(os.getpid(), signal.SIGINT)
        inbox.wait(None)
        assert inbox.stop_requests == 2
    # After the first request further ones are ignored.
    os.kill(os.getpid(), signal.SIGINT)
    for number, handler in before.items():
        assert signal.getsignal(number) is signal.SIG_IGN
        signal.signal(number, handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_without_a_request_every_handler_is_restored():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
    before = [signal.getsignal(number) for number in numbers]
    with SignalInbox.open() as inbox:
        inbox.wait(0.0)
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("127.0.0.1", "http://127.0.0.1:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("::", "http://[::1]:1"),
        ("example.invalid", "http://example.invalid:1"),
    ],
)
@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("offline", "The offline model answers; set GEMINI_API_KEY for Gemini."),
        ("openai-compatible", "Language model: openai-compatible."),
    ],
)
def test_the_welcome_names_addresses_that_can_be_opened(host, base, provider, model):
    settings = replace(read_settings({}), host=host, port=1, llm_provider=provider)
    first, page, api, documentation, _ = up._welcome(settings, elapsed=1.25)
    assert first == f"ready after 1.2 s. {model}"
    assert [line.split()[-1] for line in (page, api, documentation)] == [f"{base}/app", base, f"{base}/docs"]


def test_the_welcome_names_no_page_that_is_switched_off():
    told = up._welcome(replace(read_settings({}), llm_provider="offline", chat_page=False), elapsed=1)
    assert not [line for line in told if "/app" in line]


def test_the_web_server_is_killed_only_after_its_grace():
    assert up.WEB_GRACE > serve.DRAIN_SECONDS + serve.GRACE_SECONDS


@pytest.mark.parametrize(
    ("in_environment", "in_file", "grace"),
    [
        pytest.param("", "", 6, id="not set"),
        pytest.param("25", "", 25, id="set in the environment"),
        pytest.param("", "WORKER_GRACE_SECONDS=40", 40, id="set in the file"),
    ],
)
def test_a_worker_is_killed_only_after_its_grace(tmp_path, monkeypatch, in_environment, in_file, grace):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKER_GRACE_SECONDS", raising=False)
    if in_environment:
        monkeypatch.setenv("WORKER_GRACE_SECONDS", in_environment)
    (tmp_path / ".env").write_text(in_file)
    spec = up.worker_spec(load_settings(), ("worker",), {})
    assert spec.environment["WORKER_GRACE_SECONDS"] == str(grace)
    assert spec.grace == grace + up.WORKER_CLOSES_WITHIN
