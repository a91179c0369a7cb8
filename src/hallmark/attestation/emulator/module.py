"""The emulated security module: a bank of 32 registers and the operations of the NSM wire format."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from typing import Final

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from hallmark.attestation import nsm
from hallmark.attestation.cose import COORDINATE_SIZE, ES384_HEADER, Sign1
from hallmark.attestation.emulator.pki import Chain, DevelopmentRoot
from hallmark.attestation.nsm import ErrorCode
from hallmark.core.errors import InvalidInput

PCR_SIZE = 48
LOCKED_AT_START = 16
RANDOM_SIZE = 256
VERSION: Final = {"version_major": 1, "version_minor": 0, "version_patch": 0}
LIMITS: Final = {"user_data": 512, "nonce": 512, "public_key": 1024}


def pcr_of(content: bytes) -> bytes:
    """The value of a register that was extended once by `content`; 48 bytes.

    SHA384(48 zero bytes || SHA384(content)), as Nitro computes PCR0 to PCR2.
    """
    return pcr_of_digest(hashlib.sha384(content).digest())


def pcr_of_digest(digest: bytes) -> bytes:
    """`pcr_of` for content whose SHA-384 is already known (48 bytes). Raises InvalidInput `bad_pcr`."""
    if len(digest) != PCR_SIZE:
        raise InvalidInput("bad_pcr", f"A SHA-384 digest has {PCR_SIZE} bytes.")
    return hashlib.sha384(bytes(PCR_SIZE) + digest).digest()


class _Refused(Exception):
    """The module answers with an error code."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code.value)
        self.code = code


