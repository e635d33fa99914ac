"""A small limit of threads is told when a process starts, and not when a thread is refused."""

import os
import resource
from pathlib import Path

import pytest

from application.operations.startup import CannotStart
from entrypoints import thread_limit
from entrypoints.thread_limit import OTHERS, check_threads


@pytest.fixture
def limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the limit of a container with two processes stands; there is none yet."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
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


THREADS_OF_OURS = 5


@pytest.fixture
def user(limit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without privileges who may have no more than 8 threads beside ours, and who has some already."""
    proc, ours = tmp_path / "proc", 1000
    monkeypatch.setattr(thread_limit, "PROC", proc)
    monkeypatch.setattr(os, "getuid", lambda: ours)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (8 + OTHERS + THREADS_OF_OURS, resource.RLIM_INFINITY))
    for process, uid, threads in (("1", 0, 900), ("20", ours, THREADS_OF_OURS - 1), ("21", ours, 1), ("self", ours, 1)):
        (proc / process).mkdir(parents=True)
        (proc / process / "status").write_text(
            f"Uid:\t{uid}\t0\t0\t0\nThreads:\t{threads}\nCapEff:\t0000000000000400\n"
        )
    (proc / "22").mkdir()  # ended meanwhile


def test_the_limit_of_a_user_counts_the_threads_of_all_its_processes(user: None):
    check_threads(8, "WORKER_CONCURRENCY")
    with pytest.raises(CannotStart, match=f"this user's processes leaves {8 + OTHERS}: .*lower WORKER_CONCURRENCY"):
        check_threads(9, "WORKER_CONCURRENCY")


def test_the_limit_of_a_user_does_not_hold_for_who_administers_resources(user: None):
    status = thread_limit.PROC / "self" / "status"
    status.write_text(status.read_text().replace("0000000000000400", "0000000001000000"))
    check_threads(9, "WORKER_CONCURRENCY")


def test_without_proc_there_is_nothing_to_count(user: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(thread_limit, "PROC", tmp_path / "nowhere")
    check_threads(9, "WORKER_CONCURRENCY")
