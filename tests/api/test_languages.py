"""In which language the API speaks to people: Accept-Language, Content-Language, Vary."""

from typing import Any, NamedTuple

import pytest
from werkzeug.exceptions import NotAcceptable

from domain.languages import Language
from entrypoints.api import languages
from entrypoints.api.languages import CATALOGUES
from entrypoints.api.problems import http_problem
from entrypoints.api.request_id import REQUEST_ID
from tests.api.client import Client, application, body_of, problem_of
from tests.api.pages import BROWSER, Page
from tests.builders import ASHA, House

HINDI = {"Accept-Language": "hi"}
PROBLEMS_IN_HINDI = CATALOGUES[Language.HINDI].problems
MISSING_IN_HINDI = PROBLEMS_IN_HINDI["token_invalid"].title


@pytest.mark.parametrize(
    ("accepted", "spoken"),
    [
        *((range_, "hi") for range_ in ("hi", "HI", "hi-IN", "hi-Deva-IN", "hi-x-private", "hi;q=0.1")),
        *((range_, "en") for range_ in ("", "en", "en-IN", "fr", "*", "h", "hin", "hi_IN", "hi;q=0", "x-hi")),
        # In the order of weights; what we do not speak is passed over. Exact tags do not come before longer ones.
        ("en-IN, en;q=0.9, hi;q=0.8", "en"),
        ("en-GB, hi;q=0.5", "en"),
        ("hi-IN, en;q=0.8", "hi"),
        ("en;q=0.8, hi", "hi"),
        ("ta, hi;q=0.9, en;q=0.8", "hi"),
        ("fr, *;q=0.5, hi;q=0.1", "hi"),
        ("hi;q=0, en;q=0.1", "en"),
        # What cannot be read says nothing.
        *((range_, "en") for range_ in (",;,", "hi;q=high;;", ";q=1", "\xff\xfe", "-", "--hi", "%00")),
        (",".join(["xx"] * 400), "en"),
    ],
)
def test_the_language_is_the_one_that_the_client_wants_most(guest: Client, accepted: str, spoken: str):
    answer = guest.get("/user/me", headers={"Accept-Language": accepted})
    problem = problem_of(answer, 401, "token_invalid")
    assert answer.headers["Content-Language"] == spoken
    assert (problem["title"] == MISSING_IN_HINDI) == (spoken == "hi")
    assert "Accept-Language" in answer.headers["Vary"]


class CountedTags(dict[str, Language]):
    """Tags of languages, and how many were looked up."""

    looked_up = 0

    def get(self, *args: Any) -> Any:
        self.looked_up += 1
        return super().get(*args)


@pytest.mark.parametrize("long", ["hi" + "-" * 8_000, "hi" + "-a" * 4_000, "hi" + "-deva" * 1_600])
def test_a_long_tag_takes_no_more_looks_than_a_short_one(guest: Client, monkeypatch: pytest.MonkeyPatch, long: str):
    looks = []
    for accepted in ("hi", long):
        tags = CountedTags(languages.BY_TAG)
        monkeypatch.setattr(languages, "BY_TAG", tags)
        answer = guest.get("/user/me", headers={"Accept-Language": accepted})
        assert (answer.status_code, answer.headers["Content-Language"]) == (401, "hi")
        looks.append(tags.looked_up)
    assert looks[0] == looks[1]


def test_a_problem_is_the_same_in_every_language_but_for_its_texts(guest: Client):
    guest.post("/auth/send-otp", {"mobileNumber": ASHA})
    english = problem_of(guest.post("/auth/send-otp", {"mobileNumber": ASHA}), 429, "otp_resend_too_soon")
    hindi = problem_of(guest.post("/auth/send-otp", {"mobileNumber": ASHA}, headers=HINDI), 429, "otp_resend_too_soon")
    texts = {"title", "detail", "requestId"}
    assert {name: english[name] for name in english.keys() - texts} == {
        name: hindi[name] for name in hindi.keys() - texts
    }
    assert english["detail"] == "Another can be sent in 30 seconds."
    assert hindi["detail"] == "दूसरा कोड 30 सेकंड बाद भेजा जा सकता है।"


