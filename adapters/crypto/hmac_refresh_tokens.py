"""Refresh tokens: the first of a chain by chance, each further one worked out from the one before with a secret key.

So the answer to a request that is repeated can be repeated, and still only digests are kept.
"""

import base64
import hashlib
import hmac
import secrets

from application.ports.refresh_tokens import RefreshTokens

TOKEN_BYTES = 32


class HmacRefreshTokens(RefreshTokens):
    """The RefreshTokens port."""

    def __init__(self, key: bytes) -> None:
        """``key``: a secret that is not in the database."""
        self._key = key

    def first(self) -> str:
        """A token nobody can predict."""
        return _written(secrets.token_bytes(TOKEN_BYTES))

    def after(self, token: str) -> str:
        """The token that follows ``token``."""
        return _written(hmac.new(self._key, b"after\x00" + _bytes(token), hashlib.sha256).digest())

    def digest(self, token: str) -> bytes:
        """What is kept of a token: they are random enough for a plain digest."""
        return hashlib.sha256(b"refresh\x00" + _bytes(token)).digest()


def _written(token: bytes) -> str:
    return f"rt_{base64.urlsafe_b64encode(token).rstrip(b'=').decode()}"


def _bytes(token: str) -> bytes:
    return token.encode("utf-8", "surrogatepass")
