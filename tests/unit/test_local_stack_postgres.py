"""What is decided about the embedded Postgres without starting one."""

import os
from pathlib import Path

import pytest

from entrypoints.local_stack import postgres
from entrypoints.local_stack.binaries import Binaries
from entrypoints.local_stack.errors import ServersUnavailable
from entrypoints.local_stack.postgres import Postgres, clear_stale_pid_file, serves

DATA = Path("/srv/data/postgres")


@pytest.mark.parametrize(
    ("command_line", "expected"),
    [
        ("/opt/bin/postgres -D /srv/data/postgres -c port=5432", True),
        ("postgres -D /srv/data/postgres", True),
        ("/opt/bin/postgres -D /srv/other/postgres", False),
        ("/bin/sleep 600", False),
        ("vim /srv/data/postgres/postgresql.conf", False),
        ("", False),
    ],
)
def test_a_server_is_known_by_its_program_and_its_data(command_line, expected):
    assert serves(command_line, DATA) is expected


def test_no_pid_file_is_no_problem(tmp_path):
    clear_stale_pid_file(tmp_path)


@pytest.mark.parametrize("content", ["4711\n/data\n", "-4711\n", "", "nonsense\n"])
def test_a_stale_pid_file_is_removed(tmp_path, content):
    (tmp_path / "postmaster.pid").write_text(content)
    clear_stale_pid_file(tmp_path, lambda _pid: "/bin/sleep 600")
    assert not (tmp_path / "postmaster.pid").exists()


def test_a_pid_file_of_a_living_server_of_the_same_data_is_respected(tmp_path):
    (tmp_path / "postmaster.pid").write_text("4711\n/data\n")
    with pytest.raises(ServersUnavailable, match="process 4711"):
        clear_stale_pid_file(tmp_path, {4711: f"postgres -D {tmp_path}"}.__getitem__)
    assert (tmp_path / "postmaster.pid").exists()


@pytest.fixture
def server(tmp_path) -> Postgres:
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "postgres").write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 18.6'\n")
    (bin_ / "postgres").chmod(0o755)
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("18\n")
    return Postgres(Binaries(bin_ / "postgres", bin_ / "initdb", bin_ / "valkey-server"), tmp_path)


def test_data_of_another_version_is_refused(server):
    (server.data / "PG_VERSION").write_text("17\n")
    with pytest.raises(ServersUnavailable, match="made by PostgreSQL 17, but installed is 18"):
        server.check()


def test_data_without_its_password_is_refused(server):
    with pytest.raises(ServersUnavailable, match=r"postgres\.password is missing"):
        server.check()
    assert not (server.data_dir / "postgres.password").exists()


def test_good_data_is_accepted(server):
    server.url(5432)  # makes the password
    server.check()


def test_a_binary_that_does_not_run_is_an_expected_failure(server):
    server.binaries.postgres.write_text("#!/bin/sh\necho 'no libz' >&2; exit 127\n")
    with pytest.raises(ServersUnavailable, match="does not run here: no libz"):
        server.check()


def test_the_command_line_keeps_to_loopback_and_holds_no_password(server):
    spec = server.spec(5432)
    assert spec.command[:3] == (str(server.binaries.postgres), "-D", str(server.data))
    for setting in ("listen_addresses=127.0.0.1", "unix_socket_directories=", "port=5432"):
        assert setting in spec.command
    assert "fsync=off" not in spec.command
    password = (server.data_dir / "postgres.password").read_text().strip()
    assert password in server.url(5432)
    assert password not in " ".join(spec.command)
    assert password not in spec.environment.values()


def test_only_forgetful_servers_skip_fsync(server):
    forgetful = Postgres(server.binaries, server.data_dir, durable=False)
    assert "fsync=off" in forgetful.spec(5432).command


def test_postgres_never_runs_as_root(server, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(Path, "stat", lambda _path: os.stat_result([0o700, 0, 0, 1, 0, 0, *[0] * 4]))
    account = postgres._account_for(server.data)
    assert account is not None
    assert account.uid != 0


def test_root_serves_the_data_of_a_user_as_that_user(server, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    owned = os.stat_result([0o700, 0, 0, 1, 1000, 1001, *[0] * 4])
    monkeypatch.setattr(Path, "stat", lambda _path: owned)
    assert postgres._account_for(server.data) == (1000, 1001)


def test_data_of_another_user_is_refused(server, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: server.data.stat().st_uid + 1)
    with pytest.raises(ServersUnavailable, match="belongs to user"):
        server.spec(5432)


def test_the_driver_named_for_sqlalchemy_means_nothing_to_libpq():
    assert postgres._libpq("postgresql+psycopg2://u:p@h/d?x=1") == "postgresql://u:p@h/d?x=1"
    assert postgres._libpq("postgresql://h+i/d") == "postgresql://h+i/d"
