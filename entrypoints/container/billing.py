"""The stories of plans and payments."""

from dependency_injector import containers, providers

from application.billing.ledger import ShowDays
from application.billing.manage import OpenPortal, SetRenewal, SyncCheckout
from application.billing.payment_events import ReceivePaymentEvent
from application.billing.plan_status import ShowPlanStatus
from application.billing.subscribe import Subscribe
from application.use_cases import Billing
from entrypoints.container.maintenance import MaintenanceStories


class BillingStories(containers.DeclarativeContainer):
    """What people have."""

    outside = providers.DependenciesContainer()
    maintenance = providers.Container(MaintenanceStories, outside=outside)

    billing = providers.Factory(
        Billing,
        show_plan_status=providers.Factory(ShowPlanStatus, reader=outside.reader, allowances=outside.allowances),
        show_days=providers.Factory(ShowDays, ledger=outside.ledger),
        subscribe=providers.Factory(
            Subscribe,
            unit_of_work=outside.unit_of_work,
            payments=outside.payments,
            sync=maintenance.sync_subscription,
            policy=outside.billing_policy,
            return_urls=outside.return_urls,
            clock=outside.clock,
            new_id=outside.new_id,
        ),
        receive_event=providers.Factory(
            ReceivePaymentEvent,
            unit_of_work=outside.unit_of_work,
            read_event=outside.read_payment_event,
            apply=maintenance.apply_payment_event,
            retry=outside.retry_events,
        ),
        open_portal=providers.Factory(
            OpenPortal, unit_of_work=outside.unit_of_work, payments=outside.payments, return_urls=outside.return_urls
        ),
        set_renewal=providers.Factory(
            SetRenewal, unit_of_work=outside.unit_of_work, payments=outside.payments, sync=maintenance.sync_subscription
        ),
        sync_checkout=providers.Factory(
            SyncCheckout,
            unit_of_work=outside.unit_of_work,
            payments=outside.payments,
            sync=maintenance.sync_subscription,
        ),
    )
