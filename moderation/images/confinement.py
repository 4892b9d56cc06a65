"""What a process may no longer do once it is given a stranger's file.

It may compute, and talk on the sockets that it has. It gets no more memory than it is allowed,
opens no file or socket, writes no file and leaves no core dump; where the kernel has Landlock, it
cannot run, delete or rename anything, or signal another process. None of this can be undone, and
none of it needs root or another package. It is not a sandbox: system calls are not filtered, and
the process runs as its owner's user.

Three limits are left out. `PR_SET_PDEATHSIG` fires when the *thread* that started the process ends,
and threads of a pool do end. `RLIMIT_CPU` counts all images together, where the alarm counts each.
`RLIMIT_NPROC` counts all processes of the user, and at 0 HEIC is not read: libde265 needs a thread.
"""

from __future__ import annotations

import ctypes
import math
import sys
from contextlib import suppress

from moderation.errors import ImageError

if sys.platform != "win32":  # where nothing is decoded, but hosts import this
    import resource

#: No descriptor can be made from now on: no file, socket, pipe or anonymous memory. Open ones stay.
#: With a larger number, whoever closes one of them could open another.
_NO_FILE = 0

_PR_SET_NO_NEW_PRIVS = 38
#: The same on every processor: these came after Linux gave all processors one list of calls.
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446
_LANDLOCK_ASK_VERSION = 1
#: By the version that brought them: rights on files, on TCP ports, and on other processes.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
_PORT_RIGHTS = {4: 2}
_SCOPES = {6: 2}


class _LandlockRuleset(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("files", "ports", "scopes")]


def confine(memory: int) -> None:
    """Takes from this process, for good, what decoding does not need.

    It must have imported all that it needs, and have only one thread.

    Args:
        memory: address space that it may use, in bytes, including what it has already.
    """
    if sys.platform == "linux":
        _lock_files()
    for limit, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _NO_FILE),
    ):
        _, hard = resource.getrlimit(limit)
        # An operator's own limit may be lower.
        wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with suppress(ValueError, OSError):  # macOS accepts some of them and refuses others
            resource.setrlimit(limit, (wanted, wanted))


def confined_memory() -> float:
    """Returns the address space that this process may use, in bytes."""
    if sys.platform == "win32":
        return math.inf
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    return math.inf if allowed == resource.RLIM_INFINITY else allowed


def too_large_for_memory() -> ImageError:
    """Returns the error of an image that needs more memory than a confined process has."""
    remedy = "Send a smaller image, or raise MODERATION_DECODER_MEMORY_BYTES"
    return ImageError("the image does not fit into memory", "image", remedy)


def _lock_files() -> None:
    """Locks the process out of all files, as far as this kernel can; open ones stay open."""
    libc = ctypes.CDLL(None)
    # Without this an unprivileged process may not lock itself.
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    version = libc.syscall(
        _LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_ASK_VERSION
    )
    if version < 1:  # an old kernel, or a container whose rules forbid the call
        return
    rules = _LandlockRuleset(
        *(_landlock_bits(known, version) for known in (_FILE_RIGHTS, _PORT_RIGHTS, _SCOPES))
    )
    size = ctypes.c_size_t(ctypes.sizeof(rules))
    # Each right is handled and then granted to no path, so none is left.
    ruleset = libc.syscall(_LANDLOCK_CREATE_RULESET, ctypes.byref(rules), size, 0)
    if ruleset >= 0:
        libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0)


def _landlock_bits(known: dict[int, int], version: int) -> int:
    """Returns a mask of all rights that a version of Landlock knows."""
    return (1 << max((count for since, count in known.items() if since <= version), default=0)) - 1
