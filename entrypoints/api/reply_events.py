"""The events of /message/{id}/stream: in the OpenAPI document, and as they are sent."""

from collections.abc import Generator
from contextlib import closing, suppress
from typing import Any

from flask import request

from application.chat.follow_reply import Delta, Ended, Heartbeat, Removed, Reset, Stream, Wait
from application.ports.reader import Entry
from application.ports.reply_stream import START, Chunk, Position
from entrypoints.api.entries import reply_json
from entrypoints.api.responses import to_json
from entrypoints.api.schemas import described

STREAM_DESCRIPTION = """Server-Sent Events of a reply, from its beginning or, with `Last-Event-ID`, from where the
client left off: while it is being written, on any device, and afterwards.

| event | data |
|---|---|
| `delta` | `{"text": …}`: more of the reply |
| `reset` | `{}`: discard the text so far; the reply is being written anew, or its text was not kept |
| `done`, `failed`, `cancelled` | the finished reply as in `GET /message/{id}`; the stream ends |
| `removed` | `{}`: the chatroom was removed meanwhile; the stream ends |

`data` is JSON in one line. A comment comes at least every few seconds. The stream ends by itself. An `EventSource`
connects again then, and stops at the answer: 204 to the `Last-Event-ID` of the ending event, 404 after `removed`."""

LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "schema": {"type": "string"},
    **described("The id of the last event that you have; browsers send it by themselves"),
}

REPLY_EVENT = {"$ref": "#/components/schemas/ReplyEvent"}

# After a broken connection, browsers reconnect after this time.
RECONNECT_MILLISECONDS = 1_000

# Longer positions in a Last-Event-ID are none of ours.
MAX_POSITION_DIGITS = 20

# Of the id of the event that ends a stream, so that it differs from that of the text before it.
END_SUFFIX = "-end"


def _event(names: list[str], data: dict[str, Any], text: str, *, has_id: bool = True) -> dict[str, Any]:
    members: dict[str, Any] = {"event": {"type": "string", "enum": names}, "data": data}
    if has_id:
        members["id"] = {"type": "string", **described("For `Last-Event-ID`")}
    return {"type": "object", "description": text, "properties": members, "required": sorted(members)}


_NOTHING = {"type": "object", "properties": {}}
_TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
_REPLY = {"$ref": "#/components/schemas/Entry"}

EVENT_SCHEMAS: dict[str, dict[str, Any]] = {
    "DeltaEvent": _event(["delta"], _TEXT, "More of the reply"),
    "ResetEvent": _event(["reset"], _NOTHING, "Discard the text so far"),
    "EndEvent": _event(["done", "failed", "cancelled"], _REPLY, "The finished reply; the stream ends"),
    "RemovedEvent": _event(["removed"], _NOTHING, "The chatroom was removed; the stream ends", has_id=False),
}
_NAMES = {name: event["properties"]["event"]["enum"] for name, event in EVENT_SCHEMAS.items()}
EVENT_SCHEMAS["ReplyEvent"] = {
    "description": "One event of the stream, with its `data` parsed",
    "oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in _NAMES],
    "discriminator": {
        "propertyName": "event",
        "mapping": {event: f"#/components/schemas/{name}" for name, events in _NAMES.items() for event in events},
    },
}


def last_event() -> tuple[Position, bool]:
    """The position in ``Last-Event-ID``, and whether the event was the last of its reply.

    The beginning where there is no position, or none of ours.
    """
    event_id = request.headers.get("Last-Event-ID", "")
    position = _position(event_id.removesuffix(END_SUFFIX))
    return (START, False) if position is None else (position, event_id.endswith(END_SUFFIX))


def is_end(entry: Entry, position: Position) -> bool:
    """Whether the events up to this position are the whole reply, which is finished."""
    turn = entry.turn
    return turn.reply_state.final and position == Position(turn.generation, len(turn.reply_content or ""))


def _position(text: str) -> Position | None:
    generation, _, characters = text.partition("-")
    if not all(part.isascii() and part.isdigit() for part in (generation, characters)):
        return None
    if len(generation + characters) >= MAX_POSITION_DIGITS:
        return None
    return Position(int(generation), int(characters))


def server_sent(events: Stream) -> Generator[bytes | Wait, Chunk | None, None]:
    """The format of html.spec.whatwg.org, section 9.2; waits are passed on."""
    yield b"retry: %d\n\n" % RECONNECT_MILLISECONDS
    chunk: Chunk | None = None
    with suppress(StopIteration), closing(events):
        while True:
            event = events.send(chunk)
            chunk = None
            match event:
                case Wait():
                    chunk = yield event
                case Delta(position, text):
                    yield _server_sent_event("delta", {"text": text}, position)
                case Reset(position):
                    yield _server_sent_event("reset", {}, position)
                case Ended(position, entry):
                    # The final states are also the names of the events.
                    reply = reply_json(entry.chatroom_id, entry.turn)
                    yield _server_sent_event(entry.turn.reply_state.value, reply, position, suffix=END_SUFFIX)
                case Removed():
                    yield b"event: removed\ndata: {}\n\n"
                case Heartbeat():
                    yield b": still here\n\n"


def _server_sent_event(name: str, data: dict[str, Any], position: Position, *, suffix: str = "") -> bytes:
    # JSON without line breaks: one `data` line.
    return b"id: %d-%d%s\nevent: %s\ndata: %s\n\n" % (*position, suffix.encode(), name.encode(), to_json(data))
