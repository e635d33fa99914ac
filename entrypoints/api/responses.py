"""JSON out: camelCase dicts to bytes, with entity tags where a client may already have them.

flask-smorest's own way, marshmallow's dump, takes ten times as long; the schemas document the answers, and the HTTP
tests hold every answer to its schema.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from math import ceil
from typing import Any

import orjson
from flask import Response, request

JSON = "application/json"
# Clients may keep it and must ask each time; nobody in between may keep it.
REVALIDATE = "private, no-cache"

SECONDS_PER_DAY = 86_400


class Answer(Response):
    """An answer of ours whose body is all there: it goes out as a list, which the web server sends in one chunk.

    Its headers are as they should be: werkzeug's own way looks for what needs to be repaired in them.
    """

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Send it."""
        if environ["REQUEST_METHOD"] == "HEAD" or not isinstance(self.response, list):
            return super().__call__(environ, start_response)
        start_response(self.status, self.headers.to_wsgi_list())
        return self.response


def to_json(payload: Any) -> bytes:
    """JSON with times in RFC 3339, UTC as Z."""
    return orjson.dumps(payload, option=orjson.OPT_UTC_Z)


def json_response(payload: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer of ``payload``."""
    return Answer(to_json(payload), status, headers, content_type=JSON)


def entity_tag(body: bytes) -> str:
    """A weak entity tag (RFC 9110, section 8.8) of a body, without its quotes."""
    return hashlib.blake2b(body, digest_size=12).hexdigest()


def tagged_response(body: bytes, tag: str, headers: Mapping[str, str] | None = None) -> Response:
    """The body, or 304 without it when the client says that it has this one."""
    unchanged = request.if_none_match.contains_weak(tag)
    validators = {**(headers or {}), "ETag": f'W/"{tag}"', "Cache-Control": REVALIDATE}
    if unchanged:
        return Response(status=304, headers=validators, content_type=JSON)
    return Answer(body, 200, validators, content_type=JSON)


def seconds_until(moment: datetime) -> int:
    """How many whole seconds to wait for ``moment``; at least one."""
    return max(ceil((moment - datetime.now(UTC)).total_seconds()), 1)


def rate_limit_headers(*, limit: int, remaining: int, resets_at: datetime) -> dict[str, str]:
    """draft-ietf-httpapi-ratelimit-headers: what the plan allows, what is left, and for how many seconds."""
    return {
        "RateLimit-Policy": f'"daily";q={limit};w={SECONDS_PER_DAY}',
        "RateLimit": f'"daily";r={remaining};t={seconds_until(resets_at)}',
    }
