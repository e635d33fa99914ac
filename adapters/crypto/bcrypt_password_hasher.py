"""Passwords hashed with bcrypt."""

import base64
import hashlib
import hmac
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import BoundedSemaphore
from typing import TypeVar

import bcrypt

from application.ports.password_hasher import PasswordHasher
from domain.errors import DependencyDown

# bcrypt keeps a core busy for a quarter of a second: more than two at once would starve every other request.
AT_ONCE = 2

T = TypeVar("T")


class BcryptPasswordHasher(PasswordHasher):
    """bcrypt over base64(HMAC-SHA-384(pepper, password)): 64 bytes, so that bcrypt's limit of 72 never matters."""

    def __init__(self, *, pepper: bytes, cost: int = 12, places: int = 1_000) -> None:
        """``pepper``: a secret that is not in the database. ``cost``: 2**cost rounds (OWASP: 10 or more).

        ``places``: how many may be here at once, waiting for their turn or having it. The rest are sent away rather
        than keep all threads of the process from everybody else.
        """
        self._pepper = pepper
        self._cost = cost
        # What a refusal has to look like; more than the present cost only after that was lowered.
        self._dearest_seen = cost
        self._places = BoundedSemaphore(places)
        # Threads of their own on all cores that there are now: the rest of a web process keeps to one (WEB_CORES).
        cores = _cores()
        self._workers = ThreadPoolExecutor(AT_ONCE, "bcrypt", initializer=lambda: _widen_to(cores))

    def hash(self, password: str) -> str:
        """A salted hash. DependencyDown when too many are waiting."""
        return self._in_turn(lambda: bcrypt.hashpw(self._digest(password), bcrypt.gensalt(self._cost)).decode())

    def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether it is the password of the hash. A refusal takes as many rounds without a hash as with any.

        Any that is no dearer than the present cost, or than one that was compared here before: what is dearer is met
        only after the cost was lowered, and takes its time once.
        """
        return self._in_turn(lambda: self._compare(self._digest(password), password_hash))

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash says another cost, or another version of bcrypt."""
        return not password_hash.startswith(f"$2b${self._cost:02d}$")

    def _compare(self, digest: bytes, password_hash: str | None) -> bool:
        if password_hash is None:
            _spend(digest, self._dearest_seen)
            return False
        cost = int(password_hash.split("$")[2])
        self._dearest_seen = max(self._dearest_seen, cost)
        if bcrypt.checkpw(digest, password_hash.encode()):
            return True
        # 2**cost rounds are done: with those of each cost from there on they add up to those of the dearest.
        for more in range(cost, self._dearest_seen):
            _spend(digest, more)
        return False

    def _in_turn(self, work: Callable[[], T]) -> T:
        if not self._places.acquire(blocking=False):
            raise DependencyDown("password_hasher", retry_after=1)
        try:
            return self._workers.submit(work).result()
        finally:
            self._places.release()

    def _digest(self, password: str) -> bytes:
        return base64.b64encode(
            hmac.new(self._pepper, password.encode("utf-8", "surrogatepass"), hashlib.sha384).digest()
        )


def _spend(digest: bytes, cost: int) -> None:
    """Work for nothing."""
    bcrypt.hashpw(digest, bcrypt.gensalt(cost))


def _cores() -> set[int]:
    """On which cores the thread at hand may run; none where the system does not say."""
    with suppress(AttributeError, OSError):
        return os.sched_getaffinity(0)
    return set()


def _widen_to(cores: set[int]) -> None:
    """Let the thread at hand run on all of these, if it may run on some of them alone."""
    if _cores() < cores:
        # A pool whose initializer raised is broken for good, and a password is hashed on one core as well.
        with suppress(OSError):
            os.sched_setaffinity(0, cores)
