"""Whether this process may have the threads that it is set to have: one refused is a request lost."""

import os
import resource
from pathlib import Path

from application.operations.startup import CannotStart

# How many processes and threads a container may have (docs.kernel.org/admin-guide/cgroup-v2.html#pid), and has.
PIDS_MAX = Path("/sys/fs/cgroup/pids.max")
PIDS_CURRENT = Path("/sys/fs/cgroup/pids.current")
PROC = Path("/proc")
# Beside those for requests or replies: clients of servers, watchdogs, metrics, hashes, a shell that looks in.
OTHERS = 32
# CAP_SYS_ADMIN and CAP_SYS_RESOURCE: RLIMIT_NPROC does not hold for who has one of them (getrlimit(2)).
EXEMPT = 1 << 21 | 1 << 24


def check_threads(wanted: int, setting: str) -> None:
    """Raises CannotStart when so many threads and those beside them are more than may be made."""
    limits = (
        ("the container's limit of PIDs", "docker run --pids-limit", _free_of_container()),
        ("the limit of this user's processes", "ulimit -u, LimitNPROC= of systemd", _free_of_user()),
    )
    for limit, raised_by, free in limits:
        if free is not None and free < wanted + OTHERS:
            raise CannotStart(
                f"This process is to have up to {wanted + OTHERS} threads, and {limit} leaves {max(free, 0)}"
                f": raise that limit ({raised_by}), or lower {setting}."
            )


def _free_of_container() -> int | None:
    """None: there is no limit, or none that can be read."""
    try:
        return int(PIDS_MAX.read_text(encoding="ascii")) - int(PIDS_CURRENT.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or "max"
        return None


def _free_of_user() -> int | None:
    """None: there is no limit, it does not hold for this process, or there is no /proc."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    user = os.getuid()
    ours = _status(PROC / "self")
    if limit == resource.RLIM_INFINITY or user == 0 or not ours or int(ours["CapEff"], 16) & EXEMPT:
        return None
    processes = (_status(path) for path in PROC.iterdir() if path.name.isdecimal())
    return limit - sum(int(one["Threads"]) for one in processes if one and int(one["Uid"].split()[0]) == user)


def _status(process: Path) -> dict[str, str]:
    """What Linux says of a process; nothing of one that has ended."""
    try:
        lines = (process / "status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
