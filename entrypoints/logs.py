"""Structured logs: JSON lines, or something for people when standard error is a terminal.

No secrets, codes, tokens, phone numbers or prompts: events carry ids and counts.
"""

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog

from application.ports.observation import ReportError

# What is reported of a log line with an error.
REPORTED = ("request_id", "route", "reply_id", "attempt", "trace_id", "process")


def configure_logs(level: str, *, process: int | None = None) -> None:
    """Let structlog and the libraries' own loggers write one format to standard error.

    ``process``: stands in each line, to tell several processes of one command apart.
    """
    for_people = sys.stderr.isatty()
    shared: list[Any] = [
        *([_numbered(process)] if process is not None else []),
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True) if for_people else _add_timestamp,
    ]
    renderers = _renderers(for_people=for_people)
    # Our own events do not go through the standard library's logging: that would double what a line costs.
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # RQ's worker prints each job; a notification is not worth a line.
    for noisy in ("rq.worker", "rq.queue", "alembic", "httpx", "stripe"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


def report_errors_to(report: ReportError) -> None:
    """Have the errors of our own log lines reported as well, with ids and the route."""

    def report_error(_logger: Any, _method: str, event: Any) -> Any:
        error = event.get("exc_info")
        error = sys.exc_info()[1] if error is True else error
        if isinstance(error, BaseException):
            known = {**structlog.contextvars.get_contextvars(), **event}
            # A line must be written whatever becomes of the report.
            with suppress(Exception):
                report(
                    error, event=event["event"], facts={name: str(known[name]) for name in REPORTED if known.get(name)}
                )
        return event

    # In place, as structlog.testing does: loggers keep the list that they were first used with.
    structlog.get_config()["processors"].insert(0, report_error)


def _numbered(process: int) -> Callable[..., dict[str, Any]]:
    def add_process(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event.setdefault("process", process)
        return event

    return add_process


def _add_timestamp(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    event["timestamp"] = datetime.now(UTC)
    return event


def _renderers(*, for_people: bool) -> list[Any]:
    if for_people:
        # Plain tracebacks: the rich ones show the values of local variables, prompts and codes among them.
        return [
            structlog.dev.ConsoleRenderer(
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_to_json)]


def _to_json(event: dict[str, Any], **_: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_UTC_Z).decode()
