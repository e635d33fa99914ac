"""JSON in: one loader that refuses what would trouble anybody behind it.

Flask and webargs alone answer 500 to JSON nested a thousand deep and to an integer of five thousand digits, and let NUL
and lone surrogates pass, which PostgreSQL cannot store.
"""

import json
import re
from typing import Any, NoReturn

import flask
import marshmallow as ma
from flask_smorest import Blueprint
from webargs import missing
from webargs.flaskparser import FlaskParser, abort

MAX_BODY_BYTES = 64 * 1024
MAX_DEPTH = 32
MAX_DIGITS = 32
# What PostgreSQL cannot store: NUL, and half a surrogate pair.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class MalformedJson(ValueError):
    """The text is not JSON that this service takes; says why, without quoting it."""


def load_json(body: bytes) -> Any:
    """The value of a JSON text (RFC 8259) in UTF-8. MalformedJson when it is none or a wicked one."""
    try:
        value = _decode(body.decode("utf-8"))
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
        if UNSTORABLE.search(value):
            raise MalformedJson("a text holds NUL or half a surrogate pair")
    elif isinstance(value, dict | list):
        if depth == 0:
            raise MalformedJson("nested too deeply")
        for child in value.values() if isinstance(value, dict) else value:
            _check(child, depth - 1)
        if isinstance(value, dict):
            for name in value:
                _check(name, depth)


_decode = json.JSONDecoder(
    parse_int=_number(int), parse_float=_number(float), parse_constant=_no_constant, object_pairs_hook=_object
).decode


class BodyParser(FlaskParser):
    """webargs with our loader: 415 for another media type, 400 for JSON that is none."""

    def __init__(self, **options: Any) -> None:
        """Nothing is known yet."""
        super().__init__(**options)
        self._defaults: dict[ma.Schema, dict[str, Any] | None] = {}

    def parse(self, argmap: Any, req: flask.Request | None = None, **options: Any) -> Any:
        """The arguments. Where a request has none of them, what comes of that was worked out once."""
        if isinstance(argmap, ma.Schema) and _has_none_of(argmap, options.get("location")):
            defaults = self._defaults_of(argmap)
            if defaults is not None:
                return dict(defaults)
        return super().parse(argmap, req, **options)

    def _defaults_of(self, schema: ma.Schema) -> dict[str, Any] | None:
        """What nothing is loaded as; None where something is required."""
        if schema not in self._defaults:
            try:
                self._defaults[schema] = schema.load({})
            except ma.ValidationError:
                self._defaults[schema] = None
        return self._defaults[schema]

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


def _has_none_of(schema: ma.Schema, location: str | None) -> bool:
    """Whether the request at hand has none of a schema's arguments in its query or among its headers."""
    environ = flask.request.environ
    if location == "query":
        return not environ.get("QUERY_STRING")
    if location == "headers":
        names = (field.data_key or name for name, field in schema.fields.items())
        return not any(f"HTTP_{name.upper().replace('-', '_')}" in environ for name in names)
    return False


class JsonBlueprint(Blueprint):
    """A blueprint whose bodies go through our loader."""

    ARGUMENTS_PARSER = BodyParser()

    def _prepare_arguments_doc(self, doc: dict[str, Any], doc_info: dict[str, Any], **context: Any) -> dict[str, Any]:
        """Leave 422 to the default response: flask-smorest names it as http.HTTPStatus does, anew in Python 3.13."""
        doc_info.get("arguments", {}).pop("responses", None)
        documented: dict[str, Any] = super()._prepare_arguments_doc(doc, doc_info, **context)
        return documented
