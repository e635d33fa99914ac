"""Runs a command against a service of its own, whose address is in BASE_URL.

    python -m tests.e2e.with_service [SETTING=VALUE ...] COMMAND [ARGUMENT ...]

What the service wrote is shown when the command fails; the status is the command's.
"""

import os
import subprocess
import sys
import tempfile
from itertools import takewhile
from pathlib import Path

from tests.e2e.service import running


def main(arguments: list[str]) -> int:
    settings = list(takewhile(lambda one: "=" in one, arguments))
    command = arguments[len(settings) :]
    with (
        tempfile.TemporaryDirectory() as directory,
        running(Path(directory), **dict(one.split("=", 1) for one in settings)) as service,
    ):
        status = subprocess.run(command, env={**os.environ, "BASE_URL": service.base}, check=False).returncode
        if status:
            print(service.said(), file=sys.stderr)  # noqa: T201 - who called wants to know
        return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
