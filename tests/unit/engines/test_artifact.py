"""Artifacts: hashed as read, plain files only, nothing loaded before the digest holds."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.engines import describe_format, load
from hallmark.engines.artifact import read_artifact
from hallmark.testing import tiny_models


def digest(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A tar of any members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    """A member of any kind."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_files_come_out_as_they_went_in() -> None:
    """Every file of a tar is there with its exact bytes, also in a folder, and model.json is read."""
    files = {"model.json": b'{"format":"onnx","extra":1}', "a/b.bin": bytes(range(256)) * 5000}
    data = tiny_models.pack(files)
    artifact = read_artifact(memoryview(data), digest(data))
    assert artifact.files == files
    assert artifact.model.format == "onnx"


def test_another_digest_is_refused() -> None:
    """One changed bit, one more byte after the end, or one byte less is not the artifact."""
    data = tiny_models.pack({"model.json": b'{"format":"onnx"}'})
    flipped = bytearray(data)
    flipped[600] ^= 1
    for other in (bytes(flipped), data + b"\0", data[:-1], b""):
        with pytest.raises(VerificationFailed) as caught:
            read_artifact(other, digest(data))
        assert caught.value.reason == "artifact_digest_mismatch"


@pytest.mark.parametrize(
    "members",
    [
        ((member("../evil"), b"x"),),
        ((member("/etc/passwd"), b"x"),),
        ((member("a/../../b"), b"x"),),
        ((member(".hidden"), b"x"),),
        ((member("link", tarfile.SYMTYPE, "/etc/passwd"), b""),),
        ((member("hard", tarfile.LNKTYPE, "model.json"), b""),),
        ((member("dir", tarfile.DIRTYPE), b""),),
        ((member("fifo", tarfile.FIFOTYPE), b""),),
        ((member("twice"), b"1"), (member("twice"), b"2")),
    ],
    ids=["parent", "absolute", "inner-parent", "hidden", "symlink", "hardlink", "folder", "fifo", "twice"],
)
def test_anything_but_plain_files_is_refused(members: tuple[tuple[tarfile.TarInfo, bytes], ...]) -> None:
    """Links, devices, folders, hidden or escaping names and doubles never come out of an artifact."""
    data = archive((member("model.json"), b'{"format":"onnx"}'), *members)
    with pytest.raises(InvalidInput) as caught:
        read_artifact(data, digest(data))
    assert caught.value.reason == "bad_artifact"


@pytest.mark.parametrize("data", [b"not a tar at all" * 100, bytes(10240)], ids=["text", "empty"])
def test_what_is_no_artifact_is_refused(data: bytes) -> None:
    """Bytes that are no tar, or hold no model.json, are refused with a reason."""
    with pytest.raises(InvalidInput) as caught:
        read_artifact(data, digest(data))
    assert caught.value.reason == "bad_artifact"


def test_formats_are_a_table() -> None:
    """Formats that are unknown, or not the manifest's, are refused; known ones say what bits rest on."""
    data = tiny_models.pack({"model.json": b'{"format":"pickle"}'})
    with pytest.raises(InvalidInput) as caught:
        load(data, digest(data))
    assert caught.value.reason == "unknown_format"
    with pytest.raises(InvalidInput) as caught:
        load(data, digest(data), format_="onnx")
    assert caught.value.reason == "artifact_other_format"
    text = describe_format("onnxruntime-genai").text()
    assert text.startswith("onnxruntime-genai/0.18.0 threads=1 ")
    assert "/" in text.split()[-1]
    with pytest.raises(InvalidInput):
        describe_format("pickle")


@pytest.mark.parametrize("broken", ["model.onnx", "tokenizer.json", "genai_config.json"])
def test_a_broken_language_model_is_refused(broken: str) -> None:
    """A file of the model that cannot be read gives `bad_artifact`, not a crash."""
    files = tiny_models.language_files()
    files[broken] = b"broken"
    data = tiny_models.pack(files)
    with pytest.raises(InvalidInput) as caught:
        load(data, digest(data))
    assert caught.value.reason == "bad_artifact"


def test_a_broken_graph_or_foreign_tensor_is_refused() -> None:
    """A graph that cannot be parsed, and a model.json that names tensors it lacks, are refused."""
    broken = tiny_models.pack({"model.json": b'{"format":"onnx"}', "model.onnx": b"\x08\x08junk"})
    foreign = tiny_models.tensor_artifact(outputs=[{"name": "nothing"}])
    other = tiny_models.tensor_artifact(inputs=[{"name": "z"}])
    none = tiny_models.pack({"model.json": b'{"format":"onnx"}'})
    for data in (broken, foreign, other, none):
        with pytest.raises(InvalidInput) as caught:
            load(data, digest(data))
        assert caught.value.reason == "bad_artifact"
