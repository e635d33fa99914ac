"""What people do with the chat page, and what they see when something goes wrong."""

import json
import re
from collections.abc import Callable, Iterator

import jwt
import pytest
from playwright.sync_api import Route, expect

from tests.e2e.service import Service, running, until
from tests.fakes.gemini_server import FakeGemini, Outcome
from tests.page.visitor import PASSWORD, Visitor
from tests.proxy import FreezableProxy

pytestmark = pytest.mark.real

Visit = Callable[..., Visitor]

ANSWER = """Like **this**:

```python
print("नमस्ते")
```
"""


@pytest.fixture
def proxy(service: Service) -> Iterator[FreezableProxy]:
    """The way to the service, which a test can cut."""
    proxy = FreezableProxy(service.base, default_port=80)
    yield proxy
    proxy.close()


def test_from_the_first_code_to_the_log_out(visit: Visit, gemini: FakeGemini) -> None:
    one = visit(permissions=["clipboard-read", "clipboard-write"]).sign_up()
    gemini.will(Outcome(text=ANSWER))
    one.send("How do I greet the world?")
    expect(one.replies.last.locator("strong")).to_have_text("this")
    expect(one.replies.last.locator("pre")).to_have_text('print("नमस्ते")')
    one.button("Copy the code").click()
    assert one.page.evaluate("navigator.clipboard.readText()") == 'print("नमस्ते")'
    expect(one.page.locator("#quota")).to_contain_text("99 of 100 prompts left today")

    # The chat is named after what it began with; its name changes, and finds it.
    expect(one.rooms).to_have_text(["How do I greet the world?"])
    # The list is read again, as it is when a tab is looked at: the chat has changed in no way.
    with one.page.expect_response(re.compile(r"/chatroom\?limit=")):
        one.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    one.choose("Rename", "How do I greet the world?")
    one.field("Name").fill("Greetings")
    one.button("Rename").click()
    expect(one.rooms).to_have_text(["Greetings"])
    expect(one.page.get_by_role("heading", name="Greetings")).to_be_visible()
    one.button("New chat").click()
    one.send("Résumé or CV?")
    one.expect_reply("echo: Résumé or CV?")
    expect(one.rooms).to_have_text(["Résumé or CV?", "Greetings"])
    one.page.get_by_role("searchbox", name="Search chats and messages").fill("resume")
    expect(one.rooms).to_have_text(["Résumé or CV?"])
    one.page.get_by_role("searchbox", name="Search chats and messages").fill("")
    one.choose("Delete", "Résumé or CV?")
    one.button("Delete").click()
    expect(one.rooms).to_have_text(["Greetings"])
    expect(one.page.get_by_role("heading", name="Hello, Ananya")).to_be_visible()

    # What is there after a reload is what the service keeps.
    one.rooms.first.click()
    one.page.reload()
    expect(one.replies.last.locator("pre")).to_have_text('print("नमस्ते")')

    one.page.get_by_role("button", name="Account and settings").click()
    one.field("Name").fill("Ananya K.")
    one.button("Save").click()
    expect(one.page.get_by_text("Saved.")).to_be_visible()
    with one.page.expect_download() as download:
        one.button("Export").click()
    kinds = [json.loads(line)["type"] for line in download.value.path().read_text().splitlines()]
    assert kinds[-1] == "end"
    one.button("Log out").click()
    expect(one.page.get_by_text("You are logged out.")).to_be_visible()
    assert one.page.evaluate("Object.keys(localStorage)") == []
    one.page.reload()
    expect(one.field("Mobile number")).to_be_focused()


