"""The last step before a child's program: tie it to its parent, change the user, execute.

Runs as `python -I -S launch.py [options] -- PROGRAM ARGUMENT…`, by its path, so that it is found
whatever the working directory and PYTHONPATH are, and so that nothing lying about in the working
directory is imported while this process may still be root. It replaces itself with the program:
the process keeps its id and shows the program's own command line.

A separate program, rather than `preexec_fn`, because Python code between fork and exec may hang
in a parent with threads.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from entrypoints import parent_death
from entrypoints.local_stack import privileges
from entrypoints.local_stack.errors import SupervisorError

CANNOT_LAUNCH = 126  # the shell's status for "found, but cannot be executed"


def command_line(
    command: Sequence[str],
    *,
    death_signal: signal.Signals,
    account: privileges.Account | None = None,
    must_read: Sequence[str] = (),
) -> list[str]:
    """What to execute so that `command` runs as a child of *this* process and dies with it.

    With `account`, which takes root, the program runs as that user and can open `must_read`.
    """
    line = [sys.executable, "-I", "-S", str(Path(__file__).resolve())]
    line += ["--parent", str(os.getpid()), "--death-signal", death_signal.name]
    if account is not None:
        line += ["--become", f"{account.uid}:{account.gid}"]
        line += [word for path in must_read for word in ("--must-read", path)]
    return [*line, "--", *command]


def main(arguments: Sequence[str]) -> int:
    """Become the program. Returns (a status, after a line on stderr) only if that failed."""
    options = _parse(arguments)
    # The death signal may come at any moment, and it should not end in a KeyboardInterrupt.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        if options.become is not None:
            privileges.become(options.become, must_read=[*options.must_read, options.command[0]])
        # After the change of user, which clears it.
        parent_death.die_with_parent(options.death_signal, parent=options.parent)
        os.execvp(options.command[0], options.command)  # noqa: S606 (that is the purpose)
    except (SupervisorError, OSError) as fault:
        sys.stderr.write(f"cannot start {options.command[0]}: {fault}\n")
    return CANNOT_LAUNCH


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="launch", allow_abbrev=False)
    parser.add_argument("--parent", type=int)
    parser.add_argument("--death-signal", type=_signal, default=signal.SIGKILL)
    parser.add_argument("--become", type=_account, metavar="UID:GID")
    parser.add_argument("--must-read", action="append", default=[], metavar="PATH")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


def _signal(name: str) -> signal.Signals:
    return signal.Signals[name]


def _account(text: str) -> privileges.Account:
    uid, _, gid = text.partition(":")
    return privileges.Account(int(uid), int(gid))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
