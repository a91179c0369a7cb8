"""Files that would run code, and files that are no weights."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.errors import InvalidInput
from hallmark.hub.weights import check_content, check_name
from hallmark.testing.weights import gguf


class Evil:
    """Runs something when it is loaded."""

    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("run",))


def archive(**files: bytes) -> bytes:
    """A zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return out.getvalue()


def refused(data: bytes) -> str:
    """The reason for which these bytes are refused; empty when they are not."""
    try:
        check_content(io.BytesIO(data), len(data))
    except InvalidInput as error:
        return error.reason
    return ""


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("size", [1, 200_000])
def test_pickles_by_content(protocol: int, size: int) -> None:
    """Each protocol, short or longer than what is looked at."""
    assert refused(pickle.dumps([Evil(), b"x" * size], protocol)) == "pickle_refused"


def test_pickles_in_other_things() -> None:
    """What torch and numpy write: an archive with a pickle, also behind other bytes; an array of objects."""
    torch_like = archive(**{"model/data.pkl": pickle.dumps({}), "model/data/0": b"\0" * 100})
    assert refused(torch_like) == "pickle_refused"
    assert refused(b"GIF89a" + b"\0" * 70_000 + torch_like) == "pickle_refused"
    objects = io.BytesIO()
    np.save(objects, np.array([{}], dtype=object), allow_pickle=True)
    assert refused(objects.getvalue()) == "pickle_refused"
    old = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + pickle.dumps({}, 2)
    assert refused(old) == "pickle_refused"


def test_a_zip_bomb_is_not_unpacked() -> None:
    """It is told by what its list says; one whose list is missing is refused as well."""
    bomb = archive(a=b"\0" * (50 << 20))
    assert len(bomb) < 100_000
    assert refused(bomb) == "zip_bomb"
    assert refused(archive(a=b"\0" * (1 << 20))) == ""
    assert refused(bomb[:-40]) == "bad_archive"
    cut = bytearray(bomb)
    struct.pack_into("<I", cut, len(cut) - 10, 0xFFFFFFF0)
    assert refused(bytes(cut)) == "bad_archive"


def test_what_lies_in_archives() -> None:
    """A pickle under another name, an array of objects, an archive in an archive, an unknown packing."""
    objects = io.BytesIO()
    np.save(objects, np.array([{}], dtype=object), allow_pickle=True)
    assert refused(archive(**{"a/weights.bin": pickle.dumps([Evil()])})) == "pickle_refused"
    assert refused(archive(**{"a.npy": objects.getvalue()})) == "pickle_refused"
    assert refused(archive(**{"a.zip": archive(a=b"1")})) == "bad_archive"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as made:
        made.writestr("weights.bin", pickle.dumps([Evil()]))
    assert refused(out.getvalue()) == "bad_archive"
    arrays = io.BytesIO()
    np.savez_compressed(arrays, a=np.zeros(3), b=np.ones((2, 2)))
    assert refused(arrays.getvalue()) == ""
    assert refused(b"GIF89a" + b"\0" * 70_000 + arrays.getvalue()) == ""


def test_weights_that_are_taken() -> None:
    """Formats that hold numbers are no pickles, whatever their first bytes happen to be."""
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    for data in (
        struct.pack("<Q", len(header)) + header + bytes(4),
        struct.pack("<Q", 0x0280) + b" " * 0x280,
        struct.pack("<Q", 0x0480) + b" " * 0x480,
        gguf({}, {}),
        b"\x08\x07\x12\x04onnx" + bytes(50),
        array.getvalue(),
        archive(**{"a.npy": array.getvalue()}),
        b"create table\nfoo bar\nb.",
        b"# A card\n",
        b"{}",
        b"",
    ):
        assert refused(data) == "", data[:20]


@pytest.mark.parametrize(
    ("name", "size", "reason"),
    [("a/model.PKL", 5, "pickle_refused"), ("m.joblib", 5, "pickle_refused"),
     ("m.safetensors", 0, "empty_weights"), ("m.ONNX", 0, "empty_weights"),
     ("m.safetensors", 1, ""), ("__init__.py", 0, "")],
)  # fmt: skip
def test_names(name: str, size: int, reason: str) -> None:
    """What says by its name that it is a pickle, and weights without a byte."""
    if not reason:
        check_name(name, size)
        return
    with pytest.raises(InvalidInput) as error:
        check_name(name, size)
    assert error.value.reason == reason


@given(
    st.binary(max_size=300)
    | st.binary(max_size=100).map(lambda data: b"PK\x03\x04" + data + b"PK\x05\x06" + data)
)
def test_any_bytes_are_taken_or_refused(data: bytes) -> None:
    """No other library's error comes out of somebody's bytes."""
    assert refused(data) in ("", "pickle_refused", "bad_archive", "bad_weights", "weights_truncated")
