"""The chat page in Hindi: how it is chosen, and what people do with it, with every text from the catalogue."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Request, expect

from tests.e2e.service import Service, running
from tests.fakes.gemini_server import FakeGemini, Outcome
from tests.page.test_looks import DESKTOP, PHONE, TABLET, fits, serious
from tests.page.texts import catalogue, languages, words
from tests.page.visitor import Visitor

pytestmark = pytest.mark.real

Visit = Callable[..., Visitor]

HINDI = words("hi")
FAILURES = {code: text.forms["other"] for code, text in catalogue("hi")["FAILURES"].items()}
# In the way of Indian browsers.
IN_HINDI = {"locale": "hi-IN"}

LATIN_WORD = re.compile(r"[A-Za-z]{2,}")
# What is Latin in Hindi, too.
NAMES = {"Pro", "Python", "Chrome", "Linux", "HeadlessChrome", "English", "Ananya", "echo", "erase", "Gemini"}

CLIPPED = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const clipped = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    // Names of chats end with an ellipsis.
    if (!node.data.trim() || parent.closest('.visually-hidden, .skip, noscript, [inert], .room-item')) continue;
    if (!parent.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const text = range.getBoundingClientRect();
    for (let box = parent; box; box = box.parentElement) {
      const { overflowX, overflowY } = getComputedStyle(box);
      const around = box.getBoundingClientRect();
      const beside = text.left < around.left - 1 || text.right > around.right + 1;
      const above = text.top < around.top - 1 || text.bottom > around.bottom + 1;
      // What scrolls up and down may be above or below.
      const scrolls = box === document.body || !['hidden', 'clip'].includes(overflowY);
      if ((overflowX !== 'visible' && beside) || (!scrolls && above)) {
        clipped.push(`${node.data.trim()} in ${box.tagName}.${box.className}`);
        break;
      }
    }
    if (text.left < -1 || text.right > innerWidth + 1) clipped.push(`${node.data.trim()} beside the window`);
  }
  // A text that is wider than its button or field.
  for (const part of document.querySelectorAll('button, label, h1, h2, h3, summary')) {
    if (part.checkVisibility() && part.clientWidth && part.scrollWidth > part.clientWidth + 1 && part.id !== 'room-name'
      && !part.closest('.visually-hidden, [inert]')) clipped.push(`${part.textContent.trim()} is cut off`);
  }
  return clipped;
}"""


def clipped(page: Page) -> list[str]:
    """Texts of which a part cannot be seen, nor scrolled to."""
    found = page.evaluate(CLIPPED)
    assert isinstance(found, list)
    return found


def english(page: Page) -> list[str]:
    """Words in Latin letters that are shown, or told to screen readers."""
    texts = page.evaluate("""() => [document.title, document.body.innerText,
      ...[...document.querySelectorAll('[aria-label], [placeholder], [title]')].filter((one) => one.checkVisibility())
        .flatMap((one) => ['aria-label', 'placeholder', 'title'].map((name) => one.getAttribute(name) ?? ''))]""")
    return sorted({word for text in texts for word in LATIN_WORD.findall(text)} - NAMES)


