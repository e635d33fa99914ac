"""A web process keeps to one core, and leaves one that others want."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from entrypoints import cpu_affinity
from entrypoints.cpu_affinity import TICKS_PER_SECOND, better_core, keep_to_one_core


@pytest.mark.parametrize(
    ("others", "better"),
    [
        ({0: 0.0, 1: 0.0}, None),
        ({0: 0.2, 1: 0.0}, None),
        ({0: 0.9, 1: 0.8}, None),
        ({0: 0.9, 1: 0.1}, 1),
        ({0: 0.9, 1: 0.4, 2: 0.1}, 2),
        ({0: 0.1, 1: 0.9}, None),
    ],
    ids=str,
)
def test_a_core_is_left_for_one_on_which_others_do_much_less(others: dict[int, float], better: int | None) -> None:
    assert better_core(0, others) == better


class Ended(BaseException):
    """The last second of a test is over."""


class Machine:
    """What the module knows of the system: threads 0 (the one that asks), 7, 8 and 9, and how busy the cores are.

    ``then`` plans what happens in each second that the process looks on.
    """

    def __init__(self, files: Path) -> None:
        self.stat, self.tasks = files / "stat", files / "task"
        for thread in (0, 7, 8, 9):
            (self.tasks / str(thread)).mkdir(parents=True)
        self.affinity = {0: {0, 1}, 7: {0, 1}, 8: {0, 1}, 9: {1}}
        self.busy = {0: 0.0, 1: 0.0}
        self.own = 0.0
        self.may_change: Callable[[int, set[int]], bool] = lambda thread, cores: True
        self.seconds: Iterator[Callable[[], None]] = iter(())
        self.watching = False
        self.show()

    def show(self) -> None:
        lines = [f"cpu{core} {int(busy * TICKS_PER_SECOND)} 0 0 5 5 0 0 0 0 0" for core, busy in self.busy.items()]
        self.stat.write_text("\n".join(["cpu 1 2 3 4 5 6 7 8 9 10", *lines, "intr 1 2 3"]), encoding="ascii")

    def then(self, *seconds: Callable[[], None]) -> None:
        self.seconds = iter(seconds)

    def works(self, own: float, **others: float) -> Callable[[], None]:
        """A second in which the process works so long, and others on each core."""

        def second() -> None:
            self.own += own
            for core, busy in others.items():
                self.busy[int(core.removeprefix("on"))] += busy
            self.show()

        return second

    def sched_getaffinity(self, thread: int) -> set[int]:
        return self.affinity[thread]

    def sched_setaffinity(self, thread: int, cores: set[int]) -> None:
        if not self.may_change(thread, cores):
            raise PermissionError
        self.affinity[thread] = set(cores)

    def process_time(self) -> float:
        return self.own

    def sleep(self, seconds: float) -> None:
        second = next(self.seconds, None)
        if second is None:
            raise Ended
        second()

    def thread(self, *, target: Callable[..., None], args: tuple[Any, ...], **_: object) -> SimpleNamespace:
        def start() -> None:
            self.watching = True
            target(*args)

        return SimpleNamespace(start=start)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    monkeypatch.setattr(cpu_affinity, "os", machine)
    monkeypatch.setattr(cpu_affinity, "time", machine)
    monkeypatch.setattr(cpu_affinity, "random", SimpleNamespace(choice=min, random=lambda: 0.0))
    monkeypatch.setattr(cpu_affinity, "Thread", machine.thread)
    monkeypatch.setattr(cpu_affinity, "STAT", machine.stat)
    monkeypatch.setattr(cpu_affinity, "TASKS", machine.tasks)
    return machine


ALL = {0: {0, 1}, 7: {0, 1}, 8: {0, 1}, 9: {1}}
ON_0 = {0: {0}, 7: {0}, 8: {0}, 9: {1}}
GIVEN_BACK = {thread: {0, 1} for thread in ALL}


def told() -> list[str]:
    """What is logged while it keeps to one core, until the plan ends."""
    with capture_logs() as lines, suppress(Ended):
        keep_to_one_core()
    return [line["event"] for line in lines]


def test_all_threads_keep_to_a_core_but_one_that_chose_for_itself(machine: Machine) -> None:
    assert told() == []
    assert machine.watching
    assert machine.affinity == ON_0


def test_a_process_of_one_core_is_left_alone(machine: Machine) -> None:
    machine.affinity = {thread: {1} for thread in ALL}
    assert told() == []
    assert not machine.watching


def test_a_system_without_affinity_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_affinity, "os", SimpleNamespace())
    assert told() == []


def no_stat(machine: Machine) -> None:
    machine.stat.unlink()


def other_stat(machine: Machine) -> None:
    machine.stat.write_text("cpu0 busy\ncpu1 idle\n", encoding="ascii")


def missing_core(machine: Machine) -> None:
    del machine.busy[1]
    machine.show()


def no_tasks(machine: Machine) -> None:
    machine.tasks = machine.tasks.rename(machine.tasks.with_name("gone"))


def refused_affinity(machine: Machine) -> None:
    machine.may_change = lambda thread, cores: False


@pytest.mark.parametrize("lack", [no_stat, other_stat, missing_core, no_tasks, refused_affinity])
def test_where_the_system_does_not_allow_it_or_does_not_say_enough_all_cores_are_kept(
    machine: Machine, lack: Callable[[Machine], None]
) -> None:
    lack(machine)
    assert told() == ["not_kept_to_one_core"]
    assert not machine.watching
    assert machine.affinity == ALL


def test_it_moves_where_others_do_much_less_and_back_again(machine: Machine) -> None:
    where = []

    def note() -> None:
        where.append(machine.affinity[7])
        # Half of it is its own: it is on core 1 now.
        machine.works(0.5, on1=1.0)()

    machine.then(machine.works(0.5, on0=1.0), note)
    assert told() == []
    assert where == [{1}]
    assert [machine.affinity[thread] for thread in (0, 7, 8)] == [{0}, {0}, {0}]


def test_an_idle_process_stays(machine: Machine) -> None:
    machine.then(machine.works(0.01, on0=1.0))
    assert told() == []
    assert machine.affinity == ON_0


@pytest.mark.parametrize("lack", [no_stat, other_stat, missing_core])
def test_all_cores_are_given_back_when_the_system_says_no_longer_how_busy_they_are(
    machine: Machine, lack: Callable[[Machine], None]
) -> None:
    machine.then(machine.works(0.5, on0=0.5), lambda: lack(machine), pytest.fail)
    assert told() == ["not_kept_to_one_core"]
    assert machine.affinity == GIVEN_BACK


KEPT_TO_ONE_CORE = """
import os, threading
from adapters.crypto.bcrypt_password_hasher import BcryptPasswordHasher
from entrypoints.cpu_affinity import STAT, TASKS, keep_to_one_core

