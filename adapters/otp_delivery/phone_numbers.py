"""Mobile numbers, by Google's libphonenumber."""

from collections.abc import Collection

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

from application.ports.phone_numbers import ReadPhoneNumber
from application.ports.served_countries import IsServed
from domain.accounts import PhoneNumber
from domain.errors import InvalidValue

MAX_LENGTH = 32


class LibPhoneNumberReader(ReadPhoneNumber):
    """Reads numbers as they are written in one region, and international ones with or without the plus sign.

    Of two readings the one that is a mobile number counts, and a valid number before one that is merely possible: a
    text that is accepted in production is read as the same number in development. ``default_region``: ISO 3166 code.
    ``only_valid``: refuse what cannot receive text messages (landlines, premium rate, toll-free, pagers) and what is
    possible but not assigned. ``test_numbers`` are taken all the same.
    """

    def __init__(self, *, default_region: str, only_valid: bool, test_numbers: Collection[PhoneNumber] = ()) -> None:
        if default_region not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(f"PHONE_DEFAULT_REGION={default_region} is not a region with telephone numbers")
        self._default_region = default_region
        self._test_numbers = frozenset(test_numbers)
        self._acceptable = (
            [_is_mobile] if only_valid else [_is_mobile, phonenumbers.is_valid_number, phonenumbers.is_possible_number]
        )

    def __call__(self, text: str) -> PhoneNumber:
        if len(text) <= MAX_LENGTH:
            readings = [self._parse(reading) for reading in (text, f"+{text.strip()}")]
            for accepts in (self._is_test_number, *self._acceptable):
                for number in readings:
                    if number is not None and accepts(number):
                        return PhoneNumber(_e164(number))
        raise InvalidValue("mobileNumber", "not a mobile phone number")

    def _is_test_number(self, number: phonenumbers.PhoneNumber) -> bool:
        return bool(self._test_numbers) and _e164(number) in {phone.e164 for phone in self._test_numbers}

    def _parse(self, text: str) -> phonenumbers.PhoneNumber | None:
        try:
            number = _without_old_prefix(phonenumbers.parse(text, self._default_region))
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


# Where mobile and fixed numbers look alike (the countries of +1), text messages reach what can receive them.
MOBILE = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE}


def _is_mobile(number: phonenumbers.PhoneNumber) -> bool:
    return phonenumbers.is_valid_number(number) and phonenumbers.number_type(number) in MOBILE


# Until 2019 mobile numbers of Mexico had a 1 after the country code; address books still do. libphonenumber keeps it.
MEXICO = 52
OLD_MOBILE_OF_MEXICO = range(10**10, 2 * 10**10)


def _without_old_prefix(number: phonenumbers.PhoneNumber) -> phonenumbers.PhoneNumber:
    digits = number.national_number or 0
    if number.country_code == MEXICO and digits in OLD_MOBILE_OF_MEXICO:
        number.national_number = digits - OLD_MOBILE_OF_MEXICO.start
    return number
