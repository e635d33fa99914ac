"""JSON request bodies: a loader that refuses what Python or PostgreSQL cannot take.

Flask and webargs alone answer 500 to JSON nested a thousand deep and to an integer of five thousand digits, and accept
NUL and lone surrogates, which PostgreSQL cannot store.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial, wraps
from types import MappingProxyType
from typing import Any, NoReturn

import flask
import marshmallow as ma
from flask_smorest import Blueprint
from webargs.flaskparser import abort
from werkzeug.exceptions import ClientDisconnected, HTTPException
from werkzeug.wsgi import get_content_length

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


def _arguments(schema: ma.Schema, location: str) -> Any:
    """What a schema makes of the body, the query or the headers of the present request. 422 says what is wrong."""
    given = GIVEN_IN[location](flask.request._get_current_object(), schema)  # type: ignore[attr-defined]  # noqa: SLF001
    try:
        return schema.load(given) if given or location == "json" else dict(_defaults(schema))
    except ma.ValidationError as error:
        abort(422, messages={location: error.messages})


@cache
def _defaults(schema: ma.Schema) -> Mapping[str, Any]:
    """The arguments of a request that gives none. Raises ma.ValidationError when the schema requires some."""
    return MappingProxyType(schema.load({}))


def _body(request: flask.Request, _schema: ma.Schema) -> Any:
    """The value of the body. Without a body that of an empty object, so that each required field is reported."""
    body = _read(request)
    if not body:
        return {}
    if not request.is_json:
        abort(415)
    try:
        return load_json(body)
    except MalformedJson as error:
        abort(400, detail=f"The body is {error}.")


def _read(request: flask.Request) -> bytes:
    """The bytes of the body. Werkzeug's stream refuses what is too long, and reads what comes without a length."""
    environ = request.environ
    length = get_content_length(environ)
    if length is None or length > MAX_BODY_BYTES:
        return request.get_data(cache=False)
    body: bytes = environ["wsgi.input"].read(length)
    if len(body) < length:
        raise ClientDisconnected
    return body


def _query(request: flask.Request, _schema: ma.Schema) -> dict[str, str]:
    return request.args.to_dict() if request.environ.get("QUERY_STRING") else {}


def _headers(request: flask.Request, schema: ma.Schema) -> dict[str, str]:
    environ = request.environ
    return {name: environ[key] for name, key in _header_keys(schema) if key in environ}


@cache
def _header_keys(schema: ma.Schema) -> Sequence[tuple[str, str]]:
    """The headers that are arguments, with their keys in the WSGI environ."""
    names = [field.data_key or name for name, field in schema.fields.items()]
    return [(name, f"HTTP_{name.upper().replace('-', '_')}") for name in names]


GIVEN_IN: Mapping[str, Callable[[flask.Request, ma.Schema], Any]] = {
    "json": _body,
    "query": _query,
    "headers": _headers,
}


def _documented(view: View, by: Callable[[View], Any]) -> View:
    """The view itself, with what a decorator of flask-smorest says about it."""
    view._apidoc = by(view)._apidoc  # type: ignore[attr-defined]  # noqa: SLF001 - where all of them keep it
    return view


class JsonBlueprint(Blueprint):
    """A blueprint whose request bodies are loaded by load_json.

    Its decorators document a view, and none but ``arguments`` is there when the view is called: flask-smorest's own
    would dump what it returns, which is a response already.
    """

    def arguments(self, schema: ma.Schema, *, location: str = "json", **options: Any) -> Callable[[View], View]:
        """Gives the view the arguments that the schema makes of the body, the query or the headers."""
        document = super().arguments(schema, location=location, **options)

        def decorate(view: View) -> View:
            check_login: Callable[[], object] = getattr(view, "check_login", lambda: None)

            @wraps(view)
            def with_arguments(*args: Any, **kwargs: Any) -> flask.Response:
                try:
                    loaded = _arguments(schema, location)
                except HTTPException:
                    check_login()
                    raise
                return view(*args, loaded, **kwargs)

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
