"""Signatures of models in OpenSSF's form: ours, one that `model-signing` 1.1.1 made, and all that is refused.

`tests/vectors/openssf` was made by that package, with a fresh P-256 key, over `MODEL`. That it reads ours is
tested in tests/integration/test_model_publish.py.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.errors import VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.crypto.p256 import is_signed
from hallmark.hub.openssf import PAYLOAD, sign_files, signing_key, verify_files

VECTORS = Path(__file__).parents[2] / "vectors" / "openssf"
MODEL = {"a.txt": b"hello\n", "sub/b.bin": bytes(range(16))}
FILES = {path: sha256(data) for path, data in MODEL.items()}
KEY = signing_key(b"\7" * 32)
SIGNED = sign_files(KEY, "model", FILES)


def refused(data: bytes, files: dict[str, bytes] = FILES, key: bytes = KEY.public_pem) -> str:
    """Why a signature is refused; empty when it is not."""
    try:
        verify_files(data, key, files)
    except VerificationFailed as error:
        return error.reason
    return ""


def test_ours_and_the_packages_are_taken() -> None:
    """The same key and files give the same bytes; another owner has another key."""
    assert refused(SIGNED) == ""
    assert sign_files(signing_key(b"\7" * 32), "model", dict(reversed(FILES.items()))) == SIGNED
    assert signing_key(b"\6" * 32).public_pem != KEY.public_pem
    theirs, key = (VECTORS / "model.sig").read_bytes(), (VECTORS / "public.pem").read_bytes()
    assert refused(theirs, key=key) == ""
    assert refused(theirs) == "model_signature_invalid"


@pytest.mark.parametrize(
    "files",
    [
        {**FILES, "a.txt": sha256(b"other")},
        {**FILES, "more.txt": sha256(b"")},
        {"a.txt": FILES["a.txt"]},
        {"a.txt": FILES["sub/b.bin"], "sub/b.bin": FILES["a.txt"]},
        {"a.md": FILES["a.txt"], "sub/b.bin": FILES["sub/b.bin"]},
        {},
    ],
    ids=["another", "more", "missing", "swapped", "renamed", "none"],
)
def test_other_files_are_not_the_signed_ones(files: dict[str, bytes]) -> None:
    """A name counts as much as a digest does: the subject's digest alone leaves names out."""
    assert refused(SIGNED, files) == "model_files_differ"


def resigned(change: Callable[[Any], None]) -> bytes:
    """A well-signed bundle whose statement was changed before it was signed."""
    bundle = json.loads(SIGNED)
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    change(statement)
    payload = json.dumps(statement).encode()
    signature = KEY.sign(b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload))
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    bundle["dsseEnvelope"]["signatures"] = [{"sig": base64.b64encode(signature).decode()}]
    return json.dumps(bundle).encode()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("_type",), "https://in-toto.io/Statement/v0.1"),
        (("predicateType",), "https://example.org/v1"),
        (("subject", 0, "digest", "sha256"), "00" * 32),
        (("subject",), []),
        (("predicate", "serialization", "ignore_paths"), ["sub"]),
        (("predicate", "serialization", "allow_symlinks"), True),
        (("predicate", "serialization", "method"), "shards"),
        (("predicate", "resources", 0, "algorithm"), "blake2b"),
        (("predicate", "resources", 0, "name"), "sub/b.bin"),
        (("predicate", "resources", 0, "digest"), "no hex"),
        (("predicate", "resources"), None),
    ],
)
def test_what_signs_less_than_every_file_is_refused(place: tuple[Any, ...], value: Any) -> None:
    """Though its own key signed it."""

    def change(statement: Any) -> None:
        for step in place[:-1]:
            statement = statement[step]
        statement[place[-1]] = value

    assert refused(resigned(lambda _: None)) == ""
    assert refused(resigned(change)) == "bad_model_signature"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b"\xff",
        SIGNED.replace(b"in-toto+json", b"in-toto+text"),
        SIGNED.replace(b'"payload":"', b'"payload":"%'),
        SIGNED.replace(b'"signatures":[', b'"signatures":[{"sig":""},'),
    ],
)
def test_no_bundle_at_all(data: bytes) -> None:
    """Whatever the bytes, a reason of ours."""
    assert refused(data) == "bad_model_signature"


def test_other_keys_sign_nothing() -> None:
    """Another P-256 key, another curve, garbage: none of it is the key."""
    other = ec.generate_private_key(ec.SECP384R1())
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = other.public_key().public_bytes(serialization.Encoding.PEM, spki)
    assert not is_signed(pem, other.sign(b"x", ec.ECDSA(hashes.SHA256())), b"x")
    for key in (pem, signing_key(b"\6" * 32).public_pem, b"", b"-----BEGIN PUBLIC KEY-----"):
        assert refused(SIGNED, key=key) == "model_signature_invalid"


@given(st.integers(0, len(SIGNED) - 1), st.integers(0, 255))
def test_damaged_anyhow(at: int, value: int) -> None:
    """A changed byte is refused, or lies where nothing is said."""
    data = bytearray(SIGNED)
    data[at] = value
    assert refused(bytes(data)) in ("", "bad_model_signature", "model_signature_invalid")
