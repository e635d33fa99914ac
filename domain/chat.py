"""Chatrooms, and the messages that users send in them."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import NewType
from uuid import UUID

from domain.accounts import UserId
from domain.errors import InvalidValue

ChatroomId = NewType("ChatroomId", UUID)
MessageId = NewType("MessageId", UUID)

CHATROOM_NAME_MAX_LENGTH = 100
SYSTEM_PROMPT_MAX_LENGTH = 4_000
MESSAGE_MAX_LENGTH = 16_000


@dataclass(frozen=True, slots=True)
class Chatroom:
    """A conversation of one user with the language model."""

    id: ChatroomId
    user_id: UserId
    name: str
    system_prompt: str | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def opened(cls, *, id: ChatroomId, by: UserId, name: str, system_prompt: str | None, at: datetime) -> "Chatroom":
        """A new chatroom. Raises InvalidValue when the name is blank or a text is too long."""
        return cls(
            id=id,
            user_id=by,
            name=_text(name, field="name", max_length=CHATROOM_NAME_MAX_LENGTH).strip(),
            system_prompt=(
                _text(system_prompt, field="systemPrompt", max_length=SYSTEM_PROMPT_MAX_LENGTH)
                if system_prompt is not None
                else None
            ),
            created_at=at,
            updated_at=at,
        )

    def changed(self, *, name: str, system_prompt: str | None, at: datetime) -> "Chatroom":
        """The chatroom with other texts. Raises InvalidValue as ``opened`` does."""
        new = Chatroom.opened(id=self.id, by=self.user_id, name=name, system_prompt=system_prompt, at=at)
        return replace(new, created_at=self.created_at)


@dataclass(frozen=True, slots=True)
class Message:
    """One prompt of a user. The language model's answer to it is a reply."""

    id: MessageId
    chatroom_id: ChatroomId
    user_id: UserId
    content: str
    created_at: datetime

    @classmethod
    def from_user(cls, *, id: MessageId, sender: UserId, chatroom_id: ChatroomId, text: str, at: datetime) -> "Message":
        """A new message. Raises InvalidValue when the text is blank or too long."""
        content = _text(text, field="message", max_length=MESSAGE_MAX_LENGTH)
        return cls(id=id, chatroom_id=chatroom_id, user_id=sender, content=content, created_at=at)


def _text(value: str, *, field: str, max_length: int) -> str:
    if not value.strip():
        raise InvalidValue(field, "must not be blank")
    if len(value) > max_length:
        raise InvalidValue(field, f"must have at most {max_length} characters")
    return value
