"""A stake contract on a real anvil, with the Anchor of a small log whose faults it believes: for tests."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec

from hallmark.core.beacon import network_id
from hallmark.core.entries import Entry
from hallmark.core.hashing import keccak256, sha256
from hallmark.core.merkle import inclusion_proof, leaf_hash
from hallmark.core.objected import digest_of_runs, encode_runs, runs_of
from hallmark.core.statements import AnchoredCheckpoint, Fault, Verdict, code
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.services.chain.contract import (
    Artifact,
    Parameters,
    abi_decode,
    abi_encode,
    call_data,
    read_contract,
    submit_call,
)
from hallmark.services.chain.deployment import deploy_dev_token
from hallmark.services.chain.rpc import RPC, Reverted
from hallmark.services.chain.stake import (
    SignedVerdict,
    StakeParameters,
    deposit_call,
    slash_call,
    stake_code,
    stake_error,
)
from hallmark.services.chain.token import TokenContract, approve_call, faucet_call
from hallmark.services.chain.transactions import deploy_anchor, deploy_code
from hallmark.testing.anvil import CHAIN_ID, fund, toolchain, transact
from hallmark.verification.tree import Tree

SUBMITTER = Key(b"\x09" * 32)
FULL_NODES = tuple(sorted((Key(bytes([n]) * 32) for n in range(1, 5)), key=lambda key: key.address))
BENEFICIARY = Key(b"\x21" * 32).address
STRANGER = Key(b"\x22" * 32)
GAS = 3_000_000
_origins = itertools.count()


class StakeOnChain:
    """One stake contract, its token, and a log whose leaves the test adds."""

    def __init__(self, rpc: RPC, log: Parameters, parameters: StakeParameters, address: bytes) -> None:
        self.rpc, self.log, self.parameters, self.address = rpc, log, parameters, address
        self.artifact: Artifact = read_contract(toolchain().contracts / "Stake.json")
        self.token = TokenContract(rpc, parameters.asset)
        self.leaves, self.tree = list[bytes](), Tree()
        for leaf in (b"\0" * 8 + b"some entry", b"\0" * 8 + b"another entry"):
            self._append(leaf)

    async def send(self, data: bytes, key: Key = SUBMITTER, *, to: bytes | None = None) -> str:
        """Empty when the transaction succeeded, else the name of the error that refused it."""
        receipt = await transact(self.rpc, key, to or self.address, data, gas=GAS)
        if receipt["status"] == "0x1":
            return ""
        call = {
            "from": "0x" + key.address.hex(),
            "to": "0x" + (to or self.address).hex(),
            "data": "0x" + data.hex(),
        }
        try:
            await self.rpc.call("eth_call", call, "latest")
        except Reverted as revert:
            return stake_error(self.artifact, revert) or "0x" + revert.data[:4].hex()
        return "gas"

    async def deposit(self, owner: Key, amount: int) -> None:
        """Pour development money, and deposit it by the owner."""
        await fund(self.rpc, owner)
        assert not await self.send(faucet_call(owner.address, amount), to=self.parameters.asset)
        assert not await self.send(approve_call(self.address, amount), owner, to=self.parameters.asset)
        assert not await self.send(deposit_call(owner.address, amount), owner)

    async def account(self, owner: bytes) -> tuple[int, int, int]:
        """Stake, exposed, leaving."""
        data = call_data("accountOf", ["address"], ["0x" + owner.hex()])
        found = abi_decode(
            ["uint128", "uint128", "uint128", "uint64"], await self.rpc.read(self.address, data)
        )
        return found[0], found[1], found[2]

    async def backing(self, owner: bytes, node: bytes) -> int:
        """What can be counted on for a node key."""
        data = call_data("backing", ["address", "address"], ["0x" + owner.hex(), "0x" + node.hex()])
        (found,) = abi_decode(["uint128"], await self.rpc.read(self.address, data))
        return int(found)

    async def pass_time(self, seconds: int) -> None:
        """Let the chain's time go on by so much."""
        await self.rpc.call("evm_increaseTime", hex(seconds))
        await self.rpc.call("evm_mine")

    def fault(self, culprit: bytes, *, author: Key = FULL_NODES[0], **changed: object) -> Entry:
        """A fault entry that a full node signed."""
        statement = Fault(self.log.network, author.address, culprit, code("equivocation"), 0, 1, 1_000)
        statement = msgspec.structs.replace(statement, **changed)
        return Entry(statement, (sign_statement(statement, CHAIN_ID, author),))

    def add(self, entry: Entry) -> int:
        """Put an entry into the log; where it stands."""
        self._append((2_000).to_bytes(8, "big") + entry.encode())
        return len(self.leaves) - 1

    def _append(self, leaf: bytes) -> None:
        self.leaves.append(leaf)
        self.tree.append(leaf_hash(leaf))

    async def anchor(self) -> int:
        """Have a quorum sign the log as it is, and anchor that; its size."""
        size, over = self.tree.size, self.tree.root()
        origin = sha256(self.log.origin.encode())
        statement = AnchoredCheckpoint(self.log.network, origin, size, over)
        signatures = tuple(sign_statement(statement, CHAIN_ID, key) for key in FULL_NODES[:3])
        assert not await self.send(submit_call(size, over, signatures), to=self.parameters.anchor)
        return size

    def slashing(self, owner: bytes, index: int, size: int, *, leaf: bytes | None = None) -> bytes:
        """Call data that takes the owner's exposure by the entry at `index`."""
        proof = inclusion_proof(index, size, self.tree.node)
        return slash_call(owner, self.leaves[index] if leaf is None else leaf, index, size, proof)

    def hold(self, owner: bytes, entry: Entry) -> bytes:
        """The name of what is held for a fault."""
        said = entry.statement
        assert isinstance(said, Fault)
        pair = sorted((said.first, said.second))
        types = ["address", "address", "bytes32", "uint64", "uint64"]
        values = ["0x" + owner.hex(), "0x" + said.culprit.hex(), said.kind, *pair]
        return keccak256(abi_encode(types, values))

    def verdict(
        self, author: Key, positions: Sequence[int], size: int, *, network: bytes | None = None
    ) -> SignedVerdict:
        """A full node's objection to these positions."""
        runs = encode_runs(runs_of((position, "fault_unproven") for position in positions))
        statement = Verdict(
            network or self.log.network, author.address, size, bytes(32), digest_of_runs(runs), 3_000
        )
        return SignedVerdict(statement, runs, sign_statement(statement, CHAIN_ID, author))


async def new_stake(rpc: RPC, parameters: StakeParameters | None = None) -> StakeOnChain:
    """A fresh Anchor of a log of its own, and a stake contract that believes it."""
    await fund(rpc, SUBMITTER)
    folder = toolchain().contracts
    asset = (await deploy_dev_token(rpc, SUBMITTER, read_contract(folder / "DevToken.json"))).address
    origin = f"stake.example/{next(_origins)}"
    log = Parameters(network_id(origin), origin, tuple(key.address for key in FULL_NODES), 3)
    anchor = (await deploy_anchor(rpc, SUBMITTER, read_contract(folder / "Anchor.json"), log)).address
    made = parameters or StakeParameters(anchor, asset, BENEFICIARY)
    code_ = stake_code(read_contract(folder / "Stake.json"), made)
    deployed = await deploy_code(rpc, SUBMITTER, code_, timeout_s=60.0)
    return StakeOnChain(rpc, log, made, deployed.address)
