"""An examination of the service: what is well, what is not, and what to do about it.

The judgements are functions from facts to findings. Each check has its own deadline, so that a server which hangs is
a finding and nothing more.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from threading import Thread

from application.ports.inspection import (
    DatabaseFacts,
    ModelFacts,
    NotInspected,
    PaymentFacts,
    RedisFacts,
    WebhookEndpoint,
)


class Verdict(StrEnum):
    """FAIL: something must be done. WARN: it works, and could be better."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """``subject``: what was looked at, as ``redis.eviction``. ``remedy``: what to do; nothing where it is well."""

    verdict: Verdict
    subject: str
    says: str
    remedy: str = ""


Check = Callable[[], Sequence[Finding]]

UTF8 = "UTF8"
READ_COMMITTED = "read committed"
KEEPS_EVERYTHING = "noeviction"
# Of the clocks of this machine and the database: sessions and tokens are measured by both.
CLOCKS_DIFFER = timedelta(seconds=2)
CLOCKS_CONTRADICT = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Examine:
    """Runs the checks at once, each in a thread of its own. One that is not done in time is left behind."""

    checks: Mapping[str, Check]
    within: timedelta

    def __call__(self) -> Sequence[Finding]:
        """Returns the findings in the order of the checks."""
        running = [_Running(name, check) for name, check in self.checks.items()]
        deadline = time.monotonic() + self.within.total_seconds()
        return [finding for one in running for finding in one.findings(deadline, self.within)]


class _Running:
    def __init__(self, name: str, check: Check) -> None:
        self._name = name
        self._check = check
        self._found: Sequence[Finding] = ()
        # A daemon: the command ends without it.
        self._thread = Thread(target=self._run, name=f"check-{name}", daemon=True)
        self._thread.start()

    def findings(self, deadline: float, within: timedelta) -> Sequence[Finding]:
        self._thread.join(max(deadline - time.monotonic(), 0))
        if self._thread.is_alive():
            says = f"did not answer within {within.total_seconds():g} seconds"
            return [Finding(Verdict.FAIL, self._name, says, "Look at its own log, and at what lies between.")]
        return self._found

    def _run(self) -> None:
        try:
            self._found = self._check()
        except NotInspected as reason:
            remedy = "Correct the address and the credentials, or start it."
            self._found = [Finding(Verdict.FAIL, self._name, f"cannot be asked: {reason}", remedy)]
        except Exception as error:  # noqa: BLE001 - a check that is broken must not hide what the others find
            says = f"the check itself failed: {type(error).__name__}"
            self._found = [Finding(Verdict.FAIL, self._name, says, "Report this as a bug.")]


def judge_database(facts: DatabaseFacts, *, now: datetime, revision: str, in_production: bool) -> Iterator[Finding]:
    """``revision``: of the schema that this release works with."""
    yield Finding(Verdict.OK, "database", facts.server)
    yield _connection("database", facts.local, facts.encrypted, "?sslmode=verify-full in DATABASE_URL", in_production)
    yield _either(
        facts.revision == revision,
        "database.schema",
        f"is at {facts.revision}",
        f"is at {facts.revision or 'no version'}, and this release needs {revision}",
        "Run `gemini-chat migrate`, or start the release that knows it.",
    )
    yield _either(
        facts.encoding == UTF8,
        "database.encoding",
        "is UTF8",
        f"is {facts.encoding}: not every message can be stored",
        "Make a database with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and move there.",
    )
    yield _either(
        facts.isolation == READ_COMMITTED,
        "database.isolation",
        "is read committed",
        f"is {facts.isolation}: concurrent requests fail with serialization errors",
        "Take default_transaction_isolation away from the role and the database.",
    )
    yield _either(
        not facts.read_only,
        "database.writable",
        "takes writes",
        "is read-only, or a replica",
        "Name the primary in DATABASE_URL.",
    )
    yield _either(
        facts.pooler_fault is None,
        "database.pooler",
        "each connection has a session, with our time limits",
        facts.pooler_fault or "",
        "Connect without the pooler, or by its session mode.",
    )
    yield _either(
        not facts.superuser or not in_production,
        "database.role",
        "is a superuser, for development" if facts.superuser else "is no superuser",
        "is a superuser: who gets its password gets the server",
        "Give the service a role of its own that owns the database and nothing else.",
        otherwise=Verdict.WARN,
    )
    yield _either(
        not facts.logs_values,
        "database.log",
        "does not quote statements that fail",
        "PostgreSQL's own log quotes statements that fail, prompts and phone numbers among their values",
        "GRANT SET ON PARAMETER log_min_error_statement, log_error_verbosity TO the role, or set them for it.",
        otherwise=Verdict.WARN,
    )
    yield _clock(abs(now - facts.clock))


def judge_redis(facts: RedisFacts, *, in_production: bool) -> Iterator[Finding]:
    yield Finding(Verdict.OK, "redis", facts.server)
    yield _connection("redis", facts.local, facts.encrypted, "rediss:// in REDIS_URL", in_production)
    yield _either(
        facts.takes_writes,
        "redis.writable",
        "takes writes",
        "refuses writes: it is a replica, out of memory, or the user may not",
        "Name the primary in REDIS_URL, give it memory, and let the user write.",
    )
    yield _either(
        not facts.cluster,
        "redis.cluster",
        "is one server",
        "is a cluster, whose slots our scripts cross",
        "Name a server that is no cluster in REDIS_URL.",
    )
    if facts.eviction is None:
        yield _unknown("redis.eviction", "does not say what it does when its memory is full", "noeviction is needed.")
    else:
        yield _either(
            facts.eviction == KEEPS_EVERYTHING or facts.memory_limit == 0,
            "redis.eviction",
            "deletes nothing by itself",
            f"deletes keys when its memory is full ({facts.eviction}): codes get lost, and counts of wrong ones",
            "Set maxmemory-policy noeviction.",
        )
    if facts.append_only is None:
        yield _unknown("redis.persistence", "does not say what it keeps on disk", "appendonly yes is recommended.")
    elif facts.append_only:
        yield Finding(Verdict.OK, "redis.persistence", "keeps every write on disk")
    else:
        says = "keeps no log of its writes: a restart forgets codes that were sent, and counts of wrong ones"
        yield Finding(Verdict.WARN, "redis.persistence", says, "Set appendonly yes.")


def judge_payments(
    facts: PaymentFacts, *, webhook_url: str, other_urls: Sequence[str], events: Sequence[str], api_version: str
) -> Iterator[Finding]:
    """``events``: what an endpoint must be sent; ``other_urls``: aliases of ``webhook_url``."""
    if facts.sells is None:
        yield _unknown("payments.price", "may not be read with this key", "Let the key read Prices.")
    else:
        yield _either(
            facts.sells,
            "payments.price",
            "exists, is active and recurring",
            "is not a recurring price that is active",
            "Name another one in STRIPE_PRICE_ID, of the same mode as the key.",
        )
    if facts.endpoints is None:
        yield _unknown("payments.webhook", "may not be read with this key", "Let the key read Webhook Endpoints.")
        return
    ours = [one for one in facts.endpoints if one.url in {webhook_url, *other_urls}]
    if not any(one.enabled for one in ours):
        says = "no enabled endpoint of the account leads here: purchases show after an hour"
        yield Finding(Verdict.FAIL, "payments.webhook", says, f"Add an endpoint for {webhook_url} at the provider.")
        return
    for endpoint in ours:
        if endpoint.enabled:
            yield from _judge_endpoint(endpoint, events, api_version)


def _judge_endpoint(endpoint: WebhookEndpoint, events: Sequence[str], api_version: str) -> Iterator[Finding]:
    absent = [] if "*" in endpoint.events else [one for one in events if one not in endpoint.events]
    yield _either(
        not absent,
        "payments.webhook",
        f"{endpoint.url} gets every event that is needed",
        f"{endpoint.url} is not sent {', '.join(absent)}",
        "Add these events to the endpoint at the provider.",
    )
    yield _either(
        endpoint.api_version in {None, api_version},
        "payments.webhook_version",
        f"events are of version {endpoint.api_version or 'of the account'}",
        f"events are of version {endpoint.api_version}; this release was tested with {api_version}",
        f"Make an endpoint of version {api_version}, and retire this one.",
        otherwise=Verdict.WARN,
    )


def judge_model(facts: ModelFacts) -> Iterator[Finding]:
    for name in facts.configured:
        yield _either(
            name not in facts.missing,
            "model",
            f"{name} is there, and the key is good",
            f"{name} is not among the provider's models",
            "Name another one in the settings.",
            # The first one answers; the others only stand in.
            otherwise=Verdict.FAIL if name == facts.configured[0] else Verdict.WARN,
        )


def _connection(subject: str, local: bool, encrypted: bool, how: str, in_production: bool) -> Finding:  # noqa: FBT001
    return _either(
        encrypted or local or not in_production,
        f"{subject}.tls",
        "is encrypted" if encrypted else "stays on this machine" if local else "is not encrypted, in development",
        "goes over the network in the clear",
        f"Use {how}, unless the network is yours alone.",
        otherwise=Verdict.WARN,
    )


def _clock(difference: timedelta) -> Finding:
    seconds = f"{difference.total_seconds():.1f} seconds"
    if difference < CLOCKS_DIFFER:
        return Finding(Verdict.OK, "database.clock", "shows the same time as this machine")
    verdict = Verdict.FAIL if difference >= CLOCKS_CONTRADICT else Verdict.WARN
    says = f"differs from this machine's by {seconds}: tokens and sessions end at the wrong time"
    return Finding(verdict, "database.clock", says, "Synchronize the clocks of both machines (NTP).")


def _either(
    well: bool,  # noqa: FBT001
    subject: str,
    then: str,
    but: str,
    remedy: str,
    *,
    otherwise: Verdict = Verdict.FAIL,
) -> Finding:
    return Finding(Verdict.OK, subject, then) if well else Finding(otherwise, subject, but, remedy)


def _unknown(subject: str, says: str, remedy: str) -> Finding:
    return Finding(Verdict.WARN, subject, says, remedy)
