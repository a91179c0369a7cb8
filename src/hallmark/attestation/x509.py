"""One X.509 certificate (RFC 5280), read as far as it matters here and no further.

What is read: version, serial, algorithm identifiers, the names as their exact bytes, validity, the public
key's exact bytes, and of the extensions their identifiers, their criticality, basicConstraints and keyUsage.
What stands inside a name or inside another extension is not looked at, so nothing in there can make two
verifiers differ. `web/src/verify/x509.ts` reads the same; docs/attestation.md has the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from hallmark.attestation import der
from hallmark.attestation.der import Element, Reader, unreadable

BASIC_CONSTRAINTS: Final = bytes.fromhex("551d13")
KEY_USAGE: Final = bytes.fromhex("551d0f")
ECDSA_SHA384: Final = bytes.fromhex("300a06082a8648ce3d040303")
P384_KEY: Final = bytes.fromhex("301006072a8648ce3d020106052b81040022")
EXPLICIT_VERSION, EXPLICIT_EXTENSIONS, UNIQUE_IDS = 0xA0, 0xA3, (0x81, 0x82)
P384_POINT_SIZE = 97


class Extension(msgspec.Struct, frozen=True):
    """One extension: whether it is critical, and its value's bytes, not looked into."""

    critical: bool
    value: bytes


class Constraints(msgspec.Struct, frozen=True):
    """What basicConstraints says; `path_length` is None without a limit."""

    critical: bool
    ca: bool
    path_length: int | None


class Usage(msgspec.Struct, frozen=True):
    """What keyUsage says, of what matters here."""

    critical: bool
    digital_signature: bool
    cert_sign: bool


class Certificate(msgspec.Struct, frozen=True):
    """A certificate that was read. `tbs`, the algorithms, the names and `key` (SubjectPublicKeyInfo) are
    DER as it stands; `first` and `last` are unix ms, both inclusive; `extensions` are by identifier.
    """

    raw: bytes
    tbs: bytes
    inner_algorithm: bytes
    algorithm: bytes
    signature: bytes
    issuer: bytes
    subject: bytes
    first: int
    last: int
    key: bytes
    extensions: Mapping[bytes, Extension]
    constraints: Constraints | None
    usage: Usage | None

    def p384_point(self) -> bytes | None:
        """The uncompressed point (97 bytes, not yet known to lie on the curve) of a P-384 key; else None."""
        parts = der.opened(self.key, der.SEQUENCE)
        algorithm, point = parts.take(), der.whole_bytes(parts.take(der.BITS))
        fits = algorithm.whole == P384_KEY and len(point) == P384_POINT_SIZE and point[0] == 4
        return point if fits else None


def read(data: bytes, *, zero_serial: bool = False) -> Certificate:
    """Read one DER certificate. Raises VerificationFailed `certificate_unreadable`, also for another version
    than 3 and a serial below 1; `zero_serial` takes 0 as well, which AMD's chip keys have.
    """
    outer = der.opened(data, der.SEQUENCE)
    tbs, algorithm = outer.take(der.SEQUENCE), outer.take(der.SEQUENCE)
    signature = der.whole_bytes(outer.take(der.BITS))
    outer.end()
    body = Reader(tbs.content)
    version = body.into(EXPLICIT_VERSION)
    if der.integer(version.take(der.INTEGER)) != 2:
        raise unreadable()
    version.end()
    if der.integer(body.take(der.INTEGER)) < (0 if zero_serial else 1):
        raise unreadable()
    inner, issuer = body.take(der.SEQUENCE), body.take(der.SEQUENCE)
    validity = body.into(der.SEQUENCE)
    first, last = der.time(validity.take()), der.time(validity.take())
    validity.end()
    subject, key = body.take(der.SEQUENCE), body.take(der.SEQUENCE)
    _check_key(key)
    for tag in UNIQUE_IDS:
        body.maybe(tag)
    extensions = _extensions(body)
    body.end()
    return Certificate(
        raw=data, tbs=tbs.whole, inner_algorithm=inner.whole, algorithm=algorithm.whole, signature=signature,
        issuer=issuer.whole, subject=subject.whole, first=first, last=last, key=key.whole,
        extensions=extensions, constraints=_constraints(extensions), usage=_usage(extensions),
    )  # fmt: skip


def _check_key(key: Element) -> None:
    parts = Reader(key.content)
    parts.take(der.SEQUENCE)
    der.whole_bytes(parts.take(der.BITS))
    parts.end()


def _extensions(body: Reader) -> Mapping[bytes, Extension]:
    """The extensions at the end of the signed part, if there are any; none twice, never an empty list."""
    if body.next != EXPLICIT_EXTENSIONS:
        return {}
    outer = body.into(EXPLICIT_EXTENSIONS)
    listed = outer.into(der.SEQUENCE)
    outer.end()
    if listed.done:
        raise unreadable()
    found: dict[bytes, Extension] = {}
    while not listed.done:
        parts = listed.into(der.SEQUENCE)
        name, critical = der.oid(parts.take(der.OID)), der.default_false(parts)
        value = parts.take(der.OCTETS).content
        parts.end()
        if name in found:
            raise unreadable()
        found[name] = Extension(critical, value)
    return found


def _constraints(extensions: Mapping[bytes, Extension]) -> Constraints | None:
    found = extensions.get(BASIC_CONSTRAINTS)
    if found is None:
        return None
    parts = der.opened(found.value, der.SEQUENCE)
    ca, limit = der.default_false(parts), parts.maybe(der.INTEGER)
    parts.end()
    path_length = None if limit is None else der.integer(limit)
    if path_length is not None and (path_length < 0 or not ca):
        raise unreadable()
    return Constraints(found.critical, ca, path_length)


def _usage(extensions: Mapping[bytes, Extension]) -> Usage | None:
    found = extensions.get(KEY_USAGE)
    if found is None:
        return None
    outer = Reader(found.value)
    data, _ = der.bits(outer.take(der.BITS))
    outer.end()
    first = data[0] if data else 0
    return Usage(found.critical, bool(first & 0x80), bool(first & 0x04))