def test_chats_are_pinned_and_archived(visit: Visit) -> None:
    one = visit().sign_up()
    for text in ("First", "**Second** one, is it? With more."):
        one.button("New chat").click()
        one.send(text)
        one.expect_reply(re.compile("echo"))
    expect(one.rooms).to_have_text(["Second one, is it?", "First"])
    expect(one.page.get_by_role("heading", name="Second one, is it?")).to_be_visible()

    one.choose("Pin", "First")
    expect(one.rooms).to_have_text(["First", "Second one, is it?"])
    one.choose("Archive", "Second one, is it?")
    expect(one.rooms).to_have_text(["First"])
    one.page.reload()
    expect(one.rooms).to_have_text(["First"])
    one.button("Archived chats").click()
    expect(one.rooms).to_have_text(["Second one, is it?"])

    # A message takes a chat out of the archive.
    one.rooms.first.click()
    one.send("And more")
    one.expect_reply("echo: And more")
    expect(one.page.get_by_text("Chats that you archive will be listed here.")).to_be_visible()
    one.button("Back to your chats").click()
    expect(one.rooms).to_have_text(["First", "Second one, is it?"])
    one.choose("Unpin", "First")
    expect(one.rooms).to_have_text(["Second one, is it?", "First"])


def test_a_chat_that_was_read_before_its_first_message_arrived_keeps_the_name_that_this_gave_it(visit: Visit) -> None:
    one = visit().sign_up()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    one.page.route(re.compile(r"/chatroom/[\w-]+$"), hold, times=1)
    one.send("Why are there tides?")
    heading = one.page.get_by_role("heading", name="Why are there tides?")
    expect(heading).to_be_visible()
    one.until("it was read", lambda: bool(held))
    room = held[0].fetch().json()
    held[0].fulfill(json={**room, "name": "", "updatedAt": room["createdAt"], "messages": []})
    expect(one.page.locator("#loading")).to_be_hidden()
    expect(heading).to_be_visible()


def test_messages_are_found_by_their_text(visit: Visit, gemini: FakeGemini) -> None:
    one = visit().sign_up()
    gemini.will(Outcome(text="The Moon <b>pulls</b> 🌕 the *sea*."))
    one.send("Why are there tides?")
    expect(one.replies.last).to_have_attribute("aria-busy", "false")
    one.button("New chat").click()
    one.send("दिल्ली में क्या देखूँ?")
    one.expect_reply(re.compile("echo"))
    field = one.page.get_by_role("searchbox", name="Search chats and messages")
    found = one.page.get_by_role("region", name="In messages").get_by_role("link")

    # A reply can be found a moment after it was finished, and the page asks once for what is typed.
    field.fill("sea")
    one.until("it is found", lambda: search_again(one) and found.count())
    expect(found).to_have_text(re.compile(r"Why are there tides\? Reply\s*The Moon <b>pulls</b> 🌕 the \*sea\*\."))
    expect(found.locator("mark")).to_have_text(["sea"])
    field.fill("दिल्ली")
    one.until("both are found", lambda: search_again(one) and found.count() == 2)
    expect(found.locator("mark")).to_have_text(["दिल्ली"] * 2)
    field.fill("tides")
    expect(found).to_have_count(1)
    found.first.click()
    expect(one.page.get_by_role("heading", name="Why are there tides?")).to_be_visible()
    field.fill("?")
    expect(found).to_have_count(0)
    expect(one.notice).to_be_empty()


def search_again(one: Visitor) -> bool:
    """Type the same once more; true when it was answered."""
    field = one.page.get_by_role("searchbox", name="Search chats and messages")
    wanted = field.input_value()
    field.fill("")
    with one.page.expect_response(lambda response: "/search?" in response.url):
        field.fill(wanted)
    return True


def test_a_wrong_code_says_how_many_tries_are_left(visit: Visit) -> None:
    one = visit()
    one.open()
    one.field("Mobile number").fill("12")
    one.button("Continue").click()
    expect(one.page.get_by_role("alert").filter(has_text="phone number")).to_be_visible()
    one.field("Mobile number").fill(one.number)
    one.button("Continue").click()
    expect(one.field("Code")).to_be_focused()
    code = one.page.locator("#shown-code-value").inner_text()
    one.field("Code").fill("000000" if code != "000000" else "111111")
    one.field("Code").press("Enter")
    expect(one.page.get_by_role("alert").filter(has_text="4 tries are left")).to_be_visible()
    expect(one.button("Send another code")).to_have_count(0)  # not for the next seconds
    one.field("Code").fill(code)
    one.field("Code").press("Enter")
    expect(one.box).to_be_focused()


