"""What this machine cannot run is left out, and the last lines of the run say so. Where CI is set, it fails instead."""

import os

import pytest

SAID = pytest.StashKey[list[str]]()


def leave_out(
    config: pytest.Config, items: list[pytest.Item], unfit: list[pytest.Item], *, what: str, in_ci: bool = False
) -> None:
    """Take ``unfit`` out of ``items``. ``what``: they are, and want. ``in_ci``: in CI too, which cannot mend it."""
    if not unfit or (os.environ.get("CI") and not in_ci):
        return
    items[:] = [item for item in items if item not in unfit]
    config.hook.pytest_deselected(items=unfit)
    config.stash.setdefault(SAID, []).append(f"NOT RUN: {len(unfit)} tests of {what}")


def say_what_was_left_out(config: pytest.Config) -> None:
    for line in config.stash.get(SAID, []):
        config.get_terminal_writer().line(line, yellow=True)
