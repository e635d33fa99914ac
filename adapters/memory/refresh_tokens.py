"""Refresh tokens."""

from dataclasses import replace
from datetime import datetime

from adapters.memory.tables import RefreshTokenRow
from adapters.memory.transaction import Repository, writes
from application.ports.refresh_tokens import KeptRefreshToken, RefreshChains
from domain.accounts import SessionId


class MemoryRefreshChains(Repository, RefreshChains):
    @writes
    def start(self, session_id: SessionId, digest: bytes, *, at: datetime) -> None:
        self._tables.refresh_tokens[digest] = RefreshTokenRow(session_id, at)

    def find(self, digest: bytes) -> KeptRefreshToken | None:
        row = self._tables.refresh_tokens.get(digest)
        session = self._tables.sessions.get(row.session_id) if row else None
        if row is None or session is None or session.expires_at <= self._now:
            return None
        return KeptRefreshToken(session, row.used_at)

    @writes
    def follow(self, digest: bytes, successor: bytes, *, at: datetime) -> None:
        row = self._tables.refresh_tokens[digest]
        self._tables.refresh_tokens[digest] = replace(row, used_at=at)
        self._tables.refresh_tokens[successor] = RefreshTokenRow(row.session_id, at)

    def is_unused(self, digest: bytes) -> bool:
        row = self._tables.refresh_tokens.get(digest)
        return row is not None and row.used_at is None

    @writes
    def purge_used_before(self, moment: datetime, *, limit: int) -> int:
        used = ((row.used_at, digest) for digest, row in self._tables.refresh_tokens.items() if row.used_at)
        old = sorted((used_at, digest) for used_at, digest in used if used_at < moment)[:limit]
        for _, digest in old:
            del self._tables.refresh_tokens[digest]
        return len(old)
