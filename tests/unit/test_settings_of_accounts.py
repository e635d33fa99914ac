"""What the environment may say about accounts, codes, limits and proxies."""

from datetime import date
from ipaddress import ip_network
from pathlib import Path

import pytest

from domain.accounts import PhoneNumber
from domain.one_time_password import FixedCode, SendCaps
from entrypoints.container.policies import otp_caps_of, request_limits_of
from entrypoints.settings import Settings, SettingsError, read_settings

LONG, LONGER = "0123456789abcdef" * 2, "fedcba9876543210" * 2


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generated secret is that of an empty directory."""
    monkeypatch.chdir(tmp_path)


def read(**given: str) -> Settings:
    return read_settings(given)


def faults(**given: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        read_settings(given)
    return refused.value.faults


def test_of_several_secrets_the_first_signs():
    settings = read(JWT_SECRET=f" {LONG} , {LONGER},")
    assert [secret.reveal() for secret in settings.jwt_secrets] == [LONG, LONGER]
    assert settings.jwt_secret.reveal() == LONG
    assert LONG not in repr(settings)


@pytest.mark.parametrize("secret", ["short", f"{LONG},short", f"short,{LONG}", LONG[:31]])
def test_each_of_them_must_be_long(secret: str):
    [fault] = faults(JWT_SECRET=secret)
    assert "32 bytes" in fault
    assert secret not in fault


def test_numbers_of_testers():
    given = "+919999999999:123456:2026-12-31, +14155550100:00000000:2027-01-01"
    assert read(OTP_TEST_NUMBERS=given).otp_test_numbers == (
        FixedCode(PhoneNumber("+919999999999"), "123456", date(2026, 12, 31)),
        FixedCode(PhoneNumber("+14155550100"), "00000000", date(2027, 1, 1)),
    )


@pytest.mark.parametrize(
    "wrong",
    [
        *("+919999999999:123456", "+919999999999:123456:", "919999999999:123456:2026-12-31", "+91x:123456:2026-12-31"),
        *("+919999999999:12345:2026-12-31", "+919999999999:123456:2026-02-30", "+919999999999:123456:never"),
        *("+09999999999:123456:2026-12-31", "+919999999999:\u0661\u0662\u0663\u0664\u0665\u0666:2026-12-31"),
    ],
)
def test_a_tester_without_an_end_or_a_code_is_refused(wrong: str):
    [fault] = faults(OTP_TEST_NUMBERS=wrong)
    assert "123456" not in fault.replace("+919999999999:123456:2026-12-31", "")


def test_proxies_are_addresses_or_networks():
    given = "10.0.0.1, 192.168.0.0/16,2001:db8::/32"
    networks = tuple(ip_network(text) for text in ("10.0.0.1/32", "192.168.0.0/16", "2001:db8::/32"))
    assert read(TRUSTED_PROXIES=given).trusted_proxies == networks
    for wrong in ("proxy.internal", "*", "10.0.0.0/33", "10.0.0"):
        [fault] = faults(TRUSTED_PROXIES=wrong)
        assert "TRUSTED_PROXIES" in fault


def test_origins_are_origins():
    given = "https://App.example.com,http://localhost:3000"
    assert read(CORS_ORIGINS=given).cors_origins == {"https://app.example.com", "http://localhost:3000"}
    for wrong in ("*", "app.example.com", "https://app.example.com/", "https://*.example.com", "null"):
        [fault] = faults(CORS_ORIGINS=wrong)
        assert "CORS_ORIGINS" in fault


TWILIO = {"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "hunter2", "TWILIO_FROM": "+15005550006"}
WEBHOOK = {"OTP_WEBHOOK_URL": "https://sms.internal/send", "OTP_WEBHOOK_SECRET": LONG}


@pytest.mark.parametrize(("delivery", "needs"), [("twilio", TWILIO), ("webhook", WEBHOOK)])
def test_a_way_to_deliver_says_what_it_needs(delivery: str, needs: dict[str, str]):
    settings = read(OTP_DELIVERY=delivery, **needs)
    assert settings.sends_codes
    assert "hunter2" not in repr(settings)
    for lacking in needs:
        told = faults(OTP_DELIVERY=delivery, **{name: value for name, value in needs.items() if name != lacking})
        assert any(lacking in fault for fault in told)


def test_what_a_webhook_is_sent_is_signed_and_in_production_encrypted():
    assert any(
        "32 bytes" in fault for fault in faults(OTP_DELIVERY="webhook", **{**WEBHOOK, "OTP_WEBHOOK_SECRET": "x"})
    )
    told = faults(APP_ENV="production", OTP_DELIVERY="webhook", **{**WEBHOOK, "OTP_WEBHOOK_URL": "http://sms.internal"})
    assert any("OTP_WEBHOOK_URL" in fault for fault in told)


def test_while_codes_are_in_the_answers_addresses_and_costs_do_not_count():
    settings = read()
    assert otp_caps_of(settings) == SendCaps(per_number=20)
    limits = request_limits_of(settings)
    assert (limits.per_address, limits.logins) == (None, None)
    assert limits.per_user is not None


def test_where_codes_are_sent_everything_counts():
    settings = read(OTP_DELIVERY="console", RATE_LIMIT_PER_USER="0", OTP_DAILY_TOTAL="7")
    assert otp_caps_of(settings) == SendCaps(per_number=20, per_address=100, per_prefix=100, total=7)
    limits = request_limits_of(settings)
    assert limits.per_user is None
    assert limits.per_address is not None
    assert limits.logins is not None
    assert (limits.per_address.amount, limits.logins.amount) == (6_000, 60)


@pytest.mark.parametrize("cost", ["9", "17", "x"])
def test_a_cost_that_is_too_low_or_too_high_is_refused(cost: str):
    [fault] = faults(PASSWORD_HASH_COST=cost)
    assert "PASSWORD_HASH_COST" in fault
