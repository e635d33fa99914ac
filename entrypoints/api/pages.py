"""Pages for people: without scripts, not to be framed, and with nothing from elsewhere."""

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

from flask import Flask, Response, request

from domain.languages import DEFAULT_LANGUAGE
from entrypoints.api.languages import in_language, language

STYLES = Path(__file__).with_name("pages.css").read_text(encoding="utf-8")
STYLES_PATH = "/pages.css"
POLICY = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
CODE = re.compile(r"`([^`]*)`")


def serve_styles(app: Flask) -> None:
    @app.get(STYLES_PATH)
    def page_styles() -> Response:
        return Response(STYLES, content_type="text/css; charset=utf-8", headers={"Cache-Control": "max-age=3600"})


def html_page(title: str, lines: Iterable[str] = (), *, html: str = "", translated: bool = True) -> Response:
    """A page with a paragraph for each line. ``html`` is HTML that follows them; all else is escaped.

    The texts are in the language of the request; in English where they are not ``translated``.
    """
    spoken = language() if translated else DEFAULT_LANGUAGE
    text = "".join(f"<p>{escape(line)}</p>" for line in lines)
    page = (
        f'<!doctype html><html lang="{spoken}"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f'<title>{escape(title)}</title><link rel="stylesheet" href="{STYLES_PATH}">'
        f"<h1>{escape(title)}</h1>{text}{html}</html>"
    )
    response = Response(
        page,
        headers={"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"},
        content_type="text/html; charset=utf-8",
    )
    return in_language(response) if translated else response


def with_code(text: str) -> str:
    """HTML of a text in which `back-ticks` enclose code."""
    return CODE.sub(r"<code>\1</code>", escape(text))


def wants_html() -> bool:
    """Whether the client asks for HTML rather than JSON, as browsers do. A client that takes anything gets JSON."""
    accepted = request.accept_mimetypes
    return accepted["text/html"] > accepted["application/json"]


def varied(response: Response) -> Response:
    """The response, for caches: it depends on what the client accepts."""
    response.vary.add("Accept")
    return response
