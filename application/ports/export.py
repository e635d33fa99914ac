"""The export of an account."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from domain.accounts import UserId

Record = Mapping[str, Any]


class Export(Protocol):
    def __call__(self, user_id: UserId) -> Iterator[Record]:
        """Yields everything of a user as records with a ``type``, the account first; nothing for an unknown user.

        It reads in pages, so that a slow client holds neither memory nor a connection. Raises DependencyDown, also
        between records.
        """
