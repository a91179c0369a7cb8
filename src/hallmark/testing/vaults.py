"""A vault on a real anvil, with everybody's keys: for tests and measurements of the contract."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
from collections.abc import AsyncIterator, Sequence

import msgspec

from hallmark.core.eip3009 import RECEIVE, Authorization, authorization_digest
from hallmark.core.hashing import keccak256, sha256
from hallmark.core.typed import TypedStruct
from hallmark.core.vault import (
    DepositPause,
    EnclaveRegistration,
    EnclaveRevocation,
    Lease,
    Row,
    Settlement,
    SpendingCeiling,
    pack_rows,
    vault_digest,
)
from hallmark.crypto.secp256k1 import Key
from hallmark.services.chain.contract import Artifact, read_contract, selector
from hallmark.services.chain.deployment import deploy_dev_token, deploy_vault
from hallmark.services.chain.rpc import RPC, Reverted, quantity
from hallmark.services.chain.token import (
    TokenContract,
    approve_call,
    authorized_deposit_call,
    faucet_call,
)
from hallmark.services.chain.toolchain import exclusive, find_node, repository_root
from hallmark.services.chain.transactions import deploy_code
from hallmark.services.chain.vault import (
    Delays,
    VaultContract,
    VaultParameters,
    ceiling_call,
    deposit_call,
    lease_call,
    pause_call,
    register_call,
    revoke_call,
    settle_call,
    vault_error,
)
from hallmark.testing.anvil import CHAIN_ID, fund, toolchain, transact

SUBMITTER = Key(b"\x09" * 32)
AUTHORITY = tuple(sorted((Key(bytes([n]) * 32) for n in (1, 2, 3)), key=lambda key: key.address))
SHORT = Delays(lease=300, settlement=300, withdrawal=900)
FOREVER = 2**32 - 1
GAS = 10_000_000
_networks = itertools.count()


def named_key(name: str) -> Key:
    """A key that belongs to a name."""
    return Key(sha256(name.encode()))


def digest_of_rows(rows: bytes) -> bytes:
    """What a lease or settlement commits to its rows by."""
    return keccak256(rows)


class VaultOnChain:
    """One vault and its token; the submitter pays the gas of everything."""

    def __init__(self, rpc: RPC, parameters: VaultParameters, address: bytes) -> None:
        self.rpc = rpc
        self.parameters = parameters
        self.address = address
        self.vault = VaultContract(rpc, address)
        self.token = TokenContract(rpc, parameters.asset)
        self._sequences: dict[bytes, int] = {}
        self._nonces = itertools.count(1)

    def sign(self, statement: TypedStruct, key: Key) -> bytes:
        """A signature for this vault on this chain."""
        return key.sign(vault_digest(statement, CHAIN_ID, self.address))

    def quorum(self, statement: TypedStruct, count: int = 2) -> tuple[bytes, ...]:
        """Signatures of the first authority keys."""
        return tuple(self.sign(statement, key) for key in AUTHORITY[:count])

    async def send(self, data: bytes, *, to: bytes | None = None, key: Key = SUBMITTER) -> int:
        """Gas used by a transaction that must succeed; to the vault unless said otherwise."""
        receipt = await transact(self.rpc, key, to or self.address, data, gas=GAS)
        assert receipt["status"] == "0x1", await self.refusal(data, key=key)
        return quantity(receipt["gasUsed"])

    async def refusal(self, data: bytes, *, key: Key = SUBMITTER) -> str:
        """Name of the error with which the vault refuses a call, empty when it does not."""
        call = {"from": "0x" + key.address.hex(), "to": "0x" + self.address.hex(), "data": "0x" + data.hex()}
        try:
            await self.rpc.call("eth_call", call, "latest")
        except Reverted as revert:
            return vault_error(revert) or revert.data.hex() or revert.message
        return ""

    async def now(self) -> int:
        """Time of the newest block."""
        return await self.rpc.block_time(await self.rpc.head()) or 0

    async def pass_time(self, seconds: int) -> None:
        """Let the chain's time go on by so much."""
        await self.rpc.call("evm_increaseTime", hex(seconds))
        await self.rpc.call("evm_mine")

    async def pour(self, holder: bytes, amount: int) -> None:
        """Development money for a holder."""
        await self.send(faucet_call(holder, amount), to=self.parameters.asset)

    async def deposit(self, payer: Key, amount: int) -> bytes:
        """Pour, and deposit by authorization; gives the payer's address."""
        await self.pour(payer.address, amount)
        await self.send(await self.authorized_deposit(payer, amount))
        return payer.address

    async def authorized_deposit(self, payer: Key, amount: int, *, nonce: bytes | None = None) -> bytes:
        """Call data of a deposit without gas for the payer."""
        name = nonce or sha256(next(self._nonces).to_bytes(8, "big"))
        authorization = Authorization(payer.address, self.address, amount, 0, FOREVER, name)
        domain = await self.token.domain(CHAIN_ID)
        signature = payer.sign(authorization_digest(RECEIVE, authorization, domain))
        return authorized_deposit_call(authorization, signature)

    async def approved_deposit(self, payer: Key, amount: int) -> int:
        """Deposit by approve and transferFrom; the payer pays the gas of both. Gas of the deposit."""
        await fund(self.rpc, payer)
        await self.send(approve_call(self.address, amount), to=self.parameters.asset, key=payer)
        return await self.send(deposit_call(payer.address, amount), key=payer)

    def ceiling(self, payer: Key, payee: bytes, most: int, *, nonce: int = 1, until: int = FOREVER) -> bytes:
        """Call data of a signed ceiling."""
        ceiling = SpendingCeiling(payer.address, payee, bytes(20), most, nonce, until)
        return ceiling_call(ceiling, self.sign(ceiling, payer))

    async def register(self, enclave: Key, payee: bytes, *, until: int = FOREVER) -> int:
        """Have the authority register a key. Gas."""
        registration = EnclaveRegistration(enclave.address, payee, b"\x0b" * 32, b"\x0c" * 32, until)
        return await self.send(register_call(registration, self.quorum(registration)))

    async def revoke(self, enclave: Key) -> int:
        """Have the authority revoke a key. Gas."""
        revocation = EnclaveRevocation(enclave.address, b"\x0d" * 32)
        return await self.send(revoke_call(revocation, self.quorum(revocation)))

    async def pause(self, paused: bool) -> int:
        """Have the authority stop deposits or let them begin again. Gas."""
        _, nonce = await self.vault.deposits_paused()
        return await self.send(pause_call(paused, self.quorum(DepositPause(int(paused), nonce))))

    def next_sequence(self, enclave: Key) -> int:
        """The sequence number after the newest that was asked for here."""
        self._sequences[enclave.address] = self._sequences.get(enclave.address, 0) + 1
        return self._sequences[enclave.address]

    def lease(self, enclave: Key, until: int, rows: Sequence[Row], *, sequence: int | None = None) -> bytes:
        """Call data of a signed lease."""
        packed = pack_rows(rows)
        number = self.next_sequence(enclave) if sequence is None else sequence
        lease = Lease(enclave.address, number, until, digest_of_rows(packed))
        return lease_call(lease, packed, self.sign(lease, enclave))

    def settle(
        self, enclave: Key, rows: Sequence[Row], *, sequence: int | None = None, closing: bool = False
    ) -> bytes:
        """Call data of a signed settlement."""
        packed = pack_rows(rows)
        number = self.next_sequence(enclave) if sequence is None else sequence
        root = sha256(number.to_bytes(8, "big"))
        settlement = Settlement(enclave.address, number, digest_of_rows(packed), root, int(closing))
        return settle_call(settlement, packed, self.sign(settlement, enclave))


