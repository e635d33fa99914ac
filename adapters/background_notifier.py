"""Notifies workers in a thread of its own, so that no request waits for the server that carries notifications."""

import time
from threading import Event, Lock, Thread

import structlog

from application.ports.worker_notifier import WorkerNotifier

# The first message of a moment is notified at once, those that follow it within this time together.
PAUSE_SECONDS = 0.005

log = structlog.get_logger(__name__)


class BackgroundNotifier(WorkerNotifier):
    """Notifies through another notifier. What is still to be told when the process ends is lost."""

    def __init__(self, notifier: WorkerNotifier) -> None:
        self._notifier = notifier
        self._due = Event()
        self._lock = Lock()
        self._thread: Thread | None = None

    def notify(self) -> None:
        self._due.set()
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                thread = Thread(target=self._notify_for_ever, name="notifications", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    # There are as many threads as there may be. The message was accepted, and is found without this.
                    log.warning("notify_failed", error=type(error).__name__)
                else:
                    self._thread = thread

    def _notify_for_ever(self) -> None:
        while self._due.wait():
            # Cleared first: what becomes due from here on is notified after this.
            self._due.clear()
            try:
                self._notifier.notify()
            except Exception:
                # An error must not end the thread: no later message would be notified.
                log.exception("notification_failed")
            time.sleep(PAUSE_SECONDS)
