"""What a repository does not take: files that run code when they are loaded, and weights that are none.

Python's pickle is a program. It is found by what a file holds, not by what it is called: opcodes at its
beginning, a zip archive with a pickle in it (as `torch.save` writes), an array of objects (`.npy`). Nothing
is unpacked: of an archive only the list of its names is read. What is hidden in something that would have to
be unpacked first is not found (`docs/hub.md`).
"""

from __future__ import annotations

import io
import pickletools
import re
import struct
from typing import BinaryIO, Final

from hallmark.core.errors import InvalidInput

HEAD: Final = 64 << 10
PICKLES: Final = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle", ".skops.pkl")
WEIGHTS: Final = (
    ".safetensors", ".onnx", ".gguf", ".ggml", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".keras", ".tflite",
    ".msgpack", ".npy", ".npz", ".pb", ".mlmodel", ".ort", ".onnx_data",
)  # fmt: skip
CALLS: Final = frozenset({"GLOBAL", "STACK_GLOBAL", "INST", "REDUCE", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"})
MOST_OPCODES: Final = 20_000
MOST_DIRECTORY: Final = 16 << 20
END: Final = b"PK\x05\x06"
ENTRY: Final = b"PK\x01\x02"
LONGEST_END: Final = 22 + 0xFFFF
ARRAY: Final = b"\x93NUMPY"
NAMED: Final = re.compile(r"[A-Za-z_][\w.]* [A-Za-z_][\w.]*", re.A)


def check_name(name: str, size: int) -> None:
    """What a file's name and length say. Raises InvalidInput `pickle_refused`, `empty_weights`."""
    if name.lower().endswith(PICKLES):
        raise _pickle()
    if size == 0 and name.lower().endswith(WEIGHTS):
        raise InvalidInput("empty_weights", "A file of weights has no bytes.", "Was its download cut off?")


def check_sample(sample: bytes, size: int) -> None:
    """What the first bytes of a file say that is yet to come: tools show this refusal better than a later
    one. Raises InvalidInput `pickle_refused`.
    """
    name = sample[30 : 30 + int.from_bytes(sample[26:28], "little")].decode("utf-8", "replace")
    packed = sample.startswith(b"PK\x03\x04") and name.lower().endswith(PICKLES)
    if packed or _is_program(sample, whole=size <= len(sample)):
        raise _pickle()


def check_content(file: BinaryIO, size: int) -> None:
    """What its bytes say; see the module docstring. Raises InvalidInput `pickle_refused`, `bad_archive`."""
    file.seek(0)
    head = file.read(HEAD)
    if _is_program(head, whole=size <= HEAD) or (head.startswith(ARRAY) and _has_objects(head)):
        raise _pickle()
    names = _names(file, size)
    if names is None:
        if head.startswith(b"PK\x03\x04"):
            raise InvalidInput("bad_archive", "A zip archive has no list of its files, or one too long.")
    elif any(one.lower().endswith(PICKLES) for one in names):
        raise _pickle()


def _is_program(head: bytes, *, whole: bool) -> bool:
    """Whether opcodes of pickle stand here, from the first byte on.

    From protocol 2 on the first two bytes say so; then a few opcodes must follow. The older ones are plain
    text: those are told by an opcode that calls something, in what reads as opcodes throughout.
    """
    marked = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    count, calls = 0, False
    try:
        for opcode, value, _ in pickletools.genops(io.BytesIO(head)):
            count += 1
            if not marked and opcode.name in ("GLOBAL", "INST") and not NAMED.fullmatch(str(value)):
                return False
            calls = calls or opcode.name in CALLS
            if opcode.name == "STOP" or count == MOST_OPCODES:
                return marked or calls
    except Exception:  # whatever it makes of other people's bytes, they are no opcodes from here on
        return (marked and count >= 2) or (calls and not whole and count >= 8)
    return False


def _has_objects(head: bytes) -> bool:
    """Whether the header of a `.npy` says that its values are objects, which are pickled."""
    return b"O'" in head[:1024].split(b"\n", 1)[0] or b'O"' in head[:1024].split(b"\n", 1)[0]


def _names(file: BinaryIO, size: int) -> list[str] | None:
    """The names in a zip archive; None where there is no such list that can be read."""
    file.seek(max(size - LONGEST_END, 0))
    tail = file.read(LONGEST_END)
    at = tail.rfind(END)
    if at < 0 or at + 22 > len(tail):
        return None
    length, start = struct.unpack_from("<II", tail, at + 12)
    if 0xFFFFFFFF in (length, start):
        found = _names64(file, size, max(size - LONGEST_END, 0) + at)
        if found is None:
            return None
        length, start = found
    # What is put in front of an archive moves its list; as readers do, count back from the end.
    for begin in (start, max(size - LONGEST_END, 0) + at - length):
        if 0 <= begin <= size and length <= MOST_DIRECTORY:
            file.seek(begin)
            listed = _listed(file.read(length))
            if listed:
                return listed
    return [] if length == 0 else None


def _names64(file: BinaryIO, size: int, end: int) -> tuple[int, int] | None:
    """Length and start of the list, from the records of a large archive before `end`."""
    file.seek(max(end - 20, 0))
    locator = file.read(20)
    if len(locator) < 20 or not locator.startswith(b"PK\x06\x07"):
        return None
    (offset,) = struct.unpack_from("<Q", locator, 8)
    if offset + 56 > size:
        return None
    file.seek(offset)
    record = file.read(56)
    if not record.startswith(b"PK\x06\x06"):
        return None
    length, start = struct.unpack_from("<QQ", record, 40)
    return length, start


def _listed(directory: bytes) -> list[str]:
    names, at = list[str](), 0
    while directory[at : at + 4] == ENTRY and at + 46 <= len(directory):
        name, extra, comment = struct.unpack_from("<HHH", directory, at + 28)
        names.append(directory[at + 46 : at + 46 + name].decode("utf-8", "replace"))
        at += 46 + name + extra + comment
    return names


def _pickle() -> InvalidInput:
    return InvalidInput(
        "pickle_refused",
        "The file holds Python pickle, which runs whatever is in it when it is loaded.",
        "Save weights as safetensors, ONNX or GGUF.",
    )
