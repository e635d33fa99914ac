import base64
import hashlib
import hmac
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import TypeVar

import bcrypt

from application.ports.password_hasher import PasswordHasher
from domain.errors import DependencyDown

# A hash keeps a core busy for a quarter of a second: more than two at once would starve every other request.
AT_ONCE = 2

T = TypeVar("T")


class BcryptPasswordHasher(PasswordHasher):
    """bcrypt over base64(HMAC-SHA-384(pepper, password)): 64 bytes, so that bcrypt's limit of 72 never matters.

    ``pepper``: a secret that is not in the database. ``cost``: 2**cost rounds (OWASP: 10 or more). ``places``: how many
    calls may run or wait at once; further ones fail at once (DependencyDown), so that logins cannot take every thread
    of the process.
    """

    def __init__(self, *, pepper: bytes, cost: int = 12, places: int = 1_000) -> None:
        self._pepper = pepper
        self._cost = cost
        # The cost that a refusal has to match: above the present cost only after that was lowered.
        self._costliest_seen = cost
        self._places = BoundedSemaphore(places)
        self._workers = ThreadPoolExecutor(AT_ONCE, "bcrypt")

    def hash(self, password: str) -> str:
        return self._in_turn(lambda: bcrypt.hashpw(self._digest(password), bcrypt.gensalt(self._cost)).decode())

    def matches(self, password: str, password_hash: str | None) -> bool:
        """A refusal costs as many rounds as the costliest hash seen, so timing does not tell whether an account exists.

        Only the first comparison with a hash of a higher cost takes longer; that is met after the cost was lowered.
        """
        return self._in_turn(lambda: self._compare(self._digest(password), password_hash))

    def needs_rehash(self, password_hash: str) -> bool:
        """Also for a hash made by another version of bcrypt."""
        return not password_hash.startswith(f"$2b${self._cost:02d}$")

    def _compare(self, digest: bytes, password_hash: str | None) -> bool:
        if password_hash is None:
            _spend(digest, self._costliest_seen)
            return False
        cost = int(password_hash.split("$")[2])
        self._costliest_seen = max(self._costliest_seen, cost)
        if bcrypt.checkpw(digest, password_hash.encode()):
            return True
        # 2**cost rounds are done. Together with 2**n for each n from cost on they make 2**costliest.
        for more in range(cost, self._costliest_seen):
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
    """Take the time of a hash and drop the result."""
    bcrypt.hashpw(digest, bcrypt.gensalt(cost))
