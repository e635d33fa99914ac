"""The embedded Postgres: its data, made once and in one step, and the server that serves it."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from entrypoints.local_stack import process_table
from entrypoints.local_stack.binaries import Binaries
from entrypoints.local_stack.children import ChildSpec, bare_environment, last_lines
from entrypoints.local_stack.errors import ServersUnavailable
from entrypoints.local_stack.launch import Account
from entrypoints.local_stack.secret_files import kept_secret, write_secret

NAME = "gemini_chat"  # of the database and of its owner

# For a developer's machine: a small footprint, few processes, no replication.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "io_method": "sync",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class Postgres:
    binaries: Binaries
    data_dir: Path
    durable: bool = True

    @property
    def data(self) -> Path:
        """Postgres's own data directory. It exists complete or not at all."""
        return self.data_dir / "postgres"

    @property
    def lock(self) -> Path:
        """A file that every process of the server holds locked."""
        return self.data_dir / "postgres.lock"

    @property
    def log(self) -> Path:
        return self.data_dir / "logs" / "postgres.log"

    def exists(self) -> bool:
        return (self.data / "PG_VERSION").exists()

    def create(self, run: Callable[[ChildSpec], int]) -> None:
        """Create the data and the empty database in it, in a directory aside that is renamed when it is complete.

        ``run`` runs a child to its end and returns its status. No process of an earlier attempt may be left: wait for
        ``lock`` first.
        """
        aside = self.data_dir / "postgres.new"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700)
        account = _account_for(aside)
        write_secret(aside / "password", self._password())
        write_secret(aside / "create.sql", f"CREATE DATABASE {NAME};\n")
        _give(account, aside, aside / "password")
        for spec in (self._initdb(aside, account), self._create_database(aside, account)):
            if run(spec):
                lines = "".join(f"\n    {line}" for line in last_lines(self.log))
                raise ServersUnavailable(f"{spec.role} failed; the end of {self.log}:{lines}")
        try:
            (aside / "data").rename(self.data)
        except OSError as fault:
            raise ServersUnavailable(f"{self.data} is in the way: {fault}") from fault
        _sync(self.data_dir)
        shutil.rmtree(aside)

    def check(self) -> None:
        """Raise ServersUnavailable if the data cannot be served by these binaries or this user."""
        made_by = (self.data / "PG_VERSION").read_text().strip()
        ours = _major_version(self.binaries)
        if made_by != ours:
            raise ServersUnavailable(
                f"{self.data} was made by PostgreSQL {made_by}, but installed is {ours}. Dump it"
                f" with the old version, or remove the directory to start with an empty database."
            )
        if not (self.data_dir / "postgres.password").exists():
            raise ServersUnavailable(
                f"{self.data_dir / 'postgres.password'} is missing, and without it no client can log"
                f" in to {self.data}. Restore the file, or remove both for an empty database."
            )

    def url(self, port: int) -> str:
        """The address of the database, password included."""
        # Without sslmode a PGSSLMODE of the environment would apply; this server has no TLS.
        where = f"127.0.0.1:{port}/{NAME}?sslmode=disable"
        return f"postgresql://{NAME}:{self._password()}@{where}"

    def spec(self, port: int) -> ChildSpec:
        url = self.url(port)
        settings = SETTINGS | ({} if self.durable else FORGETFUL) | {"port": str(port)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return ChildSpec(
            role="postgres",
            command=(str(self.binaries.postgres), "-D", str(self.data), *options),
            environment=bare_environment(),
            stop_signal=signal.SIGINT,  # "fast": SIGTERM would wait for clients to leave
            grace=30.0,
            hurry_signal=signal.SIGQUIT,  # "immediate": recovers at the next start
            death_signal=signal.SIGINT,
            ready=lambda: postgres_answers(url),
            log=self.log,
            account=_account_for(self.data),
            must_read=(str(self.data),),
            lock=self.lock,
            before_start=lambda: clear_stale_pid_file(self.data),
        )

    def _password(self) -> str:
        return kept_secret(self.data_dir / "postgres.password")

    def _initdb(self, aside: Path, account: Account | None) -> ChildSpec:
        command = [str(self.binaries.initdb), "--pgdata", str(aside / "data"), "--username", NAME]
        command += ["--pwfile", str(aside / "password"), "--auth", "scram-sha-256"]
        # The builtin locale is the same on every machine, whatever its libc offers.
        command += ["--encoding", "UTF8", "--locale", "C"]
        command += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
        command += ["--no-instructions", *([] if self.durable else ["--no-sync"])]
        return self._step("initdb", command, aside, account)

    def _create_database(self, aside: Path, account: Account | None) -> ChildSpec:
        # Single-user mode: no port, no password, and still before anybody can see the data.
        command = [str(self.binaries.postgres), "--single", "-D", str(aside / "data")]
        # Else a statement that fails is only a line in the log, and the status is 0.
        command += ["-c", "exit_on_error=on"]
        command += [] if self.durable else ["-c", "fsync=off"]
        return self._step(
            "creating the database",
            [*command, "postgres"],
            aside,
            account,
            stdin=aside / "create.sql",
        )

    def _step(
        self,
        role: str,
        command: list[str],
        aside: Path,
        account: Account | None,
        stdin: Path | None = None,
    ) -> ChildSpec:
        return ChildSpec(
            role=role,
            command=tuple(command),
            environment=bare_environment(),
            stdin=stdin,
            log=self.log,
            account=account,
            must_read=(str(aside),),
            lock=self.lock,
        )


def postgres_answers(url: str) -> bool:
    return why_postgres_does_not_answer(url) is None


def why_postgres_does_not_answer(url: str) -> str | None:
    """Why no client can log in at this address; None if it can."""
    try:
        psycopg2.connect(_libpq(url), connect_timeout=2).close()
    except psycopg2.Error as fault:
        return str(fault).strip()
    return None


def clear_stale_pid_file(data: Path, command_line_of: Callable[[int], str] = process_table.command_line_of) -> None:
    """Remove a ``postmaster.pid`` that a killed server left behind.

    Postgres does so itself, unless the number belongs to another living process of the same user by now; in containers,
    where numbers start anew, that is common. The caller holds the server's lock, so no server of ours lives; one that
    was started by hand raises ServersUnavailable.
    """
    pid_file = data / "postmaster.pid"
    try:
        first, _, _ = pid_file.read_text(errors="replace").partition("\n")
    except FileNotFoundError:
        return
    # A server in single-user mode writes its number with a minus sign.
    number = first.strip().removeprefix("-")
    if number.isdecimal() and serves(command_line_of(int(number)), data):
        raise ServersUnavailable(f"a Postgres that was not started from here (process {number}) uses {data}")
    pid_file.unlink()


def serves(command_line: str, data: Path) -> bool:
    """Whether this is the command line of a Postgres server with that data directory."""
    program, _, arguments = command_line.partition(" ")
    return Path(program).name == "postgres" and str(data) in arguments


def _libpq(url: str) -> str:
    """The address without SQLAlchemy's choice of a driver (postgresql+psycopg2://…)."""
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"


def _major_version(binaries: Binaries) -> str:
    line = [str(binaries.postgres), "--version"]
    shown = subprocess.run(  # noqa: S603 (no shell, and a command of our own)
        line, capture_output=True, check=False, text=True, env=bare_environment()
    )
    if shown.returncode:
        raise ServersUnavailable(f"the embedded Postgres does not run here: {shown.stderr.strip()}")
    return shown.stdout.split()[-1].partition(".")[0]  # "postgres (PostgreSQL) 18.6"


def _account_for(path: Path) -> Account | None:
    """The user Postgres has to become to serve ``path``; None if this process's own will do."""
    owner = path.stat()
    if os.geteuid() == 0:
        return _unprivileged() if owner.st_uid == 0 else Account(owner.st_uid, owner.st_gid)
    if owner.st_uid != os.geteuid():
        raise ServersUnavailable(
            f"{path} belongs to user {owner.st_uid} (started by root earlier?), but this is user"
            f" {os.geteuid()}. Run as before, or set another DATA_DIR."
        )
    return None


def _unprivileged() -> Account:
    """An unprivileged user that every system has. None is created."""
    for name in ("nobody", "daemon"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return Account(user.pw_uid, user.pw_gid)
    raise ServersUnavailable("Postgres refuses to run as root, and there is no user `nobody` to run it as")


def _give(account: Account | None, *paths: Path) -> None:
    if account is None:
        return
    try:
        for path in paths:
            os.chown(path, *account)
    except OSError as fault:
        raise ServersUnavailable(
            f"Postgres refuses to run as root, and its data cannot be given to user {account.uid}:"
            f" {fault}. Do not run as root, or set DATABASE_URL to a server of your own."
        ) from fault


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
