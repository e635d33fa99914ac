"""Users open, list, read, change and delete chatrooms."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple
from uuid import UUID

from application.chat.expiry import SettleOverdue, refund_all
from application.ports.reader import Conversation, Reader, RoomCursor, RoomPage
from application.ports.reply_stream import ReplyPublisher
from application.ports.room_list_cache import RoomListCache
from application.ports.runtime import Clock, NewId
from application.ports.unit_of_work import UnitOfWorkFactory
from application.unset import UNSET, Unset
from domain.accounts import UserId
from domain.chat import MAX_PINNED, Chatroom, ChatroomId, MessageId
from domain.errors import ChatroomNotFound

DEFAULT_ROOMS_PER_PAGE = 50
DEFAULT_TURNS_PER_PAGE = 25


class OpenedChatroom(NamedTuple):
    """``repeated``: opened by an earlier request with the same Idempotency-Key, of which this is the answer."""

    chatroom: Chatroom
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class OpenChatroom:
    unit_of_work: UnitOfWorkFactory
    clock: Clock
    new_id: NewId
    limit: int

    def __call__(
        self,
        *,
        user_id: UserId,
        name: str | None = None,
        system_prompt: str | None = None,
        idempotency_key: str | None = None,
    ) -> OpenedChatroom:
        """Returns what was opened, now or by an earlier request with the same key.

        Without a name its first message gives it one. Raises InvalidValue when a text is blank or too long,
        TooManyChatrooms at ``limit`` chatrooms, IdempotencyKeyReused or IdempotencyKeyInUse.
        """
        chatroom = Chatroom.opened(
            id=ChatroomId(self.new_id()),
            by=user_id,
            name=name,
            system_prompt=system_prompt,
            at=self.clock(),
        )
        return self._open(chatroom) if idempotency_key is None else self._open_once(chatroom, idempotency_key)

    def _open(self, chatroom: Chatroom) -> OpenedChatroom:
        with self.unit_of_work.autocommit() as work:
            work.chatrooms.add(chatroom, limit=self.limit)
        return OpenedChatroom(chatroom)

    def _open_once(self, chatroom: Chatroom, key: str) -> OpenedChatroom:
        # Keys of clients have no blanks, so those of other requests are apart.
        owner, scoped = chatroom.user_id, f"open {key}"
        fingerprint = hashlib.sha256(repr((chatroom.name, chatroom.system_prompt)).encode()).digest()
        with self.unit_of_work() as work:
            earlier = work.idempotency_keys.recall_reference(owner, scoped, fingerprint=fingerprint)
            if earlier is not None:
                # A chatroom that was removed since takes its key along.
                with suppress(ChatroomNotFound):
                    found = work.chatrooms.owned(ChatroomId(UUID(earlier)), by=owner)
                    as_it_was = replace(chatroom, id=found.id, created_at=found.created_at, updated_at=found.created_at)
                    return OpenedChatroom(as_it_was, repeated=True)
            work.chatrooms.add(chatroom, limit=self.limit)
            work.idempotency_keys.remember_reference(owner, scoped, fingerprint=fingerprint, reference=str(chatroom.id))
            work.commit()
        return OpenedChatroom(chatroom)


@dataclass(frozen=True, slots=True)
class ListedRooms:
    """A page as ``render`` made it, for this request or for an earlier one."""

    page: bytes
    from_cache: bool


@dataclass(frozen=True, slots=True)
class ListChatrooms:
    """Lists a user's chatrooms. The rendered first page of the default size is cached."""

    reader: Reader
    room_list_cache: RoomListCache

    def __call__(
        self,
        *,
        user_id: UserId,
        version: int,
        render: Callable[[RoomPage], bytes],
        limit: int = DEFAULT_ROOMS_PER_PAGE,
        before: RoomCursor | None = None,
        archived: bool = False,
    ) -> ListedRooms:
        """Returns at most ``limit`` chatrooms behind ``before``, those in the archive or the others.

        ``version``: of the list, read before this. Users read their own writes.
        """
        if limit != DEFAULT_ROOMS_PER_PAGE or before is not None or archived:
            rooms = self.reader.rooms(user_id, limit=limit, before=before, archived=archived)
            return ListedRooms(render(rooms), from_cache=False)
        cached = self.room_list_cache.get(user_id, version)
        if cached is not None:
            return ListedRooms(cached, from_cache=True)
        page = render(self.reader.rooms(user_id, limit=limit))
        self.room_list_cache.put(user_id, version, page)
        return ListedRooms(page, from_cache=False)


