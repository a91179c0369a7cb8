"""Anchor.sol on a real EVM."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from hallmark.core.beacon import network_id
from hallmark.core.document import hex0x
from hallmark.core.documents import AnchorRecord
from hallmark.core.errors import Unavailable, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.core.merkle import inclusion_proof, leaf_hash, node_hash
from hallmark.core.statements import AnchoredCheckpoint
from hallmark.crypto.secp256k1 import HALF_ORDER, Key, sign_statement
from hallmark.services.chain.check import check_anchor
from hallmark.services.chain.contract import (
    AnchorContract,
    Parameters,
    anchor_address,
    creation_code,
    error_name,
    inclusion_call,
    read_contract,
    submit_call,
)
from hallmark.services.chain.rpc import RPC, Reverted, quantity
from hallmark.services.chain.transactions import deploy_anchor
from hallmark.testing.anvil import CHAIN_ID, fund, running_anvil, toolchain, transact

pytestmark = pytest.mark.integration

BYTECODE = "be50d4469cecac983e0719efd308bd936c0a41fcdfb90e3d96f80f945cf3e939"
ORDER = 2 * HALF_ORDER + 1
SUBMITTER = Key(b"\x09" * 32)
SIGNERS = sorted((Key(bytes([n]) * 32) for n in range(1, 5)), key=lambda key: key.address)
OUTSIDER = Key(b"\x08" * 32)
_origins = itertools.count()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One chain for all tests of this file."""
    with running_anvil() as url:
        yield url


@pytest.fixture
async def rpc(url: str) -> AsyncIterator[RPC]:
    """A client of the chain, with a submitter that can pay."""
    rpc = RPC(url)
    await fund(rpc, SUBMITTER)
    yield rpc
    await rpc.aclose()


class Deployed:
    """An Anchor of a log of its own."""

    def __init__(self, rpc: RPC, parameters: Parameters, address: bytes) -> None:
        self.rpc = rpc
        self.parameters = parameters
        self.address = address
        self.contract = AnchorContract(rpc, address)

    def sign(self, key: Key, size: int, root: bytes, *, chain_id: int = CHAIN_ID) -> bytes:
        statement = AnchoredCheckpoint(
            self.parameters.network, sha256(self.parameters.origin.encode()), size, root
        )
        return sign_statement(statement, chain_id, key)

    def quorum(self, size: int, root: bytes, count: int = 3) -> tuple[bytes, ...]:
        return tuple(self.sign(key, size, root) for key in SIGNERS[:count])

    async def submit(self, size: int, root: bytes, signatures: tuple[bytes, ...] | None = None) -> int:
        """Gas used. Fails when the transaction reverts."""
        data = submit_call(size, root, self.quorum(size, root) if signatures is None else signatures)
        receipt = await transact(self.rpc, SUBMITTER, self.address, data)
        assert receipt["status"] == "0x1"
        return quantity(receipt["gasUsed"])

    async def refusal(self, size: int, root: bytes, signatures: tuple[bytes, ...]) -> str:
        """Name of the error with which the contract refuses; the real transaction must revert too."""
        data = submit_call(size, root, signatures)
        before = await self.contract.latest()
        receipt = await transact(self.rpc, SUBMITTER, self.address, data)
        assert receipt["status"] == "0x0"
        assert await self.contract.latest() == before
        with pytest.raises(Reverted) as revert:
            await self.rpc.read(self.address, data)
        return error_name(revert.value)


@pytest.fixture
async def anchor(rpc: RPC) -> Deployed:
    """A fresh Anchor; deploying it again does nothing."""
    artifact = read_contract(toolchain().contracts / "Anchor.json")
    origin = f"test.example/{next(_origins)}"
    parameters = Parameters(network_id(origin), origin, tuple(key.address for key in SIGNERS), 3)
    deployment = await deploy_anchor(rpc, SUBMITTER, artifact, parameters)
    assert deployment.transaction
    assert deployment.address == anchor_address(artifact, parameters)
    assert await deploy_anchor(rpc, SUBMITTER, artifact, parameters) == msgspec.structs.replace(
        deployment, transaction=b""
    )
    return Deployed(rpc, parameters, deployment.address)


