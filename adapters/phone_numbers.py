"""Mobile numbers read by Google's libphonenumber."""

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

from domain.accounts import PhoneNumber
from domain.errors import InvalidValue

MAX_LENGTH = 32


class LibPhoneNumberReader:
    """Reads numbers as people of one region write them, and international ones with or without the plus sign."""

    def __init__(self, *, default_region: str, only_valid: bool) -> None:
        """``default_region``: ISO 3166 code. ``only_valid``: also refuse what is possible but assigned to nobody."""
        self._default_region = default_region
        self._accepts = phonenumbers.is_valid_number if only_valid else phonenumbers.is_possible_number

    def __call__(self, text: str) -> PhoneNumber:
        """The number in E.164; InvalidValue when no reading of the text is acceptable."""
        if len(text) <= MAX_LENGTH:
            for reading in (text, f"+{text.strip()}"):
                number = self._parse(reading)
                if number is not None:
                    return number
        raise InvalidValue("mobileNumber", "not a phone number")

    def _parse(self, text: str) -> PhoneNumber | None:
        try:
            number = phonenumbers.parse(text, self._default_region)
        except NumberParseException:
            return None
        if number.extension or not self._accepts(number):
            return None
        return PhoneNumber(phonenumbers.format_number(number, PhoneNumberFormat.E164))
