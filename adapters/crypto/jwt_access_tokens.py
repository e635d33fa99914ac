"""Access tokens as JWTs (RFC 7519), signed with HS256."""

import hashlib
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID, uuid4

import jwt

from application.ports.access_tokens import AccessTokens, TokenClaims
from domain.accounts import Session, SessionId, UserId
from domain.errors import TokenExpired, TokenInvalid

ISSUER = "gemini-chat-backend"
AUDIENCE = "gemini-chat-backend/api"
ALGORITHM = "HS256"
REQUIRED = ["exp", "iat", "sub", "jti", "aud", "iss", "sid"]
# Clocks of two web servers may differ by this much.
LEEWAY = timedelta(seconds=5)
MIN_KEY_BYTES = 32
MAX_LENGTH = 2_000
CACHED_TOKENS = 4_096


class JwtAccessTokens(AccessTokens):
    """The plan is not in the token: it is read from the database where it is used.

    ``secrets``: signing keys of 32 bytes or more (RFC 7518, section 3.2). The first signs, all of them verify.
    """

    def __init__(self, *secrets: bytes) -> None:
        if not secrets or any(len(secret) < MIN_KEY_BYTES for secret in secrets):
            raise ValueError("a signing key has less than 32 bytes")
        self._secret = secrets[0]
        self._key_id = _key_id(secrets[0])
        self._keys = {_key_id(secret): secret for secret in secrets}
        # The same few tokens are read again and again. Whether one is genuine depends only on the token and the key, so
        # it is verified once; whether it has expired is checked each time.
        self._genuine = lru_cache(maxsize=CACHED_TOKENS)(self._verify)

    def issue(self, session: Session, *, at: datetime, lifetime: timedelta | None = None) -> str:
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(session.user_id),
            "sid": str(session.id),
            "jti": str(uuid4()),
            "iat": at,
            "exp": session.expires_at if lifetime is None else min(session.expires_at, at + lifetime),
        }
        return jwt.encode(claims, self._secret, ALGORITHM, headers={"kid": self._key_id})

    def read(self, token: str, *, at: datetime) -> TokenClaims:
        claims, expires_at = self._read(token)
        if expires_at + LEEWAY <= at:
            raise TokenExpired
        return claims

    def read_expired(self, token: str) -> TokenClaims:
        claims, _ = self._read(token)
        return claims

    def _read(self, token: str) -> tuple[TokenClaims, datetime]:
        if len(token) > MAX_LENGTH:
            raise TokenInvalid
        return self._genuine(token)

    def _verify(self, token: str) -> tuple[TokenClaims, datetime]:
        try:
            # A token without a key id was signed with the present key.
            key_id = jwt.get_unverified_header(token).get("kid", self._key_id)
            claims = jwt.decode(
                token,
                self._keys[key_id],
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                # ``read`` compares the times, with the clock that it is given.
                options={"require": REQUIRED, "verify_exp": False, "verify_iat": False},
            )
            return (
                TokenClaims(UserId(UUID(claims["sub"])), SessionId(UUID(claims["sid"]))),
                datetime.fromtimestamp(claims["exp"], UTC),
            )
        except (jwt.PyJWTError, KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
            raise TokenInvalid from error


def _key_id(secret: bytes) -> str:
    """A key id that tells nothing about the key."""
    return hashlib.sha256(b"kid:" + secret).hexdigest()[:8]
