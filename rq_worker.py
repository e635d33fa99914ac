"""The worker process: settings -> container -> worker."""

from entrypoints.container.build import build_worker
from entrypoints.logs import configure_logs
from entrypoints.settings import load_settings
from entrypoints.worker.run import run_worker

if __name__ == "__main__":
    settings = load_settings()
    configure_logs(settings.log_level)
    run_worker(build_worker(settings))
