"""What worker and command line receive, and all that they receive.

Apart from what requests ask for: a worker need not import the stories of requests.
"""

from dataclasses import dataclass

from application.billing.ledger import Explain
from application.billing.payment_events import ApplyPendingEvents, ReplayPaymentEvent
from application.billing.reconcile import Reconcile
from application.chat.write_reply import (
    AskModel,
    ClaimReplies,
    FailExpiredReplies,
    FindStops,
    ReleaseReply,
    StoreOutcome,
)
from application.operations.retention import PurgeExpired


@dataclass(frozen=True, slots=True)
class Replying:
    """What workers do: all that their door receives."""

    claim: ClaimReplies
    ask_model: AskModel
    store_outcome: StoreOutcome
    find_stops: FindStops
    release: ReleaseReply
    sweep: FailExpiredReplies
    purge_expired: PurgeExpired


@dataclass(frozen=True, slots=True)
class BillingMaintenance:
    """What keeps billing true without being asked, and what operators ask for: for worker and command line."""

    apply_pending: ApplyPendingEvents
    reconcile: Reconcile
    replay: ReplayPaymentEvent
    explain: Explain
