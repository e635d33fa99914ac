"""Searching what a user has said and been told."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from application.ports.reader import ChatroomSummary
from domain.accounts import UserId
from domain.chat import ChatroomId, MessageId
from domain.replies import ReplyId
from domain.search import SearchQuery

EntryId = MessageId | ReplyId

# What is older has been made searchable, unless workers are behind.
SETTLED_AFTER = timedelta(minutes=1)


class FoundEntry(NamedTuple):
    """A message or a reply. ``content``: as much of it as is searched."""

    id: EntryId
    chatroom_id: ChatroomId
    chatroom_name: str
    is_reply: bool
    content: str
    created_at: datetime


class FoundPage(NamedTuple):
    """``next_before``: the cursor of the next page; None on the last one.

    ``complete``: no entry, of any user, that was there SETTLED_AFTER ago waits for being made searchable.
    """

    entries: Sequence[FoundEntry]
    next_before: EntryId | None
    complete: bool


class Search(Protocol):
    """Every method raises DependencyDown("database") when the database does not answer."""

    def entries(self, user_id: UserId, query: SearchQuery, *, limit: int, before: EntryId | None) -> FoundPage:
        """At most ``limit`` of the user's messages and replies that match, the newest first, older than ``before``.

        Of those alone that ``SearchIndex`` has, and whose chatrooms are not removed. Raises SearchTooBroad when that
        takes too long.
        """

    def chatrooms(self, user_id: UserId, *, limit: int) -> Sequence[ChatroomSummary]:
        """At most ``limit`` of the user's chatrooms, the newest first, whether they are archived or not."""


class Unsearchable(NamedTuple):
    """A message or a reply that cannot be found yet. ``owner`` None: its chatroom is removed."""

    id: EntryId
    is_reply: bool
    owner: UserId | None
    content: str


class Searchable(NamedTuple):
    """What a message or a reply can be found by."""

    id: EntryId
    is_reply: bool
    owner: UserId | None
    terms: Collection[str]


class SearchIndex(Protocol):
    """Both raise DependencyDown("database") when the database does not answer."""

    def unsearchable(self, *, limit: int) -> Sequence[Unsearchable]:
        """At most ``limit`` messages and as many replies with text that has ended, all of them among the newest.

        Which of them is not promised, so that workers that ask at the same moment may get different ones.
        """

    def add(self, entries: Sequence[Searchable]) -> None:
        """Has entries found.

        What was deleted meanwhile or is being changed is passed over; what is there already stays.
        """
