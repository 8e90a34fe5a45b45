"""Return freed heap memory to the operating system."""

import ctypes
import sys


def return_free_memory() -> None:
    """Return the free memory of the C library (malloc_trim), which takes a few hundredths of a second.

    Freed memory otherwise stays with the process, in gaps that are too small for larger tensors. Only glibc has this
    call; with other libraries this does nothing.
    """
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
