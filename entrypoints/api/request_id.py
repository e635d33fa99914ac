"""Ids of requests: the client's own X-Request-Id where it is safe to log, else a new one."""

import re
import secrets
from typing import Any

from flask import request

HEADER = "X-Request-Id"
ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
# Key of the WSGI environ.
REQUEST_ID = "gemini_chat.request_id"


def note_request_id(environ: dict[str, Any]) -> str:
    """Store the id of a request in its environ, for ``request_id()``, and return it."""
    sent = environ.get("HTTP_X_REQUEST_ID", "")
    given = environ[REQUEST_ID] = sent if ACCEPTABLE.fullmatch(sent) else secrets.token_hex(8)
    return str(given)


def request_id() -> str:
    """The id of the current request."""
    return str(request.environ[REQUEST_ID])
