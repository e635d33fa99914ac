"""Operators read the audit trail."""

from collections.abc import Sequence
from dataclasses import dataclass

from application.ports.audit import AuditEvent, AuditEventType, AuditReader, PhoneDigest
from application.ports.phone_numbers import ReadPhoneNumber
from domain.accounts import UserId


@dataclass(frozen=True, slots=True)
class ReadAudit:
    """Finds the newest audit events of a user, a number, a type, or of all."""

    audit_reader: AuditReader
    read_phone_number: ReadPhoneNumber
    phone_digests: Sequence[PhoneDigest]

    def __call__(
        self,
        *,
        user_id: UserId | None = None,
        mobile_number: str | None = None,
        what: AuditEventType | None = None,
        limit: int = 100,
    ) -> Sequence[AuditEvent]:
        """Returns them newest first. Raises InvalidValue when ``mobile_number`` is not a number."""
        digests = []
        if mobile_number is not None:
            phone = self.read_phone_number(mobile_number)
            # Events from before a change of the key hold the digest by the old key.
            digests = [digest(phone) for digest in self.phone_digests]
        return self.audit_reader(user_id=user_id, phone_digests=digests, what=what, limit=limit)
