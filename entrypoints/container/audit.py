"""The audit command."""

from collections.abc import Iterator
from contextlib import contextmanager

from adapters.crypto.hmac_phone_digest import HmacPhoneDigest
from adapters.sql.audit import SqlAuditReader
from application.operations.audit import ReadAudit
from entrypoints.container.keys import derived
from entrypoints.container.web import WebOutside
from entrypoints.settings import Settings


@contextmanager
def build_audit(settings: Settings) -> Iterator[ReadAudit]:
    """How an operator reads the audit trail; the connection is closed afterwards."""
    outside = WebOutside(settings=settings, connections=1, application_name="audit")
    try:
        yield ReadAudit(
            audit_reader=SqlAuditReader(outside.database()),
            read_phone_number=outside.read_phone_number(),
            phone_digests=[HmacPhoneDigest(derived(secret, "audit")) for secret in settings.jwt_secrets],
        )
    finally:
        outside.database().close()
