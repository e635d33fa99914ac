"""``audit``: what happened to accounts, for the operator."""

import argparse
import sys
from uuid import UUID

import orjson

from application.ports.audit import AuditEvent, AuditEventType
from domain.accounts import UserId
from domain.errors import DomainError
from entrypoints.settings import Settings

EXIT_FAILED = 1
EXIT_MISUSE = 2


def add_audit_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--user", type=UUID, help="of the user with this id")
    parser.add_argument("--phone", help="of this mobile number, with or without an account")
    parser.add_argument(
        "--what", type=AuditEventType, choices=list(AuditEventType), metavar="EVENT", help="of this kind"
    )
    parser.add_argument("--limit", type=int, default=100, help="at most so many, the newest (default: 100)")


def print_audit(options: argparse.Namespace, settings: Settings) -> int:
    """Print the newest events, newest first."""
    if settings.database_url is None:
        print("DATABASE_URL must be set: it says whose audit trail is meant.", file=sys.stderr)
        return EXIT_MISUSE
    from entrypoints.container.build import build_audit

    try:
        events = build_audit(settings)(
            user_id=UserId(options.user) if options.user else None,
            mobile_number=options.phone,
            what=options.what,
            limit=max(options.limit, 1),
        )
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
        },
        option=orjson.OPT_UTC_Z,
    ).decode()
