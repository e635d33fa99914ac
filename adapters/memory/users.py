"""Users and sessions."""

from dataclasses import replace
from datetime import datetime

from adapters.memory.tables import delete_where
from adapters.memory.transaction import Repository, writes
from application.ports.sessions import Sessions
from application.ports.users import Users
from domain.accounts import PhoneNumber, Session, SessionId, User, UserId
from domain.errors import PhoneTaken


class MemoryUsers(Repository, Users):
    @writes
    def add(self, user: User) -> None:
        if self.by_phone(user.phone) is not None:
            raise PhoneTaken
        self._tables.users[user.id] = user

    def by_phone(self, phone: PhoneNumber) -> User | None:
        return next((user for user in self._tables.users.values() if user.phone == phone), None)

    def get(self, user_id: UserId) -> User | None:
        return self._tables.users.get(user_id)

    @writes
    def mark_verified(self, user_id: UserId, *, at: datetime) -> None:
        self._tables.users[user_id] = replace(self._tables.users[user_id], verified_at=at)

    @writes
    def set_password(self, user_id: UserId, password_hash: str | None) -> None:
        self._tables.users[user_id] = replace(self._tables.users[user_id], password_hash=password_hash)

    @writes
    def set_profile(self, user_id: UserId, *, name: str | None, email: str | None) -> None:
        self._tables.users[user_id] = replace(self._tables.users[user_id], name=name, email=email)

    @writes
    def set_locked(self, user_id: UserId, *, at: datetime | None) -> None:
        self._tables.users[user_id] = replace(self._tables.users[user_id], locked_at=at)

    @writes
    def grant_pro(self, user_id: UserId, *, until: datetime | None) -> None:
        self._tables.users[user_id] = replace(self._tables.users[user_id], pro_until=until)

    @writes
    def purge_unproven_before(self, moment: datetime, *, limit: int) -> int:
        unproven = [user for user in self._tables.users.values() if user.verified_at is None]
        old = sorted((user.created_at, user.id) for user in unproven if user.created_at < moment)[:limit]
        for _, user_id in old:
            del self._tables.users[user_id]
        return len(old)


class MemorySessions(Repository, Sessions):
    @writes
    def add(self, session: Session) -> None:
        self._tables.sessions[session.id] = session
        self._tables.last_used[session.id] = session.started_at

    def has(self, session_id: SessionId) -> bool:
        return session_id in self._tables.sessions or session_id in self._tables.ended_sessions

    @writes
    def end_all(self, user_id: UserId, *, but: SessionId | None = None) -> None:
        for session in list(self._tables.sessions.values()):
            if session.user_id == user_id and session.id != but:
                self._end(session)

    @writes
    def end(self, session_id: SessionId, *, of: UserId) -> bool:
        session = self._tables.sessions.get(session_id)
        if session is None or session.user_id != of or session.expires_at <= self._now:
            return False
        self._end(session)
        return True

    @writes
    def prolong(self, session_id: SessionId, *, at: datetime, expires_at: datetime) -> None:
        self._tables.sessions[session_id] = replace(self._tables.sessions[session_id], expires_at=expires_at)
        self._tables.last_used[session_id] = at

    @writes
    def purge_ended_before(self, moment: datetime, *, limit: int) -> int:
        ends = {session.id: session.expires_at for session in self._tables.sessions.values()}
        ends |= {session_id: ended_at for session_id, (_, ended_at) in self._tables.ended_sessions.items()}
        old = sorted((end, session_id) for session_id, end in ends.items() if end < moment)[:limit]
        for _, session_id in old:
            self._tables.sessions.pop(session_id, None)
            self._tables.ended_sessions.pop(session_id, None)
            self._tables.last_used.pop(session_id, None)
            self._delete_tokens(session_id)
        return len(old)

    def _delete_tokens(self, session_id: SessionId) -> None:
        delete_where(self._tables.refresh_tokens, lambda _, row: row.session_id == session_id)

    def _end(self, session: Session) -> None:
        del self._tables.sessions[session.id]
        self._tables.ended_sessions[session.id] = (session, min(self._now, session.expires_at))
