"""Mobile numbers, by Google's libphonenumber."""

from collections.abc import Collection

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

from application.ports.phone_numbers import ReadPhoneNumber
from application.ports.served_countries import IsServed
from domain.accounts import PhoneNumber
from domain.errors import InvalidValue

MAX_LENGTH = 32


class LibPhoneNumberReader(ReadPhoneNumber):
    """Reads numbers as they are written in one region, and international ones with or without the plus sign.

    ``default_region``: ISO 3166 code. ``only_valid``: refuse numbers that are possible but not assigned.
    """

    def __init__(self, *, default_region: str, only_valid: bool) -> None:
        if default_region not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(f"PHONE_DEFAULT_REGION={default_region} is not a region with telephone numbers")
        self._default_region = default_region
        # A valid number is preferred to one that is merely possible, whichever reading it comes from. So a text that is
        # accepted in production is read as the same number in development.
        self._acceptable = (
            [phonenumbers.is_valid_number]
            if only_valid
            else [phonenumbers.is_valid_number, phonenumbers.is_possible_number]
        )

    def __call__(self, text: str) -> PhoneNumber:
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
            # libphonenumber drops some of a row of zeros each time it parses it.
            is_canonical = _e164(phonenumbers.parse(_e164(number), None)) == _e164(number)
        except NumberParseException:
            return None
        return number if is_canonical and not number.extension else None


class ServedCountries(IsServed):
    """``regions``: ISO 3166 codes; empty: everywhere."""

    def __init__(self, regions: Collection[str]) -> None:
        unknown = sorted(set(regions) - phonenumbers.SUPPORTED_REGIONS)
        if unknown:
            raise ValueError(f"OTP_COUNTRIES names what is not a region with telephone numbers: {', '.join(unknown)}")
        self._regions = frozenset(regions)

    def __call__(self, phone: PhoneNumber) -> bool:
        if not self._regions:
            return True
        try:
            number = phonenumbers.parse(phone.e164, None)
        except NumberParseException:  # of no country
            return False
        region = phonenumbers.region_code_for_number(number)
        if region is None:  # possible but not assigned: then the country calling code decides
            return bool(self._regions & set(phonenumbers.region_codes_for_country_code(number.country_code or 0)))
        return region in self._regions


def _e164(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)
