"""Users take a chatroom along as a document."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from application.ports.export import ExportedTurn, RoomExport
from application.ports.rate_limiter import Hit, Limit, RateLimiter
from application.ports.runtime import Clock
from domain.accounts import UserId
from domain.chat import ChatroomId
from domain.errors import ChatroomNotFound

# An export reads everything that is in a chatroom.
ROOM_EXPORTS = Limit("room_export", 30, timedelta(hours=1))


class ExportedChatroom(NamedTuple):
    name: str
    system_prompt: str | None
    opened_at: datetime
    exported_at: datetime
    turns: Iterator[ExportedTurn]


@dataclass(frozen=True, slots=True)
class ExportChatroom:
    export: RoomExport
    rate_limiter: RateLimiter
    clock: Clock

    def __call__(self, *, user_id: UserId, chatroom_id: ChatroomId) -> ExportedChatroom:
        """Returns the chatroom with what is in it at this moment; its turns are read while one iterates.

        Raises RateLimited, or ChatroomNotFound unless it is the user's own, before the first turn; ChatroomNotFound and
        DependencyDown also between turns.
        """
        [status] = self.rate_limiter([Hit(ROOM_EXPORTS, str(user_id))])
        if status.exceeded:
            raise status.refusal()
        room = self.export(user_id, chatroom_id)
        if room is None:
            raise ChatroomNotFound
        return ExportedChatroom(room.name, room.system_prompt, room.created_at, self.clock(), room.turns)
