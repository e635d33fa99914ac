"""Somebody in front of the chat page: a browser profile of their own, and the things people do."""

import itertools
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, expect

from tests.e2e.service import until

PATIENCE = 20  # seconds for what takes a moment on an idle machine
PASSWORD = "correct horse battery"

READ_TOKEN = """() => new Promise((done) => {
  indexedDB.open('chat').onsuccess = ({ target: { result } }) => {
    const logins = result.transaction('login').objectStore('login');
    logins.get('current').onsuccess = (event) => done(event.target.result.token);
  };
})"""
WRITE_TOKEN = """(token) => new Promise((done) => {
  indexedDB.open('chat').onsuccess = ({ target: { result } }) => {
    const logins = result.transaction('login', 'readwrite').objectStore('login');
    logins.get('current').onsuccess = (event) => {
      logins.put({ ...event.target.result, token }, 'current').onsuccess = () => done();
    };
  };
})"""

_numbers = itertools.count(1)


class Visitor:
    """``faults``: what no test may see: errors of scripts, violations of the policy, requests to other servers."""

    def __init__(self, browser: Browser, base: str, **options: Any) -> None:
        self.base = base
        self.number = f"+91 91234 {next(_numbers):05d}"
        self.faults: list[str] = []
        self.requests: list[Request] = []
        self.context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
        self.context.set_default_timeout(PATIENCE * 1000)
        self.context.on("request", self._note)
        self.page = self.tab()

    def tab(self) -> Page:
        """Another tab of the same browser."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("console", self._console)
        page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        return page

    def open(self, page: Page | None = None, where: str = "") -> None:
        (page or self.page).goto(f"{self.base}/app/{where}")

    def field(self, name: str) -> Locator:
        return self.page.get_by_role("textbox", name=name, exact=True)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def choose(self, action: str, chat: str) -> None:
        """Something in the menu of a chat in the list."""
        self.rooms.filter(has_text=chat).hover()
        self.button(f"Options of {chat}").click()
        self.page.locator("#room-menu").get_by_role("button", name=action, exact=True).click()

    def sign_up(self, name: str = "Ananya", password: str = "") -> "Visitor":
        """Log in with a code for the first time, giving a name and perhaps a password."""
        self.open()
        self.field("Mobile number").fill(self.number)
        self.page.get_by_text("New here?").click()
        self.field("Name").fill(name)
        if password:
            self.field("Password").fill(password)
        self.button("Continue").click()
        self.button("Fill it in").click()
        self.button("Log in").click()
        expect(self.page.get_by_role("heading", name=f"Hello, {name}")).to_be_visible()
        return self

    def log_in_with_password(self, number: str) -> "Visitor":
        self.number = number
        self.open()
        self.button("Use a password instead").click()
        self.field("Mobile number").fill(number)
        self.field("Password").fill(PASSWORD)
        self.button("Log in").click()
        expect(self.box).to_be_visible()
        return self

    @property
    def box(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message", exact=True)

    def token(self) -> str:
        """The access token of the login."""
        token: str = self.page.evaluate(READ_TOKEN)
        return token

    def put_token(self, token: str) -> None:
        self.page.evaluate(WRITE_TOKEN, token)

    def send(self, text: str) -> None:
        self.box.fill(text)
        self.box.press("Enter")

    @property
    def replies(self) -> Locator:
        return self.page.get_by_role("article", name="Reply")

    @property
    def rooms(self) -> Locator:
        return self.page.get_by_role("navigation", name="Your chats").get_by_role("link")

    @property
    def notice(self) -> Locator:
        return self.page.locator("#notice")

    @property
    def on_its_way(self) -> Locator:
        """What is said of the message that is being sent."""
        return self.page.locator(".sending:visible")

    def until(self, what: str, condition: Callable[[], object]) -> None:
        """Waits while the browser goes on."""
        until(what, lambda: self.page.title() is not None and condition())

    def expect_reply(self, text: str | re.Pattern[str]) -> None:
        """The newest reply says this, and is finished."""
        expect(self.replies.last.locator(".prose")).to_have_text(text)
        expect(self.replies.last).to_have_attribute("aria-busy", "false")

    def asked(self, method: str, path: str) -> list[Request]:
        """The requests so far to paths that this pattern fits."""
        found = [one for one in self.requests if one.method == method]
        return [one for one in found if re.fullmatch(path, urlsplit(one.url).path)]

    def _note(self, request: Request) -> None:
        self.requests.append(request)
        if not request.url.startswith((self.base, "blob:")):
            self.faults.append(f"request to {request.url}")

    def _console(self, message: ConsoleMessage) -> None:
        # The browser itself reports each status from 400 on, and each lost connection.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.faults.append(message.text)
