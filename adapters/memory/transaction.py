"""Transactions on the tables in memory, and what the repositories that work in one have in common."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from adapters.memory.tables import MemoryDatabase

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R", bound="Repository")


class Transaction:
    """A copy of the tables to work on, at the time at which the transaction began.

    With ``autocommit`` the first write is committed as soon as it succeeds, and a second one raises RuntimeError.
    """

    def __init__(self, database: MemoryDatabase, *, autocommit: bool = False) -> None:
        self.tables = database.tables.copy()
        self.now = database.clock()
        self._database = database
        self._autocommit = autocommit
        self._written = False
        self._depth = 0

    @contextmanager
    def write(self) -> Iterator[None]:
        """One write. Writes inside of it belong to it."""
        if self._autocommit and self._written and not self._depth:
            raise RuntimeError("a second write in a unit of work that commits by itself")
        self._written = True
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        if self._autocommit and not self._depth:
            self.commit()

    def commit(self) -> None:
        self._database.commit(self.tables)


class Repository:
    """The base of repositories that work in one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._tables = transaction.tables
        self._now = transaction.now


def writes(method: Callable[Concatenate[R, P], T]) -> Callable[Concatenate[R, P], T]:
    """Marks the methods of a repository that change tables: each call is one write of its transaction."""

    @wraps(method)
    def write(self: R, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._transaction.write():
            return method(self, *args, **kwargs)

    return write
