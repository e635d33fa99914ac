"""The one-time passwords that are valid."""

from collections.abc import Collection
from typing import Protocol

from domain.accounts import PhoneNumber
from domain.one_time_password import OtpPolicy, Purpose


class OtpStore(Protocol):
    """Stores codes so that neither codes nor numbers can be read from it.

    It fails closed: ``put`` and ``redeem`` raise DependencyDown when the store does not answer.
    """

    def put(self, phone: PhoneNumber, purpose: Purpose, code: str, policy: OtpPolicy) -> None:
        """Replaces the code of the number for this purpose.

        Raises OtpResendTooSoon when that one was put less than ``policy.resend_after`` ago, and OtpLocked when too many
        codes for the number were wrong lately; then nothing changes.
        """

    def redeem(self, phone: PhoneNumber, purposes: Collection[Purpose], code: str, policy: OtpPolicy) -> Purpose:
        """Uses up a code for one of ``purposes``, and returns which. Of all concurrent callers one succeeds.

        The attempt is counted before the comparison. Raises OtpInvalid when there is no matching code, and OtpLocked
        when its attempts are used up; it is void then. Raises OtpLocked, too, once ``policy.max_failures`` codes for
        the number were wrong, over all purposes and codes, for ``policy.failures_forgotten_after``.
        """

    def withdraw(self, phone: PhoneNumber, purpose: Purpose) -> None:
        """Undoes the last ``put``, whose code was never sent: the previous code is valid again, without a cool-down.

        Best effort, never raises. After a failure a code stays that was sent to no one.
        """
