"""Cross-origin requests (CORS)."""

import pytest
from flask.testing import FlaskClient

from entrypoints.api.app import create_app
from entrypoints.api.http_options import HttpOptions
from tests.api.client import Client
from tests.builders import House

APP = "https://app.example.com"


@pytest.fixture(scope="module")
def browser() -> FlaskClient:
    """A client of an application whose pages come from APP."""
    return create_app(House().use_cases, HttpOptions(cors_origins=frozenset({APP}))).test_client()


def test_our_pages_may_call(browser: FlaskClient):
    answer = browser.get("/user/me", headers={"Origin": APP})
    assert answer.headers["Access-Control-Allow-Origin"] == APP
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
    assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_they_may_ask_first(browser: FlaskClient):
    answer = browser.options("/user/me", headers={"Origin": APP, "Access-Control-Request-Method": "PATCH"})
    assert (answer.status_code, answer.data) == (204, b"")
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert answer.headers["Access-Control-Allow-Origin"] == APP


@pytest.mark.parametrize(
    "header",
    [
        # OpenTelemetry and Sentry add the first four; libraries that fetch, and pages that want no cache, the others.
        *("traceparent", "tracestate", "baggage", "sentry-trace"),
        *(
            "Cache-Control",
            "Pragma",
            "X-Requested-With",
            "Accept",
            "Accept-Language",
            "Last-Event-ID",
            "Idempotency-Key",
            "Prefer",
        ),
    ],
)
def test_what_clients_send_passes_the_preflight(browser: FlaskClient, header: str):
    answer = browser.options(
        "/chatroom",
        headers={
            "Origin": APP,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": f"authorization,content-type,{header.lower()}",
        },
    )
    allowed = {name.strip().lower() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert {"authorization", "content-type", header.lower()} <= allowed


@pytest.mark.parametrize(
    "origin",
    [
        *("null", "", "*", "https://evil.example", f"{APP}.evil.example", f"{APP}:8443", "http://app.example.com"),
        *(f"{APP}/", f"{APP}, https://evil.example", "https://app.example.com@evil.example", f" {APP}\t"),
    ],
)
def test_pages_of_other_origins_may_not(browser: FlaskClient, origin: str):
    for method in ("GET", "OPTIONS"):
        answer = browser.open(
            "/user/me", method=method, headers={"Origin": origin, "Access-Control-Request-Method": "GET"}
        )
        allowed = {name for name, _ in answer.headers if name.startswith("Access-Control")}
        if origin.strip() != APP:
            assert not allowed
        assert "Origin" in answer.headers["Vary"]  # a cache must not hand one's answer to the other


def test_without_a_list_no_page_may(guest: Client):
    answer = guest.get("/health/live", headers={"Origin": APP})
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
    assert "Vary" not in answer.headers
