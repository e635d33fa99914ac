"""Idempotency keys. Units of work take turns, so a key is never in use by another one."""

from adapters.memory.tables import KeyRow
from adapters.memory.transaction import Repository, writes
from application.ports.idempotency import Accepted, IdempotencyKeys
from domain.accounts import UserId
from domain.errors import IdempotencyKeyReused
from domain.retention import IDEMPOTENCY_KEYS_KEPT_FOR


class MemoryIdempotencyKeys(Repository, IdempotencyKeys):
    def recall(self, user_id: UserId, key: str, *, fingerprint: bytes) -> Accepted | None:
        answer = self._answer(user_id, key, fingerprint)
        return answer if isinstance(answer, Accepted) else None

    @writes
    def remember(self, user_id: UserId, key: str, *, fingerprint: bytes, accepted: Accepted) -> None:
        self._tables.idempotency_keys[(user_id, key)] = KeyRow(fingerprint, accepted, self._now)

    def recall_reference(self, user_id: UserId, key: str, *, fingerprint: bytes) -> str | None:
        answer = self._answer(user_id, key, fingerprint)
        return answer if isinstance(answer, str) else None

    @writes
    def remember_reference(self, user_id: UserId, key: str, *, fingerprint: bytes, reference: str) -> None:
        if user_id in self._tables.users:
            self._tables.idempotency_keys[(user_id, key)] = KeyRow(fingerprint, reference, self._now)

    @writes
    def purge_expired(self, *, limit: int) -> int:
        old = [key for key, row in self._tables.idempotency_keys.items() if self._has_expired(row)][:limit]
        for key in old:
            del self._tables.idempotency_keys[key]
        return len(old)

    def _answer(self, user_id: UserId, key: str, fingerprint: bytes) -> Accepted | str | None:
        row = self._tables.idempotency_keys.get((user_id, key))
        if row is None or self._has_expired(row):
            return None
        if isinstance(row.answer, Accepted) and row.answer.message_id not in self._tables.messages:
            return None
        if row.fingerprint != fingerprint:
            raise IdempotencyKeyReused
        return row.answer

    def _has_expired(self, row: KeyRow) -> bool:
        return row.created_at <= self._now - IDEMPOTENCY_KEYS_KEPT_FOR
