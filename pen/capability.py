"""Keeping one right of root's when becoming another user (capabilities(7)).

Python has no calls for this; the two that are needed come from the C library.
"""

import ctypes
import os
from typing import Final

from pen.core.errors import PenError

CAP_NET_RAW: Final = 13
"""Packet sockets, and addresses that are not this machine's (linux/capability.h)."""

_PR_SET_KEEPCAPS: Final = 8
_VERSION_3: Final = 0x20080522
_WORDS: Final = 2
"""A set of capabilities has 64 bits, in two words."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def keep_over_setuid() -> None:
    """Let the next setuid(2) leave the permitted capabilities as they are."""
    _call("prctl", _PR_SET_KEEPCAPS, 1, 0, 0, 0)


def retain_only(capability: int) -> None:
    """Give up all capabilities but this one, and make it effective."""
    sets = (_Sets * _WORDS)()
    word, bit = divmod(capability, 32)
    sets[word].effective = sets[word].permitted = 1 << bit
    _call("capset", ctypes.byref(_Header(_VERSION_3, 0)), sets)


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise PenError(f"cannot keep a capability: {name}: {reason}")
