"""Whom the benches of requests ask for: users who are logged in, their chatrooms, and the bytes of their requests."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from stage import Stage

from adapters.crypto.jwt_access_tokens import JwtAccessTokens
from domain.accounts import LoginMethod, Session, SessionId, UserId

# So many that no user meets a limit: each user sends a few requests a second, from an address of their own.
USERS = 400
ROOMS = 20
TURNS = 25

# One half reads: so many chatrooms each, and one of them with a conversation. The other half writes, into one chatroom.
PEOPLE = """
INSERT INTO users (id, phone, name, created_at, verified_at)
SELECT gen_random_uuid(), '+999' || lpad(n::text, 9, '0'), 'Bench', now(), now() FROM generate_series(1, %s) n
"""
SESSIONS = """
INSERT INTO sessions (id, user_id, method, started_at, expires_at, last_used_at)
SELECT gen_random_uuid(), id, 'otp', now(), now() + interval '1 day', now() FROM users
"""
CHATROOMS = """
INSERT INTO chatrooms (id, user_id, name, created_at, updated_at)
SELECT gen_random_uuid(), u.id, 'Chatroom number ' || n, now(), now()
FROM (SELECT id, row_number() OVER (ORDER BY phone) AS nth FROM users) u
CROSS JOIN generate_series(1, %s) n WHERE n = 1 OR u.nth <= %s
"""
CONVERSATIONS = """
WITH m AS (
    INSERT INTO messages (id, chatroom_id, content, created_at)
    SELECT gen_random_uuid(), c.id, 'What do you think of the plan for ' || c.name || ', in a few words?', now()
    FROM (SELECT DISTINCT ON (user_id) id, name FROM chatrooms ORDER BY user_id, id) c
    CROSS JOIN generate_series(1, %s) RETURNING id, chatroom_id
)
INSERT INTO replies (id, message_id, chatroom_id, user_id, state, attempt, run, available_at, deadline, charged_on,
                     content, model, input_tokens, output_tokens, created_at, started_at, finished_at)
SELECT gen_random_uuid(), m.id, c.id, c.user_id, 'done', 1, 1, now(), now(), current_date,
       repeat('It depends on what you want to reach. ', 6), 'gemini-flash-latest', 20, 60, now(), now(), now()
FROM m JOIN chatrooms c ON c.id = m.chatroom_id
"""
# The first chatroom of each is the one with the conversation.
KNOWN = """
SELECT u.id, s.id, (SELECT c.id FROM chatrooms c WHERE c.user_id = u.id ORDER BY c.id LIMIT 1)
FROM users u JOIN sessions s ON s.user_id = u.id WHERE u.phone LIKE %s || '%%' ORDER BY u.phone
"""
# A user and a chatroom for each reply: none waits for its turn.
QUEUED = """
WITH u AS (
    INSERT INTO users (id, phone, created_at)
    SELECT gen_random_uuid(), %(sort)s || lpad(n::text, 9, '0'), now() FROM generate_series(1, %(replies)s) n
    RETURNING id
), c AS (
    INSERT INTO chatrooms (id, user_id, name, created_at, updated_at)
    SELECT gen_random_uuid(), id, 'bench', now(), now() FROM u RETURNING id, user_id
), m AS (
    INSERT INTO messages (id, chatroom_id, content, created_at)
    SELECT gen_random_uuid(), id, 'What do you think?', now() FROM c RETURNING id, chatroom_id
)
INSERT INTO replies (id, message_id, chatroom_id, user_id, state, available_at, deadline, charged_on, created_at)
SELECT gen_random_uuid(), m.id, c.id, c.user_id, 'queued', now(), now() + interval '1 day', current_date,
       now() - %(waited)s
FROM m JOIN c ON c.id = m.chatroom_id
"""


@dataclass(frozen=True)
class Person:
    """A user who is logged in, and one of their chatrooms."""

    user_id: UUID
    session_id: UUID
    room: UUID


@dataclass(frozen=True)
class Endpoint:
    """Requests of one kind, to be sent in turn."""

    case: str
    name: str
    requests: Sequence[str]


def people(here: Stage) -> list[Person]:
    """Everybody, with what they have."""
    here.query(PEOPLE, USERS)
    here.query(SESSIONS)
    here.query(CHATROOMS, ROOMS, USERS // 2)
    here.query(CONVERSATIONS, TURNS)
    here.run_alone("VACUUM ANALYZE")
    return known(here)


def known(here: Stage, sort: str = "") -> list[Person]:
    """Those who are logged in, whose numbers begin with ``sort``."""
    return [Person(*row) for row in here.query(KNOWN, sort)]


def queue(here: Stage, replies: int, *, sort: str, waited: timedelta = timedelta(0)) -> None:
    """So many replies that are due, each of a new user whose number begins with ``sort``."""
    here.query(QUEUED, {"replies": replies, "sort": sort, "waited": waited})


class Requests:
    """The five requests that matter most, as people send them who have tokens signed with ``secret``."""

    def __init__(self) -> None:
        self.secret = secrets.token_hex(32)
        self._tokens = JwtAccessTokens(self.secret.encode())

    def settings(self, port: int) -> dict[str, str]:
        """Of a web process that is asked: limits by user and by address, as they are in production behind a proxy."""
        return {
            "PORT": str(port),
            "JWT_SECRET": self.secret,
            "OTP_DELIVERY": "console",
            "TRUSTED_PROXIES": "127.0.0.1",
            "LOG_LEVEL": "info",
            "BACKLOG_REPLIES": "1000000",
            "USER_BACKLOG_REPLIES": "100000",
        }

    def of_both_halves(self, everybody: Sequence[Person]) -> list[Endpoint]:
        """One half reads, the other writes."""
        return self.endpoints(everybody[: USERS // 2], everybody[USERS // 2 :])

    def endpoints(self, readers: Sequence[Person], writers: Sequence[Person]) -> list[Endpoint]:
        now = datetime.now(UTC)

        def asked(who: Sequence[Person], method: str, path: str, body: object = None) -> list[str]:
            return [
                _request(method, path.format(room=one.room), body, self._token(one, now), address=n)
                for n, one in enumerate(who)
            ]

        sent = {"message": "What do you think of the plan, in a few words?"}
        return [
            Endpoint("me", "GET /user/me", asked(readers, "GET", "/user/me")),
            Endpoint("list", "GET /chatroom, warm", asked(readers, "GET", "/chatroom")),
            Endpoint("room", "GET /chatroom/{id}, 50", asked(readers, "GET", "/chatroom/{room}")),
            Endpoint("create", "POST /chatroom", asked(writers, "POST", "/chatroom", {"name": "Bench"})),
            Endpoint("message", "POST message", asked(writers, "POST", "/chatroom/{room}/message", sent)),
        ]

    def _token(self, one: Person, now: datetime) -> str:
        session = Session(
            SessionId(one.session_id), UserId(one.user_id), LoginMethod.OTP, now, now + timedelta(days=1), device=None
        )
        return self._tokens.issue(session, at=now, lifetime=timedelta(hours=2))


CASES = ("me", "list", "room", "create", "message")


def _request(method: str, path: str, body: object, token: str, *, address: int) -> str:
    content = "" if body is None else json.dumps(body)
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {token}",
        f"X-Forwarded-For: 10.9.{address // 250}.{address % 250 + 1}",
        "User-Agent: bench",
        "Accept: application/json",
    ]
    if content:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", content])
