"""JSON responses, written as camelCase dicts, with entity tags for conditional requests.

Schemas only document them: dumping through marshmallow takes ten times as long. The HTTP tests validate every response
against its schema.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from math import ceil
from typing import Any

import orjson
from flask import Response, request

JSON = "application/json"
# Clients may store it and must revalidate each time; shared caches may not store it.
REVALIDATE = "private, no-cache"

SECONDS_PER_DAY = 86_400


class BufferedResponse(Response):
    """A response whose whole body is in memory: the web server gets it as a list and sends it in one chunk.

    It skips werkzeug's corrections of headers, which these responses do not need.
    """

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "HEAD" or not isinstance(self.response, list):
            return super().__call__(environ, start_response)
        start_response(self.status, self.headers.to_wsgi_list())
        return self.response


def to_json(payload: Any) -> bytes:
    """Encode as JSON, with times in RFC 3339 and UTC as Z."""
    return orjson.dumps(payload, option=orjson.OPT_UTC_Z)


def json_response(payload: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return BufferedResponse(to_json(payload), status, headers, content_type=JSON)


def entity_tag(body: bytes) -> str:
    """A weak entity tag (RFC 9110, section 8.8) for a body, without quotes."""
    return hashlib.sha256(body).hexdigest()[:24]


def tagged_response(body: bytes, tag: str, headers: Mapping[str, str] | None = None) -> Response:
    """The body with its entity tag, or 304 when ``If-None-Match`` names the tag."""
    unchanged = "HTTP_IF_NONE_MATCH" in request.environ and request.if_none_match.contains_weak(tag)
    validators = {**(headers or {}), "ETag": f'W/"{tag}"', "Cache-Control": REVALIDATE}
    if unchanged:
        return Response(status=304, headers=validators, content_type=JSON)
    return BufferedResponse(body, 200, validators, content_type=JSON)


def tagged_json(payload: Any) -> Response:
    """The payload as JSON with its entity tag, or 304."""
    body = to_json(payload)
    return tagged_response(body, entity_tag(body))


def seconds_until(moment: datetime) -> int:
    """Whole seconds until ``moment``, at least one."""
    return max(ceil((moment - datetime.now(UTC)).total_seconds()), 1)


def rate_limit_headers(*, limit: int, remaining: int, resets_at: datetime) -> dict[str, str]:
    """Headers for a daily quota, as in draft-ietf-httpapi-ratelimit-headers."""
    return {
        "RateLimit-Policy": f'"daily";q={limit};w={SECONDS_PER_DAY}',
        "RateLimit": f'"daily";r={remaining};t={seconds_until(resets_at)}',
    }
