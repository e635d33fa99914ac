"""Server-Sent Events, as html.spec.whatwg.org (section 9.2) has them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from verify.outcomes import Failed

ENDS = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True)
class Event:
    """One event. ``data`` is JSON."""

    name: str
    id: str
    data: Any


def events_of(lines: Iterable[str]) -> Iterator[Event]:
    """The events, without comments. One that breaks off does not count. Raises Failed where data is not JSON."""
    fields: dict[str, list[str]] = {}
    last_id = ""
    for line in lines:
        name, _, value = line.partition(":")
        if not line:
            if "data" in fields:
                yield Event(fields.get("event", ["message"])[-1], last_id, _parsed("\n".join(fields["data"])))
            fields = {}
        elif name:
            fields.setdefault(name, []).append(value.removeprefix(" "))
            last_id = fields["id"][-1] if "id" in fields else last_id


def text_of(events: Iterable[Event], text: str = "") -> str:
    """The text that deltas make, behind ``text``; a reset empties it."""
    for event in events:
        if event.name == "reset":
            text = ""
        elif event.name == "delta":
            text += str(event.data["text"])
    return text


def _parsed(data: str) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        raise Failed("an event of the stream has data that is not JSON") from None
