"""What the environment may say, and what is said of what it may not."""

import base64
import random
import stat
import string
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from entrypoints.settings import Secret, SettingsError, load_settings, read_settings
from entrypoints.settings.readers import Refused
from entrypoints.settings.variables import SECRETS, VARIABLES, Variable

LONG = "0123456789abcdef0123456789abcdef"

IN_PRODUCTION = {
    "APP_ENV": "production",
    "DATABASE_URL": "postgresql://user:hunter2@db.internal/chat",
    "REDIS_URL": "rediss://:hunter2@redis.internal:6379/0",
    "JWT_SECRET": LONG,
    "OTP_DELIVERY": "twilio",
    "TWILIO_ACCOUNT_SID": "AC0",
    "TWILIO_AUTH_TOKEN": "t0",
    "TWILIO_FROM": "MG0",
    "GEMINI_API_KEY": "hunter2-gemini",
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generated secret and the .env file are those of an empty directory."""
    monkeypatch.chdir(tmp_path)


def faults(**given: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        read_settings(given)
    return refused.value.faults


def test_nothing_has_to_be_set(tmp_path: Path):
    settings = read_settings({})
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    secrets = {name: bool(value) for name, value in values.items() if isinstance(value, Secret)}
    assert secrets == {
        "password_pepper": False,
        "sentry_dsn": False,
        "otp_webhook_secret": False,
        "twilio_auth_token": False,
        "gemini_api_key": False,
        "openai_api_key": False,
        "stripe_secret_key": False,
    }
    assert settings.jwt_secret  # generated
    assert {name: value for name, value in values.items() if name not in {*secrets, "jwt_secrets"}} == {
        "app_env": "development",
        "host": "127.0.0.1",
        "port": 8000,
        "web_threads": 8,
        "shared_port": False,
        "web_processes": 1,
        "web_connections": 20_000,
        "waiting_requests": 10_000,
        "waiting_requests_per_user": 20,
        "database_url": None,
        "database_pooler": "none",
        "database_direct_url": None,
        "redis_url": None,
        "redis_host": None,
        "redis_port": 6379,
        "data_dir": tmp_path / ".data",
        "log_level": "info",
        "metrics_port": None,
        "metrics_host": "127.0.0.1",
        "otlp_endpoint": None,
        "access_token": timedelta(minutes=15),
        "password_hash_cost": 12,
        "otp_delivery": "response",
        "key_prefix": "",
        "otp_countries": (),
        "otp_test_numbers": (),
        "otp_daily_per_number": 20,
        "otp_daily_per_prefix": 100,
        "otp_daily_per_address": 100,
        "otp_daily_total": 10_000,
        "otp_webhook_url": None,
        "twilio_account_sid": None,
        "twilio_from": None,
        "twilio_api_base": "https://api.twilio.com",
        "phone_default_region": "IN",
        "rate_limit_per_user": 3_000,
        "rate_limit_per_address": 6_000,
        "rate_limit_logins": 60,
        "chat_page": True,
        "trusted_proxies": (),
        "trusted_proxy_hops": 0,
        "cors_origins": frozenset(),
        "llm_provider": "offline",
        "gemini_model": "gemini-flash-latest",
        "gemini_fallback_models": ("gemini-flash-lite-latest",),
        "gemini_base_url": None,
        "openai_base_url": None,
        "openai_model": None,
        "history_tokens": 8000,
        "model_idle": timedelta(seconds=60),
        "model_max_output_tokens": None,
        "model_thinking_budget": None,
        "model_safety": None,
        "stripe_price_id": None,
        "stripe_webhook_secrets": (),
        "stripe_api_base": None,
        "stripe_old_price_ids": frozenset(),
        "stripe_billing_address": "auto",
        "payment_provider": "sandbox",
        "public_url": "http://127.0.0.1:8000",
        "return_url_origins": frozenset(),
        "past_due_grace": timedelta(days=7),
        "duplicate_subscriptions": "cancel",
        "disputed_payments": "record",
        "reconcile_every": timedelta(hours=1),
        "basic_daily_prompts": 5,
        "reply_lease": timedelta(seconds=60),
        "reply_max_attempts": 3,
        "reply_deadline": timedelta(seconds=300),
        "user_concurrent_replies": 2,
        "user_backlog_replies": 100,
        "backlog_replies": 10_000,
        "max_chatrooms_per_user": 1000,
        "max_messages_per_user": 100_000,
        "worker_grace": timedelta(seconds=25),
        "worker_concurrency": 100,
        "room_list_cache": timedelta(seconds=300),
        "audit_retention": timedelta(days=400),
        "session_max": timedelta(days=365),
        "otp_text": "{code} is your code for logging in. Do not tell it to anybody.",
        "otp_reset_text": "{code} is your code for setting a new password. Do not tell it to anybody.",
        "otp_text_hi": "आपका लॉग इन कोड {code} है। इसे किसी को न बताएँ।",
        "otp_reset_text_hi": "नया पासवर्ड रखने के लिए आपका कोड {code} है। इसे किसी को न बताएँ।",
        "stripe_test_mode": False,
    }


def test_production_needs_a_few_things():
    settings = read_settings(IN_PRODUCTION)
    assert settings.in_production
    assert settings.llm_provider == "gemini"
    assert settings.jwt_secret.reveal() == LONG


@pytest.mark.parametrize("lacking", sorted(IN_PRODUCTION.keys() - {"APP_ENV"}))
def test_production_lacking_one_of_them_is_refused(lacking: str):
    [fault] = faults(**{name: value for name, value in IN_PRODUCTION.items() if name != lacking})
    assert lacking in fault


def test_codes_in_the_answers_are_refused_in_production():
    [fault] = faults(**{**IN_PRODUCTION, "OTP_DELIVERY": "response"})
    assert "OTP_DELIVERY" in fault


def test_production_may_say_that_it_has_no_model():
    assert read_settings({**IN_PRODUCTION, "GEMINI_API_KEY": "", "LLM_PROVIDER": "offline"}).llm_provider == "offline"


def test_all_faults_are_told_at_once():
    wrong = {
        "APP_ENV": "staging",
        "PORT": "http",
        "DATABASE_URL": "mysql://root:hunter2@db/chat",
        "REDIS_URL": "hunter2@redis:6379",
        "LOG_LEVEL": "loud",
        "JWT_SECRET": "hunter2",
        "OTP_DELIVERY": "pigeon",
        "LLM_PROVIDER": "gemini",
        "GEMINI_BASE_URL": "ftp://hunter2@proxy",
        "BASIC_DAILY_PROMPTS": "-1",
        "REPLY_MAX_ATTEMPTS": "0",
    }
    told = faults(**wrong)
    assert len(told) == len(wrong)
    for name in wrong:
        assert sum(fault.startswith(name) for fault in told) == 1
    assert "hunter2" not in str(SettingsError(told))


@pytest.mark.parametrize("name", ["GEMINI_API_KEY", "OPENAI_API_KEY"])
@pytest.mark.parametrize(
    "key", ["AIza 1", "“AIza1”", "'AIza1'", '"AIza1"', "AIza\u200b1", "AIza\t1", "ключ", "AIza\x7f"]
)
def test_what_was_copied_together_with_a_key_is_refused(name: str, key: str):
    [fault] = faults(**{name: key})
    assert fault == f"{name} must be letters, digits and signs of ASCII, without blanks and quotes"


@pytest.mark.parametrize("key", ["AIzaSy-_09", "sk-proj-a.b/c+d=~", " AIza1\n"])
def test_keys_of_providers_are_taken_without_blanks_around(key: str):
    assert read_settings({"GEMINI_API_KEY": key}).gemini_api_key.reveal() == key.strip()


@pytest.mark.parametrize(
    "dsn", ["sentry.example", "https://sentry.example/1", "https://hunter2@sentry.example", "\u200b"]
)
def test_an_address_of_sentry_that_cannot_work_is_refused_without_being_shown(dsn: str):
    assert faults(SENTRY_DSN=dsn) == ["SENTRY_DSN must be as Sentry shows it: https://key@host/number"]


@pytest.mark.parametrize("dsn", ["https://k3y@o1.ingest.sentry.example/450", "http://k3y@127.0.0.1:9000/glitch/1"])
def test_addresses_of_sentry_and_of_servers_like_it(dsn: str):
    assert read_settings({"SENTRY_DSN": dsn}).sentry_dsn.reveal() == dsn


@pytest.mark.parametrize("port", ["0", "65536", "-1", "8e3", "８０００", "8000.0", "9" * 5_000, "0x50"])
def test_a_port_is_a_whole_number_in_range(port: str):
    [fault] = faults(PORT=port)
    assert fault == "PORT must be a whole number from 1 to 65535"


@pytest.mark.parametrize("blank", ["", "  ", "\t"])
def test_blank_is_unset(blank: str):
    settings = read_settings({"PORT": blank, "GEMINI_API_KEY": blank, "REDIS_HOST": blank, "APP_ENV": blank})
    assert (settings.port, settings.llm_provider, settings.redis_url) == (8000, "offline", None)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({"REDIS_HOST": "cache"}, "redis://cache:6379/0"),
        ({"REDIS_HOST": "cache", "REDIS_PORT": "6380"}, "redis://cache:6380/0"),
        ({"REDIS_HOST": "[::1]"}, "redis://[::1]:6379/0"),
        ({"REDIS_HOST": "cache", "REDIS_URL": "redis://other/1"}, "redis://other/1"),
        ({"REDIS_PORT": "6380"}, None),
    ],
)
def test_redis_is_named_by_url_or_by_host_and_port(given: dict[str, str], url: str | None):
    assert read_settings(given).redis_url == url


def test_a_key_chooses_gemini_unless_the_provider_is_named():
    assert read_settings({"GEMINI_API_KEY": "k"}).llm_provider == "gemini"
    assert read_settings({"GEMINI_API_KEY": "k", "LLM_PROVIDER": "offline"}).llm_provider == "offline"


def test_each_provider_needs_what_it_cannot_do_without():
    assert faults(LLM_PROVIDER="gemini-legacy") == ["LLM_PROVIDER=gemini-legacy needs GEMINI_API_KEY"]
    wanted = "LLM_PROVIDER=openai-compatible needs OPENAI_BASE_URL and OPENAI_MODEL"
    assert faults(LLM_PROVIDER="openai-compatible", OPENAI_MODEL="llama") == [wanted]
    assert faults(LLM_PROVIDER="openai-compatible", OPENAI_BASE_URL="http://localhost:11434/v1") == [wanted]
    settings = read_settings(
        {"LLM_PROVIDER": "openai-compatible", "OPENAI_BASE_URL": "http://localhost:11434/v1", "OPENAI_MODEL": "llama"}
    )
    assert (settings.llm_provider, settings.openai_model) == ("openai-compatible", "llama")


@pytest.mark.parametrize(("given", "names"), [("a", ("a",)), (" a, b ,,c ", ("a", "b", "c")), ("", ()), (" , ", ())])
def test_the_models_to_fall_back_to_keep_their_order(given: str, names: tuple[str, ...]):
    assert read_settings({"GEMINI_FALLBACK_MODELS": given}).gemini_fallback_models == names


def test_several_webhook_secrets():
    found = read_settings({"STRIPE_WEBHOOK_SECRET": " whsec_1, whsec_2 ,,"}).stripe_webhook_secrets
    assert [secret.reveal() for secret in found] == ["whsec_1", "whsec_2"]


def test_a_key_chooses_stripe_and_without_one_development_plays():
    stripe = {"STRIPE_SECRET_KEY": "sk_test_1", "STRIPE_PRICE_ID": "price_1"}
    assert read_settings(stripe).payment_provider == "stripe"
    assert read_settings({**stripe, "PAYMENT_PROVIDER": "sandbox"}).payment_provider == "sandbox"
    assert read_settings({}).payment_provider == "sandbox"
    assert read_settings(IN_PRODUCTION).payment_provider == "none"
    live = {
        **stripe,
        "STRIPE_SECRET_KEY": "sk_live_1",
        "STRIPE_WEBHOOK_SECRET": "whsec_1",
        "PUBLIC_URL": "https://chat.example.org",
    }
    assert read_settings({**IN_PRODUCTION, **live}).payment_provider == "stripe"
    for name, why in [
        ("STRIPE_WEBHOOK_SECRET", "STRIPE_WEBHOOK_SECRET is required"),
        ("PUBLIC_URL", "PUBLIC_URL is required"),
    ]:
        [fault] = faults(**IN_PRODUCTION, **{key: value for key, value in live.items() if key != name})
        assert fault.startswith(why)
    testing = {**IN_PRODUCTION, **live, "STRIPE_SECRET_KEY": "sk_test_1"}
    assert faults(**testing)[0].startswith("STRIPE_SECRET_KEY is a test key")
    assert read_settings({**testing, "STRIPE_TEST_MODE": "yes"}).payment_provider == "stripe"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("JWT_SECRET", secret)
            for secret in ("a" * 64, "change-me-" * 5, "ab" * 32, "0123" * 16, f"{LONG},{'x' * 40}")
        ),
        ("PASSWORD_PEPPER", "aaaa"),
        ("TRUSTED_PROXIES", "0.0.0.0/0"),
        ("TRUSTED_PROXIES", "10.0.0.1,::/0"),
        ("CORS_ORIGINS", "https://app.example,http://elsewhere.example"),
        ("OTP_DELIVERY", "console"),
        ("OTP_TEXT", "no code here"),
    ],
)
def test_production_refuses_what_is_unsafe_in_one_line_each(name: str, value: str):
    [fault] = faults(**{**IN_PRODUCTION, name: value})
    assert fault.startswith(name)
    assert value not in fault or name == "OTP_DELIVERY"


def takes(variable: Variable, text: str) -> bool:
    try:
        variable.read(text)
    except Refused:
        return False
    return variable.read is not str


# Traces hold no secrets, and collectors are usually asked within a private network.
CARRIES_NO_SECRETS = "OTEL_EXPORTER_OTLP_ENDPOINT"
URLS = [
    one.name
    for one in VARIABLES
    if one.name != CARRIES_NO_SECRETS and takes(one, "http://elsewhere.example") and not takes(one, "elsewhere")
]


def test_there_are_urls_among_the_variables():
    assert {"OTP_WEBHOOK_URL", "OPENAI_BASE_URL", "GEMINI_BASE_URL", "CORS_ORIGINS"} <= set(URLS)


@pytest.mark.parametrize("name", URLS)
def test_production_sends_nothing_to_another_machine_in_clear(name: str):
    assert faults(**IN_PRODUCTION, **{name: "http://elsewhere.example"}) == [
        f"{name} must begin with https:// in production"
    ]
    for good in ("https://elsewhere.example", "http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"):
        read_settings({**IN_PRODUCTION, name: good})


@pytest.mark.parametrize("seed", range(50))
def test_no_random_secret_is_taken_for_a_weak_one(seed: int):
    chance = random.Random(seed)
    for secret in (chance.randbytes(32).hex(), base64.b64encode(chance.randbytes(32)).decode()):
        assert read_settings({**IN_PRODUCTION, "JWT_SECRET": secret}).jwt_secret.reveal() == secret


def test_the_sandbox_is_refused_in_production():
    assert faults(**IN_PRODUCTION, PAYMENT_PROVIDER="sandbox") == [
        "PAYMENT_PROVIDER=sandbox is refused in production: anybody could be Pro without paying"
    ]


def test_stripe_needs_a_key_and_a_price():
    assert faults(PAYMENT_PROVIDER="stripe") == [
        "PAYMENT_PROVIDER=stripe needs STRIPE_SECRET_KEY",
        "PAYMENT_PROVIDER=stripe needs STRIPE_PRICE_ID",
    ]
    assert faults(STRIPE_SECRET_KEY="sk_test_1") == ["PAYMENT_PROVIDER=stripe needs STRIPE_PRICE_ID"]


def test_addresses_are_origins():
    settings = read_settings(
        {"PUBLIC_URL": "https://chat.example.org", "RETURN_URL_ORIGINS": " https://App.example, http://localhost:3000,"}
    )
    assert settings.public_url == "https://chat.example.org"
    assert settings.return_url_origins == {"https://app.example", "http://localhost:3000"}
    assert read_settings({"PORT": "8080"}).public_url == "http://127.0.0.1:8080"
    for wrong in ("chat.example.org", "https://chat.example.org/", "ftp://chat.example.org", "https://", "*"):
        assert len(faults(PUBLIC_URL=wrong)) == 1
        assert len(faults(RETURN_URL_ORIGINS=wrong)) == 1


@pytest.mark.parametrize("host", ["[::1]", "[2001:db8::7]", "[::ffff:10.0.0.1]"])
def test_an_origin_may_be_an_ipv6_address(host: str):
    given = f"http://{host}:3000"
    settings = read_settings({"PUBLIC_URL": given, "RETURN_URL_ORIGINS": given, "CORS_ORIGINS": given})
    assert settings.public_url == given
    assert settings.return_url_origins == settings.cors_origins == {given}


def test_of_several_values_each_wrong_one_is_told():
    told = faults(TRUSTED_PROXIES="10.0.0.1,proxy.internal,10.0.0.0/33", CORS_ORIGINS="*,null,https://app.example.com")
    assert len(told) == 4
    for wrong in ("proxy.internal", "10.0.0.0/33", "'*'", "null"):
        assert sum(wrong in fault for fault in told) == 1


def test_metrics_leave_the_public_port_alone():
    for first in ("8000", "7991"):
        assert len(faults(METRICS_PORT=first)) == 1
    assert read_settings({"METRICS_PORT": "7990"}).metrics_port == 7990


def test_old_prices():
    assert read_settings({"STRIPE_OLD_PRICE_IDS": "price_1, price_2,"}).stripe_old_price_ids == {"price_1", "price_2"}


def test_no_secret_shows_itself():
    secrets = {
        "JWT_SECRET": "hunter2" * 5,
        "PASSWORD_PEPPER": "hunter2",
        "GEMINI_API_KEY": "hunter2",
        "STRIPE_SECRET_KEY": "hunter2",
        "STRIPE_PRICE_ID": "price_1",
        "STRIPE_WEBHOOK_SECRET": "hunter2,hunter2",
    }
    settings = read_settings(secrets)
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in f"{settings.jwt_secret}"
    assert settings.gemini_api_key.reveal() == "hunter2"


def test_nor_does_a_password_in_a_url():
    settings = read_settings(IN_PRODUCTION)
    assert settings.database_url == IN_PRODUCTION["DATABASE_URL"]
    assert "hunter2" not in repr(settings)


# --- The secret that is generated in development ---


def test_the_generated_secret_is_kept_for_the_next_start_and_readable_by_its_owner_only(tmp_path: Path):
    given = {"DATA_DIR": str(tmp_path / "new" / "data")}
    first, second = read_settings(given), read_settings(given)
    assert first.jwt_secret.reveal() == second.jwt_secret.reveal()
    assert len(first.jwt_secret.reveal()) >= 32
    [file] = first.data_dir.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_processes_that_start_at_once_agree_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Each stands for a process: the draft is named after the process.
    ids = iter(range(1, 100))
    monkeypatch.setattr("os.getpid", lambda: next(ids))
    given = {"DATA_DIR": str(tmp_path / "data")}
    with ThreadPoolExecutor(8) as processes:
        found = set(processes.map(lambda _: read_settings(given).jwt_secret.reveal(), range(8)))
    assert len(found) == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["jwt_secret"]


def test_none_is_generated_where_one_is_given_or_required(tmp_path: Path):
    read_settings({"JWT_SECRET": LONG})
    faults(APP_ENV="production")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_a_fault(tmp_path: Path):
    (tmp_path / "file").touch()
    [fault] = faults(DATA_DIR=str(tmp_path / "file"))
    assert fault.startswith("DATA_DIR cannot be written")


def test_a_kept_secret_that_was_damaged_is_a_fault_and_not_a_weak_key(tmp_path: Path):
    (tmp_path / "jwt_secret").write_text("cut sho")
    [fault] = faults(DATA_DIR=str(tmp_path))
    assert "jwt_secret" in fault
    assert "cut sho" not in fault


# --- The environment and .env ---


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / ".env").write_text("PORT=8001\nWEB_THREADS=3\nLOG_LEVEL\n# HOST=example\n")
    monkeypatch.setenv("PORT", "8002")
    for name in ("WEB_THREADS", "HOST", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    settings = load_settings()
    assert (settings.port, settings.web_threads, settings.host) == (8002, 3, "127.0.0.1")


@pytest.mark.parametrize("text", ["chat:", "chat-2.eu_:", "c" * 64])
def test_a_key_prefix(text: str):
    assert read_settings({"KEY_PREFIX": text}).key_prefix == text


@pytest.mark.parametrize("text", ["a b", "chat*", "{chat}", "c" * 65, "ü:"])
def test_what_is_no_key_prefix(text: str):
    [fault] = faults(KEY_PREFIX=text)
    assert fault.startswith("KEY_PREFIX must have")


def test_web_processes():
    assert read_settings({"WEB_PROCESSES": "3"}).web_processes == 3
    assert read_settings({"WEB_PROCESSES": "auto"}).web_processes is None
    assert faults(WEB_PROCESSES="many") == ["WEB_PROCESSES must be a whole number from 1 to 256, or auto"]
    [fault] = faults(WEB_PROCESSES="11", METRICS_PORT="9100")
    assert fault.startswith("WEB_PROCESSES must be at most 10")


class TestFiles:
    """NAME_FILE, for each secret."""

    def test_what_stands_in_the_file_is_the_secret(self, tmp_path: Path):
        (tmp_path / "jwt").write_text(f"{LONG}\n")
        (tmp_path / "url").write_text("postgresql://user:hunter2@db/chat\n")
        read = read_settings(
            {"JWT_SECRET_FILE": str(tmp_path / "jwt"), "DATABASE_URL_FILE": str(tmp_path / "url"), "JWT_SECRET": " "}
        )
        assert read.jwt_secret.reveal() == LONG
        assert read.database_url == "postgresql://user:hunter2@db/chat"

    def test_it_satisfies_production(self, tmp_path: Path):
        given = dict(IN_PRODUCTION)
        for name in ("DATABASE_URL", "REDIS_URL", "JWT_SECRET", "GEMINI_API_KEY"):
            (tmp_path / name).write_text(given.pop(name))
            given[f"{name}_FILE"] = str(tmp_path / name)
        assert read_settings(given).gemini_api_key.reveal() == "hunter2-gemini"

    def test_what_is_wrong_with_it(self, tmp_path: Path):
        (tmp_path / "jwt").write_text(LONG)
        assert faults(JWT_SECRET=LONG, JWT_SECRET_FILE=str(tmp_path / "jwt")) == [
            "JWT_SECRET and JWT_SECRET_FILE are both set; one of them must go"
        ]
        (tmp_path / "binary").write_bytes(b"\xff")
        assert faults(GEMINI_API_KEY_FILE=str(tmp_path / "none")) == [
            "GEMINI_API_KEY_FILE cannot be read: No such file or directory"
        ]
        assert faults(GEMINI_API_KEY_FILE=str(tmp_path / "binary")) == [
            "GEMINI_API_KEY_FILE cannot be read: it is no text"
        ]

    def test_only_secrets_have_one(self, tmp_path: Path):
        assert read_settings({"PORT_FILE": str(tmp_path / "none")}).port == 8000
        secret = {
            "JWT_SECRET",
            "DATABASE_URL",
            "REDIS_URL",
            "STRIPE_SECRET_KEY",
            "TWILIO_AUTH_TOKEN",
            "PASSWORD_PEPPER",
        }
        assert secret <= set(SECRETS)


@pytest.mark.parametrize("given", ["pgbouncer=true", "sslmode=require&pgbouncer=1&connection_limit=1", "schema=public"])
def test_parameters_of_other_drivers_are_named(given: str):
    [fault] = faults(DATABASE_URL=f"postgres://user:hunter2@db/chat?{given}")
    assert fault.startswith("DATABASE_URL has parameters")
    assert given.rpartition("&")[2].partition("=")[0] in fault
    assert "hunter2" not in fault


@pytest.mark.parametrize(
    "address",
    [
        "redis+sentinel://:hunter2@s1:26379,s2:26379/mymaster/0",
        "redis-sentinel://s1:26379",
        "redis+cluster://:hunter2@n1:6379",
        "redis://:hunter2@n1:6379,n2:6379/0",
    ],
)
def test_sentinel_and_cluster_are_refused_in_a_line(address: str):
    assert faults(REDIS_URL=address) == ["REDIS_URL must name one server: Sentinel and Cluster are not supported"]


def test_a_redis_over_tls_and_with_a_user():
    address = "rediss://chat:hun,ter2@redis.internal:6380/0?ssl_ca_certs=/ca.pem"
    assert read_settings({"REDIS_URL": address}).redis_url == address


def test_networks_and_hops_of_proxies_are_not_set_together():
    [fault] = faults(TRUSTED_PROXIES="10.0.0.0/8", TRUSTED_PROXY_HOPS="1")
    assert fault.startswith("TRUSTED_PROXIES and TRUSTED_PROXY_HOPS")


def test_the_way_of_migrations_round_a_pooler():
    read = read_settings({"DATABASE_POOLER": "transaction", "DATABASE_DIRECT_URL": "postgres://u:hunter2@db/chat"})
    assert read.sessions_are_shared
    assert read.database_direct_url == "postgres://u:hunter2@db/chat"
    assert "hunter2" not in repr(read)


# GSM 03.38, the part that its basic table shares with ASCII.
GSM_7 = set("@$_ !\"#%&'()*+,-./:;<=>?\r\n" + string.ascii_letters + string.digits)


def test_our_texts_with_a_code_fit_into_one_text_message(tmp_path: Path):
    settings = read_settings({"DATA_DIR": str(tmp_path)})
    code = "1" * 10
    for text in (settings.otp_text, settings.otp_reset_text):
        assert set(text.replace("{code}", code)) <= GSM_7
        assert len(text.replace("{code}", code)) <= 160
    for text in (settings.otp_text_hi, settings.otp_reset_text_hi):
        assert len(text.replace("{code}", code).encode("utf-16-be")) // 2 <= 70
