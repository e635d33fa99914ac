"""The worker process: settings -> container -> worker."""

import sys

from application.operations.startup import CannotStart
from entrypoints.container.build import build_worker, check_servers
from entrypoints.logs import configure_logs
from entrypoints.settings import load_settings
from entrypoints.worker.run import run_worker

if __name__ == "__main__":
    settings = load_settings()
    configure_logs(settings.log_level)
    try:
        check_servers(settings)
    except CannotStart as reason:
        sys.exit(str(reason))
    run_worker(build_worker(settings))
