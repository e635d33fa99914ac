"""Billing's part of a worker: events that could not take effect when they came, and what no event ever told of."""

from threading import Event, Thread

import structlog

from application.background_use_cases import BillingMaintenance
from application.billing.payment_events import Swept
from application.billing.reconcile import ReconcileResult
from application.ports.observation import WorkerObserver
from domain.errors import DependencyDown

SWEEP_SECONDS = 5.0
# With the database or the payment provider down, look less often, up to this.
BACKOFF_SECONDS = 60.0

log = structlog.get_logger(__name__)


class BillingTask:
    """A thread that sweeps and reconciles until it is stopped. Any number of processes may run one."""

    def __init__(self, billing: BillingMaintenance, observer: WorkerObserver | None = None) -> None:
        """Nothing happens before ``start``."""
        self._billing = billing
        self._observer = observer
        self._stopping = Event()
        # Once is enough: the mode is that of the API key this process began with.
        self._modes_retired = False
        # A daemon: it may wait for the payment provider, and loses nothing when it is cut off.
        self._thread = Thread(target=self._run, name="billing", daemon=True)

    def start(self) -> None:
        """Begin to look, now and every five seconds."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; what is being looked at may still be written."""
        self._stopping.set()

    def sweep(self) -> bool:
        """Look once; whether everything that is needed for it was there."""
        try:
            if not self._modes_retired:
                self._billing.retire_modes()
                self._modes_retired = True
            swept = self._billing.apply_pending()
            reconciled = self._billing.reconcile()
            self._billing.return_payments()
            self._billing.end_leavers()
            self._billing.end_erased()
        except DependencyDown as down:
            log.warning("billing_waits", dependency=down.dependency)
            return False
        except Exception:
            log.exception("billing_sweep_failed")
            return False
        _report(swept, reconciled)
        if self._observer is not None:
            self._observer.events_applied(swept.applied, failed=len(swept.failures))
            self._observer.compared(reconciled.compared, corrected=len(reconciled.corrected))
        return True

    def _run(self) -> None:
        wait = 0.0
        while not self._stopping.wait(wait):
            wait = SWEEP_SECONDS if self.sweep() else min(max(wait, SWEEP_SECONDS) * 2, BACKOFF_SECONDS)


def _report(swept: Swept, reconciled: ReconcileResult) -> None:
    if swept.taken:
        log.info("payment_events_applied", applied=swept.applied, failures=swept.failures)
    for healed in reconciled.corrected:
        before, after = healed.synced.before, healed.synced.after
        log.warning(
            "subscription_corrected",
            user_id=str(healed.user_id),
            before=before.status.value if before else None,
            after=after.status.value if after else None,
            ended=list(healed.synced.ended),
        )
