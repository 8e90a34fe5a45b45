"""The C library's memory: what is freed stays with the process, in holes that a next, larger tensor does not fit."""

import ctypes
import sys


def give_back() -> None:
    """Return to the system what is free, between two phases that want it in other pieces; a few hundredths of a second.

    Only glibc is told; other libraries do as they like.
    """
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