@pytest.mark.parametrize("size", [PHONE, TABLET, DESKTOP], ids=["phone", "tablet", "desktop"])
def test_the_whole_way_in_hindi(visit: Visit, gemini: FakeGemini, size: tuple[int, int]) -> None:
    one = visit(**IN_HINDI)
    one.page.set_viewport_size({"width": size[0], "height": size[1]})

    def looks_right() -> None:
        assert english(one.page) == []
        assert serious(one.page) == []
        assert clipped(one.page) == []
        assert fits(one.page)

    one.open()
    expect(one.page.locator("html")).to_have_attribute("lang", "hi")
    expect(one.field(HINDI["mobileNumber"])).to_be_visible()
    looks_right()
    one.button(HINDI["goOn"]).click()
    expect(one.page.get_by_text(HINDI["enterNumber"])).to_be_visible()
    one.page.get_by_text(HINDI["newHere"]).click()
    one.field(HINDI["mobileNumber"]).fill("12")
    one.button(HINDI["goOn"]).click()
    expect(one.page.get_by_text("यह फ़ोन नंबर समझ में नहीं आया।")).to_be_visible()
    looks_right()
    one.field(HINDI["mobileNumber"]).fill(one.number)
    one.field(HINDI["name"]).fill("अनन्या")
    one.button(HINDI["goOn"]).click()
    expect(one.page.locator("#code-sent")).to_contain_text(one.number)
    one.field(HINDI["code"]).fill("000000")
    one.button(HINDI["logIn"]).click()
    expect(one.page.get_by_text("यह कोड सही नहीं है। 4 प्रयास शेष हैं।")).to_be_visible()
    looks_right()
    one.button(HINDI["fillIn"]).click()
    one.button(HINDI["logIn"]).click()

    expect(one.page.get_by_role("heading", name="नमस्ते, अनन्या")).to_be_visible()
    expect(one.page.locator("#quota")).to_contain_text("आज 100 में से 100 प्रॉम्प्ट शेष हैं।")
    looks_right()
    gemini.will(Outcome(text="आकाश **नीला** है।"), Outcome("safety"))
    box = one.page.get_by_role("textbox", name=HINDI["message"], exact=True)
    for text in ("आकाश का रंग क्या है?", "और क्यों?"):
        box.fill(text)
        box.press("Enter")
        expect(one.page.get_by_role("article", name=HINDI["reply"]).last).to_have_attribute("aria-busy", "false")
        expect(one.page.locator(".bubble").last).to_have_text(text)
    expect(one.page.locator(".remark").last).to_contain_text(FAILURES["refused"])
    expect(one.button(HINDI["tryAgain"])).to_be_visible()
    looks_right()

    if size != DESKTOP:
        one.button(HINDI["chats"]).click()
    rooms = one.page.get_by_role("navigation", name=HINDI["yourChats"]).get_by_role("link")
    expect(rooms).to_have_text(["आकाश का रंग क्या है?"])
    looks_right()
    one.page.get_by_role("searchbox", name=HINDI["searchLabel"]).fill("कुछ और")
    expect(one.page.get_by_text(HINDI["noChatFound"])).to_be_visible()
    one.page.get_by_role("searchbox", name=HINDI["searchLabel"]).fill("")
    one.button("आकाश का रंग क्या है? के विकल्प").click()
    looks_right()
    one.button(HINDI["rename"]).click()
    looks_right()
    one.field(HINDI["name"]).fill("रंग")
    one.button(HINDI["rename"]).click()
    expect(rooms).to_have_text(["रंग"])

    one.page.get_by_role("button", name=HINDI["openAccount"]).click()
    expect(one.page.get_by_text("यही डिवाइस")).to_be_visible()
    expect(one.page.locator("#sessions")).to_contain_text("Linux पर Chrome")
    looks_right()
    one.button(HINDI["save"]).click()
    expect(one.page.get_by_text(HINDI["saved"])).to_be_visible()
    one.button(HINDI["erase"]).click()
    looks_right()
    one.field(HINDI["eraseLabel"]).fill("डिलीट")
    one.button(HINDI["eraseAll"]).click()
    expect(one.page.get_by_text(HINDI["erased"])).to_be_visible()
    looks_right()


