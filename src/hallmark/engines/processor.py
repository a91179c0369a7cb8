"""The class of processor that float results depend on.

Float engines choose their kernels by instruction set, and different kernels round differently. Two machines
of one class gave equal bits in every measurement; two classes did not.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping

from numpy._core import _multiarray_umath  # type: ignore[attr-defined]  # numpy has no public CPUID

# From the widest on: the first row whose features are all there names the class.
CLASSES = (
    ("avx512-vnni", ("AVX512F", "AVX512BW", "AVX512VNNI")),
    ("avx512", ("AVX512F", "AVX512BW")),
    ("avx2", ("AVX2", "FMA3")),
    ("avx", ("AVX",)),
    ("asimd-dotprod", ("ASIMDDP",)),
    ("asimd", ("ASIMD",)),
)


def processor_class() -> str:
    """Such as "x86_64/avx512-vnni", from the CPUID that numpy reads; needs no file."""
    return f"{platform.machine()}/{class_of(_multiarray_umath.__cpu_features__)}"


def class_of(features: Mapping[str, bool]) -> str:
    """Name of the widest class whose features are all present; "baseline" when none is."""
    for name, needed in CLASSES:
        if all(features.get(feature, False) for feature in needed):
            return name
    return "baseline"
