"""The contract of mobile numbers as people write them."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.otp_delivery.phone_numbers import LibPhoneNumberReader
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
