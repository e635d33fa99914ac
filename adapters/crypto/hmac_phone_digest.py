"""What is kept of a mobile number where the number itself must not be."""

import hashlib
import hmac

from application.ports.audit import PhoneDigest
from domain.accounts import PhoneNumber

HEX_DIGITS = 24


class HmacPhoneDigest(PhoneDigest):
    """The PhoneDigest port. Keyed: there are few enough numbers to try them all against a plain digest."""

    def __init__(self, key: bytes) -> None:
        """``key``: a secret that is not where the digests are."""
        self._key = key

    def __call__(self, phone: PhoneNumber) -> str:
        """The digest of a number."""
        return hmac.new(self._key, phone.e164.encode(), hashlib.sha256).hexdigest()[:HEX_DIGITS]
