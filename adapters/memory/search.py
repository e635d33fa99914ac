"""Searching the tables in memory."""

from collections.abc import Sequence

from adapters.memory.reader import summary_of
from adapters.memory.tables import MemoryDatabase, ReplyRow
from application.ports.reader import ChatroomSummary
from application.ports.search import (
    SETTLED_AFTER,
    EntryId,
    FoundEntry,
    FoundPage,
    Search,
    Searchable,
    SearchIndex,
    Unsearchable,
)
from domain.accounts import UserId
from domain.chat import Message
from domain.search import SEARCHED_CHARACTERS, SearchQuery, Term


class MemorySearch(Search):
    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    def entries(self, user_id: UserId, query: SearchQuery, *, limit: int, before: EntryId | None) -> FoundPage:
        tables = self._database.tables
        found = []
        for one in _with_text(self._database):
            room = tables.chatrooms[one.chatroom_id]
            terms = tables.search_terms.get(one.id, frozenset())
            if room.user_id == user_id and (before is None or one.id < before) and _has_all(terms, query):
                found.append(one._replace(chatroom_name=room.name))
        found.sort(key=lambda one: one.id, reverse=True)
        page = found[:limit]
        return FoundPage(page, page[-1].id if len(found) > limit else None, self._is_complete())

    def chatrooms(self, user_id: UserId, *, limit: int) -> Sequence[ChatroomSummary]:
        rooms = [summary_of(room) for room in self._database.tables.chatrooms.values() if room.user_id == user_id]
        return sorted(rooms, key=lambda room: room.id, reverse=True)[:limit]

    def _is_complete(self) -> bool:
        tables, settled = self._database.tables, self._database.clock() - SETTLED_AFTER
        messages = (m for m in tables.messages.values() if m.id not in tables.search_terms)
        replies = (row for row in tables.replies.values() if row.queued.id not in tables.search_terms)
        return not any(message.created_at < settled for message in messages) and not any(
            row.finished_at is not None and row.finished_at < settled and row.content is not None for row in replies
        )


class MemorySearchIndex(SearchIndex):
    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    def unsearchable(self, *, limit: int) -> Sequence[Unsearchable]:
        tables = self._database.tables
        missing = [one for one in _with_text(self._database) if one.id not in tables.search_terms]
        missing.sort(key=lambda one: one.id, reverse=True)
        batches = ([one for one in missing if one.is_reply == is_reply][:limit] for is_reply in (False, True))
        return [
            Unsearchable(one.id, one.is_reply, tables.chatrooms[one.chatroom_id].user_id, one.content)
            for batch in batches
            for one in batch
        ]

    def add(self, entries: Sequence[Searchable]) -> None:
        with self._database.one_at_a_time:
            for entry in entries:
                self._database.tables.search_terms.setdefault(entry.id, frozenset(entry.terms))


def _with_text(database: MemoryDatabase) -> Sequence[FoundEntry]:
    tables = database.tables
    replies = (row for row in tables.replies.values() if row.content is not None and row.finished_at is not None)
    return [*map(_message, tables.messages.values()), *map(_reply, replies)]


def _message(message: Message) -> FoundEntry:
    content = message.content[:SEARCHED_CHARACTERS]
    return FoundEntry(
        message.id, message.chatroom_id, "", is_reply=False, content=content, created_at=message.created_at
    )


def _reply(row: ReplyRow) -> FoundEntry:
    content = (row.content or "")[:SEARCHED_CHARACTERS]
    return FoundEntry(
        row.queued.id, row.queued.chatroom_id, "", is_reply=True, content=content, created_at=row.queued.created_at
    )


def _has_all(terms: frozenset[str], query: SearchQuery) -> bool:
    return all(_has(terms, term) for term in query.terms)


def _has(terms: frozenset[str], wanted: Term) -> bool:
    return wanted.text in terms or (wanted.begins and any(term.startswith(wanted.text) for term in terms))