def cores_of(*names):
    return [cores(one.native_id) for one in threading.enumerate() if one.name.startswith(names)]

def cores(thread):
    return os.sched_getaffinity(thread) if hasattr(os, "sched_getaffinity") else set()

def can_be_kept():
    try:
        os.sched_setaffinity(0, {min(before)})
        os.sched_setaffinity(0, before)
        return any(TASKS.iterdir()) and {f"cpu{core}" for core in before} <= set(STAT.read_text().split())
    except (AttributeError, OSError):
        return False

before = cores(0)
kept = 1 if can_be_kept() else len(before)
hasher = BcryptPasswordHasher(pepper=b"", cost=4)
stop = threading.Event()
threading.Thread(target=stop.wait, name="earlier", daemon=True).start()
keep_to_one_core()
threading.Thread(target=stop.wait, name="later", daemon=True).start()
hasher.hash("a password")
assert [len(each) for each in cores_of("MainThread", "earlier", "later")] == [kept, kept, kept]
assert cores_of("bcrypt") == [before]
"""


def test_all_its_threads_keep_to_it_but_those_that_hash_passwords() -> None:
    # Where this system does not allow it, all cores are kept.
    subprocess.run([sys.executable, "-c", KEPT_TO_ONE_CORE], check=True, timeout=60)
