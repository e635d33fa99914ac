"""Passwords hashed with bcrypt."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

import bcrypt

from domain.errors import DependencyDown

# bcrypt keeps a core busy for a quarter of a second: more than two at once would starve every other request.
AT_ONCE = 2


class BcryptPasswordHasher:
    """bcrypt over base64(HMAC-SHA-384(pepper, password)): 64 bytes, so that bcrypt's limit of 72 never matters."""

    def __init__(self, *, pepper: bytes, cost: int = 12, places: int = 1_000) -> None:
        """``pepper``: a secret that is not in the database. ``cost``: 2**cost rounds (OWASP: 10 or more).

        ``places``: how many may be here at once, waiting for their turn or having it. The rest are sent away rather
        than keep all threads of the process from everybody else.
        """
        self._pepper = pepper
        self._cost = cost
        self._places = BoundedSemaphore(places)
        self._turn = BoundedSemaphore(AT_ONCE)

    def hash(self, password: str) -> str:
        """A salted hash. DependencyDown when too many are waiting."""
        with self._my_turn():
            return bcrypt.hashpw(self._digest(password), bcrypt.gensalt(self._cost)).decode()

    def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether it is the password of the hash; with no hash the same work is done for nothing."""
        if password_hash is None:
            self.hash(password)
            return False
        with self._my_turn():
            return bcrypt.checkpw(self._digest(password), password_hash.encode())

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash says another cost, or another version of bcrypt."""
        return not password_hash.startswith(f"$2b${self._cost:02d}$")

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise DependencyDown("password_hasher", retry_after=1)
        try:
            with self._turn:
                yield
        finally:
            self._places.release()

    def _digest(self, password: str) -> bytes:
        return base64.b64encode(
            hmac.new(self._pepper, password.encode("utf-8", "surrogatepass"), hashlib.sha384).digest()
        )
