"""Every request has an id: the client's own where it is fit to be logged, else a new one."""

import re
import secrets

from flask import g, request

HEADER = "X-Request-Id"
ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)


def request_id() -> str:
    """The id of the request at hand."""
    if "request_id" not in g:
        sent = request.headers.get(HEADER, "")
        g.request_id = sent if ACCEPTABLE.fullmatch(sent) else secrets.token_hex(8)
    return str(g.request_id)
