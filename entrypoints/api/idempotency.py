"""Where an Idempotency-Key holds. Elsewhere it is refused: a header that is silently ignored is believed."""

from flask import Flask, request
from werkzeug.exceptions import BadRequest

HOLDS = frozenset({"Messages.send_message", "Messages.retry_reply", "Messages.regenerate_reply"})
# The sender of these decides on its headers, and its events have ids.
NOT_OURS_TO_REFUSE = "Webhooks."


class IdempotencyKeyNotSupported(BadRequest):
    """The request has an Idempotency-Key, which does not hold for it. Nothing was done."""

    code_of_problem = "idempotency_key_not_supported"


def refuse_other_idempotency_keys(app: Flask) -> None:
    @app.before_request
    def refuse() -> None:
        if request.method != "POST" or "Idempotency-Key" not in request.headers:
            return
        endpoint = request.endpoint
        if endpoint is not None and endpoint not in HOLDS and not endpoint.startswith(NOT_OURS_TO_REFUSE):
            raise IdempotencyKeyNotSupported
