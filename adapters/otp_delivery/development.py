"""Deliveries that need no SMS provider: for development, and for an operator at the console."""

import structlog

from application.ports.otp_delivery import OtpDelivery
from domain.accounts import PhoneNumber
from domain.languages import Language
from domain.one_time_password import Purpose


class ResponseOtpDelivery(OtpDelivery):
    """Returns the code in the response: for development, since any client may then log in as any user.

    The settings refuse it in production.
    """

    def deliver(self, phone: PhoneNumber, code: str, purpose: Purpose, language: Language) -> str | None:
        return code


class ConsoleOtpDelivery(OtpDelivery):
    """Logs the code, for an operator to read. The only place where a code may be logged."""

    def deliver(self, phone: PhoneNumber, code: str, purpose: Purpose, language: Language) -> str | None:
        structlog.get_logger("otp").warning("one_time_password", phone=repr(phone), code=code, purpose=purpose.value)
        return None
