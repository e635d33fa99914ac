import hashlib
import hmac

from application.ports.audit import PhoneDigest
from domain.accounts import PhoneNumber

HEX_DIGITS = 24


class HmacPhoneDigest(PhoneDigest):
    """HMAC-SHA-256, shortened. Keyed, since there are few enough numbers to try them all against a plain digest.

    ``key``: a secret that is not stored with the digests.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __call__(self, phone: PhoneNumber) -> str:
        return hmac.new(self._key, phone.e164.encode(), hashlib.sha256).hexdigest()[:HEX_DIGITS]
