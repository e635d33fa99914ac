"""Response headers that protect browsers."""

import pytest

from entrypoints.api.app import create_app
from entrypoints.api.http_options import HttpOptions
from tests.api.client import Client
from tests.builders import House


@pytest.mark.parametrize("path", ["/", "/user/me", "/nowhere", "/health/live", "/openapi.json", "/problems", "/docs/"])
def test_every_answer_is_hardened(guest: Client, path: str):
    headers = guest.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Server"] == ""
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert {"X-Powered-By", "Set-Cookie", "Access-Control-Allow-Origin"}.isdisjoint(headers.keys())
    assert "Strict-Transport-Security" not in headers


def test_in_production_browsers_are_told_to_come_with_tls():
    answer = create_app(House().use_cases, HttpOptions(https_only=True)).test_client().get("/")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
