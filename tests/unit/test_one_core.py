"""A web process keeps to one core, and leaves one that others want."""

import os
import subprocess
import sys

import pytest

from entrypoints.one_core import better_core


@pytest.mark.parametrize(
    ("others", "better"),
    [
        ({0: 0.0, 1: 0.0}, None),
        ({0: 0.2, 1: 0.0}, None),
        ({0: 0.9, 1: 0.8}, None),
        ({0: 0.9, 1: 0.1}, 1),
        ({0: 0.9, 1: 0.4, 2: 0.1}, 2),
        ({0: 0.1, 1: 0.9}, None),
    ],
    ids=str,
)
def test_a_core_is_left_for_one_on_which_others_do_much_less(others: dict[int, float], better: int | None) -> None:
    assert better_core(0, others) == better


STORY = """
import os, threading
from adapters.bcrypt_password_hasher import BcryptPasswordHasher
from entrypoints.one_core import keep_to_one_core

def cores_of(*names):
    return [len(os.sched_getaffinity(one.native_id)) for one in threading.enumerate() if one.name.startswith(names)]

before = len(os.sched_getaffinity(0))
hasher = BcryptPasswordHasher(pepper=b"", cost=4)
stop = threading.Event()
threading.Thread(target=stop.wait, name="earlier", daemon=True).start()
keep_to_one_core()
threading.Thread(target=stop.wait, name="later", daemon=True).start()
hasher.hash("a password")
assert cores_of("MainThread", "earlier", "later") == [1, 1, 1]
assert cores_of("bcrypt") == [before]
"""


def test_all_its_threads_keep_to_it_but_those_that_hash_passwords() -> None:
    if not hasattr(os, "sched_getaffinity"):
        return  # a system that knows no such thing: nothing is done there
    subprocess.run([sys.executable, "-c", STORY], check=True, timeout=60)
