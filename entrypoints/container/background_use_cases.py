"""The use cases of workers and operators, assembled from adapters.

Apart from those of requests, which a worker need not import.
"""

from typing import TYPE_CHECKING

from application.background_use_cases import BillingMaintenance, ReplyUseCases
from application.billing.account import ShowAccount
from application.billing.customers import FindCustomer, LinkCustomers
from application.billing.ending import EndAndRefund, EndErased, EndLeavers, ReturnPayments
from application.billing.ledger import Explain, ShowOwed
from application.billing.payment_events import ApplyPaymentEvent, ApplyPendingEvents, ReplayPaymentEvent
from application.billing.reconcile import Reconcile, RetireModes
from application.billing.sync import SyncSubscription
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
from application.operations.retention import PurgeExpired, PurgeRemovedChatrooms
from entrypoints.container.adapters import SharedAdapters

if TYPE_CHECKING:
    from entrypoints.container.worker_adapters import WorkerAdapters


def replying(adapters: "WorkerAdapters") -> ReplyUseCases:
    unit_of_work, publisher = adapters.unit_of_work(), adapters.reply_publisher()
    policy = adapters.reply_policy()
    return ReplyUseCases(
        claim=ClaimReplies(unit_of_work=unit_of_work, policy=policy),
        ask_model=AskModel(
            reader=adapters.reader(),
            language_model=adapters.language_model(),
            publisher=publisher,
            history_tokens=adapters.history_tokens(),
        ),
        store_outcome=StoreOutcome(unit_of_work=unit_of_work, publisher=publisher, policy=policy),
        renew_lease=RenewLease(unit_of_work=unit_of_work, policy=policy),
        find_stops=FindStops(unit_of_work=unit_of_work),
        release=ReleaseReply(unit_of_work=unit_of_work, publisher=publisher),
        fail_expired=FailExpiredReplies(unit_of_work=unit_of_work, publisher=publisher, policy=policy),
        purge_expired=PurgeExpired(
            unit_of_work=unit_of_work, clock=adapters.clock(), audit_retention=adapters.audit_retention()
        ),
        purge_removed_chatrooms=PurgeRemovedChatrooms(unit_of_work=unit_of_work, publisher=publisher),
        index_entries=IndexEntries(search_index=adapters.search_index()),
    )


def billing_maintenance(adapters: SharedAdapters) -> BillingMaintenance:
    unit_of_work = adapters.unit_of_work()
    sync, apply = sync_subscription(adapters), apply_payment_event(adapters)
    return BillingMaintenance(
        apply_pending=ApplyPendingEvents(unit_of_work=unit_of_work, apply=apply, retry=adapters.retry_events()),
        reconcile=Reconcile(
            unit_of_work=unit_of_work, sync=sync, clock=adapters.clock(), every=adapters.reconcile_every()
        ),
        replay=ReplayPaymentEvent(unit_of_work=unit_of_work, apply=apply),
        explain=Explain(ledger=adapters.ledger(), reader=adapters.reader(), allowances=adapters.allowances()),
        retire_modes=RetireModes(unit_of_work=unit_of_work, payments=adapters.payments()),
        return_payments=ReturnPayments(
            unit_of_work=unit_of_work, payments=adapters.payments(), end=end_and_refund(adapters)
        ),
        end_erased=_end_erased(adapters),
        end_leavers=EndLeavers(
            unit_of_work=unit_of_work,
            payments=adapters.payments(),
            end_erased=_end_erased(adapters),
            clock=adapters.clock(),
        ),
        link_customers=LinkCustomers(unit_of_work=unit_of_work, payments=adapters.payments()),
        show_owed=ShowOwed(ledger=adapters.ledger()),
        show_account=ShowAccount(unit_of_work=unit_of_work, payments=adapters.payments()),
    )


def apply_payment_event(adapters: SharedAdapters) -> ApplyPaymentEvent:
    return ApplyPaymentEvent(
        unit_of_work=adapters.unit_of_work(),
        payments=adapters.payments(),
        sync=sync_subscription(adapters),
        policy=adapters.billing_policy(),
        link=LinkCustomers(unit_of_work=adapters.unit_of_work(), payments=adapters.payments()),
        end_erased=_end_erased(adapters),
    )


def sync_subscription(adapters: SharedAdapters) -> SyncSubscription:
    return SyncSubscription(
        unit_of_work=adapters.unit_of_work(),
        payments=adapters.payments(),
        policy=adapters.billing_policy(),
        end=end_and_refund(adapters),
    )


def find_customer(adapters: SharedAdapters) -> FindCustomer:
    return FindCustomer(
        unit_of_work=adapters.unit_of_work(), payments=adapters.payments(), policy=adapters.billing_policy()
    )


def end_and_refund(adapters: SharedAdapters) -> EndAndRefund:
    return EndAndRefund(unit_of_work=adapters.unit_of_work(), payments=adapters.payments())


def _end_erased(adapters: SharedAdapters) -> EndErased:
    return EndErased(
        unit_of_work=adapters.unit_of_work(),
        payments=adapters.payments(),
        policy=adapters.billing_policy(),
        end=end_and_refund(adapters),
        clock=adapters.clock(),
    )
