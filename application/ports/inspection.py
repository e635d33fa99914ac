"""What an operator's examination looks at, outside of this process. Nothing of it tells a secret."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

# Hosts to which a connection does not leave the machine.
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class NotInspected(Exception):
    """It could not be asked. The text says why, in a clause."""


class DatabaseFacts(NamedTuple):
    """``pooler_fault``: why the service cannot work through the pooler before it, in a sentence; None: it can.

    ``clock``: the server's, at the moment of the answer. ``revision`` None: there is no schema.
    """

    server: str
    local: bool
    encrypted: bool
    encoding: str
    revision: str | None
    isolation: str
    read_only: bool
    superuser: bool
    logs_values: bool
    pooler_fault: str | None
    clock: datetime


class RedisFacts(NamedTuple):
    """None: the server does not say. ``append_only``: every write is kept on disk, within a second."""

    server: str
    local: bool
    encrypted: bool
    takes_writes: bool
    cluster: bool
    eviction: str | None
    memory_limit: int | None
    append_only: bool | None


class WebhookEndpoint(NamedTuple):
    """An address to which the payment provider sends events. ``api_version`` None: that of the account."""

    url: str
    enabled: bool
    events: frozenset[str]
    api_version: str | None


class PaymentFacts(NamedTuple):
    """``sells``: the price exists, is active and recurring. None, of either: the key may not look at it."""

    sells: bool | None
    endpoints: Sequence[WebhookEndpoint] | None


class ModelFacts(NamedTuple):
    """The models that are configured, and those among them that the provider does not have."""

    configured: Sequence[str]
    missing: Sequence[str]


class InspectDatabase(Protocol):
    def __call__(self) -> DatabaseFacts:
        """Raises NotInspected."""


class InspectRedis(Protocol):
    def __call__(self) -> RedisFacts:
        """Raises NotInspected."""


class InspectPayments(Protocol):
    def __call__(self) -> PaymentFacts:
        """Raises NotInspected."""


class InspectModel(Protocol):
    def __call__(self) -> ModelFacts:
        """Asks for what is cheap, and never for an answer. Raises NotInspected."""
