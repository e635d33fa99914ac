"""How providers are reached."""

from pathlib import Path

import pytest

from adapters.llm.connections import authorities, proxy_of


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, "https://a.example/v1", None),
        ({"https_proxy": "http://p:1"}, "https://a.example/v1", "http://p:1"),
        ({"https_proxy": "http://p:1"}, "http://a.example/v1", None),
        ({"all_proxy": "http://p:1"}, "https://a.example/v1", None),
        ({"https_proxy": "http://p:1", "no_proxy": "b.example,a.example"}, "https://a.example/v1", None),
        ({"https_proxy": "http://p:1", "no_proxy": "a.example:8443"}, "https://a.example:8443/v1", None),
        ({"https_proxy": "http://p:1", "no_proxy": "a.example:8443"}, "https://a.example/v1", "http://p:1"),
        ({"https_proxy": "http://p:1", "no_proxy": "*"}, "https://a.example/v1", None),
    ],
)
def test_the_proxy_for_an_address(
    environment: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_of(url) == proxy


def test_authorities_are_known_where_the_system_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "none.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert authorities.__wrapped__().get_ca_certs()
