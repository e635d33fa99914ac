"""Finds in a body what implementations call and nest differently."""

from collections.abc import Iterator
from typing import Any

from verify.http import Exchange
from verify.outcomes import Failed

USERS = frozenset({"user", "human"})
_UNFINISHED = frozenset({"queued", "running", "pending", "processing"})


def value(exchange: Exchange, *names: str) -> Any:
    """What the first of these names that there is stands for, at the top or within an object. Raises Failed."""
    for found in _objects(exchange.json()):
        for name in names:
            if found.get(name) is not None:
                return found[name]
    raise Failed(f"{exchange.line} answers {exchange.status} without {' or '.join(names)}")


def text(exchange: Exchange, *names: str) -> str:
    return str(value(exchange, *names))


def entries(exchange: Exchange, name: str) -> list[dict[str, Any]]:
    """The list that is the body, or that has this name. Raises Failed."""
    body = exchange.json()
    found = body if isinstance(body, list) else value(exchange, name)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Failed(f"{exchange.line} answers {exchange.status} without a list of {name}")
    return found


def id_of(entry: dict[str, Any]) -> str:
    return str(entry.get("id", entry.get("_id", "")))


def words_of(entry: dict[str, Any]) -> str:
    return str(entry.get("content", entry.get("message", entry.get("text", ""))))


def is_of_the_user(entry: dict[str, Any]) -> bool:
    return str(entry.get("role", entry.get("sender", "user"))).lower() in USERS


def is_finished_reply(entry: dict[str, Any]) -> bool:
    return not is_of_the_user(entry) and str(entry.get("status", "done")).lower() not in _UNFINISHED


def _objects(body: Any, depth: int = 3) -> Iterator[dict[str, Any]]:
    """The body and the objects within it, the outer ones first."""
    level = [body]
    for _ in range(depth):
        objects = [one for one in level if isinstance(one, dict)]
        yield from objects
        level = [below for one in objects for below in one.values()]
