"""A cache of the rendered first page of each user's chatroom list."""

from typing import Protocol

from domain.accounts import UserId


class RoomListCache(Protocol):
    """Holds a page under the version of the list, which the database keeps: ``Reader.principal_with_list_version``.

    The version is read before the page, so a page may be newer than its version, and is never older. No method raises:
    without its server the cache is empty.
    """

    def get(self, user_id: UserId, version: int) -> bytes | None:
        """The page that was put under this version; None when it is not cached, or another version is."""

    def put(self, user_id: UserId, version: int, page: bytes) -> None:
        """Stores a page that was read after its version, in place of the user's other one."""