def test_bytecode_is_reproduced() -> None:
    """Compiling gives the same code everywhere; other code is another address for every network."""
    artifact = read_contract(toolchain().contracts / "Anchor.json")
    assert sha256(artifact.bytecode.encode()).hex() == BYTECODE


async def test_parameters_are_what_was_deployed(anchor: Deployed) -> None:
    """The contract says for which log and by which signers it was made, and nothing is anchored yet."""
    network, origin, signers, threshold = await anchor.contract.parameters()
    assert network == anchor.parameters.network
    assert origin == sha256(anchor.parameters.origin.encode())
    assert signers == anchor.parameters.signers
    assert threshold == 3
    assert (await anchor.contract.latest()).size == 0
    assert await anchor.contract.stored(0) is None


async def test_quorum_anchors(anchor: Deployed) -> None:
    """Three of four signers anchor a checkpoint; it is found by size, with its block and predecessor."""
    await anchor.submit(5, b"\x05" * 32)
    await anchor.submit(9, b"\x09" * 32, anchor.quorum(9, b"\x09" * 32, 4))
    first, second = await anchor.contract.stored(5), await anchor.contract.stored(9)
    assert first is not None
    assert second is not None
    assert (first.root, first.previous) == (b"\x05" * 32, 0)
    assert (second.root, second.previous) == (b"\x09" * 32, 5)
    assert second.block == await anchor.rpc.head()
    assert await anchor.contract.latest() == second
    assert await anchor.contract.stored(7) is None


async def test_quorum_must_be_distinct_known_and_enough(anchor: Deployed) -> None:
    """Too few, one twice, a stranger, unsorted, or a damaged signature: each reverts under its own name."""
    root = b"\x05" * 32
    good = anchor.quorum(5, root)
    assert await anchor.refusal(5, root, ()) == "TooFewSignatures"
    assert await anchor.refusal(5, root, good[:2]) == "TooFewSignatures"
    assert await anchor.refusal(5, root, (good[0], good[1], good[1])) == "SignersNotAscending"
    assert await anchor.refusal(5, root, (good[1], good[0], good[2])) == "SignersNotAscending"
    keys = sorted((*SIGNERS[:2], OUTSIDER), key=lambda key: key.address)
    strangers = tuple(anchor.sign(key, 5, root) for key in keys)
    assert await anchor.refusal(5, root, strangers) == "UnknownSigner"
    assert await anchor.refusal(5, root, (*good[:2], good[2][:64])) == "ECDSAInvalidSignatureLength"
    assert await anchor.refusal(5, root, (*good[:2], bytes(65))) == "ECDSAInvalidSignature"
    await anchor.submit(5, root, good)


async def test_malleable_signature_is_no_second_signer(anchor: Deployed) -> None:
    """The other valid form of a signature (high s) is refused, so that it never counts as another one."""
    root = b"\x05" * 32
    good = anchor.quorum(5, root)
    r, s, v = good[1][:32], int.from_bytes(good[1][32:64], "big"), good[1][64]
    twin = r + (ORDER - s).to_bytes(32, "big") + bytes([55 - v])
    assert await anchor.refusal(5, root, (good[0], good[1], twin)) == "ECDSAInvalidSignatureS"


async def test_signatures_are_bound_to_everything(anchor: Deployed) -> None:
    """Signatures over another root, size, origin, network or chain id never make a quorum here."""
    root = b"\x05" * 32
    other = Deployed(anchor.rpc, msgspec.structs.replace(anchor.parameters, origin="x"), anchor.address)
    network = msgspec.structs.replace(anchor.parameters, network=bytes(32))
    foreign = Deployed(anchor.rpc, network, anchor.address)
    chain = tuple(anchor.sign(key, 5, root, chain_id=1) for key in SIGNERS[:3])
    for signatures in (
        anchor.quorum(5, b"\x06" * 32),
        anchor.quorum(6, root),
        other.quorum(5, root),
        foreign.quorum(5, root),
        chain,
    ):
        # They recover to keys that nobody has, in an order that nobody chose.
        assert await anchor.refusal(5, root, signatures) in ("UnknownSigner", "SignersNotAscending")


