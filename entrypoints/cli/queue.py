"""``queue``: what waits, what ended, who works."""

import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from application.ports.health import Part, Probe
from application.ports.queue_state import ReadQueue
from domain.errors import DependencyDown
from entrypoints.container.build import build_queue
from entrypoints.settings import Settings

EXIT_FAILED = 1
LAST_MINUTE = timedelta(minutes=1)

Report = dict[str, Any]


def show_queue(settings: Settings, *, as_json: bool, watch: int | None) -> int:
    """Print it once, or every ``watch`` seconds until SIGINT; the exit status."""
    with build_queue(settings) as (queue, probe):
        try:
            while True:
                status = _show(queue, probe, as_json=as_json)
                if watch is None:
                    return status
                time.sleep(watch)
        except KeyboardInterrupt:
            return 0


def _show(queue: ReadQueue, probe: Probe | None, *, as_json: bool) -> int:
    try:
        report = _report(queue, probe)
    except DependencyDown as down:
        print(f"Not available: {down.dependency}.", file=sys.stderr)
        return EXIT_FAILED
    print(orjson.dumps(report).decode() if as_json else _as_text(report), flush=True)
    return 0


def _report(queue: ReadQueue, probe: Probe | None) -> Report:
    state = queue()
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "queued": state.queued,
        "running": state.running,
        "oldestDueSeconds": state.oldest_due,
        "endedInLastMinute": [
            {"state": one.state.value, "reason": one.reason.value if one.reason else None, "count": one.number}
            for one in queue.ended(LAST_MINUTE)
        ],
        "workersPresent": _workers_present(probe),
        "paymentEventsPending": state.events_pending,
        "oldestPendingPaymentEventSeconds": state.oldest_event,
    }


def _workers_present(probe: Probe | None) -> bool | None:
    """None: unknown, since Redis cannot be asked."""
    faults = probe() if probe is not None else {Part.REDIS: None}
    return None if Part.REDIS in faults else Part.WORKERS not in faults


def _as_text(report: Report) -> str:
    oldest = report["oldestDueSeconds"]
    ended = ", ".join(
        f"{one['count']} {one['state']}" + (f" ({one['reason']})" if one["reason"] else "")
        for one in report["endedInLastMinute"]
    )
    workers = {True: "present", False: "absent", None: "unknown (Redis cannot be asked)"}[report["workersPresent"]]
    return "\n".join(
        (
            report["at"],
            f"  replies           {report['queued']} queued, {report['running']} running",
            f"  oldest due        {f'{oldest:.1f} s' if oldest is not None else 'none'}",
            f"  ended in 60 s     {ended or 'none'}",
            f"  workers           {workers}",
            f"  payment events    {report['paymentEventsPending']} pending",
        )
    )
