"""/problems and /problems/{code}: what a problem is, for people and for programs."""

import pytest

from entrypoints.api.problem_registry import PROBLEMS
from tests.api.client import Client, body_of, problem_of
from tests.api.pages import BROWSER, Page


@pytest.mark.parametrize("code", PROBLEMS)
def test_a_browser_gets_a_page_that_says_why_and_what_to_do(guest: Client, code: str):
    answer = guest.get(f"/problems/{code}", headers=BROWSER)
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    page = Page(answer.text)
    for text in (PROBLEMS[code].title, PROBLEMS[code].why, PROBLEMS[code].what_to_do, f'"code": "{code}"'):
        assert text.replace("`", "") in page.text


def test_a_program_gets_the_same_as_json(guest: Client):
    answer = guest.get("/problems/otp_invalid")
    body = body_of(answer)
    assert (body["code"], body["status"], body["type"]) == ("otp_invalid", 401, "/problems/otp_invalid")
    assert body["example"]["attemptsLeft"] == 4
    assert "Accept" in answer.headers["Vary"]
    assert body in body_of(guest.get("/problems"))


def test_the_type_of_a_problem_opens_its_page(guest: Client):
    kind = problem_of(guest.get("/user/me"), 401, "token_invalid")["type"]
    assert PROBLEMS["token_invalid"].why.replace("`", "") in Page(guest.get(kind, headers=BROWSER).text).text


def test_the_list_leads_to_every_page(guest: Client):
    answer = guest.get("/problems", headers=BROWSER)
    links = Page(answer.text).links
    assert {f"/problems/{code}" for code in PROBLEMS} <= links
    assert len(body_of(guest.get("/problems"))) == len(PROBLEMS)
    for link in links:
        with guest.get(link, headers=BROWSER) as page:
            assert page.status_code == 200, link


def test_its_policy_allows_its_style_sheet_and_nothing_else(guest: Client):
    for path in ("/problems", "/problems/not_found"):
        policy = guest.get(path, headers=BROWSER).headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; ")
        assert "unsafe" not in policy
    assert guest.get("/pages.css").mimetype == "text/css"


@pytest.mark.parametrize(
    "code", ["unknown", "OTP_INVALID", "otp_invalid%00", "%ff", "<script>", "..", "x" * 3_000, "{}", "otp_invalid.json"]
)
def test_an_unknown_code_is_not_found(guest: Client, code: str):
    for headers in ({}, BROWSER, {"Accept": "text/html;q=x, ;;,"}, {"Accept": "\xff"}):
        problem_of(guest.get(f"/problems/{code}", headers=headers), 404, "not_found")


@pytest.mark.parametrize(
    "accept", ["", "*/*", "application/json", "text/html;q=0.1,application/json", "image/png", "?"]
)
def test_only_who_prefers_html_gets_it(guest: Client, accept: str):
    assert guest.get("/problems/not_found", headers={"Accept": accept}).mimetype == "application/json"
