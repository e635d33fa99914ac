"""A client that watches a reply being written, over HTTP."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

import httpx

from tests.e2e.service import Person, until
from tests.fakes.gemini_server import pieces_of

# A reply, and as much of it as there is when the model falls silent before the last chunk.
TEXT = "Once upon a time there was a message 🌈 and it was given a reply नमस्ते\n\nThe end."
HALF = "".join(pieces_of(TEXT)[:-1])

ENDINGS = frozenset({"done", "failed", "cancelled"})


class NotNow(Exception):
    """The service says 503: something it needs is down at this moment."""


@dataclass(frozen=True, slots=True)
class ServerSent:
    name: str
    id: str
    data: dict[str, Any]


def server_sent(lines: Iterator[str]) -> Iterator[ServerSent | None]:
    """The events of a stream as html.spec.whatwg.org has them; None for a comment."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line.startswith(":"):
            yield None
        elif line:
            fields[name] = value
        elif fields:
            if "event" in fields:
                yield ServerSent(fields["event"], fields["id"], json.loads(fields["data"]))
            fields = {}


@contextmanager
def stream(person: Person, entry_id: str, *, after: str | None = None) -> Iterator[Iterator[ServerSent | None]]:
    """The events of a reply, each as it comes; leaving the block hangs up."""
    headers = {"Last-Event-ID": after} if after is not None else {}
    with (
        person.service.http(person.token) as http,
        http.stream("GET", f"/message/{entry_id}/stream", headers=headers) as answer,
    ):
        if answer.status_code == 503:
            raise NotNow
        assert answer.status_code == 200, answer.read()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        yield server_sent(answer.iter_lines())


def events_of(person: Person, entry_id: str, *, after: str | None = None) -> list[ServerSent]:
    """All events of a reply, from ``after`` to the end."""
    with stream(person, entry_id, after=after) as events:
        return [event for event in events if event is not None]


@dataclass
class Watcher:
    """Watches in a thread of its own, and comes back by itself with the last id it has seen, as a browser does."""

    person: Person
    entry_id: str
    text: str = ""
    after: str | None = None
    events: list[ServerSent] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def names(self) -> list[str]:
        """What has come, without the chunks of text."""
        return [event.name for event in self.events if event.name != "delta"]

    def saw(self, text: str) -> None:
        """Wait until it has seen just that."""
        until(f"the watcher sees {text!r}", lambda: self.text == text)

    def end(self) -> ServerSent:
        """The last event, once it is there."""
        until("the stream has ended", lambda: not self._thread.is_alive())
        assert self.events, "the stream ended without a word"
        return self.events[-1]

    def _watch(self) -> None:
        def ended() -> bool:
            after = self.events[-1].id if self.events else self.after
            try:
                with stream(self.person, self.entry_id, after=after) as events:
                    self.connections += 1
                    for event in events:
                        if event is not None:
                            self._take(event)
            except (httpx.TransportError, NotNow):
                return False
            return bool(self.names) and self.names[-1] in ENDINGS

        until("the stream has ended", ended)

    def _take(self, event: ServerSent) -> None:
        self.events.append(event)
        if event.name == "reset":
            self.text = ""
        elif event.name == "delta":
            self.text += event.data["text"]
