"""A small limit of PIDs is told when a process starts, and not when a thread is refused."""

from pathlib import Path

import pytest

from application.operations.startup import CannotStart
from entrypoints import thread_limit
from entrypoints.thread_limit import OTHERS, check_threads


@pytest.fixture
def limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the limit of a container with two processes stands; there is none yet."""
    monkeypatch.setattr(thread_limit, "PIDS_MAX", tmp_path / "pids.max")
    monkeypatch.setattr(thread_limit, "PIDS_CURRENT", tmp_path / "pids.current")
    (tmp_path / "pids.current").write_text("2\n")
    return tmp_path / "pids.max"


@pytest.mark.parametrize("text", [None, "max\n", f"{8 + OTHERS + 2}\n"])
def test_without_a_limit_or_with_enough_it_starts(limit: Path, text: str | None):
    if text is not None:
        limit.write_text(text)
    check_threads(8, "WEB_THREADS")


def test_with_too_little_it_is_refused_in_a_sentence(limit: Path):
    limit.write_text(f"{8 + OTHERS + 1}\n")
    with pytest.raises(CannotStart, match=f"up to {8 + OTHERS} threads.* leaves {7 + OTHERS}: .*lower WEB_THREADS"):
        check_threads(8, "WEB_THREADS")
