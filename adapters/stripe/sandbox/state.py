"""Where the stand-in for Stripe keeps its objects: in memory, or in a file that several processes share."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any, Protocol

import orjson

Json = dict[str, Any]


@dataclass(slots=True)
class Objects:
    """Stripe's objects by id, ``answers`` by idempotency key, and the events to be sent (``outbox``)."""

    customers: dict[str, Json] = field(default_factory=dict)
    sessions: dict[str, Json] = field(default_factory=dict)
    subscriptions: dict[str, Json] = field(default_factory=dict)
    invoices: dict[str, Json] = field(default_factory=dict)
    charges: dict[str, Json] = field(default_factory=dict)
    refunds: dict[str, Json] = field(default_factory=dict)
    portals: dict[str, Json] = field(default_factory=dict)
    answers: dict[str, Json] = field(default_factory=dict)
    outbox: list[Json] = field(default_factory=list)


class State(Protocol):
    """Locks the objects, and keeps what was changed in them."""

    def __call__(self) -> AbstractContextManager[Objects]: ...


class StateInMemory(State):
    def __init__(self) -> None:
        self._objects = Objects()
        self._lock = RLock()

    @contextmanager
    def __call__(self) -> Iterator[Objects]:
        with self._lock:
            yield self._objects


class StateInFile(State):
    """Shared by all processes on a machine through the file at ``path``: read under a lock, and replaced atomically."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = RLock()

    def check(self) -> None:
        """Raises ValueError, which names the file, when it cannot be read."""
        try:
            with self():
                pass
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{self._path} is damaged: delete it, and what was bought in the sandbox is gone"
            ) from error

    @contextmanager
    def __call__(self) -> Iterator[Objects]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock, self._path.with_suffix(".lock").open("w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            before = self._path.read_bytes() if self._path.exists() else b"{}"
            objects = Objects(**orjson.loads(before))
            yield objects
            after = orjson.dumps(asdict(objects))
            if after != before:
                draft = self._path.with_suffix(".new")
                draft.write_bytes(after)
                os.replace(draft, self._path)  # noqa: PTH105 - atomic, even if the process is killed