def test_a_reply_is_stopped_asked_for_again_and_leafed_through(visit: Visit, gemini: FakeGemini) -> None:
    one = visit().sign_up()
    gemini.will(Outcome("pause", "Half an answer"))
    one.send("Which mountain?")
    expect(one.replies.last.locator(".prose")).to_have_text(re.compile("Half an"))
    one.button("Stop the reply").click()
    expect(one.replies.last).to_contain_text("You stopped this reply.")

    gemini.will(Outcome(text="K2"))
    one.button("Try again").click()
    one.expect_reply("K2")
    gemini.will(Outcome(text="Makalu"))
    one.button("Ask for another answer").click()
    one.expect_reply("Makalu")
    expect(one.page.get_by_text("3 / 3")).to_be_visible()
    # Another attempt that fails costs nothing and takes nothing away.
    gemini.will(*[Outcome("safety")] * 3)
    one.button("Ask for another answer").click()
    expect(one.replies.last).to_contain_text("The model declined to answer this.")
    one.expect_reply("Makalu")

    one.requests.clear()
    one.page.reload()
    one.expect_reply("Makalu")
    one.button("Older answer").click()
    one.expect_reply("K2")
    one.button("Older answer").click()
    one.expect_reply(re.compile("Half an"))
    expect(one.button("Older answer")).to_be_disabled()
    # All of them came in one page of the API.
    assert len(one.asked("GET", "/message/[^/]+/replies")) == 1
    assert one.asked("GET", "/message/[^/]+") == []


def test_a_chat_is_exported_as_a_document(visit: Visit) -> None:
    one = visit().sign_up()
    one.send("Why ☾?")
    one.expect_reply("echo: Why ☾?")
    with one.page.expect_download() as download:
        one.choose("Export", "Why ☾?")
    assert download.value.suggested_filename == "Why ☾_.md"
    document = download.value.path().read_text(encoding="utf-8")
    assert "## You" in document
    assert "> Why ☾?\n\n## Gemini" in document
    assert document.endswith("*End of the export: 1 message with its reply.*\n")
    expect(one.page.locator("#announcer")).to_have_text("The export is saved.")

    # A document that has lost its end is not saved.
    one.page.route("**/export", lambda route: route.fulfill(status=200, body=document[:-60]), times=1)
    one.choose("Export", "Why ☾?")
    expect(one.notice).to_contain_text("The service cannot be reached.")


def test_an_answer_is_rated_by_mouse_and_by_keyboard(visit: Visit) -> None:
    one = visit().sign_up()
    one.send("Why?")
    one.expect_reply("echo: Why?")
    good, bad = one.button("Good answer"), one.button("Bad answer")
    good.click()
    expect(good).to_have_attribute("aria-pressed", "true")
    # The other one takes its place, and asks why.
    bad.focus()
    one.page.keyboard.press("Enter")
    expect(one.page.get_by_role("heading", name="What was wrong with it?")).to_be_visible()
    one.page.get_by_role("checkbox", name="It is too long").focus()
    one.page.keyboard.press("Space")
    one.field("In your own words (optional)").fill("One word would do.")
    one.page.keyboard.press("Tab")
    one.page.keyboard.press("Tab")
    one.page.keyboard.press("Enter")
    expect(one.page.get_by_role("heading", name="What was wrong with it?")).to_be_hidden()
    expect(one.page.locator("#announcer")).to_have_text("Thank you for telling.")
    expect(bad).to_be_focused()
    expect(bad).to_have_attribute("aria-pressed", "true")
    expect(good).to_have_attribute("aria-pressed", "false")
    given = [request.post_data_json for request in one.asked("PUT", "/message/[^/]+/feedback")]
    assert given == [
        {"rating": "up"},
        {"rating": "down"},
        {"rating": "down", "reasons": ["too_long"], "comment": "One word would do."},
    ]

    # It is the service that keeps it; the same again takes it back.
    one.page.reload()
    expect(bad).to_have_attribute("aria-pressed", "true")
    bad.click()
    expect(bad).to_have_attribute("aria-pressed", "false")
    one.page.reload()
    one.expect_reply("echo: Why?")
    expect(bad).to_have_attribute("aria-pressed", "false")
    # Who says no more has rated it all the same.
    bad.click()
    one.page.keyboard.press("Escape")
    expect(bad).to_have_attribute("aria-pressed", "true")


