"""Users rename chatrooms, tell the model how to behave in them, and take them away."""

from dataclasses import dataclass

from application.ports.reply_stream import ReplyPublisher
from application.ports.room_list_cache import RoomListCache
from application.ports.runtime import Clock
from application.ports.unit_of_work import UnitOfWorkFactory
from application.unset import UNCHANGED, Unchanged
from domain.accounts import UserId
from domain.chat import Chatroom, ChatroomId


@dataclass(frozen=True, slots=True)
class ChangeChatroom:
    """Replaces a chatroom's name or system prompt."""

    unit_of_work: UnitOfWorkFactory
    room_list_cache: RoomListCache
    clock: Clock

    def __call__(
        self,
        *,
        user_id: UserId,
        chatroom_id: ChatroomId,
        name: str | Unchanged = UNCHANGED,
        system_prompt: str | Unchanged | None = UNCHANGED,
    ) -> Chatroom:
        """The chatroom after it. ChatroomNotFound unless it is the user's own; InvalidValue as for a new one."""
        now = self.clock()
        with self.unit_of_work() as work:
            room = work.chatrooms.owned(chatroom_id, by=user_id)
            changed = room.changed(
                name=room.name if isinstance(name, Unchanged) else name,
                system_prompt=room.system_prompt if isinstance(system_prompt, Unchanged) else system_prompt,
                at=now,
            )
            work.chatrooms.change(changed)
            work.commit()
        self.room_list_cache.drop(user_id)
        return changed


@dataclass(frozen=True, slots=True)
class RemoveChatroom:
    """Takes a chatroom away, with everything that was said in it. A reply that is being written is thrown away."""

    unit_of_work: UnitOfWorkFactory
    room_list_cache: RoomListCache
    publisher: ReplyPublisher

    def __call__(self, *, user_id: UserId, chatroom_id: ChatroomId) -> None:
        """Done; ChatroomNotFound unless it is the user's own."""
        with self.unit_of_work() as work:
            replies = work.chatrooms.remove(chatroom_id, of=user_id)
            work.commit()
        self.room_list_cache.drop(user_id)
        self.publisher.forget(replies)
