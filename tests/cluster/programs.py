"""Programs that no wheel brings."""

import os
import shutil

# The folder that Debian's packages do not put into everybody's PATH.
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"


def find_pgbouncer() -> str | None:
    return shutil.which("pgbouncer", path=PATH)
