"""The functions of llama.h that are used, called in the library that the package `xllamacpp` brings.

That package's own Python is a server, which opens sockets and draws tokens by itself. Its library also has
llama.cpp's C interface, and that is enough: tokens in, logits out (docs/adr/0051). Parameters are structures
whose layout changes between versions, so what the library says its defaults are is compared with
what the pinned version says: another one is refused, before a single byte is written to a wrong place.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import importlib.util
import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hallmark.core.errors import InvalidInput, Unavailable

PACKAGE: Final = "xllamacpp"
ROOM: Final = 512
"""More than any structure of parameters has; what follows a structure is never read."""
CONTEXT_DEFAULTS: Final = struct.pack(
    "<4I3I2i5i2f4fIf2Q2i2Q",
    *(512, 2048, 512, 1), *(0, 0, 1), *(4, 4), *(0, -1, -1, -1, -1), *(0.0, 0.0),
    *(-1.0, -1.0, -1.0, -1.0), 0, -1.0, *(0, 0), *(1, 1), *(0, 0),
)  # fmt: skip
"""How llama_context_default_params() begins: sizes, threads, attention, rope, types of cache."""
N_CTX, THREADS, FLASH_ATTENTION, CACHE_TYPES = 0, 28, 52, 104
F32: Final = 0
BATCH: Final = 512
LONGEST_PIECE: Final = 1 << 12
NORMAL, BYTE = 1 << 2, 1 << 5
"""Attributes of a token that is plain text and nothing else (enum llama_token_attr)."""


class Parameters(ctypes.Structure):
    """A structure that is passed by value, with room to spare."""

    _fields_ = [("data", ctypes.c_uint8 * ROOM)]


class Batch(ctypes.Structure):
    """llama_batch: how many tokens, and six arrays."""

    _fields_ = [("count", ctypes.c_int32), ("arrays", ctypes.c_void_p * 6)]


Logger = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


SILENCE: Final = Logger(lambda _level, _text, _data: None)
"""What the library would print may quote the model."""


def installed() -> bool:
    """Whether the extra is there."""
    return importlib.util.find_spec(PACKAGE) is not None


@cache
def version() -> str:
    """The package's own word on its version: an image holds no metadata of distributions. The package itself
    is not entered, which would load a server. Raises Unavailable `engine_not_installed`.
    """
    spec = importlib.machinery.PathFinder.find_spec("_version", [str(_folder())])
    if spec is None or spec.loader is None:
        raise missing()
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.get_versions()["version"])


def _folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise missing()
    return Path(spec.submodule_search_locations[0])


def missing() -> Unavailable:
    """The error for a model that needs the extra where it is not."""
    return Unavailable(
        "engine_not_installed",
        "A GGUF model needs the extra llamacpp, which is not installed here.",
        "Install it where the node runs: pip install 'hallmark[llamacpp]'.",
    )


@cache
def library() -> Any:
    """The library, with types declared.

    Raises Unavailable `engine_not_installed`, or `engine_unknown_build` for other parameters than known.
    """
    found = sorted(_folder().glob("xllamacpp*.so"))
    if not found:
        raise missing()
    lib = _opened(found[0])
    _declare(lib)
    if bytes(lib.llama_context_default_params().data)[: len(CONTEXT_DEFAULTS)] != CONTEXT_DEFAULTS:
        raise Unavailable(
            "engine_unknown_build",
            "The installed llama.cpp lays its parameters out otherwise than the pinned version does.",
            "Install the version that hallmark[llamacpp] names.",
        )
    lib.llama_log_set(SILENCE, None)
    lib.llama_backend_init()
    return lib


def _opened(path: Path) -> Any:
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:  # its wheel leaves libgomp to the system
        raise Unavailable(
            "engine_not_installed",
            "The library of the extra llamacpp cannot be loaded: one that it needs is not here.",
            "On Debian: apt-get install libgomp1.",
        ) from error


def _declare(lib: Any) -> None:
    whole, pointer, text = ctypes.c_int32, ctypes.c_void_p, ctypes.c_char_p
    flag, tokens = ctypes.c_bool, ctypes.POINTER(ctypes.c_int32)
    declared: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "llama_model_default_params": (Parameters, ()),
        "llama_context_default_params": (Parameters, ()),
        "llama_backend_init": (None, ()),
        "llama_log_set": (None, (Logger, pointer)),
        "llama_model_load_from_file": (pointer, (text, Parameters)),
        "llama_model_get_vocab": (pointer, (pointer,)),
        "llama_vocab_n_tokens": (whole, (pointer,)),
        "llama_vocab_is_eog": (flag, (pointer, whole)),
        "llama_vocab_get_attr": (whole, (pointer, whole)),
        "llama_vocab_get_text": (text, (pointer, whole)),
        "llama_tokenize": (whole, (pointer, text, whole, tokens, whole, flag, flag)),
        "llama_token_to_piece": (whole, (pointer, whole, pointer, whole, whole, flag)),
        "llama_init_from_model": (pointer, (pointer, Parameters)),
        "llama_free": (None, (pointer,)),
        "llama_batch_get_one": (Batch, (tokens, whole)),
        "llama_decode": (whole, (pointer, Batch)),
        "llama_get_logits_ith": (ctypes.POINTER(ctypes.c_float), (pointer, whole)),
    }
    for name, (result, arguments) in declared.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments


class Llama:
    """A loaded model: its vocabulary, and new contexts. It stays until the process ends, as engines do."""

    def __init__(self, path: Path) -> None:
        """Load the file at `path`, which may be gone afterwards. Raises InvalidInput `bad_artifact`."""
        self._lib = library()
        self._model = self._lib.llama_model_load_from_file(
            str(path).encode(), self._lib.llama_model_default_params()
        )
        if not self._model:
            raise InvalidInput("bad_artifact", "The artifact's language model cannot be loaded.")
        self._vocabulary = self._lib.llama_model_get_vocab(self._model)
        self.size = int(self._lib.llama_vocab_n_tokens(self._vocabulary))

    def ends(self, token: int) -> bool:
        """Whether generation ends with this token."""
        return bool(self._lib.llama_vocab_is_eog(self._vocabulary, token))

    def text(self, token: int) -> str:
        """A token as the vocabulary writes it."""
        written = self._lib.llama_vocab_get_text(self._vocabulary, token)
        return bytes(written or b"").decode("utf-8", "replace")

    def mark(self, token: int) -> bool:
        """Whether a token is more than text. `tokens` finds control, unknown and user-defined ones whole in
        any text; whatever else is not plain counts as one too.
        """
        return int(self._lib.llama_vocab_get_attr(self._vocabulary, token)) not in (NORMAL, BYTE)

    def piece(self, token: int) -> bytes:
        """The bytes that a token stands for; none for a mark."""
        buffer = ctypes.create_string_buffer(LONGEST_PIECE)
        length = self._lib.llama_token_to_piece(self._vocabulary, token, buffer, LONGEST_PIECE, 0, False)
        return buffer.raw[: max(length, 0)]

    def tokens(self, text: str) -> npt.NDArray[np.int32]:
        """The tokens of a text, marks recognised, nothing put before it."""
        data = text.encode()
        room = (ctypes.c_int32 * (len(data) + 8))()
        count = self._lib.llama_tokenize(self._vocabulary, data, len(data), room, len(room), False, True)
        return np.array(room[: max(count, 0)], dtype=np.int32)

    def context(self, length: int) -> Context:
        """A new, empty context for so many tokens. Raises Unavailable `engine_out_of_memory`."""
        parameters = self._lib.llama_context_default_params()
        raw = parameters.data
        struct.pack_into("<II", raw, N_CTX, length, min(length, BATCH))
        struct.pack_into("<ii", raw, THREADS, 1, 1)
        struct.pack_into("<i", raw, FLASH_ATTENTION, 0)
        struct.pack_into("<ii", raw, CACHE_TYPES, F32, F32)
        made = self._lib.llama_init_from_model(self._model, parameters)
        if not made:
            raise Unavailable("engine_out_of_memory", "There is no memory for another answer.", "Ask again.")
        return Context(self._lib, made, self.size)


class Context:
    """One sequence: tokens go in, the logits after the last of them come out."""

    def __init__(self, lib: Any, pointer: int, size: int) -> None:
        self._lib, self._pointer, self._size = lib, pointer, size

    def add(self, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
        """Read tokens; the logits (float32, one for each token of the vocabulary), as a copy."""
        for at in range(0, len(tokens), BATCH):
            part = tokens[at : at + BATCH]
            held = (ctypes.c_int32 * len(part))(*part)
            if self._lib.llama_decode(self._pointer, self._lib.llama_batch_get_one(held, len(part))):
                raise Unavailable("engine_failed", "The engine could not read the tokens.", "Ask again.")
        row = self._lib.llama_get_logits_ith(self._pointer, -1)
        return np.ctypeslib.as_array(row, (self._size,)).copy()

    def close(self) -> None:
        """Forget the sequence."""
        if self._pointer:
            self._lib.llama_free(self._pointer)
            self._pointer = 0
