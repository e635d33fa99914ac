"""/app: the page's files, their headers, and that it can be switched off. tests/page has the page itself."""

import re

import pytest

from entrypoints.api.app import create_app, openapi_document
from entrypoints.api.http_options import HttpOptions
from tests.api.client import Api, Client
from tests.api.pages import BROWSER
from tests.builders import House


@pytest.fixture
def browser() -> Client:
    return Api().guest()


def script_of(page: str) -> str:
    found = re.search(r'src="([^"]+\.js)"', page)
    assert found
    return found[1]


def test_the_page_has_a_strict_policy(browser: Client):
    page = browser.get("/app/")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
    assert policy == {
        **dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors", "trusted-types"), "'none'"),
        **dict.fromkeys(("script-src", "style-src", "img-src", "connect-src"), "'self'"),
        "require-trusted-types-for": "'script'",
    }
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", page.text)


def test_the_page_is_asked_for_each_time_and_its_files_once(browser: Client):
    page = browser.get("/app/")
    assert page.headers["Cache-Control"] == "no-cache"
    assert browser.get("/app/", headers={"If-None-Match": page.headers["ETag"]}).status_code == 304
    script = browser.get(f"/app/{script_of(page.text)}")
    assert (script.status_code, script.mimetype) == (200, "text/javascript")
    assert "immutable" in script.headers["Cache-Control"]


def test_without_a_slash_one_is_sent_to_where_its_links_are_right(browser: Client):
    answer = browser.get("/app?checkout=cs_1")
    assert (answer.status_code, answer.headers["Location"]) == (308, "app/?checkout=cs_1")


@pytest.mark.parametrize(
    "path", ["0123/js/main.js", "{version}/js/nothing.js", "{version}/../api/app.py", "{version}/"]
)
def test_there_is_nothing_else(browser: Client, path: str):
    version = script_of(browser.get("/app/").text).partition("/")[0]
    assert browser.get(f"/app/{path.format(version=version)}").status_code == 404


def test_the_page_can_be_switched_off():
    app = create_app(House().use_cases, HttpOptions(chat_page=False))
    assert app.test_client().get("/app/").status_code == 404
    assert "/app/" not in app.test_client().get("/", headers=BROWSER).text


def test_the_page_is_no_part_of_the_api():
    paths = openapi_document(create_app(House().use_cases))["paths"]
    assert not [path for path in paths if path.startswith("/app")]
