"""The embedded Valkey, a server of the Redis protocol."""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from entrypoints.local_stack.binaries import Binaries
from entrypoints.local_stack.children import ChildSpec, bare_environment
from entrypoints.local_stack.secret_files import kept_secret, write_secret

# One attempt: the caller decides whether to ask again. (The client's default is ten of them.)
IMPATIENT: dict[str, Any] = {
    "socket_timeout": 1,
    "socket_connect_timeout": 1,
    "retry": Retry(NoBackoff(), 0),
}


@dataclass(frozen=True, slots=True)
class Valkey:
    binaries: Binaries
    data_dir: Path
    durable: bool = True

    @property
    def data(self) -> Path:
        return self.data_dir / "valkey"

    @property
    def lock(self) -> Path:
        """A file that every process of the server holds locked."""
        return self.data_dir / "valkey.lock"

    def url(self, port: int) -> str:
        """The address of the server, password included."""
        return f"redis://:{self._password()}@127.0.0.1:{port}/0"

    def spec(self, port: int) -> ChildSpec:
        """The server as a child process. Writes its configuration, password included, to a file."""
        url = self.url(port)
        self.data.mkdir(mode=0o700, exist_ok=True)
        configuration = self.data_dir / "valkey.conf"
        write_secret(configuration, self._configuration(port))
        return ChildSpec(
            role="valkey",
            command=(str(self.binaries.valkey_server), str(configuration)),
            environment=bare_environment(),
            death_signal=signal.SIGTERM,
            ready=lambda: redis_answers(url),
            log=self.data_dir / "logs" / "valkey.log",
            lock=self.lock,
        )

    def _configuration(self, port: int) -> str:
        lines = {
            "bind": "127.0.0.1",
            "port": str(port),
            "requirepass": self._password(),
            "dir": quoted(str(self.data)),
            # Every write within a second. Snapshots beside it would only be a second, older copy.
            "appendonly": "yes" if self.durable else "no",
            "appendfsync": "everysec",
            "save": '""',
            # A full memory must be an error, never a silently dropped job.
            "maxmemory-policy": "noeviction",
        }
        return "\n".join(f"{name} {value}" for name, value in lines.items())

    def _password(self) -> str:
        return kept_secret(self.data_dir / "valkey.password")


def redis_answers(url: str) -> bool:
    return why_redis_does_not_answer(url) is None


def why_redis_does_not_answer(url: str) -> str | None:
    """Why no client can log in at this address; None if the server answers a PING."""
    try:
        with redis.Redis.from_url(url, **IMPATIENT) as client:
            client.ping()
    except redis.RedisError as fault:
        return str(fault)
    return None


def quoted(text: str) -> str:
    """The text as one word of a Valkey configuration file."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
