"""Users and sessions in PostgreSQL."""

from datetime import datetime

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from application.ports.sessions import Sessions
from application.ports.users import Users
from domain.accounts import PhoneNumber, Session, SessionId, User, UserId
from domain.errors import PhoneTaken

ADD_USER = """
INSERT INTO users (id, phone, name, email, password_hash, created_at, verified_at, locked_at, pro_until)
VALUES (%(id)s, %(phone)s, %(name)s, %(email)s, %(password_hash)s, %(created_at)s, %(verified_at)s, %(locked_at)s,
        %(pro_until)s)
ON CONFLICT (phone) DO NOTHING
RETURNING id
"""
USER_BY_PHONE = """
SELECT id, phone, name, email, password_hash, created_at, verified_at, locked_at, pro_until
FROM users WHERE phone = %(phone)s FOR UPDATE
"""
USER_BY_ID = """
SELECT id, phone, name, email, password_hash, created_at, verified_at, locked_at, pro_until
FROM users WHERE id = %(id)s FOR UPDATE
"""
# An array is made once; what stands after IN may be asked again for each row, and delete more than the limit.
PURGE_UNPROVEN = """
DELETE FROM users WHERE id = ANY (ARRAY(
    SELECT id FROM users WHERE verified_at IS NULL AND created_at < %(moment)s
    ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
"""
MARK_VERIFIED = "UPDATE users SET verified_at = %(at)s WHERE id = %(id)s"
SET_LOCKED = "UPDATE users SET locked_at = %(at)s WHERE id = %(id)s"
GRANT_PRO = "UPDATE users SET pro_until = %(until)s WHERE id = %(id)s"
SET_PROFILE = "UPDATE users SET name = %(name)s, email = %(email)s WHERE id = %(id)s"
SET_PASSWORD = "UPDATE users SET password_hash = %(password_hash)s WHERE id = %(id)s"  # noqa: S105

ADD_SESSION = """
INSERT INTO sessions (id, user_id, method, started_at, expires_at, device, last_used_at)
VALUES (%(id)s, %(user_id)s, %(method)s, %(started_at)s, %(expires_at)s, %(device)s, %(started_at)s)
"""
HAS_SESSION = "SELECT 1 FROM sessions WHERE id = %(id)s"
# The foreign key deletes their refresh tokens with them.
PURGE_SESSIONS = """
DELETE FROM sessions WHERE id = ANY (ARRAY(
    SELECT id FROM sessions WHERE LEAST(ended_at, expires_at) < %(moment)s
    ORDER BY LEAST(ended_at, expires_at) LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
"""
END_SESSIONS = """
UPDATE sessions SET ended_at = now()
WHERE user_id = %(user_id)s AND ended_at IS NULL AND id IS DISTINCT FROM %(but)s
"""
END_SESSION = """
UPDATE sessions SET ended_at = now()
WHERE id = %(id)s AND user_id = %(user_id)s AND ended_at IS NULL AND expires_at > now()
"""
PROLONG_SESSION = """
UPDATE sessions SET last_used_at = %(at)s, expires_at = %(expires_at)s WHERE id = %(id)s
"""


class SqlUsers(Users):
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def add(self, user: User) -> None:
        self._cursor.execute(
            ADD_USER,
            {
                "id": user.id,
                "phone": user.phone.e164,
                "name": user.name,
                "email": user.email,
                "password_hash": user.password_hash,
                "created_at": user.created_at,
                "verified_at": user.verified_at,
                "locked_at": user.locked_at,
                "pro_until": user.pro_until,
            },
        )
        if self._cursor.fetchone() is None:
            raise PhoneTaken

    def by_phone(self, phone: PhoneNumber) -> User | None:
        self._cursor.execute(USER_BY_PHONE, {"phone": phone.e164})
        return self._fetch_user()

    def get(self, user_id: UserId) -> User | None:
        self._cursor.execute(USER_BY_ID, {"id": user_id})
        return self._fetch_user()

    def mark_verified(self, user_id: UserId, *, at: datetime) -> None:
        self._cursor.execute(MARK_VERIFIED, {"id": user_id, "at": at})

    def set_password(self, user_id: UserId, password_hash: str | None) -> None:
        self._cursor.execute(SET_PASSWORD, {"id": user_id, "password_hash": password_hash})

    def set_profile(self, user_id: UserId, *, name: str | None, email: str | None) -> None:
        self._cursor.execute(SET_PROFILE, {"id": user_id, "name": name, "email": email})

    def set_locked(self, user_id: UserId, *, at: datetime | None) -> None:
        self._cursor.execute(SET_LOCKED, {"id": user_id, "at": at})

    def grant_pro(self, user_id: UserId, *, until: datetime | None) -> None:
        self._cursor.execute(GRANT_PRO, {"id": user_id, "until": until})

    def purge_unproven_before(self, moment: datetime, *, limit: int) -> int:
        self._cursor.execute(PURGE_UNPROVEN, {"moment": moment, "limit": limit})
        return self._cursor.rowcount

    def _fetch_user(self) -> User | None:
        row = self._cursor.fetchone()
        if row is None:
            return None
        user_id, phone, name, email, password_hash, created_at, verified_at, locked_at, pro_until = row
        return User(
            id=user_id,
            phone=PhoneNumber(phone),
            name=name,
            email=email,
            password_hash=password_hash,
            created_at=created_at,
            verified_at=verified_at,
            locked_at=locked_at,
            pro_until=pro_until,
        )


class SqlSessions(Sessions):
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def add(self, session: Session) -> None:
        self._cursor.execute(
            ADD_SESSION,
            {
                "id": session.id,
                "user_id": session.user_id,
                "method": session.method.value,
                "started_at": session.started_at,
                "expires_at": session.expires_at,
                "device": session.device,
            },
        )

    def has(self, session_id: SessionId) -> bool:
        self._cursor.execute(HAS_SESSION, {"id": session_id})
        return self._cursor.fetchone() is not None

    def end_all(self, user_id: UserId, *, but: SessionId | None = None) -> None:
        self._cursor.execute(END_SESSIONS, {"user_id": user_id, "but": but})

    def end(self, session_id: SessionId, *, of: UserId) -> bool:
        self._cursor.execute(END_SESSION, {"id": session_id, "user_id": of})
        return self._cursor.rowcount == 1

    def prolong(self, session_id: SessionId, *, at: datetime, expires_at: datetime) -> None:
        self._cursor.execute(PROLONG_SESSION, {"id": session_id, "at": at, "expires_at": expires_at})

    def purge_ended_before(self, moment: datetime, *, limit: int) -> int:
        self._cursor.execute(PURGE_SESSIONS, {"moment": moment, "limit": limit})
        return self._cursor.rowcount
