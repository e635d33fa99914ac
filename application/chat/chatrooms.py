"""Users open chatrooms, list them and read them."""

from collections.abc import Callable
from dataclasses import dataclass

from application.ports.reader import Conversation, Reader, RoomPage
from application.ports.room_list_cache import RoomListCache
from application.ports.runtime import Clock, NewId
from application.ports.unit_of_work import UnitOfWorkFactory
from domain.accounts import UserId
from domain.chat import Chatroom, ChatroomId, MessageId
from domain.errors import ChatroomNotFound

DEFAULT_ROOMS_PER_PAGE = 50
DEFAULT_TURNS_PER_PAGE = 25


@dataclass(frozen=True, slots=True)
class OpenChatroom:
    """Makes a chatroom."""

    unit_of_work: UnitOfWorkFactory
    room_list_cache: RoomListCache
    clock: Clock
    new_id: NewId

    def __call__(self, *, user_id: UserId, name: str, system_prompt: str | None = None) -> Chatroom:
        """The new chatroom; InvalidValue when a text breaks a rule."""
        chatroom = Chatroom.opened(
            id=ChatroomId(self.new_id()),
            by=user_id,
            name=name,
            system_prompt=system_prompt,
            at=self.clock(),
        )
        with self.unit_of_work.autocommit() as work:
            work.chatrooms.add(chatroom)
            work.commit()
        # After the commit: dropped before it, the page could be filled again without the new chatroom.
        self.room_list_cache.drop(user_id)
        return chatroom


@dataclass(frozen=True, slots=True)
class ListedRooms:
    """A page as the caller rendered it, now or earlier."""

    page: bytes
    from_cache: bool


@dataclass(frozen=True, slots=True)
class ListChatrooms:
    """A user's chatrooms, newest first. The first page of the usual size is cached as it was rendered."""

    reader: Reader
    room_list_cache: RoomListCache

    def __call__(
        self,
        *,
        user_id: UserId,
        render: Callable[[RoomPage], bytes],
        limit: int = DEFAULT_ROOMS_PER_PAGE,
        before: ChatroomId | None = None,
    ) -> ListedRooms:
        """The page of at most ``limit`` chatrooms older than ``before``. A user reads their own writes."""
        if limit != DEFAULT_ROOMS_PER_PAGE or before is not None:
            rooms = self.reader.rooms(user_id, limit=limit, before=before)
            return ListedRooms(render(rooms), from_cache=False)
        cached = self.room_list_cache.get(user_id)
        if cached.page is not None:
            return ListedRooms(cached.page, from_cache=True)
        page = render(self.reader.rooms(user_id, limit=limit, before=None))
        self.room_list_cache.put(user_id, page, version=cached.version)
        return ListedRooms(page, from_cache=False)


@dataclass(frozen=True, slots=True)
class ReadChatroom:
    """A chatroom with a page of its conversation. Never cached, so that a reply shows as soon as it is stored."""

    reader: Reader

    def __call__(
        self,
        *,
        user_id: UserId,
        chatroom_id: ChatroomId,
        turns: int = DEFAULT_TURNS_PER_PAGE,
        before: MessageId | None = None,
    ) -> Conversation:
        """The newest turns older than ``before``; ChatroomNotFound unless the chatroom is the user's own."""
        conversation = self.reader.conversation(user_id, chatroom_id, turns=turns, before=before)
        if conversation is None:
            raise ChatroomNotFound
        return conversation
