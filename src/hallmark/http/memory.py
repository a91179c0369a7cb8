"""Memory of a service at rest: what its start needed and nobody needs any more goes back to the kernel."""

from __future__ import annotations

import ctypes
import gc
from typing import Final

SETTLED_S: Final = 20.0
"""How long after it began to serve a service has what it keeps."""


def give_back() -> None:
    """Collect garbage, then return free pages of the C allocator (malloc_trim(3)); tens of milliseconds.

    Without that the allocator keeps whatever lies below its highest page in use. Only glibc offers it.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
