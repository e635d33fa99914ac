"""``config``: the settings that hold, without the secrets among them."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import orjson

from domain.one_time_password import FixedCode
from entrypoints.settings import VARIABLES, Secret, Settings, is_set

# What may hold a password, or is an address that is a secret as a whole.
HIDDEN = frozenset(one.name for one in VARIABLES if one.is_secret)


def print_config(settings: Settings, *, as_json: bool) -> int:
    """Print each variable with its value and whether it was set; the exit status."""
    rows = [(one.name, _shown(one.name, getattr(settings, one.field)), is_set(one.name)) for one in VARIABLES]
    if as_json:
        print(orjson.dumps({name: {"value": value, "set": given} for name, value, given in rows}).decode())
    else:
        width = max(len(name) for name, _, _ in rows)
        for name, value, given in rows:
            print(f"{'*' if given else ' '} {name:<{width}}  {value}".rstrip())
        print("* set in the environment or in .env")
    return 0


def _shown(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Secret | FixedCode):
        return "(hidden)" if value else ""
    if isinstance(value, str) and (name in HIDDEN or "@" in value):
        return _address(value)
    if isinstance(value, Collection) and not isinstance(value, str):
        return ", ".join(sorted(_shown(name, one) for one in value))
    return _as_set(name, value)


def _as_set(name: str, value: Any) -> str:
    """As one writes it in the environment, with its unit."""
    if isinstance(value, timedelta):
        return f"{value.days} days" if name.endswith("_DAYS") else f"{value.total_seconds():.0f} s"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _address(url: str) -> str:
    """Where it leads, and nothing of how one gets in."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}/…" if parts.scheme else "(hidden)"
