"""JSON request bodies: a loader that refuses what Python or PostgreSQL cannot take.

Flask and webargs alone answer 500 to JSON nested a thousand deep and to an integer of five thousand digits, and accept
NUL and lone surrogates, which PostgreSQL cannot store.
"""

import json
import re
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, NoReturn

import flask
import marshmallow as ma
from flask_smorest import Blueprint
from webargs import missing
from webargs.flaskparser import FlaskParser, abort

from domain.chat import MESSAGE_MAX_LENGTH
from entrypoints.api.schemas import camel_case

Body = dict[str, Any]
View = Callable[..., flask.Response]

# Key in an operation, until openapi.py has made responses of them: the codes of may_give.
PROBLEMS_OF_VIEW = "x-problems"
# Tag of the deprecated paths.
ALIASES = "Aliases"

# The longest message passes however a client escapes it: as two \uXXXX, a character outside of the basic plane takes
# twelve bytes.
MAX_BODY_BYTES = 12 * MESSAGE_MAX_LENGTH + 4 * 1024
MAX_DEPTH = 32
MAX_DIGITS = 32
# PostgreSQL cannot store NUL or half a surrogate pair.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class MalformedJson(ValueError):
    """The text is not acceptable JSON. The message says why, without quoting the text."""


def load_json(body: bytes) -> Any:
    """The value of a JSON text (RFC 8259) in UTF-8. Raises MalformedJson for other texts and beyond the limits."""
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
    """webargs with this loader: 415 for another media type, 400 for malformed JSON."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._defaults: dict[ma.Schema, dict[str, Any] | None] = {}

    def parse(self, argmap: Any, req: flask.Request | None = None, **options: Any) -> Any:
        """The arguments. The result for requests that have none of them is computed once per schema."""
        if isinstance(argmap, ma.Schema) and _has_none_of(argmap, options.get("location")):
            defaults = self._defaults_of(argmap)
            if defaults is not None:
                return dict(defaults)
        return super().parse(argmap, req, **options)

    def _defaults_of(self, schema: ma.Schema) -> dict[str, Any] | None:
        """The schema's result for no input; None if it requires some."""
        if schema not in self._defaults:
            try:
                self._defaults[schema] = schema.load({})
            except ma.ValidationError:
                self._defaults[schema] = None
        return self._defaults[schema]

    def load_json(self, req: flask.Request, schema: ma.Schema) -> Any:  # noqa: ARG002
        """The value of the body; ``missing`` without a body, so that each required field is reported."""
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
    """Whether the query or the headers of the request contain no argument of the schema."""
    environ = flask.request.environ
    if location == "query":
        return not environ.get("QUERY_STRING")
    if location == "headers":
        names = (field.data_key or name for name, field in schema.fields.items())
        return not any(f"HTTP_{name.upper().replace('-', '_')}" in environ for name in names)
    return False


def _documented(view: View, by: Callable[[View], Any]) -> View:
    """The view itself, with what a decorator of flask-smorest says about it."""
    view._apidoc = by(view)._apidoc  # type: ignore[attr-defined]  # noqa: SLF001 - where all of them keep it
    return view


class JsonBlueprint(Blueprint):
    """A blueprint whose request bodies are loaded by load_json.

    Its decorators document a view, and none but ``arguments`` is there when the view is called: flask-smorest's own
    would dump what it returns, which is a response already.
    """

    ARGUMENTS_PARSER = BodyParser()

    def arguments(self, schema: ma.Schema, *, location: str = "json", **options: Any) -> Callable[[View], View]:
        """Gives the view the arguments that the schema makes of the body, the query or the headers."""
        document, parse = super().arguments(schema, location=location, **options), self.ARGUMENTS_PARSER.parse

        def decorate(view: View) -> View:
            @wraps(view)
            def with_arguments(*args: Any, **kwargs: Any) -> flask.Response:
                return view(*args, parse(schema, location=location), **kwargs)

            return _documented(with_arguments, document)

        return decorate

    def response(self, *args: Any, **options: Any) -> Callable[[View], View]:
        """Documents the response."""
        return partial(_documented, by=super().response(*args, **options))

    def alt_response(self, *args: Any, **options: Any) -> Callable[[View], View]:
        """Documents another response."""
        return partial(_documented, by=super().alt_response(*args, **options))

    @staticmethod
    def doc(**options: Any) -> Callable[[View], View]:
        """Documents what the other decorators have no word for."""
        return partial(_documented, by=Blueprint.doc(**options))

    def _prepare_arguments_doc(self, doc: dict[str, Any], doc_info: dict[str, Any], **context: Any) -> dict[str, Any]:
        """Leave 422 to the default response: its name in http.HTTPStatus changed in Python 3.13."""
        doc_info.get("arguments", {}).pop("responses", None)
        documented: dict[str, Any] = super()._prepare_arguments_doc(doc, doc_info, **context)
        return documented

    def may_give(self, *codes: str) -> Callable[[View], View]:
        """Documents problems of a view, by their codes in the registry, besides those that follow from its nature."""

        def decorate(view: View) -> View:
            view.problems = codes  # type: ignore[attr-defined]
            return view

        return decorate

    def _store_endpoint_docs(self, endpoint: str, obj: View, *args: Any, **options: Any) -> None:
        super()._store_endpoint_docs(endpoint, obj, *args, **options)
        for name, doc in self._docs[endpoint].items():
            if name != "parameters":
                doc.setdefault("manual_doc", {}).update(
                    {"operationId": camel_case(endpoint), PROBLEMS_OF_VIEW: list(getattr(obj, "problems", ()))}
                )

    def post_with_alias(self, path: str, *, alias: str) -> Callable[[View], View]:
        """Routes POST of ``path`` to a view, and POST of ``alias``, which is documented as deprecated."""

        def decorate(view: View) -> View:
            self.route(path, methods=["POST"], endpoint=view.__name__)(view)
            deprecated = self.doc(deprecated=True)(view)
            self.route(alias, methods=["POST"], endpoint=f"{view.__name__}_alias", tags=[ALIASES])(deprecated)
            return view

        return decorate
