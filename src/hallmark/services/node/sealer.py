"""`python -m hallmark.services.node.sealer --config FILE`: seals API keys to an attested enclave.

Reads the host's request from standard input and writes sealed keys to standard output. A key is read from a
file that its owner alone may read, and leaves this process sealed or not at all. It is sealed only to a key
whose bundle is bound by evidence for an image that the trust file accepts, and only for the origin that these
settings name; what the host says about either is not believed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from hallmark.attestation import verify
from hallmark.core.beacon import evidence_nonce
from hallmark.core.document import digest_of, report_data, unhex
from hallmark.core.documents import KeyBundle
from hallmark.core.errors import HallmarkError, InvalidInput, Unauthorized, VerificationFailed
from hallmark.core.evidence import Evidence, Expectation, VerifyEvidence
from hallmark.core.statements import Registration
from hallmark.core.upstreams import key_info, require_key
from hallmark.crypto.hpke import AEAD_CHACHA20, KDF_SHA256, KEM_X25519, seal
from hallmark.services.node.key_sealing import LIMIT, Sealed, SealRequest, read_asked
from hallmark.settings import from_arguments
from hallmark.verification.trust import Trust, read_trust

SUITE: Final = (KEM_X25519, KDF_SHA256, AEAD_CHACHA20)


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where an upstream is, and the file that holds its key (may be absent)."""

    url: str
    file: str


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sealer: the trust file that says which enclaves count, and by label each upstream's key."""

    trust_file: str
    upstreams: dict[str, KeyFile] = {}


def hpke_key(asked: SealRequest, trust: Trust, now: int, judge: VerifyEvidence = verify) -> bytes:
    """The HPKE key (32 bytes) of an enclave, after its evidence was checked at `now` (unix ms).

    Raises VerificationFailed `upstream_key_unattested` with the evidence's own reason as its hint.
    """
    bundle = asked.bundle.encode()
    opened = KeyBundle.decode(bundle)
    if not asked.evidence:
        raise unattested("evidence_missing")
    statement = Registration.unpack(asked.statement)
    verdict = judge(
        Evidence.decode(asked.evidence),
        trust.attestation,
        now,
        measurements=trust.measurement,
        expect=Expectation(
            report_data(KeyBundle, bundle), evidence_nonce(statement.beacon_size, statement.beacon_root)
        ),
    )
    if not verdict.ok:
        raise unattested(verdict.reason)
    for key in opened.hpke:
        if (key.kem, key.kdf, key.aead) == SUITE:
            return unhex(key.public_key)
    raise unattested("no_hpke_key")


def unattested(why: str) -> VerificationFailed:
    """The error for an enclave that no key is sealed to."""
    return VerificationFailed(
        "upstream_key_unattested", "The enclave's evidence does not hold, so no key is sealed to it.", why
    )


def seal_all(asked: SealRequest, settings: Settings, trust: Trust, now: int) -> Sealed:
    """Every key that there is, sealed to this enclave. Raises as `hpke_key` and `read_key` do."""
    held = {label: read_key(Path(about.file)) for label, about in settings.upstreams.items()}
    if not any(held.values()):
        return Sealed()  # nothing to seal, so nothing to ask of the enclave
    public, bundle = hpke_key(asked, trust, now), digest_of(KeyBundle, asked.bundle.encode())
    keys = {}
    for label, key in held.items():
        url = settings.upstreams[label].url
        if key:
            keys[label] = seal(require_key(key, url), public, key_info(bundle, label, url))
    return Sealed(keys)


def read_key(path: Path) -> bytes | None:
    """The key in a file, None without one.

    Raises Unauthorized `key_file_open`, InvalidInput `bad_key_file`.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise Unauthorized(
                "key_file_open", f"{path.name} can be read by others than its owner.", f"chmod 600 {path}"
            )
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidInput("bad_key_file", f"{path} cannot be read.") from error


def main() -> None:
    """Answer one request of the host."""
    settings = from_arguments(Settings)
    try:
        asked = read_asked(sys.stdin.buffer.read(LIMIT))
        trust = read_trust(Path(settings.trust_file).read_text())
        told = seal_all(asked, settings, trust, time.time_ns() // 1_000_000)
    except HallmarkError as error:
        told = Sealed(problem=error.reason)
    sys.stdout.buffer.write(msgspec.json.encode(told))


if __name__ == "__main__":
    main()