@dataclass(frozen=True, slots=True)
class ReadChatroom:
    """Reads a chatroom with a page of its conversation. Not cached: a reply shows as soon as it is stored."""

    reader: Reader
    settle: SettleOverdue

    def __call__(
        self,
        *,
        user_id: UserId,
        chatroom_id: ChatroomId,
        turns: int = DEFAULT_TURNS_PER_PAGE,
        before: MessageId | None = None,
        found: Conversation | Unset | None = UNSET,
    ) -> Conversation:
        """Returns the newest ``turns`` older than ``before``. Raises ChatroomNotFound unless it is the user's own.

        ``found``: what was read of it just now, None where it is not the user's.
        """
        if found is None:
            raise ChatroomNotFound
        conversation = self._read(user_id, chatroom_id, turns, before) if isinstance(found, Unset) else found
        overdue = [reply_id for turn in conversation.turns if turn.overdue for reply_id in turn.replies]
        if overdue:
            self.settle(overdue)
            conversation = self._read(user_id, chatroom_id, turns, before)
        return conversation

    def _read(self, user_id: UserId, chatroom_id: ChatroomId, turns: int, before: MessageId | None) -> Conversation:
        conversation = self.reader.conversation(user_id, chatroom_id, turns=turns, before=before)
        if conversation is None:
            raise ChatroomNotFound
        return conversation


@dataclass(frozen=True, slots=True)
class ChangeChatroom:
    """Replaces a chatroom's name or system prompt, pins or archives it. A value that is not given stays as it is."""

    unit_of_work: UnitOfWorkFactory
    clock: Clock

    def __call__(
        self,
        *,
        user_id: UserId,
        chatroom_id: ChatroomId,
        name: str | Unset = UNSET,
        system_prompt: str | Unset | None = UNSET,
        pinned: bool | Unset = UNSET,
        archived: bool | Unset = UNSET,
    ) -> Chatroom:
        """Returns the new state.

        Raises ChatroomNotFound unless it is the user's own, InvalidValue, and TooManyPinned at MAX_PINNED.
        """
        now = self.clock()
        with self.unit_of_work() as work:
            room = work.chatrooms.owned(chatroom_id, by=user_id)
            changed = room.changed(
                name=room.name if isinstance(name, Unset) else name,
                system_prompt=room.system_prompt if isinstance(system_prompt, Unset) else system_prompt,
                at=now,
            ).placed(
                pinned=None if isinstance(pinned, Unset) else pinned,
                archived=None if isinstance(archived, Unset) else archived,
                at=now,
            )
            if changed.pinned and not room.pinned:
                work.chatrooms.check_pinned(user_id, limit=MAX_PINNED)
            work.chatrooms.change(changed)
            work.commit()
        return changed


@dataclass(frozen=True, slots=True)
class RemoveChatroom:
    """Removes a chatroom with its messages and replies, and refunds the replies that are queued.

    A reply that is being written is discarded. It costs a prompt, as one that is cancelled: the model was asked for it.
    Of a chatroom with very many messages, workers delete the rest afterwards.
    """

    unit_of_work: UnitOfWorkFactory
    publisher: ReplyPublisher

    def __call__(self, *, user_id: UserId, chatroom_id: ChatroomId) -> None:
        """Raises ChatroomNotFound unless it is the user's own."""
        with self.unit_of_work() as work:
            chatroom = work.chatrooms.owned(chatroom_id, by=user_id)
            refund_all(work, work.replies.not_begun_in(chatroom_id))
            replies = work.chatrooms.remove(chatroom)
            work.commit()
        self.publisher.forget(replies)
