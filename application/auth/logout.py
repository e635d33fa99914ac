"""Users list their sessions, and end them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from application.auth.audit import Recorder
from application.ports.access_tokens import AccessTokens
from application.ports.audit import AuditEventType
from application.ports.otp_store import OtpStore
from application.ports.reader import Reader, SessionSummary
from application.ports.refresh_tokens import RefreshTokens
from application.ports.runtime import Clock
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from domain.accounts import UNKNOWN_ORIGIN, Origin, PhoneNumber, Principal, SessionId, UserId
from domain.errors import SessionNotFound, TokenInvalid


class Scope(StrEnum):
    """Which of a user's sessions to end."""

    THIS = "this"
    OTHERS = "others"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class LogOut:
    """Ends the present session, the user's other ones, or all. Access and refresh tokens stop working at once.

    Ending other sessions ends the codes that were sent, too: users do so who fear for the account.

    Ending one's own session needs no more than a token of it: an access token that has expired or a refresh token that
    was used will do, and a session that has ended already stays ended (RFC 7009, section 2.2).
    """

    unit_of_work: UnitOfWorkFactory
    access_tokens: AccessTokens
    refresh_tokens: RefreshTokens
    otp_store: OtpStore
    recorder: Recorder
    clock: Clock

    def __call__(self, *, principal: Principal, scope: Scope = Scope.THIS, origin: Origin = UNKNOWN_ORIGIN) -> None:
        """Succeeds also when the sessions had ended before."""
        with self.unit_of_work() as work:
            phone = self._end(work, principal.user_id, principal.session_id, scope, origin)
            work.commit()
        self._void_codes(phone)

    def by_tokens(
        self,
        *,
        access_token: str | None = None,
        refresh_token: str | None = None,
        scope: Scope = Scope.THIS,
        origin: Origin = UNKNOWN_ORIGIN,
    ) -> None:
        """Ends the sessions of tokens that may be expired or used; succeeds where there is nothing left to end.

        A ``scope`` beyond the session itself takes an access token of a session that goes on, or its unused refresh
        token. Raises TokenInvalid or TokenExpired without them, and where no token was given that was issued here.
        """
        if scope is not Scope.THIS:
            self._by_valid_token(access_token, refresh_token, scope, origin)
            return
        if refresh_token is None:
            if access_token is None:
                raise TokenInvalid
            self._end_named(access_token, origin)
            return
        with self.unit_of_work() as work:
            kept = work.refresh_chains.find(self.refresh_tokens.digest(refresh_token))
            if kept is not None:
                self._end(work, kept.session.user_id, kept.session.id, Scope.THIS, origin)
                work.commit()
        if access_token is not None:
            with suppress(TokenInvalid):
                self._end_named(access_token, origin)

    def _end_named(self, access_token: str, origin: Origin) -> None:
        claims = self.access_tokens.read_expired(access_token)
        with self.unit_of_work() as work:
            if work.sessions.end(claims.session_id, of=claims.user_id):
                self._record(work, AuditEventType.LOGGED_OUT, claims.user_id, claims.session_id, origin)
                work.commit()

    def _by_valid_token(
        self, access_token: str | None, refresh_token: str | None, scope: Scope, origin: Origin
    ) -> None:
        if refresh_token is None:
            # The HTTP layer has found the session of a valid access token before.
            self.access_tokens.read(access_token or "", at=self.clock())
            raise TokenInvalid
        digest = self.refresh_tokens.digest(refresh_token)
        with self.unit_of_work() as work:
            known = work.refresh_chains.find(digest)
        if known is None:
            raise TokenInvalid
        with self.unit_of_work() as work:
            # Locked before the token, as by everything else that locks both: otherwise they might deadlock.
            work.users.get(known.session.user_id)
            kept = work.refresh_chains.find(digest)
            if kept is None or kept.used_at is not None:
                raise TokenInvalid
            phone = self._end(work, kept.session.user_id, kept.session.id, scope, origin)
            work.commit()
        self._void_codes(phone)

    def _end(
        self, work: UnitOfWork, user_id: UserId, session_id: SessionId, scope: Scope, origin: Origin
    ) -> PhoneNumber | None:
        """Returns the number whose codes are to be ended, too."""
        if scope is Scope.THIS:
            work.sessions.end(session_id, of=user_id)
            self._record(work, AuditEventType.LOGGED_OUT, user_id, session_id, origin)
            return None
        user = work.users.get(user_id)
        work.sessions.end_all(user_id, but=session_id if scope is Scope.OTHERS else None)
        self._record(work, AuditEventType.SESSIONS_ENDED, user_id, session_id, origin)
        return user.phone if user is not None else None

    def _void_codes(self, phone: PhoneNumber | None) -> None:
        if phone is not None:
            self.otp_store.void(phone)

    def _record(
        self, work: UnitOfWork, what: AuditEventType, user_id: UserId, session_id: SessionId, origin: Origin
    ) -> None:
        self.recorder.record(work, what, user_id=user_id, session_id=session_id, origin=origin)


@dataclass(frozen=True, slots=True)
class EndSession:
    """Ends one of a user's sessions, on any device."""

    unit_of_work: UnitOfWorkFactory
    recorder: Recorder

    def __call__(self, *, principal: Principal, session_id: SessionId, origin: Origin = UNKNOWN_ORIGIN) -> None:
        """Raises SessionNotFound unless it is the user's own and has not ended."""
        with self.unit_of_work() as work:
            if not work.sessions.end(session_id, of=principal.user_id):
                raise SessionNotFound
            self.recorder.record(
                work, AuditEventType.SESSIONS_ENDED, user_id=principal.user_id, session_id=session_id, origin=origin
            )
            work.commit()


@dataclass(frozen=True, slots=True)
class ListSessions:
    """Lists a user's sessions that have not ended, newest first."""

    reader: Reader

    def __call__(self, *, user_id: UserId) -> Sequence[SessionSummary]:
        return self.reader.sessions(user_id)