def test_a_reply_that_fails_says_why_and_can_be_retried(visit: Visit, gemini: FakeGemini) -> None:
    one = visit().sign_up()
    gemini.will(Outcome("safety"))
    one.send("Hm?")
    expect(one.replies.last).to_contain_text("The model declined to answer this. It may help to put it differently.")
    expect(one.replies.last).to_contain_text("This did not use up a prompt.")
    expect(one.page.locator("#quota")).to_contain_text("100 of 100")
    one.button("Try again").click()
    one.expect_reply("echo: Hm?")


def test_a_reply_goes_on_after_the_connection_was_lost(visit: Visit, gemini: FakeGemini, proxy: FreezableProxy) -> None:
    one = visit(proxy.url).sign_up()
    gemini.will(Outcome("pause", "One two three four"))
    one.send("Count!")
    expect(one.replies.last.locator(".prose")).to_have_text("One two three")
    proxy.freeze()
    proxy.hang_up()
    expect(one.replies.last).to_contain_text("The connection was lost.")
    expect(one.replies.last.locator(".prose")).to_have_text("One two three")
    proxy.thaw()
    expect(one.replies.last).not_to_contain_text("The connection was lost.")
    gemini.go_on.set()
    one.expect_reply("One two three four")
    first, *_, last = [request.headers for request in one.asked("GET", "/message/.+/stream")]
    assert "last-event-id" not in first
    assert last["last-event-id"]
    expect(one.page.locator("#offline")).to_be_hidden()


def test_a_message_is_sent_once_when_the_connection_comes_back(visit: Visit, gemini: FakeGemini) -> None:
    one = visit().sign_up()
    one.send("Hello")
    one.expect_reply("echo: Hello")
    one.context.set_offline(True)
    one.send("Are you there?")
    expect(one.on_its_way).to_contain_text("You are offline. This is sent when the connection is back.")
    expect(one.page.locator("#offline")).to_have_text("You are offline")
    one.box.fill("and something else")
    one.context.set_offline(False)
    one.expect_reply("echo: Are you there?")
    assert gemini.asked("Are you there?") == 1
    expect(one.box).to_have_value("and something else")


def test_what_was_on_its_way_is_sent_after_a_reload(visit: Visit, gemini: FakeGemini) -> None:
    one = visit().sign_up()
    one.send("Hello")
    one.expect_reply("echo: Hello")
    # The service accepts it, and the answer never arrives.
    lost: list[Route] = []
    is_cut = True

    def lose(route: Route) -> None:
        if not is_cut:
            route.continue_()
            return
        if not lost:
            route.fetch()
        lost.append(route)
        route.abort()

    one.page.route("**/message", lose)
    one.send("Only once")
    expect(one.on_its_way).to_contain_text("The service cannot be reached. Trying again…")
    one.box.fill("a draft")
    one.page.reload()
    is_cut = False
    one.expect_reply("echo: Only once")
    expect(one.page.get_by_text("Only once", exact=True)).to_have_count(1)
    expect(one.box).to_have_value("a draft")
    assert gemini.asked("Only once") == 1


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (503, "backlog_full", "Very many people are asking at the moment. Trying again…"),
        (429, "rate_limited", "The service is busy. Trying again…"),
        (500, "internal_error", "The service is busy. Trying again…"),
    ],
)
def test_a_busy_service_is_tried_again(visit: Visit, status: int, code: str, words: str) -> None:
    one = visit().sign_up()
    one.send("Hello")
    one.expect_reply("echo: Hello")
    refusal = {"code": code, "title": "No", "retryAfter": 1}
    headers = {"Content-Type": "application/problem+json", "Retry-After": "1"}
    one.page.route(
        "**/message", lambda route: route.fulfill(status=status, headers=headers, body=json.dumps(refusal)), times=1
    )
    one.send("Patience")
    expect(one.on_its_way).to_contain_text(words)
    one.expect_reply("echo: Patience")


