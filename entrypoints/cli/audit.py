"""``audit``: what happened to accounts, for the operator."""

import sys
from uuid import UUID

import orjson

from application.ports.audit import AuditEvent, AuditEventType
from domain.accounts import UserId
from domain.errors import DomainError
from entrypoints.container.build import build_audit
from entrypoints.settings import Settings

EXIT_FAILED = 1


def print_audit(
    settings: Settings, *, user: UUID | None, phone: str | None, what: AuditEventType | None, limit: int
) -> int:
    """Print the newest events, newest first; the exit status."""
    try:
        with build_audit(settings) as read_audit:
            events = read_audit(user_id=UserId(user) if user else None, mobile_number=phone, what=what, limit=limit)
    except DomainError as error:
        print(f"{error.title}: {error.facts()}", file=sys.stderr)
        return EXIT_FAILED
    for event in events:
        print(_line(event))
    return 0


def _line(event: AuditEvent) -> str:
    return orjson.dumps(
        {
            "at": event.at,
            "what": event.what.value,
            "userId": event.user_id,
            "sessionId": event.session_id,
            "phoneDigest": event.phone_digest,
            "address": event.origin.address,
            "device": event.origin.device,
            "note": event.note,
        },
        option=orjson.OPT_UTC_Z,
    ).decode()
