"""The launcher: its command line, and what it does before it becomes the program."""

import os
import signal
import subprocess
import sys

import pytest

from entrypoints.local_stack import launch
from entrypoints.local_stack.privileges import Account, capability_to_keep

SHOW = "import os, sys; print(os.getpid(), sys.argv[1:], os.path.basename(os.getcwd()))"


def test_the_command_line_carries_everything_and_ends_in_the_command():
    line = launch.command_line(
        ("postgres", "-D", "/data"),
        death_signal=signal.SIGINT,
        account=Account(65534, 65533),
        must_read=("/data",),
    )
    options = launch._parse(line[line.index("--parent") :])
    assert options.parent == os.getpid()
    assert options.death_signal is signal.SIGINT
    assert options.become == (65534, 65533)
    assert options.must_read == ["/data"]
    assert options.command == ["postgres", "-D", "/data"]


def test_it_becomes_the_program_in_any_directory_whatever_lies_there(tmp_path):
    (tmp_path / "signal.py").write_text("raise SystemExit('imported from the working directory')")
    words = ["--", "-x", "two words", ""]
    line = launch.command_line((sys.executable, "-c", SHOW, *words), death_signal=signal.SIGKILL)
    with subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        shown, _ = process.communicate()
    assert shown == f"{process.pid} {words} {tmp_path.name}\n"


def test_a_program_that_does_not_exist_is_one_clear_line():
    line = launch.command_line(("/no/such/program",), death_signal=signal.SIGKILL)
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == launch.CANNOT_LAUNCH
    assert done.stderr.startswith("cannot start /no/such/program: ")
    assert done.stderr.count("\n") == 1


def test_nothing_starts_when_the_parent_is_gone_already():
    line = launch.command_line((sys.executable, "-c", SHOW), death_signal=signal.SIGTERM)
    line[line.index("--parent") + 1] = "1"  # not the parent: so it must have died
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if os.uname().sysname == "Linux":
        assert done.returncode == -signal.SIGTERM
        assert not done.stdout
    else:
        assert done.returncode == 0


@pytest.mark.parametrize(
    ("permitted", "kept"),
    [
        pytest.param((1 << 41) - 1, 2, id="all of them: the smaller right"),
        pytest.param(0xA80425FB, 1, id="Docker's default: the only one there is"),
        pytest.param(1 << 8, None, id="none to give"),
        pytest.param(1 << 2 | 1 << 1, None, id="none that could be kept"),
        pytest.param(0, None, id="nothing"),
    ],
)
def test_the_least_capability_that_opens_directories_is_kept(permitted, kept):
    assert capability_to_keep(permitted) == kept
