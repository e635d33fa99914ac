"""How a child is started: it ends with its parent, and does not run as root if it may not.

``setpriv`` (util-linux) does what needs system calls that Python has no names for; it is only put in front of the
command. Where it is missing (macOS, busybox), children outlive a supervisor that is killed with ``kill -9``
(docs/decisions/0015).
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from entrypoints.local_stack.errors import SupervisorError

# The kernel reports only the deaths that follow its being asked: this notices a parent that died just before.
UNLESS_ORPHANED = 'test "$PPID" = "$0" && exec "$@"'
FIRST_HIDDEN = 'for path; do test -r "$path" || { printf %s "$path"; break; }; done'

CAP_SETPCAP = 8
# What lets a process into directories of others, the smaller right first. Docker gives root only the larger one.
PASSES = {"dac_read_search": 2, "dac_override": 1}


class Account(NamedTuple):
    """A user of the operating system, by number."""

    uid: int
    gid: int


def command_line(command: Sequence[str], *, death_signal: signal.Signals, privileges: Sequence[str] = ()) -> list[str]:
    """What to execute so that ``command`` gets ``death_signal`` from the kernel when this thread ends, even by kill -9.

    The child has to be started by the calling thread, so use the main one. It keeps its process id and shows the
    command line of ``command`` in the end. ``privileges`` are options of setpriv.
    """
    setpriv = find_setpriv()
    if setpriv is None:
        return list(command)
    tied = ["--pdeathsig", death_signal.name, "/bin/sh", "-c", UNLESS_ORPHANED, str(os.getpid())]
    return [setpriv, *privileges, *tied, *command]


def as_account(account: Account, *, must_read: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """How root starts a child as ``account`` that can open ``must_read``: arguments of Popen, and options of setpriv.

    PostgreSQL refuses to run as root, but its programs and data may lie below a directory that only root may enter,
    such as /root. To open that to everybody would be a bad surprise. So the child keeps one capability: to pass
    through directories of others (which includes reading files of others), and only if it needs that.

    Raises SupervisorError if it needs it and this root user cannot give it.
    """
    user: dict[str, Any] = {"user": account.uid, "group": account.gid, "extra_groups": []}
    hidden = _hidden(user, must_read)
    if not hidden:
        return user, []
    kept = capability_to_keep(_permitted()) if find_setpriv() else None
    if kept is None:
        raise SupervisorError(
            f"user {account.uid} cannot reach {hidden}, and root has no way to let it in here: that takes setpriv (of"
            " util-linux) and CAP_SETPCAP with CAP_DAC_READ_SEARCH or CAP_DAC_OVERRIDE. Put DATA_DIR and the checkout"
            " where other users may enter, or do not run as root."
        )
    options = ["--reuid", str(account.uid), "--regid", str(account.gid), "--clear-groups"]
    # Without this bit access(2), by which Postgres looks for its own executable, ignores the capabilities of a process
    # whose real user is not root.
    options += ["--securebits", "+no_setuid_fixup"]
    return {}, [*options, "--inh-caps", f"-all,+{kept}", "--ambient-caps", f"-all,+{kept}"]


def capability_to_keep(permitted: int) -> str | None:
    """The least capability that opens directories of others, out of the bit set ``permitted``."""
    if not permitted >> CAP_SETPCAP & 1:
        return None
    return next((name for name, bit in PASSES.items() if permitted >> bit & 1), None)


@cache
def find_setpriv() -> str | None:
    """The path of a setpriv that can do all this; None if there is none (busybox has a lesser one)."""
    found = shutil.which("setpriv")
    if found is None:
        return None
    tried = subprocess.run([found, "--pdeathsig", "keep", "true"], capture_output=True, check=False)  # noqa: S603
    return found if tried.returncode == 0 else None


def _hidden(user: dict[str, Any], paths: Sequence[str]) -> str:
    """The first of ``paths`` that a process of this user cannot read."""
    line = ["/bin/sh", "-c", FIRST_HIDDEN, "sh", *paths]
    shown: str = subprocess.run(line, **user, cwd="/", stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603
    return shown


def _permitted() -> int:
    """The capabilities of this process (Linux), as a bit set."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapPrm:")), 0)
