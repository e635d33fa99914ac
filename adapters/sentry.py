"""Errors, told to Sentry. Needs the extra ``sentry``."""

from collections.abc import Mapping
from typing import Any, cast

from sentry_sdk.client import Client
from sentry_sdk.transport import Transport
from sentry_sdk.types import Event, Hint
from sentry_sdk.utils import event_from_exception

from application.ports.observation import ReportError

SECONDS_TO_CLOSE = 2.0
# What is left of an event. What the SDK adds in a later release stays out until it is named here.
KEPT = (
    "event_id",
    "timestamp",
    "level",
    "platform",
    "release",
    "environment",
    "logger",
    "transaction",
    "tags",
    "exception",
    "sdk",
)
KEPT_OF_FRAMES = ("filename", "abs_path", "module", "function", "lineno", "in_app")


class SentryErrors(ReportError):
    """A client without integrations and apart from the SDK's global one: nothing else than errors is sent."""

    def __init__(
        self, dsn: str, *, environment: str, release: str | None, transport: type[Transport] | None = None
    ) -> None:
        self._client = Client(
            dsn=dsn,
            environment=environment,
            release=release,
            transport=transport,
            default_integrations=False,
            auto_enabling_integrations=False,
            auto_session_tracking=False,
            include_local_variables=False,
            include_source_context=False,
            max_request_body_size="never",
            max_breadcrumbs=0,
            before_send=_only_the_facts,
        )

    def __call__(self, error: BaseException, *, event: str, facts: Mapping[str, str]) -> None:
        told, hint = event_from_exception(error, client_options=self._client.options)
        told["logger"] = event
        told["tags"] = {name: value for name, value in facts.items() if name != "route"}
        if "route" in facts:
            told["transaction"] = facts["route"]
        self._client.capture_event(told, hint)

    def close(self) -> None:
        """Send what was not sent yet, as far as that takes no longer than two seconds."""
        self._client.close(timeout=SECONDS_TO_CLOSE)


def _only_the_facts(event: Event, _hint: Hint) -> Event:
    kept: dict[str, Any] = {name: value for name, value in event.items() if name in KEPT}
    kept["exception"] = {"values": [_without_words(one) for one in kept.get("exception", {}).get("values", [])]}
    return cast("Event", kept)


def _without_words(error: Mapping[str, Any]) -> dict[str, Any]:
    """The type of an exception and where it was raised; not its message, which may quote what a user wrote."""
    frames = (error.get("stacktrace") or {}).get("frames", [])
    told = [{name: frame[name] for name in KEPT_OF_FRAMES if name in frame} for frame in frames]
    return {"type": error.get("type"), "module": error.get("module"), "stacktrace": {"frames": told}}
