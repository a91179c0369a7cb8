"""One digest of the integer-exact engine over kernels of four or five processors, one and two threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hallmark.engines.processor import processor_class

MODELS = Path(__file__).resolve().parents[2] / "models"
PROGRAM = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
import exact
import numpy as np
from hallmark.core.hashing import sha256
from hallmark.engines import load
from hallmark.engines.integer.transformer import Cache
from hallmark.hub.artifact import pack_files
files = {name: exact.convert(name) for name in ("pydoc", "digits")}
engines = {name: load(data := pack_files(one), sha256(data)) for name, one in files.items()}
model, tokens = engines["pydoc"].model, np.arange(5, 69)
rows = model.forward([(Cache(model.shape), tokens)] + [(Cache(model.shape), tokens[n:]) for n in range(31)])
one = Cache(model.shape)
steps = [model.forward([(one, tokens[n : n + 1])]) for n in range(len(tokens))]
image = engines["digits"].run(np.arange(128, dtype=np.float32).reshape(2, 64) % 17)["probabilities"]
made = hashlib.sha256()
for array in (rows, *steps, image, *(np.frombuffer(pack_files(one), np.uint8) for one in files.values())):
    made.update(np.ascontiguousarray(array).tobytes())
weights = model._head.values / 3
control = hashlib.sha256(((rows[:, :192] / 7) @ weights).tobytes() + (rows[0, :192] / 7 @ weights).tobytes())
print(made.hexdigest(), control.hexdigest())
"""
KERNELS = (
    "Prescott",
    "Nehalem",
    "Sandybridge",
    "Haswell",
    *(("SkylakeX",) if "avx512" in processor_class() else ()),
)


def run(*, program: str = PROGRAM, wrapper: tuple[str, ...] = (), **environment: str) -> list[str]:
    """The digests that a process of its own prints: of the engine, and of the float control."""
    done = subprocess.run(
        [*wrapper, sys.executable, "-c", program, str(MODELS)],
        env=os.environ | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.split()


def test_every_kernel_and_thread_count_gives_the_same_bits() -> None:
    """Four instruction sets (five with AVX-512) and two thread counts agree on conversion, prefill, batch and
    decoding, where the float control differs; without the control's difference the test would show nothing.
    """
    found = [run(OPENBLAS_CORETYPE=kernel, OPENBLAS_NUM_THREADS="1") for kernel in KERNELS]
    found += [run(OPENBLAS_CORETYPE=kernel, OPENBLAS_NUM_THREADS="2") for kernel in KERNELS[-2:]]
    assert len({exact for exact, _ in found}) == 1
    assert len({control for _, control in found}) > 1


def test_an_emulated_processor_gives_the_same_bits() -> None:
    """The same under qemu-user, whose arithmetic is software, where that is installed."""
    name = next((name for name in ("qemu-x86_64", "qemu-x86_64-static") if _there(name)), None)
    if name is None:
        pytest.skip("qemu-user is not installed: no emulated processor was compared")
    assert run(wrapper=(name, "-cpu", "Haswell"))[0] == run()[0]


def _there(name: str) -> bool:
    return any((Path(folder) / name).exists() for folder in os.environ.get("PATH", "").split(":"))
