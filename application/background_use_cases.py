"""The use cases of workers and of the command line.

In a module of their own, so that a worker need not import the use cases of the HTTP layer.
"""

from dataclasses import dataclass

from application.billing.account import ShowAccount
from application.billing.customers import LinkCustomers
from application.billing.ending import EndErased, EndLeavers, ReturnPayments
from application.billing.ledger import Explain, ShowOwed
from application.billing.payment_events import ApplyPendingEvents, ReplayPaymentEvent
from application.billing.reconcile import Reconcile, RetireModes
from application.chat.expiry import FailExpiredReplies
from application.chat.search import IndexEntries
from application.chat.write_reply import (
    AskModel,
    ClaimReplies,
    FindStops,
    ReleaseReply,
    RenewLease,
    StoreOutcome,
)
from application.operations.replies import GiveUpReply, RetryReply, ShowReply
from application.operations.retention import PurgeExpired, PurgeRemovedChatrooms
from application.operations.users import EndSessions, FindUser, GrantPro, LockUser, ShowUser, UnlockUser, WithdrawPro
from application.ports.reply_files import ReplyFiles


@dataclass(frozen=True, slots=True)
class ReplyUseCases:
    """Use cases of workers: writing replies, cleaning up, and making messages searchable."""

    claim: ClaimReplies
    ask_model: AskModel
    store_outcome: StoreOutcome
    renew_lease: RenewLease
    find_stops: FindStops
    release: ReleaseReply
    fail_expired: FailExpiredReplies
    purge_expired: PurgeExpired
    purge_removed_chatrooms: PurgeRemovedChatrooms
    index_entries: IndexEntries


@dataclass(frozen=True, slots=True)
class BillingMaintenance:
    """Use cases that keep billing in step with the payment provider, and that operators run."""

    apply_pending: ApplyPendingEvents
    reconcile: Reconcile
    replay: ReplayPaymentEvent
    explain: Explain
    retire_modes: RetireModes
    return_payments: ReturnPayments
    end_erased: EndErased
    end_leavers: EndLeavers
    link_customers: LinkCustomers
    show_owed: ShowOwed
    show_account: ShowAccount


@dataclass(frozen=True, slots=True)
class Administration:
    """Use cases of operators who look after users and replies."""

    find_user: FindUser
    show_user: ShowUser
    lock_user: LockUser
    unlock_user: UnlockUser
    end_sessions: EndSessions
    grant_pro: GrantPro
    withdraw_pro: WithdrawPro
    reply_files: ReplyFiles
    show_reply: ShowReply
    retry_reply: RetryReply
    give_up_reply: GiveUpReply
