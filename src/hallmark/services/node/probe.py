"""Opens a model in a sandbox before anybody publishes it: the enclave's image and confinement, started with
another first program (`services.enclave.probe`). What it says is that program's word, not a measurement.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final

import msgspec

from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.core.hashing import sha256
from hallmark.services.enclave.probe_messages import Order, Said
from hallmark.services.node import machine, measure
from hallmark.services.node.confinement import RLIMIT, Confinement, Limits
from hallmark.services.node.enclave_start import seal_artifact
from hallmark.services.node.launch import Launcher

PROGRAM: Final = "/app/lib/hallmark/services/enclave/probe.py"
MEMORY: Final = 2 << 30
TIMES: Final = 4
"""A model may take so many times its artifact's length, on top of `MEMORY`."""
TMP: Final = 64 << 20
SECONDS: Final = 120
MOST_SAID: Final = 192 << 10


def probe(image: Path, artifact: bytes, format: str, *, seconds: int = SECONDS) -> Said:
    """What a packed model takes and gives. `image` is an enclave image; blocks.

    Raises InvalidInput with the probe's own reason, or `probe_failed`, `probe_too_slow`; Unavailable as
    `Launcher` does.
    """
    limits = Limits(memory_bytes=MEMORY + TIMES * len(artifact), tasks=64, tmp_bytes=TMP + len(artifact))
    used = _with_program(machine.detect(limits))
    sealed = measure.seal(image)
    try:
        launcher = Launcher(sealed, used, image.parent)
    except BaseException:
        sealed.close()
        raise
    try:
        return _asked(launcher, artifact, format, seconds)
    finally:
        launcher.close()


def _with_program(used: Confinement) -> Confinement:
    return msgspec.structs.replace(used, arguments=(*used.arguments[:-1], PROGRAM))


def _asked(launcher: Launcher, artifact: bytes, format: str, seconds: int) -> Said:
    limits = launcher.confinement.limits
    by_process = launcher.confinement.enforced_by == RLIMIT
    order = Order(
        sha256(artifact),
        format,
        limits.memory_bytes if by_process else 0,
        limits.tasks if by_process else 0,
        seconds,
    )
    memory = seal_artifact("probe", artifact)
    spawned = launcher.launch()
    try:
        spawned.control.settimeout(2 * seconds)
        socket.send_fds(spawned.control, [msgspec.msgpack.encode(order)], [memory])
        return _read(spawned.control.recv(MOST_SAID))
    except TimeoutError as error:
        raise InvalidInput(
            "probe_too_slow", "The model was not open in time.", "A smaller one opens sooner."
        ) from error
    except OSError as error:
        raise _failed(spawned.complaint()) from error
    except HallmarkError as error:
        raise _failed(spawned.complaint()) if error.reason == "probe_failed" else error
    finally:
        os.close(memory)
        spawned.close()


def _read(data: bytes) -> Said:
    try:
        said = msgspec.msgpack.decode(data, type=Said)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _failed("") from error
    if said.reason:
        raise InvalidInput(said.reason, said.message, "It was opened in a sandbox, as a node opens it.")
    return said


def _failed(complaint: str) -> InvalidInput:
    """The process ended without a word: the model made it, or the sandbox did not start."""
    return InvalidInput(
        "probe_failed",
        "The model ended the process that opened it.",
        complaint[-300:] or "It ran out of memory or of processor time, or the file is damaged.",
    )
