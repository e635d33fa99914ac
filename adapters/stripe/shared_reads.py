"""One answer for all who ask the same at the same time."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedReads(Generic[T]):
    """Reads of one key take turns: one is under way, and all who come meanwhile share the next one.

    An answer is asked for after every call that it is given to had begun, so it is never older than their own would be.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._under_way: dict[str, Future[T]] = {}
        self._next: dict[str, Future[T]] = {}

    def __call__(self, key: str, read: Callable[[], T]) -> T:
        with self._lock:
            before = self._under_way.get(key)
            shared = self._next.get(key) if before is not None else None
            mine: Future[T] = Future()
            if shared is None:
                (self._under_way if before is None else self._next)[key] = mine
        if shared is not None:
            return shared.result()
        if before is not None:
            before.exception()  # waits; what became of it is not ours
            with self._lock:
                self._under_way[key] = self._next.pop(key)
        return self._read(key, mine, read)

    def _read(self, key: str, mine: "Future[T]", read: Callable[[], T]) -> T:
        try:
            answer = read()
        except BaseException as error:
            self._end(key, mine)
            mine.set_exception(error)
            raise
        self._end(key, mine)
        mine.set_result(answer)
        return answer

    def _end(self, key: str, mine: "Future[T]") -> None:
        with self._lock:
            if self._under_way.get(key) is mine:
                del self._under_way[key]
