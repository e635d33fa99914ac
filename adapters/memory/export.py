"""The exports of an account, and of one chatroom."""

from collections.abc import Iterable, Iterator
from typing import Any

from adapters.memory.reader import shown_of
from adapters.memory.tables import MemoryDatabase, ReplyRow
from application.ports.export import Export, ExportedRoom, ExportedTurn, Record, RoomExport
from domain.accounts import UserId
from domain.chat import ChatroomId, Message
from domain.errors import ChatroomNotFound


class MemoryExport(Export):
    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    def __call__(self, user_id: UserId) -> Iterator[Record]:
        tables = self._database.tables
        user = tables.users.get(user_id)
        if user is None:
            return
        yield {
            "type": "account",
            "id": user.id,
            "mobileNumber": user.phone.e164,
            "name": user.name,
            "email": user.email,
            "createdAt": user.created_at,
            "verifiedAt": user.verified_at,
            "proGrantedUntil": user.pro_until,
        }
        subscription = tables.subscriptions.get(user_id)
        if subscription is not None:
            yield {
                "type": "subscription",
                "status": subscription.status.value,
                "currentPeriodEnd": subscription.current_period_end,
                "cancelAtPeriodEnd": subscription.cancel_at_period_end,
            }
        yield from self._payments(user_id)
        for (owner, day), used in sorted(tables.daily_usage.items()):
            if owner == user_id:
                yield {"type": "usage", "day": day, "used": used}
        yield from self._sessions(user_id)
        yield from self._events(user_id)
        yield from self._conversations(user_id)

    def _payments(self, user_id: UserId) -> Iterator[Record]:
        tables = self._database.tables
        if (customer := tables.customers.get(user_id)) is not None:
            yield {"type": "customer", "customerId": customer.customer_id}
        for event, whose in sorted(tables.payment_entries.values(), key=lambda entry: entry[0].id):
            if whose == user_id and event.money is not None:
                yield {
                    "type": "payment",
                    "id": event.id,
                    "kind": event.money.kind.value,
                    "amount": event.money.amount,
                    "currency": event.money.currency,
                    "at": event.created_at,
                }

    def _sessions(self, user_id: UserId) -> Iterator[Record]:
        tables = self._database.tables
        for session in sorted(tables.sessions.values(), key=lambda session: session.id):
            if session.user_id == user_id:
                yield {
                    "type": "session",
                    "id": session.id,
                    "method": session.method.value,
                    "device": session.device,
                    "startedAt": session.started_at,
                    "lastUsedAt": tables.last_used.get(session.id, session.started_at),
                    "expiresAt": session.expires_at,
                    "endedAt": None,
                }

    def _events(self, user_id: UserId) -> Iterator[Record]:
        for event in sorted(self._database.tables.audit_events.values(), key=lambda event: event.id):
            if event.user_id == user_id:
                yield {
                    "type": "securityEvent",
                    "id": event.id,
                    "at": event.at,
                    "what": event.what.value,
                    "address": event.origin.address,
                    "device": event.origin.device,
                }

    def _conversations(self, user_id: UserId) -> Iterator[Record]:
        tables = self._database.tables
        rooms = sorted(
            (room for room in tables.chatrooms.values() if room.user_id == user_id), key=lambda room: room.id
        )
        for room in rooms:
            yield {
                "type": "chatroom",
                "id": room.id,
                "name": room.name,
                "systemPrompt": room.system_prompt,
                "createdAt": room.created_at,
                "updatedAt": room.updated_at,
                "pinnedAt": room.pinned_at,
                "archivedAt": room.archived_at,
            }
        mine = {room.id for room in rooms}
        for message in sorted(tables.messages.values(), key=lambda message: message.id):
            if message.chatroom_id in mine:
                yield {
                    "type": "message",
                    "id": message.id,
                    "chatroomId": message.chatroom_id,
                    "content": message.content,
                    "createdAt": message.created_at,
                }
        for row in sorted(tables.replies.values(), key=lambda row: row.queued.id):
            if row.queued.chatroom_id in mine:
                yield _exported_reply(row)


def _exported_reply(row: ReplyRow) -> dict[str, Any]:
    feedback = row.feedback
    return {
        "type": "reply",
        "id": row.queued.id,
        "replyTo": row.queued.message_id,
        "status": row.state.value,
        "content": row.content,
        "model": row.model,
        "failure": row.failure.value if row.failure else None,
        "createdAt": row.queued.created_at,
        "finishedAt": row.finished_at,
        "rating": feedback.rating.value if feedback else None,
        "ratingReasons": [reason.value for reason in feedback.reasons] if feedback else None,
        "ratingComment": feedback.comment if feedback else None,
        "ratedAt": feedback.given_at if feedback else None,
    }


class MemoryRoomExport(RoomExport):
    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    def __call__(self, user_id: UserId, chatroom_id: ChatroomId) -> ExportedRoom | None:
        tables = self._database.tables
        room = tables.chatrooms.get(chatroom_id)
        if room is None or room.user_id != user_id:
            return None
        messages = [message for message in tables.messages.values() if message.chatroom_id == chatroom_id]
        messages.sort(key=lambda message: tables.sequences[message.id])
        turns = [_exported_turn(message, shown_of(tables.replies_to(message.id))) for message in messages]
        return ExportedRoom(room.name, room.system_prompt, room.created_at, self._turns(chatroom_id, turns))

    def _turns(self, chatroom_id: ChatroomId, turns: Iterable[ExportedTurn]) -> Iterator[ExportedTurn]:
        for turn in turns:
            if chatroom_id not in self._database.tables.chatrooms:
                raise ChatroomNotFound
            yield turn


def _exported_turn(message: Message, reply: ReplyRow) -> ExportedTurn:
    return ExportedTurn(
        content=message.content,
        sent_at=message.created_at,
        reply_state=reply.state,
        reply_content=reply.content,
        finished_at=reply.finished_at,
        model=reply.model,
        failure=reply.failure,
        truncated=reply.truncated,
    )
