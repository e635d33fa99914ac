"""How the page looks and who can use it: widths, keyboard, screen readers, scripts of other languages, screenshots."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.service import Service
from tests.fakes.gemini_server import FakeGemini, Outcome
from tests.page.vendoring import ROOT
from tests.page.visitor import Visitor

pytestmark = pytest.mark.real

Visit = Callable[..., Visitor]

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
PHONE, TABLET, DESKTOP = (360, 740), (768, 1024), (1280, 800)
LARGEST_SCREENSHOT = 200_000

ANSWER = """Hash each file, then **group by digest**. Files of different sizes can never be equal, so sizes come first:

```python
from collections import defaultdict
from hashlib import file_digest
from pathlib import Path


def duplicates(folder: Path) -> list[list[Path]]:
    found = defaultdict(list)
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                found[file_digest(file, "blake2b").digest()].append(path)
    return [same for same in found.values() if len(same) > 1]
```

| step | what it costs |
|:--|--:|
| reading | every byte once |
| grouping | one lookup for each file |
"""
WIDE = "\n\n".join(
    ("An-unbroken-word" * 20, f"```\n{'x' * 400}\n```", f"|{'a wide column|' * 12}\n|{'-|' * 12}", "9" * 300)
)
HINDI = "# दिल्ली\n\nसुबह **लोधी गार्डन** जाइए, दोपहर में हुमायूँ का मक़बरा, शाम को चाँदनी चौक।"
ARABIC = "# القاهرة\n\nابدأ صباحك في **خان الخليلي**، ثم زر المتحف.\n\n1. القهوة\n2. النيل"


def serious(page: Page) -> list[Any]:
    """What axe finds that is serious or critical."""
    page.evaluate(AXE)
    # Animations that are under way have colours of their own.
    found = page.evaluate("""async () => {
      const ending = document.getAnimations().filter((one) => one.effect.getTiming().iterations !== Infinity);
      await Promise.all(ending.map((one) => one.finished.catch(() => {})));
      const { violations } = await axe.run(document, { resultTypes: ['violations'] });
      return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
        .map(({ id, nodes }) => [id, ...nodes.map(({ html, any }) => `${html} ${any[0]?.message ?? ''}`)]);
    }""")
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (DESKTOP, "dark")], ids=["phone", "desktop"])
def test_axe_finds_nothing_serious(visit: Visit, gemini: FakeGemini, size: tuple[int, int], scheme: str) -> None:
    one = visit(color_scheme=scheme)
    one.page.set_viewport_size({"width": size[0], "height": size[1]})
    one.open()
    expect(one.field("Mobile number")).to_be_visible()
    found = [serious(one.page)]
    one.sign_up()
    found.append(serious(one.page))
    gemini.will(Outcome(text=ANSWER), Outcome("safety"))
    one.send("Write a function")
    expect(one.replies.last.locator("table")).to_be_visible()
    one.button("Bad answer").click()
    expect(one.page.get_by_role("checkbox", name="It is not correct")).to_be_visible()
    found.append(serious(one.page))
    one.button("Say no more").click()
    one.send("And another")
    expect(one.replies.last).to_contain_text("declined")
    found.append(serious(one.page))
    if size == PHONE:
        one.button("Chats").click()
        expect(one.rooms.first).to_be_visible()
        found.append(serious(one.page))
    one.page.get_by_role("button", name="Account and settings").click()
    expect(one.page.get_by_text("This device")).to_be_visible()
    found.append(serious(one.page))
    one.button("Erase account…").click()
    found.append(serious(one.page))
    assert found == [[]] * len(found)


def in_view(part: Locator) -> None:
    expect(part).to_be_in_viewport(ratio=0.99)


@pytest.mark.parametrize("size", [PHONE, TABLET, DESKTOP], ids=["phone", "tablet", "desktop"])
def test_everything_fits(visit: Visit, gemini: FakeGemini, size: tuple[int, int]) -> None:
    one = visit()
    one.page.set_viewport_size({"width": size[0], "height": size[1]})
    one.open()
    for part in (one.field("Mobile number"), one.button("Continue"), one.button("Use a password instead")):
        in_view(part)
    one.sign_up(name="Wolfeschlegelsteinhausenbergerdorff" * 2)
    gemini.will(Outcome(text=WIDE))
    one.send("W" * 300)
    expect(one.replies.last.locator("table")).to_be_visible()
    expect(one.replies.last).to_have_attribute("aria-busy", "false")
    for part in (one.box, one.button("Send"), one.page.locator("#quota"), one.button("Copy the reply")):
        in_view(part)
    assert fits(one.page)
    if size != DESKTOP:
        expect(one.rooms.first).not_to_be_in_viewport()
        one.button("Chats").click()
    for part in (one.button("New chat"), one.rooms.first, one.page.get_by_role("searchbox")):
        in_view(part)
    one.page.get_by_role("button", name="Account and settings").click()
    expect(one.page.get_by_text("This device")).to_be_visible()
    in_view(one.button("Close"))
    assert fits(one.page)


def fits(page: Page) -> bool:
    """Whether nothing lies beside the window: what is wide scrolls within itself."""
    return bool(
        page.evaluate("""() => [...document.querySelectorAll('html, body, .scroller, .side, .sheet-body')]
          .every((element) => element.scrollWidth <= element.clientWidth + 1)""")
    )


def test_the_keyboard_is_enough(visit: Visit, service: Service) -> None:
    one = visit()
    one.open()
    keys = one.page.keyboard
    expect(one.field("Mobile number")).to_be_focused()
    keys.type(one.number)
    keys.press("Enter")
    expect(one.field("Code")).to_be_focused()
    keys.type(one.page.locator("#shown-code-value").inner_text())
    keys.press("Enter")
    expect(one.box).to_be_focused()
    keys.type("One")
    keys.press("Shift+Enter")
    keys.type("two")
    keys.press("Enter")
    one.expect_reply(re.compile(r"echo: One\s*two"))
    # What a screen reader is told.
    expect(one.page.locator("#announcer")).to_have_text(re.compile(r"Reply: echo: One\s*two"))
    one.page.get_by_role("link", name="Skip to the message box").focus()
    keys.press("Enter")
    expect(one.box).to_be_focused()
    # A menu and the dialog that it opens give the focus back to where it came from.
    options = one.button("Options of One")
    options.focus()
    keys.press("Enter")
    keys.press("Escape")
    expect(options).to_be_focused()
    keys.press("Enter")
    expect(one.button("Rename")).to_be_focused()
    keys.press("Enter")
    expect(one.field("Name")).to_be_focused()
    keys.press("Escape")
    expect(options).to_be_focused()
    # So does the list when it changes, here because of another tab.
    expect(one.rooms).to_have_count(1)
    with service.http(one.token()) as http:
        http.post("/chatroom", json={"name": "From elsewhere"})
    one.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(one.rooms).to_have_count(2)
    expect(options).to_be_focused()


def test_on_a_phone_the_list_of_chats_comes_and_goes(visit: Visit) -> None:
    one = visit()
    one.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    one.sign_up()
    one.send("Hello")
    one.expect_reply("echo: Hello")
    one.button("Chats").click()
    expect(one.button("Close the list of chats")).to_be_focused()
    one.page.keyboard.press("Escape")
    expect(one.button("Chats")).to_be_focused()
    one.button("Chats").click()
    one.button("New chat").click()
    expect(one.page.get_by_role("heading", name="Hello, Ananya")).to_be_visible()
    expect(one.rooms.first).not_to_be_in_viewport()


def test_every_text_runs_in_its_own_direction(visit: Visit, gemini: FakeGemini) -> None:
    one = visit().sign_up()
    gemini.will(Outcome(text=ARABIC), Outcome(text=HINDI))
    one.send("كيف أقضي يوما في القاهرة؟")
    expect(one.replies.last.locator("li")).to_have_count(2)
    assert direction(one.replies.last.locator(".prose")) == "rtl"
    assert direction(one.page.locator(".bubble").last) == "rtl"
    one.send("दिल्ली में एक दिन?")
    expect(one.replies.last.locator("h3")).to_have_text("दिल्ली")
    assert direction(one.replies.last.locator(".prose")) == "ltr"


def direction(part: Locator) -> str:
    return str(part.evaluate("(element) => getComputedStyle(element).direction"))


def test_nothing_moves_for_those_who_want_no_motion(visit: Visit, gemini: FakeGemini) -> None:
    one = visit(reduced_motion="reduce").sign_up()
    gemini.will(Outcome("hang"))
    one.send("Hello")
    expect(one.replies.last.locator(".dots")).to_be_visible()
    assert one.page.evaluate("document.getAnimations().length") == 0


def test_screenshots(visit: Visit, gemini: FakeGemini, tmp_path: Path) -> None:
    # `make screenshots` keeps them.
    folder = ROOT / os.environ["SCREENSHOTS"] if os.environ.get("SCREENSHOTS") else tmp_path
    folder.mkdir(exist_ok=True)
    one = visit(color_scheme="light", reduced_motion="reduce").sign_up()
    gemini.will(Outcome(text="Three to begin with."), Outcome(text=HINDI), Outcome(text=ANSWER))
    for text in ("Three novels about the sea", "दिल्ली में एक दिन कैसे बिताऊँ?", "Find duplicate files in Python"):
        one.button("New chat").click()
        one.send(text)
        expect(one.replies.last).to_have_attribute("aria-busy", "false")
        expect(one.page.locator(".bubble").last).to_have_text(text)
    expect(one.rooms).to_have_count(3)
    expect(one.replies.last.locator("table")).to_be_visible()
    one.page.evaluate("document.activeElement.blur()")
    one.page.mouse.move(1000, 400)
    one.page.locator("#scroller").evaluate("(element) => { element.scrollTop = 0; }")
    shots = [folder / name for name in ("chat-light.png", "chat-dark.png", "chat-phone.png")]
    one.page.screenshot(path=shots[0])
    one.page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    one.page.screenshot(path=shots[1])
    one.page.set_viewport_size({"width": 390, "height": 780})
    one.page.emulate_media(color_scheme="light", reduced_motion="reduce")
    one.page.screenshot(path=shots[2])
    assert all(0 < shot.stat().st_size < LARGEST_SCREENSHOT for shot in shots)
