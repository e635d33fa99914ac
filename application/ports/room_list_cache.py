"""The first page of a user's chatroom list, as it was last shown."""

from typing import NamedTuple, Protocol

from domain.accounts import UserId


class Lookup(NamedTuple):
    """``page`` None: not cached. ``version`` goes with the page that is put in its place."""

    page: bytes | None
    version: bytes | None


class RoomListCache(Protocol):
    """Forgets rather than lies. No method raises: without its server it holds nothing."""

    def get(self, user_id: UserId) -> Lookup:
        """What is cached for the user."""

    def put(self, user_id: UserId, page: bytes, *, version: bytes | None) -> None:
        """Keep a page that was read after ``get`` gave ``version``; not kept if it was dropped in between."""

    def drop(self, user_id: UserId) -> None:
        """Forget the user's page, and any that is being read right now."""
