"""The one-time passwords that are valid."""

from collections.abc import Collection
from typing import NamedTuple, Protocol

from domain.accounts import UNKNOWN_ORIGIN, Origin, PhoneNumber
from domain.one_time_password import OtpPolicy, Purpose


class Redeemed(NamedTuple):
    """A code that was accepted. ``receipt``: that of its first use."""

    purpose: Purpose
    receipt: str


class OtpStore(Protocol):
    """Stores codes so that neither codes nor numbers can be read from it.

    ``origin``: the client. Cool-downs, attempts and failures are counted apart for the address that asked for a code,
    so that a stranger elsewhere can neither use them up nor delay the next code.

    It fails closed: ``put`` and ``redeem`` raise DependencyDown when the store does not answer.
    """

    def put(
        self, phone: PhoneNumber, purpose: Purpose, code: str, policy: OtpPolicy, origin: Origin = UNKNOWN_ORIGIN
    ) -> None:
        """Adds a code of the number for this purpose. Earlier codes stay valid for their time.

        Raises OtpResendTooSoon when one was put for the same address less than ``policy.resend_after`` ago, and
        OtpLocked when too many codes for the number were wrong lately; then nothing changes.
        """

    def redeem(
        self,
        phone: PhoneNumber,
        purposes: Collection[Purpose],
        code: str,
        policy: OtpPolicy,
        origin: Origin = UNKNOWN_ORIGIN,
    ) -> Purpose:
        """Uses up a code for one of ``purposes``, and returns which. Of all concurrent callers one succeeds.

        The attempt is counted before the comparison. Raises OtpInvalid when there is no matching code, and OtpLocked
        when its attempts are used up; it is void then. Raises OtpLocked, too, once ``policy.max_failures`` codes for
        the number were wrong, over all purposes and codes, for ``policy.failures_forgotten_after``.
        """

    def redeem_once(
        self,
        phone: PhoneNumber,
        purposes: Collection[Purpose],
        code: str,
        policy: OtpPolicy,
        *,
        receipt: str,
        origin: Origin,
    ) -> Redeemed:
        """As ``redeem``; but for ``REPEAT_GRACE`` the same code is accepted again from the same address and device."""

    def give_back(self, phone: PhoneNumber, purpose: Purpose, code: str) -> None:
        """Makes a code valid again that was redeemed a moment ago for nothing. Best effort, never raises."""

    def void(self, phone: PhoneNumber) -> None:
        """Ends every code of the number. Best effort, never raises."""

    def withdraw(self, phone: PhoneNumber, purpose: Purpose, origin: Origin = UNKNOWN_ORIGIN) -> None:
        """Undoes the last ``put`` for the address, whose code was never sent: the next one need not wait.

        Best effort, never raises. After a failure a code stays that was sent to no one.
        """
