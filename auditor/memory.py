"""How memory is taken from the system on Linux: in large pages, and kept for the next step in place of given back.

The steps of a search take and free the same few hundred megabytes over and over. By default glibc gives large blocks
back at once, and the kernel hands the next ones out page by page, each filled with zeros first: a fifth of the time
of a small model's steps on two cores (benchmarks/README.md).
"""

import ctypes
import os
from collections.abc import MutableMapping

MMAP_MAX, TRIM_THRESHOLD = -4, -1
"""What `mallopt` of glibc calls the number of blocks that are mapped on their own, and what may lie unused on top."""
UNUSED = 2**30
"""Bytes that may lie unused before any are given back."""
SETTINGS = {
    "THP_MEM_ALLOC_ENABLE": "1",  # torch reads it at its first tensor
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(UNUSED),
}
"""For this process's children, whose glibc reads them as it starts."""


def keep_memory(environment: MutableMapping[str, str] = os.environ) -> bool:
    """Keeps memory, here and in the processes that this one starts; before torch makes its first tensor.

    Returns whether it does: not where the environment has settings of its own, nor without glibc.
    """
    if any(name in environment for name in SETTINGS):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or none that is known by no name
        return False
    environment.update(SETTINGS)
    return bool(mallopt(MMAP_MAX, 0) and mallopt(TRIM_THRESHOLD, UNUSED))
