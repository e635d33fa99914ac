"""Users and sessions."""

from dataclasses import replace
from datetime import datetime

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


class MemorySessions(Repository, Sessions):
    @writes
    def add(self, session: Session) -> None:
        self._tables.sessions[session.id] = session
        self._tables.last_used[session.id] = session.started_at

    @writes
    def end_all(self, user_id: UserId, *, but: SessionId | None = None) -> None:
        for session in list(self._tables.sessions.values()):
            if session.user_id == user_id and session.id != but:
                del self._tables.sessions[session.id]

    @writes
    def end(self, session_id: SessionId, *, of: UserId) -> bool:
        session = self._tables.sessions.get(session_id)
        if session is None or session.user_id != of or session.expires_at <= self._now:
            return False
        del self._tables.sessions[session_id]
        return True

    @writes
    def prolong(self, session_id: SessionId, *, at: datetime, expires_at: datetime) -> None:
        self._tables.sessions[session_id] = replace(self._tables.sessions[session_id], expires_at=expires_at)
        self._tables.last_used[session_id] = at