def test_a_message_can_be_taken_back_and_is_not_lost(visit: Visit) -> None:
    one = visit().sign_up()
    one.send("Hello")
    one.expect_reply("echo: Hello")
    one.context.set_offline(True)
    one.send("Not this")
    one.button("Take it back").click()
    expect(one.box).to_have_value("Not this")
    one.context.set_offline(False)
    one.page.reload()
    expect(one.box).to_have_value("Not this")


def test_five_tabs_with_an_expired_token_ask_for_one_new_one(visit: Visit, service: Service) -> None:
    one = visit().sign_up()
    one.send("Hello")
    one.expect_reply("echo: Hello")
    room = one.page.url.partition("/app/")[2]
    tabs = [one.page, *(one.tab() for _ in range(4))]
    for tab in tabs[1:]:
        one.open(tab, room)
        expect(tab.get_by_role("article", name="Reply").locator(".prose")).to_have_text("echo: Hello")
    expired = _expired(one.token(), (service.data_dir / "jwt_secret").read_text().strip())
    held: list[Route] = []
    one.context.route("**/auth/refresh", lambda route: held.append(route))  # noqa: PLW0108 - a method takes no attributes
    refused: list[str] = []
    one.context.on("response", lambda response: refused.append(response.url) if response.status == 401 else None)
    one.put_token(expired)
    for tab in tabs:
        tab.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    one.until("each tab is refused, and one asks for a token", lambda: held and len(refused) >= len(tabs))
    held[0].continue_()
    for index, tab in enumerate(tabs):
        tab.bring_to_front()
        tab.get_by_role("textbox", name="Message", exact=True).fill(f"From tab {index}")
        tab.get_by_role("button", name="Send", exact=True).click()
        expect(tab.get_by_text(f"echo: From tab {index}", exact=True)).to_be_visible()
    assert len(held) == 1


def _expired(token: str, secret: str) -> str:
    """The same access token, as it would be an hour after its time."""
    claims = jwt.decode(token, secret, algorithms=["HS256"], options={"verify_aud": False})
    age = 3600 + claims["exp"] - claims["iat"]
    for name in ("iat", "nbf", "exp"):
        if name in claims:
            claims[name] -= age
    return jwt.encode(claims, secret, algorithm="HS256", headers=jwt.get_unverified_header(token))


def test_a_session_that_was_ended_elsewhere_keeps_the_draft(visit: Visit) -> None:
    phone = visit().sign_up(password=PASSWORD)
    phone.send("Hello")
    phone.expect_reply("echo: Hello")
    phone.box.fill("not sent yet")
    laptop = visit().log_in_with_password(phone.number)
    laptop.page.get_by_role("button", name="Account and settings").click()
    laptop.button("Log out everywhere else").click()
    expect(laptop.page.get_by_role("listitem").filter(has_text="This device")).to_be_visible()
    expect(phone.page.get_by_text("You were logged out. Log in again; your text is kept.")).to_be_visible()
    phone.log_in_with_password(phone.number)
    phone.rooms.first.click()
    expect(phone.box).to_have_value("not sent yet")


