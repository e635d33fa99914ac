"""A client exchanges its refresh token for a new access token."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from application.auth.audit import Recorder
from application.ports.access_tokens import AccessTokens
from application.ports.audit import AuditEventType
from application.ports.refresh_tokens import KeptRefreshToken, RefreshTokens
from application.ports.runtime import Clock
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from domain.accounts import REFRESH_GRACE, UNKNOWN_ORIGIN, Origin, end_of_session
from domain.errors import RefreshTokenInvalid


@dataclass(frozen=True, slots=True)
class Refreshed:
    """An access token that is valid for ``expires_in``, and the next refresh token."""

    token: str
    expires_in: timedelta
    refresh_token: str


@dataclass(frozen=True, slots=True)
class RefreshSession:
    """Rotates refresh tokens: each may be used once. A second use shows that the token was stolen. Client and thief
    cannot be told apart, so the session ends (RFC 9700, section 4.14.2).

    There is one exception: responses with the new token may have been lost, and several tabs may have sent the same
    token. For ``REFRESH_GRACE`` after its first use, and only while the new token is unused, the old token gets the
    same new token again, however often. If that one was stolen instead of lost, its second use ends the session.

    ``longest_session``: a session ends so long after its start, however often it is refreshed.
    """

    unit_of_work: UnitOfWorkFactory
    access_tokens: AccessTokens
    refresh_tokens: RefreshTokens
    recorder: Recorder
    clock: Clock
    token_lifetime: timedelta
    longest_session: timedelta

    def __call__(self, *, refresh_token: str, origin: Origin = UNKNOWN_ORIGIN) -> Refreshed:
        """Returns new tokens. Raises RefreshTokenInvalid; after a second use, the session has ended."""
        digest = self.refresh_tokens.digest(refresh_token)
        now = self.clock()
        with self.unit_of_work() as work:
            kept = work.refresh_chains.find(digest)
            if kept is None:
                raise RefreshTokenInvalid
            successor = self._successor(work, kept, refresh_token, now)
            if successor is None:
                self._end_family(work, kept, now, origin)
                work.commit()
                raise RefreshTokenInvalid
            ends = end_of_session(kept.session.started_at, used_at=now, longest=self.longest_session)
            if ends <= now:
                # The setting was lowered since the session was last prolonged.
                work.sessions.end(kept.session.id, of=kept.session.user_id)
                work.commit()
                raise RefreshTokenInvalid
            work.sessions.prolong(kept.session.id, at=now, expires_at=ends)
            work.commit()
        session = replace(kept.session, expires_at=ends)
        token = self.access_tokens.issue(session, at=now, lifetime=self.token_lifetime)
        return Refreshed(token, self.token_lifetime, successor)

    def _successor(self, work: UnitOfWork, kept: KeptRefreshToken, token: str, now: datetime) -> str | None:
        """The token that follows, or was given already and may be given again; None when there is none."""
        digest_of, successors = self.refresh_tokens.digest, self.refresh_tokens.successors(token)
        if kept.used_at is None:
            work.refresh_chains.follow(digest_of(token), digest_of(successors[0]), at=now)
            return successors[0]
        if now - kept.used_at > REFRESH_GRACE:
            return None
        return next((one for one in successors if work.refresh_chains.is_unused(digest_of(one))), None)

    def _end_family(self, work: UnitOfWork, kept: KeptRefreshToken, now: datetime, origin: Origin) -> None:
        session = kept.session
        work.sessions.end(session.id, of=session.user_id)
        self.recorder.record(
            work,
            AuditEventType.REFRESH_TOKEN_REUSED,
            at=now,
            user_id=session.user_id,
            session_id=session.id,
            origin=origin,
        )
