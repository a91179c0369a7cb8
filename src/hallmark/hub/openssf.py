"""OpenSSF Model Signing v1.0: who signed every file of a model, in a form that others' tools verify.

A Sigstore bundle (v0.3, JSON) holds a DSSE envelope, and that an in-toto statement (v1) whose predicate lists
each file with its SHA-256. Source: https://github.com/ossf/model-signing-spec. `model-signing` on PyPI reads
what is written here, and what it writes with a P-256 key is read here.

The statement's subject digest covers the files' digests and not their names, so it is compared with nothing
but itself: what counts is the list. What a signature lets its verifier leave out is refused here, but for the
files of git, which are no part of a model.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from hallmark.core.errors import VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.crypto.p256 import SigningKey, is_signed

SIGNATURE: Final = "model.sig"
PUBLIC_KEY: Final = "model-signing.pub"
PURPOSE: Final = "openssf model signing"
BUNDLE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD: Final = "application/vnd.in-toto+json"
STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://model_signing/signature/v1.0"
GIT: Final = (".git", ".gitattributes", ".github", ".gitignore")
MOST_BYTES: Final = 16 << 20


def signing_key(secret: bytes) -> SigningKey:
    """The key with which a label's owner (32 secret bytes) signs in this format, which knows not the curve of
    the log's keys.
    """
    return SigningKey(secret, PURPOSE)


def sign_files(key: SigningKey, name: str, files: Mapping[str, bytes]) -> bytes:
    """A `model.sig` over the SHA-256 (32 bytes) of each file by its path: the same for the same files."""
    listed = [{"name": path, "digest": files[path].hex(), "algorithm": "sha256"} for path in sorted(files)]
    serialization = {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": [*GIT, SIGNATURE],
    }
    statement = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": _subject(files[path] for path in sorted(files))}}],
        "predicateType": PREDICATE,
        "predicate": {"serialization": serialization, "resources": listed},
    }
    payload = msgspec.json.encode(statement)
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD,
        "signatures": [{"sig": base64.b64encode(key.sign(_pae(payload))).decode(), "keyid": ""}],
    }
    material = {"publicKey": {"hint": sha256(key.public_pem).hex()}, "tlogEntries": []}
    bundle = {"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope}
    return msgspec.json.encode(bundle) + b"\n"


def verify_files(data: bytes, public_pem: bytes, files: Mapping[str, bytes]) -> None:
    """Whether a `model.sig` is a signature of this key over exactly these files, by SHA-256 (32 bytes each).

    Raises VerificationFailed `bad_model_signature` for what is none, `model_signature_invalid` where the key
    did not make it, `model_files_differ` naming the first file that is other, more or missing.
    """
    envelope = _read(data, _Bundle).envelope
    payload, signatures = _decoded(envelope.payload), [_decoded(one.sig) for one in envelope.signatures]
    if envelope.payload_type != PAYLOAD or len(signatures) != 1:
        raise _bad("It has another kind of payload, or not one signature.")
    if not is_signed(public_pem, signatures[0], _pae(payload)):
        raise VerificationFailed(
            "model_signature_invalid",
            "The key did not sign this list of files.",
            "Is it the key that the model's owner published?",
        )
    signed = _listed(_read(payload, _Statement))
    for path in sorted(signed.keys() | files.keys()):
        if signed.get(path) != files.get(path):
            how = (
                "is missing" if path not in files else "is not signed" if path not in signed else "is another"
            )
            raise VerificationFailed(
                "model_files_differ", f"The file {path[:200]} {how}.", "Download the model again."
            )


class _Signature(msgspec.Struct, frozen=True):
    sig: str


class _Envelope(msgspec.Struct, frozen=True, rename="camel"):
    payload: str
    payload_type: str
    signatures: tuple[_Signature, ...]


class _Bundle(msgspec.Struct, frozen=True):
    envelope: _Envelope = msgspec.field(name="dsseEnvelope")


class _Resource(msgspec.Struct, frozen=True):
    name: str
    digest: str
    algorithm: str


class _Serialization(msgspec.Struct, frozen=True):
    method: str
    hash_type: str = ""
    allow_symlinks: bool = False
    ignore_paths: tuple[str, ...] = ()


class _Predicate(msgspec.Struct, frozen=True):
    serialization: _Serialization
    resources: tuple[_Resource, ...]


class _Subject(msgspec.Struct, frozen=True):
    digest: dict[str, str]


class _Statement(msgspec.Struct, frozen=True, rename={"type": "_type", "kind": "predicateType"}):
    type: str
    kind: str
    subject: tuple[_Subject, ...]
    predicate: _Predicate


def _listed(statement: _Statement) -> dict[str, bytes]:
    """The files that a statement lists."""
    how, resources = statement.predicate.serialization, statement.predicate.resources
    if (statement.type, statement.kind) != (STATEMENT, PREDICATE):
        raise _bad("It signs something else than a model.")
    if how.method != "files" or how.allow_symlinks or not set(how.ignore_paths) <= {*GIT, SIGNATURE}:
        raise _bad("It follows links, leaves files out, or lists parts of files.")
    try:
        found = {one.name: bytes.fromhex(one.digest) for one in resources}
    except ValueError:
        raise _bad("A digest in it is no hex.") from None
    if len(found) != len(resources) or any(one.algorithm != "sha256" for one in resources):
        raise _bad("It names a file twice, or by another digest than SHA-256.")
    if [one.digest.get("sha256") for one in statement.subject] != [_subject(found.values())]:
        raise _bad("Its subject is not the digest of its files.")
    return found


def _subject(digests: Iterable[bytes]) -> str:
    return sha256(*digests).hex()


def _pae(payload: bytes) -> bytes:
    """What is signed (DSSE protocol 1.0.0, "pre-authentication encoding")."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)


def _read(data: bytes, kind: Any) -> Any:
    if len(data) > MOST_BYTES:
        raise _bad("It is too long.")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _bad("It is not JSON of this form.") from None


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise _bad("It is not base64.") from None


def _bad(why: str) -> VerificationFailed:
    return VerificationFailed(
        "bad_model_signature", f"model.sig is no signature that is taken here. {why}", "Sign the model again."
    )