def test_a_prompt_that_is_one_too_many_says_when_others_come(
    visit: Visit, gemini: FakeGemini, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running(tmp_path_factory.mktemp("hindi"), **gemini.settings, BASIC_DAILY_PROMPTS="1") as service:
        one = visit(service.base, **IN_HINDI)
        one.open()
        one.field(HINDI["mobileNumber"]).fill(one.number)
        one.button(HINDI["goOn"]).click()
        one.button(HINDI["fillIn"]).click()
        one.button(HINDI["logIn"]).click()
        box = one.page.get_by_role("textbox", name=HINDI["message"], exact=True)
        for text in ("पहला", "दूसरा"):
            box.fill(text)
            box.press("Enter")
            expect(one.page.locator("#quota")).to_contain_text(re.compile(r"नए \S+ \d+:\d\d बजे \(.+\) मिलेंगे।"))
        expect(one.notice).to_contain_text("आज के 1 प्रॉम्प्ट समाप्त हो गए हैं।")
        expect(one.notice.get_by_role("button", name=HINDI["upgrade"])).to_be_visible()
        assert english(one.page) == []


def test_texts_with_a_number_have_the_forms_of_their_language(visit: Visit) -> None:
    one = visit()
    for language in languages():
        categories = "(tag) => new Intl.PluralRules(tag).resolvedOptions().pluralCategories"
        wanted = set(one.page.evaluate(categories, language))
        for key, text in catalogue(language)["TEXTS"].items():
            assert set(text.forms) in ({"other"}, wanted), f"texts/{language}.js, {key}"


@pytest.mark.parametrize(
    ("preferred", "spoken"), [("hi", "hi"), ("hi-IN", "hi"), ("en-IN", "en"), ("ta-IN", "en"), ("de", "en")]
)
def test_the_page_speaks_the_language_of_the_browser(visit: Visit, preferred: str, spoken: str) -> None:
    one = visit(locale=preferred)
    one.open()
    expect(one.page.locator("html")).to_have_attribute("lang", spoken)
    expect(one.button(words(spoken)["goOn"])).to_be_visible()


def test_a_language_that_is_chosen_is_remembered_and_loses_nothing(visit: Visit) -> None:
    one = visit(locale="en-GB")
    asked: list[Request] = []
    one.page.on("request", lambda request: asked.append(request) if request.method == "POST" else None)
    one.open()
    one.field("Mobile number").fill(one.number)
    one.button("Continue").click()
    expect(one.page.get_by_role("heading", name="Enter the code")).to_be_visible()
    # In the middle of a login the form stays where it is, and its code is good.
    one.button("हिन्दी").click()
    expect(one.page.get_by_role("heading", name=HINDI["codeHeading"])).to_be_visible()
    expect(one.page.locator("#code-sent")).to_contain_text(one.number)
    expect(one.button("हिन्दी")).to_have_attribute("aria-pressed", "true")
    one.button(HINDI["fillIn"]).click()
    one.button(HINDI["logIn"]).click()
    box = one.page.get_by_role("textbox", name=HINDI["message"], exact=True)
    expect(box).to_be_visible()
    assert [request.headers["accept-language"] for request in asked] == ["en", "hi"]
    # With chats open, what is written stays.
    box.fill("आधा लिखा")
    one.page.get_by_role("button", name=HINDI["openAccount"]).click()
    one.button("English").click()
    expect(one.page.locator("html")).to_have_attribute("lang", "en")
    expect(one.box).to_have_value("आधा लिखा")
    one.page.get_by_role("button", name="Account and settings").click()
    one.button("हिन्दी").click()
    expect(box).to_have_value("आधा लिखा")
    one.page.reload()
    expect(one.page.get_by_role("button", name=HINDI["openAccount"])).to_be_visible()


def test_a_problem_that_the_page_does_not_know_is_told_in_its_language(visit: Visit, service: Service) -> None:
    one = visit(**IN_HINDI)
    one.open()
    # As the service says it: newer than this page.
    refusal = {"code": "newer", "title": "नई समस्या", "detail": "ऐसा पहली बार हुआ।"}
    one.page.route("**/auth/send-otp", lambda route: route.fulfill(status=409, json=refusal))
    one.field(HINDI["mobileNumber"]).fill(one.number)
    one.button(HINDI["goOn"]).click()
    expect(one.page.get_by_text("नई समस्या: ऐसा पहली बार हुआ।")).to_be_visible()
