"""Become an unprivileged user, although the files may lie where only root may go.

Postgres refuses to run as root. Its binaries (the virtualenv) and its data (DATA_DIR) may well
lie below a directory that only root may enter, such as /root. Opening those directories to
everybody or moving the data would be a bad surprise, so the process keeps one capability instead:
the one that lets it pass through directories (and, unavoidably, read files) of others. Where
every path can be reached without it, nothing is kept at all.
"""

import ctypes
import os
from collections.abc import Sequence
from typing import NamedTuple

from entrypoints.local_stack.errors import SupervisorError

_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_CAP_SETPCAP = 8
# The smaller right first. Docker's default set has no CAP_DAC_READ_SEARCH, only the larger one.
_PASSES = (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE)

_PR_GET_SECUREBITS = 27
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_CAPABILITY_VERSION_3 = 0x20080522


class Account(NamedTuple):
    """A user of the operating system, by number."""

    uid: int
    gid: int


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Sets(ctypes.Structure):
    _fields_ = [
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


def become(account: Account, *, must_read: Sequence[str] = ()) -> None:
    """Turn this process (and what it executes) from root into `account`, for good.

    Afterwards the paths in `must_read` can still be opened; if that cannot be arranged, raises
    SupervisorError and says why. Only for a process of its own with a single thread.
    """
    hidden = _hidden_from(account, must_read)
    if not hidden:
        _change_user(account)
        return
    kept = capability_to_keep(_permitted())
    if kept is None:
        raise SupervisorError(
            f"user {account.uid} cannot reach {hidden}, and this root user lacks the capability to"
            " let it in (CAP_SETPCAP with CAP_DAC_READ_SEARCH or CAP_DAC_OVERRIDE). Put DATA_DIR"
            " and the checkout where other users may enter, or do not run as root."
        )
    _change_user_keeping(account, kept)


def capability_to_keep(permitted: int) -> int | None:
    """The least capability that opens directories of others, out of the bit set `permitted`."""
    if not permitted >> _CAP_SETPCAP & 1:
        return None
    return next((one for one in _PASSES if permitted >> one & 1), None)


def _hidden_from(account: Account, paths: Sequence[str]) -> str | None:
    """The first of `paths` that `account` could not open, tried as that account."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(account.gid)
    os.seteuid(account.uid)
    try:
        return next((path for path in paths if not _opens(path)), None)
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def _opens(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY))
    except PermissionError:
        return False
    return True


def _change_user(account: Account) -> None:
    os.setgroups([])
    os.setgid(account.gid)
    os.setuid(account.uid)


def _change_user_keeping(account: Account, capability: int) -> None:
    # With this bit the change of user leaves the capabilities alone. It has to stay on after
    # execve as well: without it access(2), by which Postgres looks for its own executable,
    # ignores the capabilities of a process whose real user is not root.
    _prctl(_PR_SET_SECUREBITS, _prctl(_PR_GET_SECUREBITS) | _SECBIT_NO_SETUID_FIXUP)
    _change_user(account)
    _keep_only(capability)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, *arguments: int) -> int:
    words = [ctypes.c_ulong(one) for one in (*arguments, 0, 0, 0, 0)[:4]]
    result = int(_libc().prctl(option, *words))
    return _checked(result, f"prctl({option})")


def _permitted() -> int:
    if os.uname().sysname != "Linux":
        return 0
    sets = (_Sets * 2)()
    header = _Header(_CAPABILITY_VERSION_3, 0)
    _checked(_libc().capget(ctypes.byref(header), sets), "capget")
    return int(sets[0].permitted) | int(sets[1].permitted) << 32


def _keep_only(capability: int) -> None:
    bit = 1 << capability  # both candidates live in the first word
    sets = (_Sets * 2)(_Sets(bit, bit, bit), _Sets(0, 0, 0))
    header = _Header(_CAPABILITY_VERSION_3, 0)
    _checked(_libc().capset(ctypes.byref(header), sets), "capset")


def _checked(result: int, call: str) -> int:
    if result < 0:
        fault = ctypes.get_errno()
        raise OSError(fault, f"{call}: {os.strerror(fault)}")
    return result
