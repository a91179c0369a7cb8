"""Anchor.sol as Python sees it: call data, return data, errors, and its address.

The contract is deployed by CREATE2 (EIP-1014) through the deterministic deployment proxy that most chains
have at one address, with salt zero. So its address is a function of its code, network, origin, signers and
threshold: who has the address from a trust file need not check any of these again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.hashing import keccak256, sha256
from hallmark.services.chain.rpc import LARGEST, RPC, Reverted

FACTORY: Final = bytes.fromhex("4e59b44847b379578588920ca78fbf26c0b4956c")
SALT: Final = bytes(32)
CHECKPOINT_ABI: Final = "(bytes32,uint64,uint64,uint64)"


class Artifact(msgspec.Struct, frozen=True):
    """What contracts/compile.mjs writes: name, compiler version, EVM version, ABI, codes as 0x-hex."""

    name: str
    compiler: str
    abi: list[Any]
    bytecode: str
    deployed_bytecode: str = msgspec.field(name="deployedBytecode")
    evm_version: str = msgspec.field(name="evmVersion")


class Parameters(msgspec.Struct, frozen=True):
    """What an Anchor is made for: 32-byte network id, origin text, 20-byte signer addresses, quorum."""

    network: bytes
    origin: str
    signers: tuple[bytes, ...]
    threshold: int


class Stored(msgspec.Struct, frozen=True):
    """A checkpoint as the contract stores it. `time` in seconds; `previous` is the size anchored before
    it.
    """

    size: int
    root: bytes
    block: int
    time: int
    previous: int


def read_contract(path: Path) -> Artifact:
    """Read a compiled contract. Raises InvalidInput `bad_contract_file`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Artifact)
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidInput(
            "bad_contract_file", f"{path.name} is no compiled contract.", "Run `hallmark up` to compile it."
        ) from error


def load_abi() -> None:
    """Import what encodes calls. It takes a second, so a service's loop has it done in a thread."""
    import eth_abi.abi  # noqa: F401 - for its being there


