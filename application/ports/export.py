"""All that is a user's, for the user to take away."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from domain.accounts import UserId

Record = Mapping[str, Any]


class Export(Protocol):
    """Reads everything that is a user's."""

    def __call__(self, user_id: UserId) -> Iterator[Record]:
        """Record by record, each with its ``type``, the account first; nothing for a user who is gone.

        Read in pages: neither the memory nor a connection is held for as long as the client takes to read.
        DependencyDown when the database does not answer, at the beginning or in between.
        """
