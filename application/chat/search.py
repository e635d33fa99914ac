"""Users search their chatrooms, messages and replies; workers make new ones searchable."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from application.ports.rate_limiter import Hit, Limit, RateLimiter
from application.ports.reader import ChatroomSummary
from application.ports.search import EntryId, FoundEntry, Search, Searchable, SearchIndex
from domain.accounts import UserId
from domain.search import Passage, SearchQuery, terms_in

SEARCHES = Limit("search", 60, timedelta(minutes=1))
DEFAULT_ENTRIES_PER_PAGE = 20
# Of so many chatrooms, the newest, names are compared.
NAMES_COMPARED = 1_000
CHATROOMS_SHOWN = 10
ENTRIES_PER_BATCH = 50


class NamedChatroom(NamedTuple):
    """A chatroom whose name matches."""

    room: ChatroomSummary
    name: Passage


class ShownEntry(NamedTuple):
    """A message or a reply that matches, with the part of it to show."""

    entry: FoundEntry
    passage: Passage


class Found(NamedTuple):
    """``chatrooms``: on the first page only. ``complete``: nothing of longer than a minute ago is missing."""

    chatrooms: Sequence[NamedChatroom]
    entries: Sequence[ShownEntry]
    next_before: EntryId | None
    complete: bool


@dataclass(frozen=True, slots=True)
class SearchChats:
    """Searches a user's own chatrooms by name, and messages and replies by their text."""

    search: Search
    rate_limiter: RateLimiter

    def __call__(
        self, *, user_id: UserId, text: str, limit: int = DEFAULT_ENTRIES_PER_PAGE, before: EntryId | None = None
    ) -> Found:
        """Returns a page of what has all words of ``text``, the newest first.

        Raises InvalidValue, RateLimited beyond SEARCHES, and SearchTooBroad.
        """
        query = SearchQuery.of(text)
        (status,) = self.rate_limiter([Hit(SEARCHES, str(user_id))])
        if status.exceeded:
            raise status.refusal()
        page = self.search.entries(user_id, query, limit=limit, before=before)
        entries = [ShownEntry(entry, query.passage(entry.content)) for entry in page.entries]
        chatrooms = self._named(user_id, query) if before is None else []
        return Found(chatrooms, entries, page.next_before, page.complete)

    def _named(self, user_id: UserId, query: SearchQuery) -> Sequence[NamedChatroom]:
        rooms = self.search.chatrooms(user_id, limit=NAMES_COMPARED)
        matching = [room for room in rooms if query.matches(room.name)][:CHATROOMS_SHOWN]
        return [NamedChatroom(room, query.passage(room.name)) for room in matching]


@dataclass(frozen=True, slots=True)
class IndexEntries:
    """Makes messages and replies searchable that are not yet: those that are new, and those of earlier releases."""

    search_index: SearchIndex
    batch: int = ENTRIES_PER_BATCH

    def __call__(self) -> bool:
        """Takes a batch from among the newest; whether there may be more."""
        entries = self.search_index.unsearchable(limit=self.batch)
        if not entries:
            return False
        # Outside of any transaction: this takes longer than storing what comes of it.
        searchable = [
            Searchable(one.id, one.is_reply, one.owner, terms_in(one.content) if one.owner else ()) for one in entries
        ]
        self.search_index.add(searchable)
        return len(entries) >= self.batch
