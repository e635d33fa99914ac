"""The stories that keep billing true."""

from dependency_injector import containers, providers

from application.background_use_cases import BillingMaintenance
from application.billing.ledger import Explain
from application.billing.payment_events import ApplyPaymentEvent, ApplyPendingEvents, ReplayPaymentEvent
from application.billing.reconcile import Reconcile
from application.billing.sync import SyncSubscription


class MaintenanceStories(containers.DeclarativeContainer):
    """What keeps billing true without being asked, and what operators ask for."""

    outside = providers.DependenciesContainer()

    sync_subscription = providers.Factory(
        SyncSubscription, unit_of_work=outside.unit_of_work, payments=outside.payments, policy=outside.billing_policy
    )
    apply_payment_event = providers.Factory(
        ApplyPaymentEvent,
        unit_of_work=outside.unit_of_work,
        payments=outside.payments,
        sync=sync_subscription,
        policy=outside.billing_policy,
    )
    maintenance = providers.Factory(
        BillingMaintenance,
        apply_pending=providers.Factory(
            ApplyPendingEvents, unit_of_work=outside.unit_of_work, apply=apply_payment_event, retry=outside.retry_events
        ),
        reconcile=providers.Factory(
            Reconcile,
            unit_of_work=outside.unit_of_work,
            sync=sync_subscription,
            clock=outside.clock,
            every=outside.reconcile_every,
        ),
        replay=providers.Factory(ReplayPaymentEvent, unit_of_work=outside.unit_of_work, apply=apply_payment_event),
        explain=providers.Factory(Explain, ledger=outside.ledger, reader=outside.reader, allowances=outside.allowances),
    )
