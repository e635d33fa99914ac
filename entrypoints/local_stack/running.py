"""Where the embedded PostgreSQL of ``make run`` is at this moment, for commands that look into it."""

from pathlib import Path

from entrypoints.local_stack.binaries import find_binaries
from entrypoints.local_stack.postgres import Postgres

# Of postmaster.pid (PostgreSQL's miscadmin.h): the fourth line is the port.
PORT_LINE = 3


def running_database_url(data_dir: Path) -> str | None:
    """The address of the server that runs on ``data_dir``; None where none seems to run."""
    if not (data_dir / "postgres.password").exists():
        return None
    server = Postgres(find_binaries(), data_dir)
    try:
        port = (server.data / "postmaster.pid").read_text().splitlines()[PORT_LINE]
        return server.url(int(port))
    except (OSError, IndexError, ValueError):
        return None
