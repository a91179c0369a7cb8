"""What a repository does not take: files that run code when they are loaded, and weights that are none.

Python's pickle is a program. It is found by what a file holds, not by what it is called: opcodes at its
beginning, a zip archive with a pickle in it (as `torch.save` writes), an array of objects (`.npy`). Of an
archive the list is read, and the first bytes of each file in it (`hub.archives`). What is hidden deeper is
not found (`docs/hub.md`). Weights that say what they are must be whole (`hub.formats`).
"""

from __future__ import annotations

import io
import pickletools
import re
from typing import BinaryIO, Final

from hallmark.core.errors import InvalidInput
from hallmark.hub.archives import BEGINNING, HEAD, Packed, bad_archive, check_archive, heads, packed_files
from hallmark.hub.formats import Weights, read_weights

PICKLES: Final = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle", ".skops.pkl")
WEIGHTS: Final = (
    ".safetensors", ".onnx", ".gguf", ".ggml", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".keras", ".tflite",
    ".msgpack", ".npy", ".npz", ".pb", ".mlmodel", ".ort", ".onnx_data",
)  # fmt: skip
CALLS: Final = frozenset({"GLOBAL", "STACK_GLOBAL", "INST", "REDUCE", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"})
MOST_OPCODES: Final = 20_000
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
    packed = sample.startswith(BEGINNING) and name.lower().endswith(PICKLES)
    if packed or _is_program(sample, whole=size <= len(sample)):
        raise _pickle()


def check_content(file: BinaryIO, size: int) -> Weights | None:
    """What its bytes say, see the module docstring; the weights that they are, None when they are none.

    Raises InvalidInput `pickle_refused`, `bad_archive`, `zip_bomb`, and what `read_weights` raises.
    """
    file.seek(0)
    head = file.read(HEAD)
    if _is_program(head, whole=size <= HEAD) or _has_objects(head):
        raise _pickle()
    files = packed_files(file, size)
    if files is not None:
        _check_packed(file, files, size)
    elif head.startswith(BEGINNING):
        raise bad_archive("A zip archive has no list of its files, or one too long.")
    return read_weights(file, size)


def _check_packed(file: BinaryIO, files: list[Packed], size: int) -> None:
    check_archive(files, size)
    if any(one.name.lower().endswith(PICKLES) for one in files):
        raise _pickle()
    for one, head in zip(files, heads(file, files), strict=True):
        if _is_program(head, whole=one.size <= len(head)) or _has_objects(head):
            raise _pickle()
        if head.startswith(BEGINNING):
            raise bad_archive("A zip archive holds another one.")


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
    first = head[:1024].split(b"\n", 1)[0]
    return head.startswith(ARRAY) and (b"O'" in first or b'O"' in first)


def _pickle() -> InvalidInput:
    return InvalidInput(
        "pickle_refused",
        "The file holds Python pickle, which runs whatever is in it when it is loaded.",
        "Save weights as safetensors, ONNX or GGUF.",
    )