async def test_size_never_goes_back(anchor: Deployed) -> None:
    """A smaller or equal size reverts; the same size with another root reverts as a conflict."""
    await anchor.submit(5, b"\x05" * 32)
    for size, root, name in (
        (4, b"\x04" * 32, "NotLarger"),
        (5, b"\x05" * 32, "NotLarger"),
        (5, b"\x06" * 32, "ConflictingRoot"),
        (0, b"\x00" * 32, "EmptyCheckpoint"),
    ):
        assert await anchor.refusal(size, root, anchor.quorum(size, root)) == name
    await anchor.submit(6, b"\x06" * 32)


@pytest.mark.parametrize(
    ("signers", "threshold"),
    [
        ((), 0),
        ((SIGNERS[0],), 0),
        ((SIGNERS[0],), 2),
        (SIGNERS, 2),
        ((SIGNERS[0], SIGNERS[1], SIGNERS[0]), 2),
    ],
)
async def test_unsafe_parameters_do_not_deploy(rpc: RPC, signers: tuple[Key, ...], threshold: int) -> None:
    """No threshold, one out of reach, at most half, or a signer named twice: there is no such contract."""
    artifact = read_contract(toolchain().contracts / "Anchor.json")
    addresses = tuple(key.address for key in signers)
    parameters = Parameters(bytes(32), "unsafe", addresses, threshold)
    with pytest.raises(Reverted) as revert:
        await rpc.call("eth_call", {"data": hex0x(creation_code(artifact, parameters))}, "latest")
    assert error_name(revert.value) in ("BadThreshold", "BadSigner")
    with pytest.raises(Unavailable) as error:
        await deploy_anchor(rpc, SUBMITTER, artifact, parameters)
    assert (error.value.reason, "mined and reverted" in str(error.value)) == ("deployment_failed", True)


class Log:
    """Leaves, their tree, and proofs from the ledger's own code."""

    def __init__(self, size: int) -> None:
        self.hashes = [leaf_hash(n.to_bytes(4, "big")) for n in range(size)]

    def node(self, level: int, index: int) -> bytes:
        if level == 0:
            return self.hashes[index]
        return node_hash(self.node(level - 1, 2 * index), self.node(level - 1, 2 * index + 1))

    def root(self, start: int = 0, end: int | None = None) -> bytes:
        """Straight from RFC 6962 section 2.1, so that nothing is checked against itself."""
        end = len(self.hashes) if end is None else end
        if end - start == 1:
            return self.hashes[start]
        split = 1 << ((end - start - 1).bit_length() - 1)
        return node_hash(self.root(start, start + split), self.root(start + split, end))

    def proof(self, index: int) -> tuple[bytes, ...]:
        return inclusion_proof(index, len(self.hashes), self.node)


SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 16, 17, 31, 33, 64, 100)


async def test_inclusion_of_every_position(anchor: Deployed) -> None:
    """Every leaf of small logs and some of larger ones is proven to the contract."""
    rng = random.Random(6962)
    for size in SIZES:
        log = Log(size)
        await anchor.submit(size, log.root())
        for index in range(size) if size < 10 else sorted({0, 1, size - 1, *rng.sample(range(size), 4)}):
            stored = await anchor.contract.verify_inclusion(log.hashes[index], index, size, log.proof(index))
            assert stored.root == log.root()


async def test_wrong_proofs_revert(anchor: Deployed) -> None:
    """A proof with any part changed, cut, extended or moved to another place is refused."""
    sizes = (1, 2, 3, 5, 7, 8, 13)
    logs = {size: Log(size) for size in sizes}
    for size in sizes:
        await anchor.submit(size, logs[size].root())
    tried = 0
    for size in sizes:
        log = logs[size]
        for index in range(size):
            leaf, proof = log.hashes[index], log.proof(index)
            wrong: list[tuple[bytes, int, tuple[bytes, ...]]] = [
                (sha256(leaf), index, proof),
                (leaf, index, (*proof, bytes(32))),
                (leaf, index, (bytes(32), *proof)),
                (leaf, size, proof),
                (leaf, 2**64 - 1, proof),
            ]
            wrong += [(leaf, other, proof) for other in range(size) if other != index]
            wrong += [
                (leaf, index, (*proof[:at], sha256(proof[at]), *proof[at + 1 :])) for at in range(len(proof))
            ]
            wrong += [(leaf, index, proof[:-1]), (leaf, index, proof[::-1])] if len(proof) > 1 else []
            wrong += [(leaf, index, ())] if proof else []
            for case in wrong:
                if case == (leaf, index, proof):
                    continue
                with pytest.raises(VerificationFailed) as error:
                    await anchor.contract.verify_inclusion(case[0], case[1], size, case[2])
                assert "NotIncluded" in error.value.message
                tried += 1
    assert tried > 300


