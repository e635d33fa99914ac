"""Account export and erasure."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, count
from typing import NamedTuple

from application.auth.audit import Recorder
from application.ports.account_erasure_hook import AccountErasureHook
from application.ports.audit import AuditEventType
from application.ports.erasure import Erased
from application.ports.export import Export, Record
from application.ports.otp_store import OtpStore
from application.ports.rate_limiter import Hit, Limit, RateLimiter
from application.ports.reply_stream import ReplyPublisher
from application.ports.unit_of_work import UnitOfWorkFactory
from domain.accounts import UNKNOWN_ORIGIN, Origin, Principal, UserId
from domain.errors import TokenInvalid
from domain.retention import ROWS_PER_BATCH

# An export reads everything that a user has.
EXPORTS = Limit("export", 10, timedelta(hours=1))


class ErasedAccount(NamedTuple):
    """``complete``: every row is deleted. Otherwise messages are left that no user can reach; workers delete them."""

    rows: Mapping[str, int]
    complete: bool


@dataclass(frozen=True, slots=True)
class EraseAccount:
    """Erases a user from every table, after ending what they have elsewhere, so that no erased user is charged.

    ``max_batches``: with more messages than fit into so many, the last ones are left to workers.
    """

    unit_of_work: UnitOfWorkFactory
    erasure_hook: AccountErasureHook
    publisher: ReplyPublisher
    otp_store: OtpStore
    recorder: Recorder
    batch: int = ROWS_PER_BATCH
    max_batches: int = 10

    def __call__(self, *, principal: Principal) -> ErasedAccount:
        """Returns the rows erased by table. Raises DependencyDown when the hook failed; nothing was erased then.

        Raised later, it leaves an account with less in it, and the request may be repeated.
        """
        self.erasure_hook(user_id=principal.user_id)
        rows: Counter[str] = Counter()
        left = 0
        for number in count(1):
            erased = self._erase_batch(principal.user_id, leave_messages=number > self.max_batches)
            rows.update(erased.rows)
            left += erased.left
            if erased.finished:
                break
        return ErasedAccount(rows, complete=not left)

    def _erase_batch(self, user_id: UserId, *, leave_messages: bool) -> Erased:
        with self.unit_of_work() as work:
            user = work.users.get(user_id)
            if user is None:  # erased by a concurrent request
                raise TokenInvalid
            digest, *older = self.recorder.digests(user.phone)
            erased = work.erasure.erase(
                user_id,
                phone_digest=digest,
                older_digests=older,
                limit=self.batch,
                leave_messages=leave_messages,
            )
            if erased.finished:
                self.erasure_hook.note_erased(work, user_id=user_id)
                # Without the user's id, which is erased, too.
                self.recorder.record(work, AuditEventType.ACCOUNT_ERASED)
            work.commit()
        self.otp_store.void(user.phone)
        self.publisher.forget(erased.replies)
        return erased


@dataclass(frozen=True, slots=True)
class ExportAccount:
    """Exports everything that belongs to a user."""

    export: Export
    rate_limiter: RateLimiter
    recorder: Recorder

    def __call__(self, *, principal: Principal, origin: Origin = UNKNOWN_ORIGIN) -> Iterator[Record]:
        """Yields record by record, the account first.

        Raises RateLimited, or TokenInvalid when the account is erased, before the first record.
        """
        [status] = self.rate_limiter([Hit(EXPORTS, str(principal.user_id))])
        if status.exceeded:
            raise status.refusal()
        records = self.export(principal.user_id)
        account = next(records, None)
        if account is None:
            raise TokenInvalid
        self.recorder.record_alone(AuditEventType.EXPORTED, user_id=principal.user_id, origin=origin)
        return chain([account], records)
