"""Chatrooms, and the messages that users send in them."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import NewType
from uuid import UUID

from domain.accounts import UserId
from domain.errors import InvalidValue
from domain.titles import title_of

ChatroomId = NewType("ChatroomId", UUID)
MessageId = NewType("MessageId", UUID)

CHATROOM_NAME_MAX_LENGTH = 100
SYSTEM_PROMPT_MAX_LENGTH = 4_000
MESSAGE_MAX_LENGTH = 16_000
MAX_PINNED = 20


@dataclass(frozen=True, slots=True)
class Chatroom:
    """A conversation of one user with the language model. ``name``: empty until its first message gives it one.

    ``pinned_at``, ``archived_at``: since when it stands in front of the others, or apart from them; never both.
    """

    id: ChatroomId
    user_id: UserId
    name: str
    system_prompt: str | None
    created_at: datetime
    updated_at: datetime
    pinned_at: datetime | None = None
    archived_at: datetime | None = None

    @property
    def pinned(self) -> bool:
        return self.pinned_at is not None

    @property
    def archived(self) -> bool:
        return self.archived_at is not None

    @classmethod
    def opened(
        cls, *, id: ChatroomId, by: UserId, name: str | None, system_prompt: str | None, at: datetime
    ) -> "Chatroom":
        """A new chatroom. Raises InvalidValue when a text is blank or too long."""
        return cls(
            id=id,
            user_id=by,
            name="" if name is None else _name(name),
            system_prompt=_system_prompt(system_prompt),
            created_at=at,
            updated_at=at,
        )

    def changed(self, *, name: str, system_prompt: str | None, at: datetime) -> "Chatroom":
        """The chatroom with other texts. Raises InvalidValue as ``opened`` does."""
        return replace(
            self,
            name=name if name == self.name else _name(name),
            system_prompt=_system_prompt(system_prompt),
            updated_at=at,
        )

    def placed(self, *, pinned: bool | None, archived: bool | None, at: datetime) -> "Chatroom":
        """The chatroom in front of the others, or apart from them; None: as it is.

        Archiving takes the pin away, and pinning takes out of the archive. Raises InvalidValue for both at once.
        """
        if pinned and archived:
            raise InvalidValue("archived", "must not be true together with pinned")
        return replace(
            self,
            pinned_at=_since(self.pinned_at, at, holds=False if archived else pinned),
            archived_at=_since(self.archived_at, at, holds=False if pinned else archived),
        )


@dataclass(frozen=True, slots=True)
class Message:
    """One prompt of a user. The language model's answer to it is a reply."""

    id: MessageId
    chatroom_id: ChatroomId
    user_id: UserId
    content: str
    created_at: datetime

    @property
    def title(self) -> str:
        """What its chatroom is called, if that has no name yet."""
        return title_of(self.content)

    @classmethod
    def from_user(cls, *, id: MessageId, sender: UserId, chatroom_id: ChatroomId, text: str, at: datetime) -> "Message":
        """A new message. Raises InvalidValue when the text is blank or too long."""
        content = _text(text, field="message", max_length=MESSAGE_MAX_LENGTH)
        return cls(id=id, chatroom_id=chatroom_id, user_id=sender, content=content, created_at=at)


def _since(before: datetime | None, now: datetime, *, holds: bool | None) -> datetime | None:
    """Since when something holds that held since ``before``; ``holds`` None: nothing changes."""
    if holds is None:
        return before
    return (before or now) if holds else None


def _name(value: str) -> str:
    return _text(value, field="name", max_length=CHATROOM_NAME_MAX_LENGTH).strip()


def _system_prompt(value: str | None) -> str | None:
    return value if value is None else _text(value, field="systemPrompt", max_length=SYSTEM_PROMPT_MAX_LENGTH)


def _text(value: str, *, field: str, max_length: int) -> str:
    if not value.strip():
        raise InvalidValue(field, "must not be blank")
    if len(value) > max_length:
        raise InvalidValue(field, f"must have at most {max_length} characters")
    return value
