"""/problems and /problems/{code}, the ``type`` of a problem: as HTML for people, as JSON for programs."""

from html import escape
from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask, Response, abort

from entrypoints.api.pages import html_page, varied, wants_html, with_code
from entrypoints.api.problem_registry import PROBLEMS, ProblemType, example_of
from entrypoints.api.responses import json_response


def serve_problem_pages(app: Flask) -> None:
    @app.get("/problems")
    def list_problems() -> Response:
        kinds = sorted(PROBLEMS.values(), key=lambda kind: (kind.status, kind.code))
        return varied(_list_page(kinds) if wants_html() else json_response([_problem_json(kind) for kind in kinds]))

    @app.get("/problems/<code>")
    def explain_problem(code: str) -> Response:
        kind = PROBLEMS.get(code)
        if kind is None:
            abort(404)
        return varied(_problem_page(kind) if wants_html() else json_response(_problem_json(kind)))


def _problem_json(kind: ProblemType) -> dict[str, Any]:
    return {
        "type": kind.path,
        "code": kind.code,
        "status": kind.status,
        "title": kind.title,
        "why": kind.why,
        "whatToDo": kind.what_to_do,
        "example": example_of(kind),
    }


def _list_page(kinds: list[ProblemType]) -> Response:
    rows = "".join(
        f'<tr><td>{kind.status}<td><a href="{kind.path}"><code>{kind.code}</code></a><td>{escape(kind.title)}'
        for kind in kinds
    )
    lines = ("Every error of this API has one of these codes. Programs act on the code; each page says what to do.",)
    return html_page("Problems", lines, html=f"<table><tr><th>Status<th>Code<th>What happened{rows}</table>")


def _problem_page(kind: ProblemType) -> Response:
    example = escape(orjson.dumps(example_of(kind), option=orjson.OPT_INDENT_2).decode())
    status = f"{kind.status} {HTTPStatus(kind.status).phrase}"
    return html_page(
        kind.title,
        html=(
            f'<p class="quiet"><code>{kind.code}</code>, {escape(status)}</p>'
            f"<h2>Why</h2><p>{with_code(kind.why)}</p>"
            f"<h2>What to do</h2><p>{with_code(kind.what_to_do)}</p>"
            f"<h2>Example</h2><pre>{example}</pre>"
            '<p><a href="/problems">All problems</a> · <a href="/docs/">The API</a></p>'
        ),
    )
