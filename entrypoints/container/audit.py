"""The audit command."""

from adapters.crypto.hmac_phone_digest import HmacPhoneDigest
from adapters.sql.audit import SqlAuditReader
from application.operations.audit import ReadAudit
from entrypoints.container.keys import derived
from entrypoints.container.web import WebOutside
from entrypoints.settings import Settings


def build_audit(settings: Settings) -> ReadAudit:
    """How an operator reads the audit trail."""
    outside = WebOutside(settings=settings, connections=1, application_name="audit")
    return ReadAudit(
        audit_reader=SqlAuditReader(outside.database()),
        read_phone_number=outside.read_phone_number(),
        phone_digests=[HmacPhoneDigest(derived(secret, "audit")) for secret in settings.jwt_secrets],
    )
