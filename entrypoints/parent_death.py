"""Ask the kernel to end this process when its parent is gone."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def die_with_parent(death_signal: signal.Signals = signal.SIGKILL, *, parent: int | None = None) -> bool:
    """Have this process receive `death_signal` as soon as its parent is gone, even by kill -9.

    Returns whether the promise holds. It does on Linux; elsewhere (macOS has no
    PR_SET_PDEATHSIG) this does nothing and returns False, so that a killed parent may leave
    this process behind.

    `parent` is the process id the caller believes to be its parent. If that one died before
    the kernel was asked, nobody would ever send the signal, so the process sends it to itself.

    Call it in the process concerned, after any change of user (that clears the setting). What
    counts as the parent's end is the end of the *thread* that created this process: create such
    children in the main thread.
    """
    if os.uname().sysname != "Linux":
        return False
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(death_signal), 0, 0, 0) != 0:
        fault = ctypes.get_errno()
        raise OSError(fault, f"prctl(PR_SET_PDEATHSIG): {os.strerror(fault)}")
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), death_signal)
    return True
