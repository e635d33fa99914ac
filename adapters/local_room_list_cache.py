"""The cached chatroom lists in the memory of a process, in front of those that all processes share."""

from collections import OrderedDict
from threading import Lock

from application.ports.room_list_cache import RoomListCache
from domain.accounts import UserId

MAX_BYTES = 16_000_000
MAX_USERS = 10_000


class LocalRoomListCache(RoomListCache):
    """Keeps the pages that were used last: at most ``max_bytes`` of them, of at most ``max_users``.

    Nothing has to tell a process what another one changes: a page with another version is not looked at any more.
    """

    def __init__(self, shared: RoomListCache, *, max_bytes: int = MAX_BYTES, max_users: int = MAX_USERS) -> None:
        self._shared = shared
        self._max_bytes = max_bytes
        self._max_users = max_users
        # Never held while the shared cache is asked.
        self._lock = Lock()
        # The user whose page was used last comes last.
        self._pages: OrderedDict[UserId, tuple[int, bytes]] = OrderedDict()
        self._bytes = 0

    def get(self, user_id: UserId, version: int) -> bytes | None:
        with self._lock:
            kept, page = self._pages.get(user_id, (None, b""))
            if kept == version:
                self._pages.move_to_end(user_id)
                return page
        found = self._shared.get(user_id, version)
        if found is not None:
            self._keep(user_id, version, found)
        return found

    def put(self, user_id: UserId, version: int, page: bytes) -> None:
        self._keep(user_id, version, page)
        self._shared.put(user_id, version, page)

    def _keep(self, user_id: UserId, version: int, page: bytes) -> None:
        with self._lock:
            _, earlier = self._pages.pop(user_id, (0, b""))
            self._bytes -= len(earlier)
            if len(page) > self._max_bytes:
                return
            self._pages[user_id] = version, page
            self._bytes += len(page)
            while self._bytes > self._max_bytes or len(self._pages) > self._max_users:
                _, (_, oldest) = self._pages.popitem(last=False)
                self._bytes -= len(oldest)
