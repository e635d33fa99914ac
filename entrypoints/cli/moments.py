"""Moments as commands take and show them: in UTC."""

from datetime import UTC, datetime

import click

DATE_OR_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])


def shown_in_utc(moment: datetime) -> str:
    """To the second: 2027-01-31T12:00:00Z."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
