"""One-time passwords that were sent and not used yet."""

from collections.abc import Collection
from typing import Protocol

from domain.accounts import PhoneNumber
from domain.one_time_password import OtpPolicy, Purpose


class OtpStore(Protocol):
    """Keeps codes so that neither they nor the numbers can be read from it.

    Every method raises DependencyDown when the store does not answer: codes fail closed.
    """

    def put(self, phone: PhoneNumber, purpose: Purpose, code: str, policy: OtpPolicy) -> None:
        """Keep a new code in place of the number's last one for this purpose.

        OtpResendTooSoon when that one was put less than ``policy.resend_after`` ago, OtpLocked when too many codes for
        the number were wrong lately; then nothing changes.
        """

    def redeem(self, phone: PhoneNumber, purposes: Collection[Purpose], code: str, policy: OtpPolicy) -> Purpose:
        """Use up the code and say what it was sent for, one of ``purposes``. Of any number of callers one succeeds.

        The attempt is counted before the comparison. OtpInvalid when it does not match or there is none; OtpLocked when
        attempts are used up: the code is void then, right or not. OtpLocked, too, once ``policy.max_failures`` codes
        for the number were wrong, whatever for and however many were sent: until that is forgotten.
        """

    def withdraw(self, phone: PhoneNumber, purpose: Purpose) -> None:
        """Take back the last ``put``: its code was never sent. The code before it is as good as it was, and another
        can be asked for at once. Best effort and never raises: what stays is a code that nobody knows.
        """
