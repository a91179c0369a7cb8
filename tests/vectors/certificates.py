"""Certificates and Ed25519 keys for both verifiers: what each is read as, or that it is refused.

The certificates are written byte by byte here and signed by nobody: reading one is what they are for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hallmark.attestation import x509
from hallmark.core.errors import VerificationFailed
from hallmark.crypto.ed25519 import P, is_public_key

CONSTRAINTS, USAGE, SAN, TLS_FEATURE = "551d13", "551d0f", "551d11", "2b06010505070118"
POINT = b"\x04" + bytes(range(96))
CA, SIGNS = bytes.fromhex("30030101ff"), bytes.fromhex("03020204")
TRUE = b"\x01\x01\xff"


def der(tag: int, *parts: bytes) -> bytes:
    """One element with a minimal length."""
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + content


def extension(oid: str, value: bytes, flag: bytes = b"") -> bytes:
    """One extension; `flag` is the encoded BOOLEAN."""
    return der(0x30, der(6, bytes.fromhex(oid)), flag, der(4, value))


def certificate(*extensions: bytes, **changes: bytes) -> bytes:
    """A certificate of a CA with further extensions; `changes` replace encoded members."""
    parts = {
        "version": bytes.fromhex("a003020102"),
        "serial": bytes.fromhex("020107"),
        "inner": x509.ECDSA_SHA384,
        "issuer": der(0x30, b"whoever"),
        "validity": der(0x30, der(0x17, b"260101000000Z"), der(0x18, b"20500101000000Z")),
        "subject": der(0x30),
        "key": der(0x30, x509.P384_KEY, der(3, b"\0", POINT)),
        "ids": b"",
        "extensions": der(0xA3, der(0x30, *extensions)) if extensions else b"",
        "after": b"",
    } | {name: value for name, value in changes.items() if name not in ("outer", "signature", "tail")}
    outer, signature = changes.get("outer", x509.ECDSA_SHA384), changes.get("signature", der(3, b"\0sig"))
    return der(0x30, der(0x30, *parts.values()), outer, signature, changes.get("tail", b""))


def cases() -> Iterator[tuple[str, bytes]]:
    """Names and certificates."""
    ca, usage = extension(CONSTRAINTS, CA, TRUE), extension(USAGE, SIGNS, TRUE)
    yield "a CA", certificate(ca, usage)
    yield "no extensions", certificate()
    for oid, name in (
        (SAN, "a subjectAltName"),
        (TLS_FEATURE, "a TLS feature"),
        ("551d23", "an authority key id"),
    ):
        for value in ("3002a500", "3003020164", "", "00", "ff", "30", "3080", "30820001"):
            yield (
                f"{name} of {value or 'nothing'}",
                certificate(ca, usage, extension(oid, bytes.fromhex(value))),
            )
    yield "a critical one unknown", certificate(ca, usage, extension(SAN, b"\x30\0", TRUE))
    yield "an extension twice", certificate(ca, usage, extension(SAN, b""), extension(SAN, b"\x30\0"))
    yield "constraints twice", certificate(ca, ca)
    yield "no extension in the list", certificate(extensions=der(0xA3, der(0x30)))
    yield "no list", certificate(extensions=der(0xA3))
    yield "two lists", certificate(extensions=der(0xA3, der(0x30, ca), der(0x30, ca)))
    for flag in ("010100", "010101", "0100", "0102ffff", "0101ff0101ff"):
        yield f"flag {flag}", certificate(extension(CONSTRAINTS, CA, bytes.fromhex(flag)))
    for oid in ("", "80551d11", "551d91", "55801d11", "8180", "ffffffffffffffffff7f", "00"):
        yield f"identifier {oid or 'empty'}", certificate(extension(oid, b""))
    for value in (
        "3000",
        "3003010100",
        "3003010101",
        "30060101ff020100",
        "30060101ff020103",
        "30060101ff0201ff",
        "3003020100",
        "30070101ff02020001",
        "300e0101ff020900ffffffffffffffff",
        "30080101ff020100" + "0500",
        "0500",
        "30030101ff00",
        "3081030101ff",
        "",
        "300a0101ff02047fffffff00",
    ):
        yield (
            f"constraints {value or 'nothing'}",
            certificate(extension(CONSTRAINTS, bytes.fromhex(value), TRUE)),
        )
    for value in (
        "03020780",
        "03020204",
        "03020186",
        "0301",
        "030100",
        "030107",
        "03020884",
        "030203ff",
        "0303008001",
        "030200ff",
        "0303070480",
        "0302020400",
        "",
        "04020204",
        "2306030202040302",
    ):
        yield f"usage {value or 'nothing'}", certificate(extension(USAGE, bytes.fromhex(value)))
    for version in ("", "a003020101", "a003020103", "a00402020002", "a0050201020500", "a0030a0102", "a000"):
        yield f"version {version or 'absent'}", certificate(version=bytes.fromhex(version))
    for serial in ("020100", "0201ff", "02020001", "0200", "0a0107", "0215" + "7f" * 21, "0216" + "7f" * 22):
        yield f"serial {serial:.12}", certificate(serial=bytes.fromhex(serial))
    for first in (
        b"\x17\x0d491231235959Z",
        b"\x17\x0d500101000000Z",
        b"\x17\x0d260230000000Z",
        b"\x17\x0d260229000000Z",
        b"\x17\x0d240229000000Z",
        b"\x17\x0b2601010000Z",
        b"\x17\x11260101000000+0000",
        b"\x18\x0f20260101000000Z",
        b"\x18\x0f00000101000000Z",
        b"\x18\x0f00010101000000Z",
        b"\x18\x0f99991231235959Z",
        b"\x17\x0d260101240000Z",
        b"\x17\x0d260101006000Z",
        b"\x17\x0d260101000060Z",
        b"\x17\x0d26010100000 Z",
        b"\x17\x0d2601010000\xd9\xa0Z",
        b"\x18\x1120260101000000.0Z",
        b"\x16\x0d260101000000Z",
        b"\x17\x0e260101000000Z\n",
        b"\x18\x0f21000229000000Z",
    ):
        yield f"from {first!r}", certificate(validity=der(0x30, first, b"\x17\x0d490101000000Z"))
    yield "one time", certificate(validity=der(0x30, b"\x17\x0d490101000000Z"))
    yield "three times", certificate(validity=der(0x30, *(b"\x17\x0d490101000000Z",) * 3))
    for name in (b"\x30\x02\xa5\0", b"\x30\x01\0", b"\x31\0", b"\x30\x80\0\0", b"\x30\x81\x01\0"):
        yield f"named {name.hex()}", certificate(issuer=name, subject=name)
    for point in (POINT[:-1], POINT + b"\0", b"\x02" + POINT[1:49], b"", b"\x06" + POINT[1:]):
        yield (
            f"point {point[:1].hex()} of {len(point)}",
            certificate(key=der(0x30, x509.P384_KEY, der(3, b"\0", point))),
        )
    yield "key with padding", certificate(key=der(0x30, x509.P384_KEY, der(3, b"\x01", POINT[:-1], b"\xfe")))
    yield (
        "key of another kind",
        certificate(key=der(0x30, der(0x30, der(6, b"\x2b\x65\x70")), der(3, b"\0", POINT))),
    )
    yield "key with more", certificate(key=der(0x30, x509.P384_KEY, der(3, b"\0", POINT), b"\5\0"))
    yield "key without bits", certificate(key=der(0x30, x509.P384_KEY))
    yield "unique ids", certificate(ids=b"\x81\x01\x07\x82\0")
    yield "unique ids backwards", certificate(ids=b"\x82\0\x81\0")
    yield "other algorithms", certificate(inner=der(0x30, b"whatever"), outer=der(0x30))
    yield "signature with padding", certificate(signature=b"\x03\x02\x01\x02")
    yield "signature of nothing", certificate(signature=b"\x03\x01\0")
    yield "signature empty", certificate(signature=b"\x03\0")
    yield "more in the signed part", certificate(after=b"\5\0")
    yield "more behind", certificate(tail=b"\5\0")
    whole = certificate(ca, usage)
    yield "bytes behind", whole + b"\0"
    yield "cut", whole[:-1]
    yield "nothing", b""
    yield "a long length", b"\x30\x83\0" + whole[2:]
    yield "an indefinite length", b"\x30\x80" + whole[4:] + b"\0\0"
    yield "a high tag", b"\x3f\x10" + whole[1:]


def certificate_vectors() -> list[dict[str, Any]]:
    """Each certificate with what is read out of it; null where it cannot be read."""
    return [{"why": why, "der": data.hex(), "read": told(data)} for why, data in cases()]


def told(data: bytes) -> dict[str, Any] | None:
    """What is read out of a certificate."""
    try:
        found = x509.read(data)
    except VerificationFailed:
        return None
    point, ca, usage = found.p384_point(), found.constraints, found.usage
    return {
        "issuer": found.issuer.hex(),
        "subject": found.subject.hex(),
        "first": found.first,
        "last": found.last,
        "key": None if point is None else point.hex(),
        "critical": [name.hex() for name, each in found.extensions.items() if each.critical],
        "constraints": None
        if ca is None
        else [ca.critical, ca.ca, None if ca.path_length is None else str(ca.path_length)],
        "usage": None if usage is None else [usage.critical, usage.digital_signature, usage.cert_sign],
    }


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def key_vectors() -> list[dict[str, Any]]:
    """Ed25519 keys, and whether they can be relied on."""
    small = (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    )
    found = [("of small order", bytes.fromhex(key)) for key in small]
    found += [("y not below p", (P + y).to_bytes(32, "little")) for y in (0, 1, 3, 18)]
    found += [("y not below p, signed", (P + y + (1 << 255)).to_bytes(32, "little")) for y in (0, 1, 3, 18)]
    found += [("x of zero with a sign", (y + (1 << 255)).to_bytes(32, "little")) for y in (1, P - 1)]
    found += [("small y", (y + sign).to_bytes(32, "little")) for y in range(2, 20) for sign in (0, 1 << 255)]
    rfc8032 = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    found += [("RFC 8032, first test", bytes.fromhex(rfc8032)), ("all ones", b"\xff" * 32)]
    return [{"why": why, "key": key.hex(), "sound": is_public_key(key)} for why, key in found]
