"""JSON in: one loader that refuses what would trouble anybody behind it.

Flask and webargs alone answer 500 to JSON nested a thousand deep and to an integer of five thousand digits, and let NUL
and lone surrogates pass, which PostgreSQL cannot store.
"""

import json
from typing import Any, NoReturn

import flask
import marshmallow as ma
from flask_smorest import Blueprint
from webargs import missing
from webargs.flaskparser import FlaskParser, abort

MAX_BODY_BYTES = 64 * 1024
MAX_DEPTH = 32
MAX_DIGITS = 32
SURROGATES = range(0xD800, 0xE000)


class MalformedJson(ValueError):
    """The text is not JSON that this service takes; says why, without quoting it."""


def load_json(body: bytes) -> Any:
    """The value of a JSON text (RFC 8259) in UTF-8. MalformedJson when it is none or a wicked one."""
    try:
        value = json.loads(
            body.decode("utf-8"),
            parse_int=_number(int),
            parse_float=_number(float),
            parse_constant=_no_constant,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise MalformedJson("nested too deeply") from None
    except UnicodeDecodeError:
        raise MalformedJson("not UTF-8") from None
    except json.JSONDecodeError as error:
        raise MalformedJson(f"not JSON at character {error.pos}") from None
    _check(value, MAX_DEPTH)
    return value


def _number(kind: type[int] | type[float]) -> Any:
    def parse(digits: str) -> int | float:
        if len(digits) > MAX_DIGITS:
            raise MalformedJson("a number has too many digits")
        value = kind(digits)
        if value in (float("inf"), float("-inf")):
            raise MalformedJson("a number is too large")
        return value

    return parse


def _no_constant(_name: str) -> NoReturn:
    raise MalformedJson("NaN and Infinity are not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise MalformedJson("a name stands twice in an object")
    return value


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str):
        if "\x00" in value or any(ord(character) in SURROGATES for character in value):
            raise MalformedJson("a text holds NUL or half a surrogate pair")
    elif isinstance(value, dict | list):
        if depth == 0:
            raise MalformedJson("nested too deeply")
        for child in value.values() if isinstance(value, dict) else value:
            _check(child, depth - 1)
        if isinstance(value, dict):
            for name in value:
                _check(name, depth)


class BodyParser(FlaskParser):
    """webargs with our loader: 415 for another media type, 400 for JSON that is none."""

    def load_json(self, req: flask.Request, schema: ma.Schema) -> Any:  # noqa: ARG002
        """The body's value; missing when there is no body, so that each required field is reported."""
        body = req.get_data(cache=False)
        if not body:
            return missing
        if not req.is_json:
            abort(415)
        try:
            return load_json(body)
        except MalformedJson as error:
            abort(400, detail=f"The body is {error}.")


class JsonBlueprint(Blueprint):
    """A blueprint whose bodies go through our loader."""

    ARGUMENTS_PARSER = BodyParser()

    def _prepare_arguments_doc(self, doc: dict[str, Any], doc_info: dict[str, Any], **context: Any) -> dict[str, Any]:
        """Leave 422 to the default response: flask-smorest names it as http.HTTPStatus does, anew in Python 3.13."""
        doc_info.get("arguments", {}).pop("responses", None)
        documented: dict[str, Any] = super()._prepare_arguments_doc(doc, doc_info, **context)
        return documented
