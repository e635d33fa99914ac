"""Keys derived from the secrets."""

import hashlib
import hmac

from entrypoints.settings import Secret, Settings


def key_for(use: str, settings: Settings) -> bytes:
    """A key of its own for each use of the one secret (NIST SP 800-108: separate keys for separate purposes)."""
    return derived(settings.jwt_secret, use)


def derived(secret: Secret, use: str) -> bytes:
    """The key that one secret gives for a use."""
    return hmac.new(secret.reveal().encode(), use.encode(), hashlib.sha256).digest()
