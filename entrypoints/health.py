"""``python -m entrypoints.health DATA_DIR PORT``: is the process of this container well? Exit status 0 if it is.

For the image's HEALTHCHECK and for probes of workers, every few seconds: so nothing but the standard library is loaded.
"""

import http.client
import socket
import sys
import time
from pathlib import Path

# Longer than a turn of the loop lasts while the database is silent, or while very much expires at once.
SILENT_SECONDS = 90.0
# Less than the time-out of the image's check.
ANSWER_SECONDS = 4.0


def sign_of_life(data_dir: Path) -> Path:
    """The file that workers of this host touch. Containers have names of their own, also where they share a volume."""
    return data_dir / f"worker-{socket.gethostname()}.alive"


def is_well(data_dir: Path, port: int) -> bool:
    """Whether the worker here has shown a sign of life; where there is no worker, whether the web server answers."""
    try:
        touched = sign_of_life(data_dir).stat().st_mtime
    except FileNotFoundError:
        return _answers(port)
    return time.time() - touched < SILENT_SECONDS


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_well(Path(sys.argv[1]), int(sys.argv[2])) else 1)