def test_what_is_wrong_with_a_field_stays_english(guest: Client):
    problem = problem_of(guest.post("/auth/send-otp", {}, headers=HINDI), 422, "validation_failed")
    assert problem["title"] == PROBLEMS_IN_HINDI["validation_failed"].title
    assert problem["errors"] == {"mobileNumber": ["Missing data for required field."]}


@pytest.mark.parametrize("path", ["/auth/send-otp", "/auth/forgot-password"])
def test_the_text_message_is_in_the_language_of_the_request(guest: Client, house: House, path: str):
    body_of(guest.post(path, {"mobileNumber": ASHA}, headers=HINDI))
    body_of(guest.post(path, {"mobileNumber": "+919876543299"}))
    assert house.outbox.languages == [Language.HINDI, Language.ENGLISH]


class PageIn(NamedTuple):
    path: str
    english: str
    hindi: str


@pytest.mark.parametrize(
    "page",
    [
        PageIn("/", "Chat here", "यहाँ चैट करें"),
        PageIn("/problems", "What happened", "क्या हुआ"),
        PageIn("/problems/otp_invalid", "What to do", "क्या करें"),
        PageIn("/success", "Your payment is confirmed", "आपके भुगतान की पुष्टि"),
        PageIn("/cancel", "Nothing was bought", "कुछ नहीं ख़रीदा गया"),
    ],
    ids=lambda page: page.path,
)
def test_pages_are_in_the_language_of_the_browser(guest: Client, page: PageIn):
    for accepted, tag, text in (("en-GB", "en", page.english), ("hi-IN,hi;q=0.9,en;q=0.8", "hi", page.hindi)):
        answer = guest.get(page.path, headers={**BROWSER, "Accept-Language": accepted})
        assert f'<html lang="{tag}">' in answer.text
        assert text in Page(answer.text).text
        assert answer.headers["Content-Language"] == tag
        assert "Accept-Language" in answer.headers["Vary"]


def test_a_program_reads_of_a_problem_in_its_language(guest: Client):
    for path in ("/problems", "/problems/rate_limited"):
        answer = guest.get(path, headers=HINDI)
        listed = body_of(answer)
        kind = next(one for one in listed if one["code"] == "rate_limited") if path == "/problems" else listed
        texts = PROBLEMS_IN_HINDI["rate_limited"]
        assert (kind["title"], kind["why"], kind["whatToDo"]) == (texts.title, texts.why, texts.what_to_do)
        assert (kind["example"]["title"], answer.headers["Content-Language"]) == (texts.title, "hi")


@pytest.mark.parametrize("path", ["/user/me", "/chatroom", "/user/usage", "/subscription/status", "/health/live", "/"])
def test_an_answer_without_such_texts_knows_no_language(asha: Client, path: str):
    english, hindi = asha.get(path), asha.get(path, headers=HINDI)
    for answer in (english, hindi):
        assert answer.status_code == 200
        assert "Content-Language" not in answer.headers
        assert "Accept-Language" not in answer.headers.get("Vary", "")
    assert english.data == hindi.data


@pytest.mark.parametrize(
    ("accepted", "title"), [("en", "Not Acceptable"), ("hi", PROBLEMS_IN_HINDI["bad_request"].title)]
)
def test_a_status_without_a_problem_of_its_own_is_named_in_the_language(accepted: str, title: str):
    environ = {REQUEST_ID: "request-1", "HTTP_ACCEPT_LANGUAGE": accepted}
    with application().test_request_context(environ_overrides=environ):
        answer = http_problem(NotAcceptable())
    assert (answer.status_code, answer.get_json()["title"]) == (406, title)