def abi_encode(types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Contract ABI encoding. The library is imported here, because every gateway would wait for it at
    its start.
    """
    from eth_abi.abi import encode

    return encode(types, values)


def abi_decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Contract ABI decoding. Raises VerificationFailed `not_an_anchor`."""
    from eth_abi.abi import decode

    try:
        return decode(types, data)
    except Exception as error:
        # Offsets and lengths are the endpoint's: the library raises whatever they lead it to.
        raise VerificationFailed(
            "not_an_anchor", "There is no Anchor contract at this address.", "Compare the trust file."
        ) from error


def selector(signature: str) -> bytes:
    """First four bytes of Keccak-256 of a function or error signature."""
    return keccak256(signature.encode())[:4]


def call_data(name: str, kinds: Sequence[str], values: Sequence[Any]) -> bytes:
    """Call data of a function, by its name and the types of its arguments."""
    return selector(f"{name}({','.join(kinds)})") + abi_encode(kinds, values)


def creation_code(artifact: Artifact, parameters: Parameters) -> bytes:
    """Bytecode followed by the ABI-encoded constructor arguments."""
    arguments = abi_encode(
        ["bytes32", "bytes32", "address[]", "uint256"],
        [
            parameters.network,
            sha256(parameters.origin.encode()),
            ["0x" + signer.hex() for signer in parameters.signers],
            parameters.threshold,
        ],
    )
    return bytes.fromhex(artifact.bytecode.removeprefix("0x")) + arguments


def create2_address(code: bytes) -> bytes:
    """Where the deployment proxy puts creation code with salt zero, on every chain (EIP-1014)."""
    return keccak256(b"\xff" + FACTORY + SALT + keccak256(code))[12:]


def anchor_address(artifact: Artifact, parameters: Parameters) -> bytes:
    """Where this Anchor is on every chain."""
    return create2_address(creation_code(artifact, parameters))


def submit_call(size: int, root: bytes, signatures: tuple[bytes, ...]) -> bytes:
    """Call data of `submit`. Signatures must be in ascending order of their signers' addresses."""
    return call_data("submit", ["uint64", "bytes32", "bytes[]"], [size, root, list(signatures)])


def inclusion_call(leaf: bytes, index: int, size: int, proof: tuple[bytes, ...]) -> bytes:
    """Call data of `verifyInclusion`; `leaf` is the RFC 6962 leaf hash."""
    kinds = ["bytes32", "uint64", "uint64", "bytes32[]"]
    return call_data("verifyInclusion", kinds, [leaf, index, size, list(proof)])


ERRORS: Final = {
    selector(f"{name}({kinds})"): name
    for name, kinds in (
        ("BadThreshold", "uint256,uint256"),
        ("BadSigner", "address"),
        ("EmptyCheckpoint", ""),
        ("NotLarger", "uint64,uint64"),
        ("ConflictingRoot", "uint64,bytes32,bytes32"),
        ("TooFewSignatures", "uint256,uint256"),
        ("UnknownSigner", "address"),
        ("SignersNotAscending", "address,address"),
        ("UnknownCheckpoint", "uint64"),
        ("NotIncluded", "uint64,uint64"),
        ("ECDSAInvalidSignature", ""),
        ("ECDSAInvalidSignatureLength", "uint256"),
        ("ECDSAInvalidSignatureS", "bytes32"),
    )
}


def error_name(revert: Reverted) -> str:
    """Name of the contract's custom error, empty when it is none of Anchor's."""
    return ERRORS.get(revert.data[:4], "")


def _stored(size: int, checkpoint: tuple[bytes, int, int, int]) -> Stored:
    """A checkpoint that the contract answered with.

    Raises VerificationFailed `not_an_anchor` for numbers that no Anchor of a real log holds.
    """
    if max(size, *checkpoint[1:]) > LARGEST:
        raise VerificationFailed(
            "not_an_anchor",
            "The contract answers with numbers that no log reaches.",
            "Compare the trust file.",
        )
    return Stored(size, *checkpoint)


class AnchorContract:
    """Read-only calls on one deployed Anchor. Raises what `RPC` raises."""

    def __init__(self, rpc: RPC, address: bytes) -> None:
        self._rpc = rpc
        self.address = address

    async def deployed(self) -> bool:
        """True when there is code at the address."""
        return bool(await self._rpc.code(self.address))

    async def latest(self) -> Stored:
        """The newest anchored checkpoint; size 0 before the first."""
        size, checkpoint = await self._read("latest()", b"", ["uint64", CHECKPOINT_ABI])
        return _stored(size, checkpoint)

    async def stored(self, size: int) -> Stored | None:
        """The checkpoint of exactly `size`, None when it is not anchored."""
        try:
            (checkpoint,) = await self._read(
                "checkpointAt(uint64)", abi_encode(["uint64"], [size]), [CHECKPOINT_ABI]
            )
        except Reverted as revert:
            if error_name(revert) == "UnknownCheckpoint":
                return None
            raise
        return _stored(size, checkpoint)

    async def parameters(self) -> tuple[bytes, bytes, tuple[bytes, ...], int]:
        """Network id, SHA-256 of the origin, signers, threshold, as deployed."""
        (network,) = await self._read("network()", b"", ["bytes32"])
        (origin,) = await self._read("origin()", b"", ["bytes32"])
        (signers,) = await self._read("signers()", b"", ["address[]"])
        (threshold,) = await self._read("threshold()", b"", ["uint256"])
        return network, origin, tuple(bytes.fromhex(signer[2:]) for signer in signers), threshold

    async def verify_inclusion(self, leaf: bytes, index: int, size: int, proof: tuple[bytes, ...]) -> Stored:
        """Have the contract check an inclusion proof. Raises VerificationFailed `not_included`."""
        try:
            returned = await self._rpc.read(self.address, inclusion_call(leaf, index, size, proof))
        except Reverted as revert:
            raise VerificationFailed(
                "not_included", f"The contract refuses the proof: {error_name(revert) or revert.message}."
            ) from revert
        return _stored(size, abi_decode([CHECKPOINT_ABI], returned)[0])

    async def _read(self, signature: str, arguments: bytes, returns: list[str]) -> tuple[Any, ...]:
        returned = await self._rpc.read(self.address, selector(signature) + arguments)
        return abi_decode(returns, returned)
