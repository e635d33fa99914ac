"""Chatrooms, as a unit of work writes them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from domain.accounts import UserId
from domain.chat import Chatroom, ChatroomId
from domain.replies import ReplyId
from domain.retention import ROWS_PER_BATCH


class Purged(NamedTuple):
    """How many rows were deleted, and which of the replies may still have a stream."""

    chatrooms: int
    messages: int
    replies: int
    with_stream: Sequence[ReplyId]


class Chatrooms(Protocol):
    def add(self, chatroom: Chatroom, *, limit: int) -> None:
        """Raises TooManyChatrooms when its user has ``limit`` already; TokenInvalid when its user was erased.

        Concurrent calls do not exceed it, unless the user's list has not changed before (version 0).
        """

    def assert_owned(self, chatroom_id: ChatroomId, *, by: UserId) -> None:
        """Raises ChatroomNotFound unless the chatroom is ``by``'s.

        It is locked against deletion until the unit of work ends.
        """

    def owned(self, chatroom_id: ChatroomId, *, by: UserId) -> Chatroom:
        """The chatroom, locked until the unit of work ends. Raises ChatroomNotFound unless it is ``by``'s."""

    def change(self, chatroom: Chatroom) -> None:
        """Stores what ``Chatroom.changed`` and ``Chatroom.placed`` have changed of a stored chatroom."""

    def check_pinned(self, user_id: UserId, *, limit: int) -> None:
        """Raises TooManyPinned when the user has pinned ``limit`` already. Concurrent calls may pin a few more."""

    def note_message(self, chatroom_id: ChatroomId, title: str, *, at: datetime) -> str | None:
        """Gives a chatroom that has no name this title, unless that is empty, and takes it out of the archive.

        A name is never replaced. Returns the title if it became the name.
        """

    def remove(self, chatroom: Chatroom, *, limit: int = ROWS_PER_BATCH) -> Sequence[ReplyId]:
        """Removes a chatroom that ``owned`` has locked: no call and no query of its user finds it, or anything in it.

        Its unfinished replies and its ``limit`` newest messages are deleted, and ``purge_removed`` deletes the rest.
        Returns the deleted replies that may still have a stream.
        """

    def purge_removed(self, *, limit: int) -> Purged:
        """Deletes at most ``limit`` messages of removed chatrooms, as many replies, and the chatrooms that are empty.

        Concurrent calls take different chatrooms.
        """