async def new_vault(rpc: RPC, *, asset: bytes | None = None, delays: Delays = SHORT) -> VaultOnChain:
    """A fresh vault, over the development token unless another asset is named."""
    await fund(rpc, SUBMITTER)
    folder = toolchain().contracts
    if asset is None:
        asset = (await deploy_dev_token(rpc, SUBMITTER, read_contract(folder / "DevToken.json"))).address
    parameters = VaultParameters(
        network=sha256(next(_networks).to_bytes(8, "big")),
        asset=asset,
        authority=tuple(key.address for key in AUTHORITY),
        threshold=2,
        delays=delays,
    )
    deployed = await deploy_vault(rpc, SUBMITTER, read_contract(folder / "Vault.json"), parameters)
    return VaultOnChain(rpc, parameters, deployed.address)


@contextlib.asynccontextmanager
async def fresh_vault(url: str) -> AsyncIterator[VaultOnChain]:
    """A fresh vault on a chain that is afterwards as it was before."""
    rpc = RPC(url)
    before = await rpc.call("evm_snapshot")
    try:
        yield await new_vault(rpc)
    finally:
        await rpc.call("evm_revert", before)
        await rpc.aclose()


class Party(msgspec.Struct, frozen=True):
    """A payer."""

    key: Key

    @property
    def address(self) -> bytes:
        """Whose account it is."""
        return self.key.address


async def new_payers(
    chain: VaultOnChain, payee: bytes, amount: int, count: int, *, name: str = "payer"
) -> list[Party]:
    """Payers who deposited `amount` each and signed it away to one payee."""
    parties = []
    for number in range(count):
        key = named_key(f"{name} {number}")
        await chain.deposit(key, amount)
        await chain.send(chain.ceiling(key, payee, amount))
        parties.append(Party(key))
    return parties


def hostile_contract(name: str) -> Artifact:
    """A contract of tests/contracts, compiled once for each of its versions."""
    root = repository_root()
    folder, built = root / "tests" / "contracts", root / ".build" / "test-contracts"
    toolchain()
    stamp = sha256(b"".join(sha256(path.read_bytes()) for path in sorted(folder.iterdir()))).hex()
    with exclusive(root / ".build" / "test-contracts.lock"):
        if not (built / stamp).exists():
            script = root / "contracts" / "compile.mjs"
            subprocess.run([find_node().node, script, built, folder], check=True, cwd=root)
            (built / stamp).touch()
    return read_contract(built / f"{name}.json")


async def deploy_hostile(rpc: RPC, name: str, *arguments: bytes) -> bytes:
    """Put a contract of tests/contracts on the chain; arguments are 32-byte words. Its address."""
    await fund(rpc, SUBMITTER)
    code = bytes.fromhex(hostile_contract(name).bytecode.removeprefix("0x")) + b"".join(arguments)
    return (await deploy_code(rpc, SUBMITTER, code)).address


async def earlier_vault(chain: VaultOnChain) -> bytes:
    """The address of a vault as it was before rows named payers, of the same network and token."""
    return await deploy_hostile(
        chain.rpc, "EarlierVault", chain.parameters.network, bytes(12) + chain.parameters.asset
    )


def settle_at_earlier(enclave: bytes, payee: bytes) -> bytes:
    """Have such a vault tell of a settlement of two rows."""
    return selector("settle(address,address)") + bytes(12) + enclave + bytes(12) + payee
