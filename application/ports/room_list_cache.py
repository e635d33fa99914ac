"""A cache of the rendered first page of each user's chatroom list."""

from typing import NamedTuple, Protocol

from domain.accounts import UserId


class Lookup(NamedTuple):
    """``page`` None: not cached. ``version`` has to be passed to ``put``."""

    page: bytes | None
    version: bytes | None


class RoomListCache(Protocol):
    """Never serves a stale page. No method raises: without its server the cache is empty."""

    def get(self, user_id: UserId) -> Lookup: ...

    def put(self, user_id: UserId, page: bytes, *, version: bytes | None) -> None:
        """Stores a page read after ``get`` returned ``version``, unless ``drop`` was called in between."""

    def drop(self, user_id: UserId) -> None:
        """Removes the user's page, and invalidates one that is being read at the moment."""
