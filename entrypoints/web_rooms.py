"""Which room of the web server a request is answered in, and whose request it is.

Work that asks others (a payment provider, a sender of text messages) or keeps a core busy (hashing passwords) has rooms
of its own. So a provider that hangs stops those who need it, and no others.
"""

import base64
import binascii
import re
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import NamedTuple

from domain.accounts import Origin
from entrypoints.api.client import ORIGIN, Proxies, note_origin
from entrypoints.server.rooms import Job, Room
from entrypoints.server.wsgi import Environ

# The subject of an access token, read without verifying the token: a forged one waits in the line of another user
# until the application refuses it, which takes no time.
SUBJECT = re.compile(rb'"sub": ?"([0-9a-f-]{36})"')
# An access token is a few hundred characters; nothing longer is read.
MAX_AUTHORIZATION = 2_000


CHAT = ("/chatroom", "/message")
EXPORT = re.compile("/chatroom/[^/]+/export")


class Rooms(NamedTuple):
    """The rooms of a process: by method and path, else ``chat`` for chatrooms and messages, else ``work``.

    ``exports``: of one chatroom each, whose path has its id in it.
    """

    work: Room
    chat: Room
    exports: Room
    by_route: Mapping[tuple[str, str], Room | None]

    @property
    def all(self) -> tuple[Room, ...]:
        others = {id(room): room for room in self.by_route.values() if room is not None}
        return (self.work, self.chat, self.exports, *others.values())

    def room_of(self, environ: Environ) -> Room | None:
        """None: answered on the event loop."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"].rstrip("/")
        if method in {"GET", "HEAD"} and EXPORT.fullmatch(path):
            return self.exports
        ordinary = self.chat if path.startswith(CHAT) else self.work
        return self.by_route.get((method, path), ordinary)


def rooms(threads: int, *, start: Callable[[Job], None] | None = None) -> Rooms:
    """``threads``: for ordinary work. No kind of it may have all of them, nor may one client all of one kind.

    ``start``: runs ordinary work on the event loop, where it waits for PostgreSQL and Redis alone. What asks anybody
    else, computes for long or sends without an end has threads.
    """
    # While a table of messages is locked, requests that need it wait for seconds; those that do not must not.
    chat, work = (
        Room(name, threads=size, per_client=max(size * 3 // 4, 1), waiting=2_000, per_client_waiting=500, start=start)
        for name, size in (("chat", max(threads * 3 // 4, 1)), ("work", max(threads // 2, 1)))
    )
    # The provider's answers take as long as they take; a buyer needs one at a time.
    payments = Room("payments", threads=4, per_client=1, waiting=16, per_client_waiting=8)
    webhooks = Room("webhooks", threads=4, per_client=4, waiting=64)
    landing = Room("landing", threads=2, per_client=1, waiting=8, per_client_waiting=2)
    # bcrypt: two at once (see its adapter), a quarter of a second each.
    passwords = Room("passwords", threads=4, per_client=3, waiting=32, per_client_waiting=16)
    text_messages = Room("text_messages", threads=4, per_client=3, waiting=32, per_client_waiting=16)
    accounts = Room("accounts", threads=2, per_client=1, waiting=64, per_client_waiting=16)
    # A client that reads slowly holds a thread.
    exports = Room("exports", threads=2, per_client=1, waiting=64, per_client_waiting=16)
    # A search ends by itself after two seconds; a user needs one at a time.
    search = Room("search", threads=2, per_client=1, waiting=64, per_client_waiting=4)
    probes = Room("probes", threads=2, per_client=2, waiting=16)
    return Rooms(
        work,
        chat,
        exports,
        {
            ("GET", "/health/live"): None,
            ("HEAD", "/health/live"): None,
            ("GET", "/health/ready"): probes,
            ("HEAD", "/health/ready"): probes,
            ("POST", "/subscribe/pro"): payments,
            ("POST", "/subscription/subscribe/pro"): payments,
            ("POST", "/subscription/portal"): payments,
            ("POST", "/subscription/cancel"): payments,
            ("POST", "/subscription/resume"): payments,
            ("POST", "/webhook/stripe"): webhooks,
            ("POST", "/subscription/webhook/stripe"): webhooks,
            ("GET", "/success"): landing,
            ("POST", "/auth/send-otp"): text_messages,
            ("POST", "/auth/forgot-password"): text_messages,
            ("POST", "/auth/signup"): passwords,
            ("POST", "/auth/login"): passwords,
            ("POST", "/auth/reset-password"): passwords,
            ("POST", "/auth/change-password"): passwords,
            ("DELETE", "/user/me"): accounts,
            ("GET", "/user/export"): accounts,
            ("GET", "/search"): search,
            ("HEAD", "/search"): search,
        },
    )


def waiting_room(start: Callable[[Job], None] | None = None) -> Room:
    """For steps of streams and long polls, short looks at Redis and PostgreSQL. All of them wait for their turn."""
    return Room("waiting", threads=4, per_client=4, waiting=1_000_000, start=start)


def client_of(environ: Environ, proxies: Proxies) -> Hashable:
    """The user whom the access token names, or else the address that the request comes from."""
    authorization = environ.get("HTTP_AUTHORIZATION", "")
    user = _subject_of(authorization) if len(authorization) <= MAX_AUTHORIZATION else None
    if user:
        return user
    note_origin(environ, proxies)
    origin: Origin = environ[ORIGIN]
    return origin.address


# The same tokens come again and again.
@lru_cache(maxsize=4_096)
def _subject_of(authorization: str) -> bytes | None:
    _, _, rest = authorization.partition(".")
    payload, _, _ = rest.partition(".")
    try:
        found = SUBJECT.search(base64.urlsafe_b64decode(payload + "=="))
    except (binascii.Error, ValueError):
        return None
    return found[1] if found else None