async def test_inclusion_needs_an_anchored_size(anchor: Deployed) -> None:
    """A right proof below a checkpoint that nobody anchored proves nothing."""
    log = Log(5)
    with pytest.raises(VerificationFailed) as error:
        await anchor.contract.verify_inclusion(log.hashes[0], 0, 5, log.proof(0))
    assert "UnknownCheckpoint" in error.value.message


async def test_inclusion_at_depth_twenty(anchor: Deployed) -> None:
    """A synthetic path of twenty siblings is folded as the ledger folds it, within 65,000 gas."""
    index, size = 0b1011_0110_0101_1010_0111, 1 << 20
    proof = tuple(sha256(bytes([n])) for n in range(20))
    root = leaf = sha256(b"leaf")
    for level, sibling in enumerate(proof):
        root = node_hash(sibling, root) if index >> level & 1 else node_hash(root, sibling)
    await anchor.submit(size, root)
    stored = await anchor.contract.verify_inclusion(leaf, index, size, proof)
    assert stored.size == size
    data = inclusion_call(leaf, index, size, proof)
    gas = await anchor.rpc.call("eth_estimateGas", {"to": hex0x(anchor.address), "data": hex0x(data)})
    assert quantity(gas) < 65_000


async def test_gas_of_a_checkpoint(anchor: Deployed) -> None:
    """A checkpoint by three of four costs less than 100,000 gas; each signature more less than 9,000."""
    await anchor.submit(1, b"\x01" * 32)
    three = await anchor.submit(2, b"\x02" * 32)
    four = await anchor.submit(3, b"\x03" * 32, anchor.quorum(3, b"\x03" * 32, 4))
    assert three < 100_000
    assert four - three < 9_000


async def test_check_anchor_reads_the_contract(anchor: Deployed) -> None:
    """The client-side check follows the contract, and every confirmation is a real block."""
    root = b"\x05" * 32
    await anchor.submit(5, root)
    record = AnchorRecord(
        chain_id=CHAIN_ID,
        contract=hex0x(anchor.address),
        transaction=hex0x(bytes(32)),
        block=0,
        size=5,
        root=hex0x(root),
        confirmations=1000,
    )
    found = await check_anchor(anchor.rpc, anchor.address, record, chain_id=CHAIN_ID)
    assert (found.size, found.root, found.confirmations) == (5, root, 1)
    with pytest.raises(Unavailable) as error:
        await check_anchor(anchor.rpc, anchor.address, record, chain_id=CHAIN_ID, confirmations=3)
    assert error.value.reason == "anchor_not_deep_enough"
    await anchor.rpc.call("anvil_mine", hex(2))
    deep = await check_anchor(anchor.rpc, anchor.address, record, chain_id=CHAIN_ID, confirmations=3)
    assert deep.confirmations == 3
    lie = msgspec.structs.replace(record, root=hex0x(bytes(32)))
    with pytest.raises(VerificationFailed) as error:
        await check_anchor(anchor.rpc, anchor.address, lie, chain_id=CHAIN_ID)
    assert error.value.reason == "anchor_root_differs"


async def test_contract_at_another_address_is_found_out(anchor: Deployed) -> None:
    """Code that is no Anchor gives no answer that could be taken for one."""
    factory = bytes.fromhex("4e59b44847b379578588920ca78fbf26c0b4956c")
    with pytest.raises((VerificationFailed, Unavailable)):
        await AnchorContract(anchor.rpc, factory).latest()
    nothing = AnchorContract(anchor.rpc, b"\x33" * 20)
    with pytest.raises(VerificationFailed) as error:
        await nothing.latest()
    assert error.value.reason == "not_an_anchor"
