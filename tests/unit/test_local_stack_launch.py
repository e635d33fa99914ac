"""How a child is started: tied to its parent, and as which user."""

import os
import signal
import subprocess
import sys

import pytest

from entrypoints.local_stack import launch
from entrypoints.local_stack.errors import SupervisorError
from entrypoints.local_stack.launch import Account, as_account, capability_to_keep

SHOW = "import os, sys; print(os.getpid(), sys.argv[1:], os.path.basename(os.getcwd()))"


def test_the_child_keeps_its_process_id_its_arguments_and_its_directory(tmp_path):
    words = ["--", "-x", "two words", "", "$HOME"]
    line = launch.command_line((sys.executable, "-c", SHOW, *words), death_signal=signal.SIGKILL)
    with subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        shown, _ = process.communicate()
    assert shown == f"{process.pid} {words} {tmp_path.name}\n"


def test_nothing_starts_when_the_parent_is_gone_already(monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1)  # not the parent of the child, so that one must have died
    line = launch.command_line((sys.executable, "-c", SHOW), death_signal=signal.SIGTERM)
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert bool(done.stdout) == (launch.find_setpriv() is None)  # without it, no child is tied to its parent


def test_without_setpriv_the_command_is_started_as_it_is(monkeypatch):
    monkeypatch.setattr(launch, "find_setpriv", lambda: None)
    assert launch.command_line(("postgres", "-D", "/data"), death_signal=signal.SIGINT) == ["postgres", "-D", "/data"]


def test_without_setpriv_what_only_root_can_reach_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setattr(launch, "find_setpriv", lambda: None)
    monkeypatch.setattr(launch, "_hidden", lambda _user, paths: paths[0])
    with pytest.raises(SupervisorError, match=r"user 65534 cannot reach /closed/data.* setpriv .* DATA_DIR"):
        as_account(Account(65534, 65533), must_read=["/closed/data"])


def test_a_user_who_can_reach_everything_gets_no_capability(monkeypatch):
    monkeypatch.setattr(launch, "_hidden", lambda _user, _paths: "")
    user, privileges = as_account(Account(65534, 65533), must_read=["/data"])
    assert user == {"user": 65534, "group": 65533, "extra_groups": []}
    assert privileges == []


@pytest.mark.parametrize(
    ("permitted", "kept"),
    [
        pytest.param((1 << 41) - 1, "dac_read_search", id="all of them: the smaller right"),
        pytest.param(0xA80425FB, "dac_override", id="Docker's default: the only one there is"),
        pytest.param(1 << 8, None, id="none to give"),
        pytest.param(1 << 2 | 1 << 1, None, id="none that could be kept"),
        pytest.param(0, None, id="nothing"),
    ],
)
def test_the_least_capability_that_opens_directories_is_kept(permitted, kept):
    assert capability_to_keep(permitted) == kept
