import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from application.ports.refresh_tokens import RefreshTokens
from domain.accounts import SessionId

TOKEN_BYTES = 32


class HmacRefreshTokens(RefreshTokens):
    """The first token of a chain is random, each further one is the HMAC of the one before.

    So a repeated request gets the same answer although only digests are stored. ``key``: a secret that is not in the
    database; ``older``: those that were in its place.
    """

    def __init__(self, key: bytes, *older: bytes) -> None:
        self._key = key
        self._keys = (key, *older)

    def first(self) -> str:
        return _written(secrets.token_bytes(TOKEN_BYTES))

    def first_of(self, session_id: SessionId) -> str:
        return _written(hmac.new(self._key, b"first\x00" + session_id.bytes, hashlib.sha256).digest())

    def successors(self, token: str) -> Sequence[str]:
        text = b"after\x00" + _bytes(token)
        return [_written(hmac.new(key, text, hashlib.sha256).digest()) for key in self._keys]

    def digest(self, token: str) -> bytes:
        # Unkeyed: tokens are too random to be guessed from their digest.
        return hashlib.sha256(b"refresh\x00" + _bytes(token)).digest()


def _written(token: bytes) -> str:
    return f"rt_{base64.urlsafe_b64encode(token).rstrip(b'=').decode()}"


def _bytes(token: str) -> bytes:
    return token.encode("utf-8", "surrogatepass")
