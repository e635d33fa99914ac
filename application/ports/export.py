"""The exports of an account, and of one chatroom."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from domain.accounts import UserId
from domain.chat import ChatroomId
from domain.replies import FailureReason, ReplyState

Record = Mapping[str, Any]


class Export(Protocol):
    def __call__(self, user_id: UserId) -> Iterator[Record]:
        """Yields everything of a user as records with a ``type``, the account first; nothing for an unknown user.

        It reads in pages, so that a slow client holds neither memory nor a connection. Raises DependencyDown, also
        between records.
        """


class ExportedTurn(NamedTuple):
    """A message and the reply that shows in the conversation."""

    content: str
    sent_at: datetime
    reply_state: ReplyState
    reply_content: str | None
    finished_at: datetime | None
    model: str | None
    failure: FailureReason | None
    truncated: bool


class ExportedRoom(NamedTuple):
    """A chatroom. ``turns``: oldest first; they are read while one iterates."""

    name: str
    system_prompt: str | None
    created_at: datetime
    turns: Iterator[ExportedTurn]


class RoomExport(Protocol):
    def __call__(self, user_id: UserId, chatroom_id: ChatroomId) -> ExportedRoom | None:
        """A chatroom with the messages and replies that it has at this moment; None unless it is the user's.

        It reads in pages, so that a slow client holds neither memory nor a connection. Messages and replies that are
        added meanwhile are left out; a reply that ends meanwhile may come as it was or as it is. Iterating raises
        ChatroomNotFound when the chatroom was removed, and DependencyDown.
        """
