"""Every request has an id: the client's own where it is fit to be logged, else a new one."""

import re
import secrets
from typing import Any

from flask import request

HEADER = "X-Request-Id"
ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
# Where a request carries it.
REQUEST_ID = "gemini_chat.request_id"


def note_request_id(environ: dict[str, Any]) -> str:
    """Give a request its id."""
    sent = environ.get("HTTP_X_REQUEST_ID", "")
    given = environ[REQUEST_ID] = sent if ACCEPTABLE.fullmatch(sent) else secrets.token_hex(8)
    return str(given)


def request_id() -> str:
    """The id of the request at hand."""
    return str(request.environ[REQUEST_ID])
