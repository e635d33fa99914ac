"""/success and /cancel: the pages to which the payment provider sends buyers back."""

import structlog
from flask import Flask, Response, request

from application.use_cases import Billing
from domain.errors import DependencyDown
from entrypoints.api.languages import texts
from entrypoints.api.pages import html_page
from entrypoints.api.texts.catalogue import PageText

CHECKOUT_ID_MAX_LENGTH = 255

log = structlog.get_logger(__name__)


def serve_landing_pages(app: Flask, billing: Billing) -> None:
    @app.get("/success")
    def success() -> Response:
        if _is_paid(billing, request.args.get("session_id", "")):
            return _page(PageText.IS_PRO_TITLE, PageText.IS_PRO)
        return _page(PageText.PAID_TITLE, PageText.PAID)

    @app.get("/cancel")
    def cancelled() -> Response:
        return _page(PageText.NOT_BOUGHT_TITLE, PageText.NOT_BOUGHT)


def _page(title: PageText, line: PageText) -> Response:
    words = texts().pages
    return html_page(words[title], (words[line],))


def _is_paid(billing: Billing, checkout_id: str) -> bool:
    if not (0 < len(checkout_id) <= CHECKOUT_ID_MAX_LENGTH and checkout_id.isascii() and checkout_id.isprintable()):
        return False
    try:
        return billing.sync_checkout(checkout_id=checkout_id)
    except DependencyDown as down:
        log.warning("checkout_not_confirmed_yet", dependency=down.dependency)
        return False
