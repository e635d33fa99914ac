"""The web server: granian in front of wsgi.py."""

from typing import TYPE_CHECKING

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

from entrypoints.cpu_affinity import keep_to_one_core
from entrypoints.parent_death import die_with_parent
from entrypoints.settings import Settings

if TYPE_CHECKING:
    from flask import Flask


def serve(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM; requests that are running are finished."""
    Granian(
        "entrypoints.web:app",
        factory=True,
        interface=Interfaces.WSGI,
        address=settings.host,
        port=settings.port,
        # Every open stream keeps a thread; how many requests are worked on at once the application bounds. Granian
        # warns that they are more than cores.
        blocking_threads=settings.web_threads + settings.stream_threads,
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.error,
        respawn_failed_workers=True,
        workers_kill_timeout=10,
        process_name="gemini-chat web",
    ).serve()
    return 0


def app() -> "Flask":
    """The application, in the process that granian started for it."""
    # Granian watches its workers; this is for the day when granian itself is killed.
    die_with_parent()
    from wsgi import app as application  # noqa: PLC0415 - in this process, not in the one that starts it
    from wsgi import settings  # noqa: PLC0415

    if settings.one_core:
        keep_to_one_core()
    return application
