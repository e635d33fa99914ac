"""The commands of an operator."""

from collections.abc import Callable
from dataclasses import dataclass

from application.background_use_cases import BillingMaintenance
from entrypoints.container.maintenance import MaintenanceStories
from entrypoints.container.outside import Outside
from entrypoints.settings import Settings


@dataclass(frozen=True, slots=True)
class Operator:
    """What an operator's command needs."""

    billing: BillingMaintenance
    close: Callable[[], None]


def build_operator(settings: Settings) -> Operator:
    """The use cases of a command that keeps billing true or explains it."""
    outside = Outside(settings=settings, connections=2, application_name="operator")
    return Operator(MaintenanceStories(outside=outside).maintenance(), outside.database().close)
