"""Forks a child whose parent is our own, in one step and, if wanted, into a cgroup.

``os.fork`` makes it ours, and for another process to become its parent a second fork must come
between, which costs as much as the first: milliseconds, with a large adapter. The kernel's clone3
does it at once. glibc has no function for that, so this does what its fork does: the one thread of
the child learns its new number, where the C library keeps that.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from typing import Final

_CLONE3: Final = 435  # on every architecture that has had system calls added since 2019
_ARCHITECTURES: Final = ("x86_64", "aarch64")

_CLONE_PARENT: Final = 0x8000
_CLONE_CHILD_CLEARTID: Final = 0x200000
_CLONE_CHILD_SETTID: Final = 0x1000000
_CLONE_INTO_CGROUP: Final = 0x200000000

_PR_GET_TID_ADDRESS: Final = 40


class _Arguments(ctypes.Structure):
    """struct clone_args, as of Linux 5.7."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size",
            "tls", "set_tid", "set_tid_size", "cgroup",
        )
    )  # fmt: skip


class Cloner:
    """Forks; only while there's one thread."""

    def __init__(self) -> None:
        """Finds out where the C library keeps the thread's number.

        Raises:
            OSError: this isn't known to work here; os.fork does.
        """
        if sys.platform != "linux" or platform.machine() not in _ARCHITECTURES:
            raise OSError(errno.ENOSYS, "not on this system")
        # PyDLL keeps the interpreter's lock: the child must have it too.
        library = ctypes.PyDLL(None, use_errno=True)
        self._syscall = library.syscall
        self._syscall.restype = ctypes.c_long
        self._before = ctypes.pythonapi.PyOS_BeforeFork
        self._in_parent = ctypes.pythonapi.PyOS_AfterFork_Parent
        self._in_child = ctypes.pythonapi.PyOS_AfterFork_Child
        for function in (self._before, self._in_parent, self._in_child):
            function.restype = None
        address = ctypes.c_void_p()
        if library.prctl(_PR_GET_TID_ADDRESS, ctypes.byref(address), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "the kernel doesn't tell")
        # glibc has its first thread's number there; others have something else.
        if not address.value or ctypes.c_int.from_address(address.value).value != os.getpid():
            raise OSError(errno.ENOSYS, "not with this C library")
        self._tid_address = address.value

    def fork(self, cgroup: int | None = None) -> int:
        """Forks; gives 0 in the child, whose parent is the parent of this process.

        Args:
            cgroup: a descriptor of the folder of the cgroup that the child is to be in.

        Raises:
            OSError: the kernel refuses.
        """
        arguments = _Arguments(
            flags=_CLONE_PARENT | _CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID,
            child_tid=self._tid_address,
        )
        if cgroup is not None:
            arguments.flags |= _CLONE_INTO_CGROUP
            arguments.cgroup = cgroup
        pointer, size = ctypes.byref(arguments), ctypes.sizeof(arguments)
        # As os.fork does. Nothing else may come between.
        self._before()
        pid: int = self._syscall(_CLONE3, pointer, size)
        if pid == 0:
            self._in_child()
            return 0
        self._in_parent()
        if pid < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return pid
