"""What other processes of this machine are."""

import os
import subprocess
from pathlib import Path


def command_line_of(pid: int) -> str:
    """The words of a process's command line, separated by blanks; empty if there is none."""
    if os.uname().sysname == "Linux":
        # Read directly: small container images have no ps.
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return ""
        return words.replace(b"\0", b" ").decode(errors="replace").strip()
    line = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    shown = subprocess.run(line, capture_output=True, check=False)  # noqa: S603 (no shell, a number)
    return shown.stdout.decode(errors="replace").strip()
