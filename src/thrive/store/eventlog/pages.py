"""Pages of a mapped file, made ready by the kernel while others go on.

The first write to each page of a mapped file enters the kernel, and waits there for the file
system. Of a log that takes thousands of records a second that is a twentieth of the time of those
who write it; asked for many pages ahead, on a thread of its own, it costs them nothing.
"""

import sys
from functools import cache
from mmap import mmap
from typing import Any

_POPULATE_WRITE = 23
"""`MADV_POPULATE_WRITE` of Linux 5.14 and later; older ones refuse it."""


def touch_pages(mapped: mmap, begin: int, length: int) -> None:
    """Make pages of a mapping ready to be written; their content stays.

    Args:
        mapped: a writable mapping, which nobody closes meanwhile.
        begin: where, a multiple of the page size.
        length: how many bytes.
    """
    if sys.platform != "linux":
        return
    import ctypes  # only a log that fills quickly asks for it

    here = ctypes.c_char.from_buffer(mapped, begin)
    address = ctypes.addressof(here)
    del here  # a mapping with a view cannot be closed
    _madvise()(address, length, _POPULATE_WRITE)  # whether it can or not: what is said stays true


@cache
def _madvise() -> Any:
    """Return the call of the C library, which lets other threads of this process go on."""
    import ctypes

    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    madvise.restype = ctypes.c_int
    return madvise
