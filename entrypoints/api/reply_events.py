"""The events of /message/{id}/stream in the OpenAPI document. messages.py writes them."""

from typing import Any

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
