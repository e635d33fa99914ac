"""/problems and /problems/{code}, the ``type`` of a problem: as HTML for people, as JSON for programs."""

from html import escape
from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask, Response, abort

from entrypoints.api.languages import in_language, texts
from entrypoints.api.pages import html_page, varied, wants_html, with_code
from entrypoints.api.problem_bodies import example_of
from entrypoints.api.problem_registry import PROBLEMS, ProblemType
from entrypoints.api.responses import json_response
from entrypoints.api.texts.catalogue import PageText


def serve_problem_pages(app: Flask) -> None:
    @app.get("/problems")
    def list_problems() -> Response:
        kinds = sorted(PROBLEMS.values(), key=lambda kind: (kind.status, kind.code))
        if wants_html():
            return varied(_list_page(kinds))
        return varied(in_language(json_response([_problem_json(kind) for kind in kinds])))

    @app.get("/problems/<code>")
    def explain_problem(code: str) -> Response:
        kind = PROBLEMS.get(code)
        if kind is None:
            abort(404)
        return varied(_problem_page(kind) if wants_html() else in_language(json_response(_problem_json(kind))))


def _problem_json(kind: ProblemType) -> dict[str, Any]:
    own = texts().problems[kind.code]
    return {
        "type": kind.path,
        "code": kind.code,
        "status": kind.status,
        "title": own.title,
        "why": own.why,
        "whatToDo": own.what_to_do,
        "example": example_of(kind, texts()),
    }


def _list_page(kinds: list[ProblemType]) -> Response:
    problems, words = texts().problems, texts().pages
    rows = "".join(
        f'<tr><td>{kind.status}<td><a href="{kind.path}"><code>{kind.code}</code></a>'
        f"<td>{escape(problems[kind.code].title)}"
        for kind in kinds
    )
    heads = "".join(f"<th>{words[head]}" for head in (PageText.STATUS, PageText.CODE, PageText.WHAT_HAPPENED))
    lines = (words[PageText.PROBLEMS],)
    return html_page(words[PageText.PROBLEMS_TITLE], lines, html=f"<table><tr>{heads}{rows}</table>")


def _problem_page(kind: ProblemType) -> Response:
    own, words = texts().problems[kind.code], texts().pages
    example = escape(orjson.dumps(example_of(kind, texts()), option=orjson.OPT_INDENT_2).decode())
    status = f"{kind.status} {HTTPStatus(kind.status).phrase}"
    return html_page(
        own.title,
        html=(
            f'<p class="quiet"><code>{kind.code}</code>, {escape(status)}</p>'
            f"<h2>{words[PageText.WHY]}</h2><p>{with_code(own.why)}</p>"
            f"<h2>{words[PageText.WHAT_TO_DO]}</h2><p>{with_code(own.what_to_do)}</p>"
            f"<h2>{words[PageText.EXAMPLE]}</h2><pre>{example}</pre>"
            f'<p><a href="/problems">{words[PageText.ALL_PROBLEMS]}</a> · '
            f'<a href="/docs/">{words[PageText.THE_API]}</a></p>'
        ),
    )
