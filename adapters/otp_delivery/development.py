"""Ways for a one-time password to reach its owner. SMS comes behind the same port."""

import structlog

from application.ports.otp_delivery import OtpDelivery
from domain.accounts import PhoneNumber
from domain.one_time_password import Purpose


class ResponseOtpDelivery(OtpDelivery):
    """Shows the code to whoever asked: for development, where anybody may log in as anybody. Refused in production."""

    def deliver(self, phone: PhoneNumber, code: str, purpose: Purpose) -> str | None:
        """The code itself."""
        return code


class ConsoleOtpDelivery(OtpDelivery):
    """Prints the code where the operator reads it; the one place where a code may be printed."""

    def deliver(self, phone: PhoneNumber, code: str, purpose: Purpose) -> str | None:
        """Nothing to show to whoever asked."""
        structlog.get_logger("otp").warning("one_time_password", phone=repr(phone), code=code, purpose=purpose.value)
        return None
