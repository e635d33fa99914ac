"""Ids, codes and the time of a running service."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import RFC_4122, UUID

import pytest

from adapters import system_runtime
from adapters.system_runtime import Uuid7Ids, random_code, system_clock


def test_ids_are_uuids_of_version_7_and_ascend():
    new_id = Uuid7Ids()
    ids = [new_id() for _ in range(10_000)]
    assert {(made.version, made.variant) for made in ids} == {(7, RFC_4122)}
    assert ids == sorted(set(ids))


def test_they_ascend_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch):
    moments = iter([UUID("01900000-0000-7000-8000-000000000005"), *[UUID("018fffff-0000-7000-8000-000000000000")] * 3])
    monkeypatch.setattr(system_runtime, "uuid7", lambda: next(moments))
    new_id = Uuid7Ids()
    assert [str(new_id())[-2:] for _ in range(4)] == ["05", "06", "07", "08"]


def test_threads_never_get_the_same_one():
    new_id = Uuid7Ids()
    with ThreadPoolExecutor(8) as threads:
        ids = [made for some in threads.map(lambda _: [new_id() for _ in range(500)], range(8)) for made in some]
    assert len(set(ids)) == 4_000


@pytest.mark.parametrize("digits", [1, 6, 10])
def test_codes_have_so_many_digits_leading_zeros_included(digits: int):
    codes = [random_code(digits) for _ in range(500)]
    assert all(len(code) == digits and code.isascii() and code.isdigit() for code in codes)
    assert {code[0] for code in codes} == set("0123456789")


def test_the_clock_is_aware_and_in_utc():
    assert system_clock().utcoffset() == timedelta(0)
