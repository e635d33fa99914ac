"""What has been kept long enough is forgotten."""

from dataclasses import dataclass
from datetime import timedelta

from application.ports.runtime import Clock
from application.ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class PurgeExpired:
    """Forgets idempotency keys after their day, and events of the audit trail after ``audit_retention``."""

    unit_of_work: UnitOfWorkFactory
    clock: Clock
    audit_retention: timedelta
    batch: int = 1_000

    def __call__(self) -> int:
        """How many it has forgotten now; what is left is for the next call."""
        with self.unit_of_work() as work:
            keys = work.idempotency_keys.purge_expired(limit=self.batch)
            events = work.audit.purge_before(self.clock() - self.audit_retention, limit=self.batch)
            work.commit()
        return keys + events
