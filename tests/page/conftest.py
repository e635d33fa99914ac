"""The chat page in a real Chromium, before the real service with a scripted model.

Without a Chromium these tests are left out, and the last line of the run says so. Where CI is set they fail instead.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.e2e.service import Service, running
from tests.fakes.gemini_server import FakeGemini
from tests.left_out import leave_out
from tests.page.chromium import HOW_TO_INSTALL, find_chromium
from tests.page.visitor import PATIENCE, Visitor

HERE = Path(__file__).parent

expect.set_options(timeout=PATIENCE * 1000)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if find_chromium() is None:
        unfit = [item for item in items if HERE in item.path.parents and "browser" in getattr(item, "fixturenames", ())]
        leave_out(config, items, unfit, what=f"the chat page (tests/page), for want of a browser: {HOW_TO_INSTALL}")


@pytest.fixture(scope="session")
def gemini() -> Iterator[FakeGemini]:
    with FakeGemini() as server:
        yield server


@pytest.fixture(scope="session")
def service(gemini: FakeGemini, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with prompts enough."""
    with running(tmp_path_factory.mktemp("page"), **gemini.settings, BASIC_DAILY_PROMPTS="100") as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ends with its module: the event loop that drives it must not be seen by tests that run one of their own."""
    path = find_chromium()
    if path is None:
        pytest.fail(f"the chat page cannot be tested: {HOW_TO_INSTALL}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, service: Service, gemini: FakeGemini) -> Iterator[Callable[..., Visitor]]:
    """Opens browsers of their own for visitors. In the end nothing may have gone wrong in any of them."""
    gemini.reset()
    visitors: list[Visitor] = []

    def visit(base: str | None = None, **options: object) -> Visitor:
        visitors.append(Visitor(browser, base or service.base, **options))
        return visitors[-1]

    yield visit
    for visitor in visitors:
        visitor.context.close()
    assert [visitor.faults for visitor in visitors] == [[] for _ in visitors]