class SecurityModule:
    """One enclave's security module. Not safe for use by several threads at once.

    `pcrs` are the values (48 bytes each) that registers have at start; registers 0 to 15 are locked from
    the start, so that documents carry them. `random(n)` gives n random bytes.
    """

    def __init__(
        self,
        root: DevelopmentRoot,
        pcrs: Mapping[int, bytes],
        *,
        module_id: str = "",
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        if any(not 0 <= i < nsm.PCR_COUNT or len(value) != PCR_SIZE for i, value in pcrs.items()):
            raise InvalidInput("bad_pcr", f"Registers are 0 to 31 and hold {PCR_SIZE} bytes.")
        self._pcrs = [pcrs.get(index, bytes(PCR_SIZE)) for index in range(nsm.PCR_COUNT)]
        self._locked = set(range(LOCKED_AT_START))
        self._random = random
        self.module_id = module_id or f"dev-{random(8).hex()}-enc{random(8).hex()}"
        self._chain = Chain(root, self.module_id)
        self._root = root
        self._operations: dict[str, Callable[[Mapping[str, object], int], bytes]] = {
            "DescribePCR": self._describe_pcr,
            "ExtendPCR": self._extend_pcr,
            "LockPCR": self._lock_pcr,
            "LockPCRs": self._lock_pcrs,
            "DescribeNSM": self._describe,
            "Attestation": self._attest,
            "GetRandom": self._get_random,
            "DevelopmentSealingSecret": self._sealing_secret,
        }

    def handle(self, request: bytes, now: int) -> bytes:
        """Answer one encoded request at time `now` (unix ms). Whatever the request is, there is an answer."""
        if len(request) > nsm.MAX_REQUEST:
            return nsm.encode_error(ErrorCode.INPUT_TOO_LARGE)
        try:
            name, arguments = nsm.decode(request)
        except InvalidInput:
            return nsm.encode_error(ErrorCode.INVALID_ARGUMENT)
        operation = self._operations.get(name)
        if operation is None:
            return nsm.encode_error(ErrorCode.INVALID_OPERATION)
        if arguments is not None and type(arguments) is not dict:
            return nsm.encode_error(ErrorCode.INVALID_ARGUMENT)
        try:
            return operation(arguments or {}, now)
        except _Refused as refused:
            return nsm.encode_error(refused.code)

    def transport(self, clock: Callable[[], int]) -> nsm.Transport:
        """The module as a transport, for an attester in the same process; `clock` gives unix ms."""
        return lambda request: self.handle(request, clock())

    def _describe_pcr(self, arguments: Mapping[str, object], _now: int) -> bytes:
        index = self._index(arguments)
        return nsm.encode("DescribePCR", {"lock": index in self._locked, "data": self._pcrs[index]})

    def _extend_pcr(self, arguments: Mapping[str, object], _now: int) -> bytes:
        index, data = self._index(arguments), arguments.get("data")
        if type(data) is not bytes:
            raise _Refused(ErrorCode.INVALID_ARGUMENT)
        if index in self._locked:
            raise _Refused(ErrorCode.READ_ONLY_INDEX)
        self._pcrs[index] = hashlib.sha384(self._pcrs[index] + data).digest()
        return nsm.encode("ExtendPCR", {"data": self._pcrs[index]})

    def _lock_pcr(self, arguments: Mapping[str, object], _now: int) -> bytes:
        index = self._index(arguments)
        if index in self._locked:
            raise _Refused(ErrorCode.READ_ONLY_INDEX)
        self._locked.add(index)
        return nsm.encode("LockPCR")

    def _lock_pcrs(self, arguments: Mapping[str, object], _now: int) -> bytes:
        count = _number(arguments, "range")
        if count > nsm.PCR_COUNT:
            raise _Refused(ErrorCode.INVALID_INDEX)
        self._locked.update(range(count))
        return nsm.encode("LockPCRs")

    def _describe(self, _arguments: Mapping[str, object], _now: int) -> bytes:
        return nsm.encode(
            "DescribeNSM",
            {
                **VERSION,
                "module_id": self.module_id,
                "max_pcrs": nsm.PCR_COUNT,
                "locked_pcrs": sorted(self._locked),
                "digest": "SHA384",
            },
        )

    def _get_random(self, _arguments: Mapping[str, object], _now: int) -> bytes:
        return nsm.encode("GetRandom", {"random": self._random(RANDOM_SIZE)})

    def _sealing_secret(self, _arguments: Mapping[str, object], _now: int) -> bytes:
        """No operation of a real module: what a key service would release to this measurement."""
        return nsm.encode("DevelopmentSealingSecret", {"secret": self._root.sealing_secret(self._pcrs[:3])})

    def _attest(self, arguments: Mapping[str, object], now: int) -> bytes:
        values = {name: _caller_data(arguments, name) for name in LIMITS}
        leaf, bundle = self._chain.at(now)
        fields = {
            "module_id": self.module_id,
            "digest": "SHA384",
            "timestamp": now,
            "pcrs": {index: self._pcrs[index] for index in sorted(self._locked)},
            "certificate": leaf.der,
            "cabundle": list(bundle),
            "public_key": values["public_key"],
            "user_data": values["user_data"],
            "nonce": values["nonce"],
        }
        return nsm.encode("Attestation", {"document": sign(encode_payload(fields), leaf.key)})

    def _index(self, arguments: Mapping[str, object]) -> int:
        index = _number(arguments, "index")
        if index >= nsm.PCR_COUNT:
            raise _Refused(ErrorCode.INVALID_INDEX)
        return index


def encode_payload(fields: Mapping[str, object]) -> bytes:
    """A payload as an indefinite-length map, the shape of Nitro's documents since December 2025."""
    return b"".join((b"\xbf", *(cbor2.dumps(k) + cbor2.dumps(v) for k, v in fields.items()), b"\xff"))


def sign(payload: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """An untagged COSE_Sign1 over `payload` by a P-384 key (ES384)."""
    unsigned = Sign1(payload, b"")
    r, s = decode_dss_signature(key.sign(unsigned.signed_bytes(), ec.ECDSA(hashes.SHA384())))
    signature = r.to_bytes(COORDINATE_SIZE, "big") + s.to_bytes(COORDINATE_SIZE, "big")
    return cbor2.dumps([ES384_HEADER, {}, payload, signature])


def _number(arguments: Mapping[str, object], name: str) -> int:
    value = arguments.get(name)
    if type(value) is not int or not 0 <= value <= 0xFFFF:
        raise _Refused(ErrorCode.INVALID_ARGUMENT)
    return value


def _caller_data(arguments: Mapping[str, object], name: str) -> bytes | None:
    value = arguments.get(name)
    if value is None:
        return None
    if type(value) is not bytes or (name == "public_key" and not value):
        raise _Refused(ErrorCode.INVALID_ARGUMENT)
    if len(value) > LIMITS[name]:
        raise _Refused(ErrorCode.INPUT_TOO_LARGE)
    return value