def test_two_devices_see_each_other(visit: Visit, gemini: FakeGemini) -> None:
    phone = visit().sign_up(password=PASSWORD)
    phone.send("From the phone")
    phone.expect_reply("echo: From the phone")
    laptop = visit().log_in_with_password(phone.number)
    laptop.rooms.first.click()
    laptop.expect_reply("echo: From the phone")
    gemini.will(Outcome("pause", "Seen by both"))
    laptop.send("From the laptop")
    # The phone sees the message, and the reply while it is being written.
    expect(phone.page.get_by_text("From the laptop", exact=True)).to_be_visible()
    expect(phone.replies.last.locator(".prose")).to_have_text(re.compile("Seen by"))
    gemini.go_on.set()
    phone.expect_reply("Seen by both")
    laptop.choose("Delete", "From the phone")
    laptop.button("Delete").click()
    expect(phone.notice).to_contain_text("That chat was deleted.")
    expect(phone.rooms).to_have_count(0)


def test_the_last_prompt_leads_to_pro_and_nothing_is_lost(
    visit: Visit, gemini: FakeGemini, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running(tmp_path_factory.mktemp("stingy"), **gemini.settings, BASIC_DAILY_PROMPTS="1") as stingy:
        one = visit(stingy.base).sign_up()
        one.send("How high is K2?")
        one.expect_reply("echo: How high is K2?")
        expect(one.page.locator("#quota")).to_contain_text(re.compile(r"No prompts left today\. They come back at \d"))
        one.send("And Makalu?")
        expect(one.notice).to_contain_text("Today’s 1 prompts are used up.")
        expect(one.box).to_have_value("And Makalu?")

        one.notice.get_by_role("button", name="Upgrade to Pro").click()
        one.button("Go back without paying").click()
        expect(one.notice).to_contain_text("Nothing was bought.")
        expect(one.box).to_have_value("And Makalu?")
        one.page.locator("#quota").get_by_role("button", name="Upgrade to Pro").click()
        one.button("Pay with a card that works").click()
        expect(one.notice).to_contain_text("You are Pro now")
        expect(one.page.locator("#account-plan")).to_have_text("Pro")
        one.box.press("Enter")
        one.expect_reply("echo: And Makalu?")

        # Back to Basic, on the page of the payment provider.
        one.page.get_by_role("button", name="Account and settings").click()
        expect(one.page.get_by_text("Renews on")).to_be_visible()
        one.button("Manage").click()
        one.button("Cancel at the end of the period").click()
        one.button("Back to the application").click()
        one.page.get_by_role("button", name="Account and settings").click()
        expect(one.page.get_by_text("Ends on")).to_be_visible()
        one.button("Close").click()

        # And away: everything is erased.
        one.page.get_by_role("button", name="Account and settings").click()
        one.button("Erase account…").click()
        expect(one.button("Erase everything")).to_be_disabled()
        one.field("Type “erase” to go on").fill("erase")
        one.button("Erase everything").click()
        expect(one.page.get_by_text("Everything that was yours is erased.")).to_be_visible()
        assert one.page.evaluate("Object.keys(localStorage)") == []


def test_long_chats_and_long_lists_come_page_by_page(visit: Visit, service: Service) -> None:
    one = visit().sign_up()
    token = one.token()
    with service.http(token) as http:
        room = ""
        for index in range(35):
            room = http.post("/chatroom", json={"name": f"Chat {index}"}).json()["id"]
        for index in range(30):
            http.post(f"/chatroom/{room}/message", json={"message": f"Message {index}"})
        until("all are answered", lambda: http.get(f"/chatroom/{room}").json()["messages"][-1].get("status") == "done")
    one.page.reload()
    expect(one.rooms).to_have_count(30)
    one.button("Show more").click()
    expect(one.rooms).to_have_count(35)
    one.rooms.first.click()
    one.expect_reply("echo: Message 29")
    expect(one.page.get_by_text("Message 0", exact=True)).to_have_count(0)
    while one.page.get_by_role("button", name="Show earlier messages").is_visible():
        before = one.replies.count()
        one.button("Show earlier messages").click()
        expect(one.replies).not_to_have_count(before)
    expect(one.page.get_by_text("Message 0", exact=True)).to_have_count(1)
    expect(one.replies).to_have_count(30)
    expect(one.page.locator(".bubble")).to_have_text([f"Message {index}" for index in range(30)])
