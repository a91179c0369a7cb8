"""Opens a model of somebody else's inside the enclave's own sandbox, and says what it takes and gives.

It is run from the enclave's image in place of `boot.py` (`services.node.probe` starts it): no network, no
process, no program but this one, a root that cannot be written, a private /tmp, Landlock, and limits on
memory, tasks and processor time. It gets one artifact in sealed memory, says one thing, and ends.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hallmark.services.enclave.probe_messages import Said

CONTROL_FD: Final = 3
INHERITED: Final = 5
IN_THE_IMAGE: Final = "/app/lib"
FILTER: Final = "/app/serving.bpf"
ONNX: Final = "onnx"


def look(data: bytes, expected: bytes) -> Said:
    """What an artifact holds, which is loaded as a node's enclave loads it; why not, where it cannot be."""
    from hallmark.core.errors import HallmarkError
    from hallmark.engines import load
    from hallmark.engines.artifact import read_artifact
    from hallmark.services.enclave.probe_messages import Said, Tensor

    try:
        engine = load(data, expected, scratch=Path("/tmp"))  # noqa: S108 - a tmpfs of its own
        inputs, outputs = getattr(engine, "inputs", ()), getattr(engine, "outputs", ())
        return Said(
            read_artifact(data, expected).model.format,
            tuple(sorted(task.value for task in engine.tasks)),
            tuple(Tensor(one.name, one.dtype, one.shape) for one in inputs),
            tuple(Tensor(one.name, one.dtype, one.shape) for one in outputs),
            engine.describe().text(),
            getattr(engine, "facts", ()),
        )
    except HallmarkError as error:
        return Said("", reason=error.reason, message=error.message)
    except MemoryError:
        return Said("", reason="probe_out_of_memory", message="The model needs more memory than a probe has.")


def main() -> None:
    """See the module docstring."""
    import mmap
    import resource

    import msgspec

    from hallmark.services.enclave import confine
    from hallmark.services.enclave.probe_messages import Order

    os.closerange(INHERITED, 64)  # bwrap leaves the descriptor of its filter open
    confine.limit_process()
    confine.restrict_paths()
    control = socket.socket(fileno=CONTROL_FD)
    message, (memory,), _, _ = socket.recv_fds(control, 4096, 1)
    order = msgspec.msgpack.decode(message, type=Order)
    confine.limit_process(order.memory, order.tasks)
    resource.setrlimit(resource.RLIMIT_CPU, (order.seconds, order.seconds))
    with mmap.mmap(memory, 0, prot=mmap.PROT_READ) as view:
        data = view[:]
    if order.format == ONNX:
        _close_the_door()
    said = look(data, order.sha256)
    control.send(msgspec.msgpack.encode(said))
    os._exit(0)


def _close_the_door() -> None:
    """What an enclave denies itself before it serves: no executable memory, no file to write any more."""
    from hallmark.engines import onnx  # noqa: F401 - its libraries are mapped before
    from hallmark.services.enclave import confine

    with open(FILTER, "rb") as program:
        confine.install_filter(program.read())


if __name__ == "__main__":
    sys.path.append(IN_THE_IMAGE)
    main()
