"""The contract of mobile numbers as people write them."""

import re

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.otp_delivery.phone_numbers import MOBILE, LibPhoneNumberReader
from application.ports.phone_numbers import ReadPhoneNumber
from domain.accounts import PhoneNumber
from domain.errors import InvalidValue
from tests.contract.world import shown

IN_DEVELOPMENT = LibPhoneNumberReader(default_region="IN", only_valid=False)
IN_PRODUCTION = LibPhoneNumberReader(default_region="IN", only_valid=True)
BOTH = [pytest.param(IN_DEVELOPMENT, id="development"), pytest.param(IN_PRODUCTION, id="production")]


@pytest.mark.parametrize("read", BOTH)
@pytest.mark.parametrize(
    "text",
    [
        "+91 98765 43210",
        "+919876543210",
        "919876543210",
        "91 98765 43210",
        "09876543210",
        "9876543210",
        "98765-43210",
        "(098765) 43210",
        " +91-98765-43210 ",
        "00919876543210",
        "＋９１９８７６５４３２１０",
        "९८७६५४३२१०",
    ],
)
def test_one_number_however_it_is_written(read: ReadPhoneNumber, text: str) -> None:
    assert read(text) == PhoneNumber("+919876543210")


@pytest.mark.parametrize("read", BOTH)
@pytest.mark.parametrize(
    ("text", "e164"),
    [
        ("+49 1512 3456789", "+4915123456789"),
        ("+1 (415) 555-2671", "+14155552671"),
        ("14155552671", "+14155552671"),
        ("+44 7400 123456", "+447400123456"),
        ("447400123456", "+447400123456"),
    ],
)
def test_numbers_of_other_countries(read: ReadPhoneNumber, text: str, e164: str) -> None:
    assert read(text) == PhoneNumber(e164)


def test_the_region_says_what_a_number_without_country_means() -> None:
    assert LibPhoneNumberReader(default_region="DE", only_valid=True)("01512 3456789") == PhoneNumber("+4915123456789")


def test_the_sources_example_is_a_number_in_development() -> None:
    assert IN_DEVELOPMENT("1234567890") == PhoneNumber("+911234567890")
    with pytest.raises(InvalidValue):  # a landline
        IN_PRODUCTION("1234567890")


@pytest.mark.parametrize("text", ["5555555555", "+1 555 555 5555", "1111111111"])
def test_what_is_possible_and_not_assigned_is_for_development(text: str) -> None:
    assert IN_DEVELOPMENT(text).e164.endswith(text.replace(" ", "")[-10:])
    with pytest.raises(InvalidValue):
        IN_PRODUCTION(text)


@pytest.mark.parametrize("read", BOTH)
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "+",
        "0",
        "12",
        "123",
        "abc",
        "+91",
        "+91 98765",
        "+91 98765 43210 98765 43210",
        "9" * 16,
        "9" * 100_000,
        "+999 123456789",
        "98765 43210 ext. 5",
        "9876543210;ext=5",
        "9876543210 or 9876543211",
        "<script>9876543210</script>",
        "98765\x0043210",
        "\ud800",
        "👩🏽‍🚀",
    ],
    ids=shown,
)
def test_what_cannot_be_a_number_is_refused(read: ReadPhoneNumber, text: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        read(text)
    assert refusal.value.field == "mobileNumber"


WRITTEN = st.text(alphabet="+0123456789 -().", max_size=20)


@pytest.mark.parametrize("read", BOTH)
@given(text=st.text(alphabet=st.characters(), max_size=40) | WRITTEN)
@example(text="+٠١٢٣٤٥٦٧٨٩")
@example(text="tel:+919876543210")
@example(text=";phone-context=+91")
def test_any_text_is_a_number_or_refused(read: ReadPhoneNumber, text: str) -> None:
    try:
        number = read(text)
    except InvalidValue:
        return
    assert re.fullmatch(r"\+[1-9][0-9]{4,14}", number.e164)
    # The canonical form means itself.
    assert read(number.e164) == number


@given(text=WRITTEN | st.from_regex(r"\+?(91|0)?[6-9][0-9]{9}", fullmatch=True))
def test_what_is_good_in_production_is_the_same_number_in_development(text: str) -> None:
    try:
        number = IN_PRODUCTION(text)
    except InvalidValue:
        return
    assert IN_DEVELOPMENT(text) == number


# --- Countries' traps ---


@pytest.mark.parametrize(
    ("region", "texts", "e164"),
    [
        ("AR", ["011 15 2345 6789", "+54 9 11 2345 6789", "5491123456789"], "+5491123456789"),
        ("BR", ["(11) 96123-4567", "+55 11 96123-4567", "5511961234567", "011 96123 4567"], "+5511961234567"),
        ("IT", ["312 345 6789", "+39 312 345 6789", "393123456789"], "+393123456789"),
        ("MX", ["55 1234 5678", "+52 55 1234 5678", "525512345678", "+52 1 55 1234 5678"], "+525512345678"),
        ("GB", ["07400 123456", "+44 (0)7400 123456", "447400123456"], "+447400123456"),
        ("JE", ["07797 712345", "+44 7797 712345", "447797712345"], "+447797712345"),
        ("KZ", ["8 771 000 9998", "+7 771 000 9998", "77710009998"], "+77710009998"),
        ("CA", ["(506) 234-5678", "+1 506 234 5678", "15062345678"], "+15062345678"),
    ],
)
def test_of_each_country_all_forms_are_one_number(region: str, texts: list[str], e164: str) -> None:
    for only_valid in (True, False):
        read = LibPhoneNumberReader(default_region=region, only_valid=only_valid)
        assert {text: read(text).e164 for text in texts} == dict.fromkeys(texts, e164)


@pytest.mark.parametrize("home", ["IN", "US", "GB", "DE", "BR", "SG"])
def test_mobiles_of_every_region_are_one_number_with_and_without_the_plus(home: str) -> None:
    read = LibPhoneNumberReader(default_region=home, only_valid=True)
    wrong = []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        if example is None:
            continue
        e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        if read(e164).e164 != e164:
            wrong.append((region, e164))
        unmarked = read(e164[1:]).e164
        # A text that is a mobile number at home as well is read as that.
        if unmarked != e164 and not _is_mobile_at(home, e164[1:]):
            wrong.append((region, unmarked))
    assert not wrong


def _is_mobile_at(home: str, text: str) -> bool:
    number = phonenumbers.parse(text, home)
    return phonenumbers.is_valid_number(number) and phonenumbers.number_type(number) in MOBILE


@pytest.mark.parametrize(
    "text",
    [
        *("+44 909 8790000", "+1 900 2345678", "+1 800 2345678", "+91 1800 123456"),
        *("+44 7640 123456", "+39 06 69812345"),
    ],
)
def test_what_receives_no_text_messages_is_refused_in_production(text: str) -> None:
    with pytest.raises(InvalidValue):
        IN_PRODUCTION(text)


def test_numbers_of_testers_are_taken_in_production() -> None:
    tester = PhoneNumber("+15555550100")
    read = LibPhoneNumberReader(default_region="IN", only_valid=True, test_numbers=[tester])
    assert read("+1 555 555 0100") == tester
    with pytest.raises(InvalidValue):
        read("+1 555 555 0101")


@pytest.mark.parametrize("zero", ["٠", "०", "０"])
def test_a_number_is_read_in_the_digits_of_any_script(zero: str) -> None:
    written = "".join(chr(ord(zero) + int(digit)) for digit in "919876543210")
    assert IN_PRODUCTION(written) == IN_PRODUCTION(f"+{written}") == PhoneNumber("+919876543210")
