"""Passwords hashed with bcrypt."""

import base64
import hashlib
import hmac
from threading import BoundedSemaphore

import bcrypt

# bcrypt keeps a core busy for a quarter of a second: more than two at once would starve every other request.
AT_ONCE = 2


class BcryptPasswordHasher:
    """bcrypt over base64(HMAC-SHA-384(pepper, password)): 64 bytes, so that bcrypt's limit of 72 never matters."""

    def __init__(self, *, pepper: bytes, cost: int = 12) -> None:
        """``pepper``: a secret that is not in the database. ``cost``: 2**cost rounds (OWASP: 10 or more)."""
        self._pepper = pepper
        self._cost = cost
        self._turn = BoundedSemaphore(AT_ONCE)

    def hash(self, password: str) -> str:
        """A salted hash."""
        with self._turn:
            return bcrypt.hashpw(self._digest(password), bcrypt.gensalt(self._cost)).decode()

    def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether it is the password of the hash; with no hash the same work is done for nothing."""
        if password_hash is None:
            self.hash(password)
            return False
        with self._turn:
            return bcrypt.checkpw(self._digest(password), password_hash.encode())

    def _digest(self, password: str) -> bytes:
        return base64.b64encode(
            hmac.new(self._pepper, password.encode("utf-8", "surrogatepass"), hashlib.sha384).digest()
        )
