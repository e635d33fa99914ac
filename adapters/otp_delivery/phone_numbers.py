"""Mobile numbers read by Google's libphonenumber."""

from collections.abc import Collection

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

from application.ports.phone_numbers import ReadPhoneNumber
from application.ports.served_countries import IsServed
from domain.accounts import PhoneNumber
from domain.errors import InvalidValue

MAX_LENGTH = 32


class LibPhoneNumberReader(ReadPhoneNumber):
    """Reads numbers as people of one region write them, and international ones with or without the plus sign."""

    def __init__(self, *, default_region: str, only_valid: bool) -> None:
        """``default_region``: ISO 3166 code. ``only_valid``: also refuse what is possible but assigned to nobody."""
        if default_region not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(f"PHONE_DEFAULT_REGION={default_region} is not a region with telephone numbers")
        self._default_region = default_region
        # What is assigned to somebody is meant rather than what only could be, whichever reading it comes from: so a
        # number that is good in production is the same number in development.
        self._acceptable = (
            [phonenumbers.is_valid_number]
            if only_valid
            else [phonenumbers.is_valid_number, phonenumbers.is_possible_number]
        )

    def __call__(self, text: str) -> PhoneNumber:
        """The number in E.164; InvalidValue when no reading of the text is acceptable."""
        if len(text) <= MAX_LENGTH:
            readings = [self._parse(reading) for reading in (text, f"+{text.strip()}")]
            for accepts in self._acceptable:
                for number in readings:
                    if number is not None and accepts(number):
                        return PhoneNumber(_e164(number))
        raise InvalidValue("mobileNumber", "not a phone number")

    def _parse(self, text: str) -> phonenumbers.PhoneNumber | None:
        try:
            number = phonenumbers.parse(text, self._default_region)
            # Of a row of zeros libphonenumber takes away some each time it reads it.
            is_canonical = _e164(phonenumbers.parse(_e164(number), None)) == _e164(number)
        except NumberParseException:
            return None
        return number if is_canonical and not number.extension else None


class ServedCountries(IsServed):
    """The IsServed port."""

    def __init__(self, regions: Collection[str]) -> None:
        """``regions``: ISO 3166 codes; none of them: everywhere."""
        unknown = sorted(set(regions) - phonenumbers.SUPPORTED_REGIONS)
        if unknown:
            raise ValueError(f"OTP_COUNTRIES names what is not a region with telephone numbers: {', '.join(unknown)}")
        self._regions = frozenset(regions)

    def __call__(self, phone: PhoneNumber) -> bool:
        """Whether the number is of one of the regions."""
        if not self._regions:
            return True
        try:
            number = phonenumbers.parse(phone.e164, None)
        except NumberParseException:  # of no country at all
            return False
        region = phonenumbers.region_code_for_number(number)
        if region is None:  # possible, though assigned to nobody: then the country calling code has to do
            return bool(self._regions & set(phonenumbers.region_codes_for_country_code(number.country_code or 0)))
        return region in self._regions


def _e164(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)
