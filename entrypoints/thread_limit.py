"""Whether a container lets this process have the threads that it is set to have: one refused is a request lost."""

from pathlib import Path

from application.operations.startup import CannotStart

# How many processes and threads a container may have (docs.kernel.org/admin-guide/cgroup-v2.html#pid), and has.
PIDS_MAX = Path("/sys/fs/cgroup/pids.max")
PIDS_CURRENT = Path("/sys/fs/cgroup/pids.current")
# Beside those for requests or replies: clients of servers, watchdogs, metrics, hashes, a shell that looks in.
OTHERS = 32


def check_threads(wanted: int, setting: str) -> None:
    """Raises CannotStart when so many threads and those beside them are more than may be made."""
    free = _free()
    if free is not None and free < wanted + OTHERS:
        raise CannotStart(
            f"This process is to have up to {wanted + OTHERS} threads, and the container's limit of PIDs leaves {free}"
            f": raise that limit (docker run --pids-limit), or lower {setting}."
        )


def _free() -> int | None:
    """None: there is no limit, or none that can be read."""
    try:
        return int(PIDS_MAX.read_text(encoding="ascii")) - int(PIDS_CURRENT.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or "max"
        return None
