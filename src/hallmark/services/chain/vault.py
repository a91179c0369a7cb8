"""Vault.sol as Python sees it: its address, call data, errors, and what it keeps.

Like the Anchor it is deployed by CREATE2 with salt zero, so its address is a function of its code, network,
asset, authority and delays: who has the address from a trust file need not check any of these again. What
is signed for it stands in `hallmark.core.vault`; each function here that takes a signature takes the signed
statement with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.errors import VerificationFailed
from hallmark.core.vault import (
    EnclaveRegistration,
    EnclaveRevocation,
    Lease,
    Settlement,
    SpendingCeiling,
    WithdrawalRequest,
)
from hallmark.services.chain.contract import Artifact, abi_encode, call_data, create2_address, selector
from hallmark.services.chain.rpc import RPC, Reverted

HOUR: Final = 3600
EVERYTHING: Final = 2**96 - 1
"""The amount of a withdrawal request that asks for all there is."""


class Delays(msgspec.Struct, frozen=True):
    """In seconds. `withdrawal` is 15 minutes to 30 days and longer than `lease` and `settlement` together.

    The defaults outlast a chain that is down for an hour several times over.
    """

    lease: int = 6 * HOUR
    settlement: int = 6 * HOUR
    withdrawal: int = 13 * HOUR


class VaultParameters(msgspec.Struct, frozen=True):
    """What a vault is made for: 32-byte network id, 20-byte address of its ERC-20, the authority and its
    quorum, delays.
    """

    network: bytes
    asset: bytes
    authority: tuple[bytes, ...]
    threshold: int
    delays: Delays = Delays()


class Account(msgspec.Struct, frozen=True):
    """A payer's account: atomic units that are in no lease; requested back, payable from `ready_at` (0:
    nothing requested); how many leases are open.
    """

    free: int
    withdrawing: int
    open_leases: int
    ready_at: int

    @property
    def empty(self) -> bool:
        """True when there is nothing in it, of it or asked back from it: also where nobody ever deposited."""
        return not (self.free or self.withdrawing or self.open_leases)


class OpenLease(msgspec.Struct, frozen=True):
    """One enclave's lease on one account; amounts are cumulative, `until` 0 means not open."""

    allowance: int
    spent: int
    until: int


class CeilingInForce(msgspec.Struct, frozen=True):
    """The newest ceiling of an account for a payee; `committed` is charged or may still be by open leases."""

    max_claimable: int
    committed: int
    nonce: int
    valid_until: int


class RegisteredEnclave(msgspec.Struct, frozen=True):
    """An enclave's key in the vault; `payee` is zero where no quorum registered it. `sequence` is its
    newest.
    """

    payee: bytes
    sequence: int
    valid_until: int
    revoked: bool


def vault_code(artifact: Artifact, parameters: VaultParameters) -> bytes:
    """Bytecode followed by the ABI-encoded constructor arguments."""
    delays = parameters.delays
    arguments = abi_encode(
        ["bytes32", "address", "address[]", "uint256", "uint32[3]"],
        [
            parameters.network,
            hex0x(parameters.asset),
            [hex0x(key) for key in parameters.authority],
            parameters.threshold,
            [delays.lease, delays.settlement, delays.withdrawal],
        ],
    )
    return bytes.fromhex(artifact.bytecode.removeprefix("0x")) + arguments


def vault_address(artifact: Artifact, parameters: VaultParameters) -> bytes:
    """Where this vault is on every chain."""
    return create2_address(vault_code(artifact, parameters))


def deposit_call(payer: bytes, amount: int) -> bytes:
    """The sender's approved tokens go into the account of `payer`."""
    return call_data("deposit", ["address", "uint256"], [hex0x(payer), amount])


def ceiling_call(ceiling: SpendingCeiling, signature: bytes) -> bytes:
    """Put a payer's signed ceiling in force."""
    fields = (
        hex0x(ceiling.payer),
        hex0x(ceiling.payee),
        hex0x(ceiling.session),
        ceiling.max_claimable,
        ceiling.nonce,
        ceiling.valid_until,
    )
    kinds = ["(address,address,address,uint128,uint32,uint32)", "bytes"]
    return call_data("setCeiling", kinds, [fields, signature])


def lease_call(lease: Lease, rows: bytes, signature: bytes) -> bytes:
    """Take, raise or renew leases; `rows` are the packed rows that `lease.rows` is the digest of."""
    kinds = ["address", "uint64", "uint64", "bytes", "bytes"]
    return call_data("lease", kinds, [hex0x(lease.enclave), lease.sequence, lease.until, rows, signature])


def settle_call(settlement: Settlement, rows: bytes, signature: bytes) -> bytes:
    """Charge accounts; `rows` are the packed rows that `settlement.rows` is the digest of."""
    s = settlement
    kinds = ["address", "uint64", "bytes", "bytes32", "bool", "bytes"]
    values = [hex0x(s.enclave), s.sequence, rows, s.receipts_root, bool(s.closing), signature]
    return call_data("settle", kinds, values)


def release_call(enclave: bytes, payer: bytes) -> bytes:
    """Give back what is left of a lease that can no longer be settled."""
    return call_data("release", ["address", "address"], [hex0x(enclave), hex0x(payer)])


def collect_call(payee: bytes) -> bytes:
    """Pay a payee what it earned."""
    return call_data("collect", ["address"], [hex0x(payee)])


def withdrawal_call(amount: int) -> bytes:
    """The sender asks for `amount` back; EVERYTHING for all, 0 to cancel."""
    return call_data("requestWithdrawal", ["uint96"], [amount])


def signed_withdrawal_call(request: WithdrawalRequest, signature: bytes) -> bytes:
    """The same by the payer's signature."""
    kinds = ["address", "uint128", "uint64", "uint64", "bytes"]
    values = [hex0x(request.payer), request.amount, request.nonce, request.deadline, signature]
    return call_data("requestWithdrawalFor", kinds, values)


def finalize_call(payer: bytes) -> bytes:
    """Pay out what a payer requested and what is free of it."""
    return call_data("finalizeWithdrawal", ["address"], [hex0x(payer)])


def register_call(registration: EnclaveRegistration, signatures: Sequence[bytes]) -> bytes:
    """Register an enclave's key. Signatures in ascending order of their signers' addresses."""
    r = registration
    kinds = ["address", "address", "bytes32", "bytes32", "uint64", "bytes[]"]
    values = [hex0x(r.enclave), hex0x(r.payee), r.bundle, r.measurement, r.valid_until, list(signatures)]
    return call_data("register", kinds, values)


def revoke_call(revocation: EnclaveRevocation, signatures: Sequence[bytes]) -> bytes:
    """Revoke an enclave's key for good. Signatures in ascending order of their signers' addresses."""
    values = [hex0x(revocation.enclave), revocation.reason, list(signatures)]
    return call_data("revoke", ["address", "bytes32", "bytes[]"], values)


def pause_call(paused: bool, signatures: Sequence[bytes]) -> bytes:
    """Stop deposits, or let them begin again. Signatures in ascending order of their signers' addresses."""
    return call_data("pauseDeposits", ["bool", "bytes[]"], [paused, list(signatures)])


def multicall(calls: Sequence[bytes]) -> bytes:
    """Several of these in one transaction: all of them, or none."""
    return call_data("multicall", ["bytes[]"], [list(calls)])


OTHER_VERSION: Final = "vault_of_another_version"

ERRORS: Final = {
    selector(f"{name}({kinds})"): name
    for name, kinds in (
        ("BadThreshold", "uint256,uint256"),
        ("BadSigner", "address"),
        ("TooFewSignatures", "uint256,uint256"),
        ("UnknownSigner", "address"),
        ("SignersNotAscending", "address,address"),
        ("BadDelays", "uint256,uint256,uint256"),
        ("BadAsset", "address"),
        ("UnexpectedTransfer", "uint256,uint256"),
        ("NothingToDo", ""),
        ("UnknownAccount", "address"),
        ("BadSignature", "address"),
        ("StaleNonce", "uint256,uint256"),
        ("Expired", "uint256"),
        ("BadRegistration", "address"),
        ("EnclaveNotRegistered", "address"),
        ("EnclaveIsRevoked", "address"),
        ("StaleSequence", "uint64,uint64"),
        ("BadRows", "uint256"),
        ("BadTerm", "uint64"),
        ("LeaseShrinks", "address,uint96,uint96"),
        ("RowGoesBack", "address,uint96,uint96"),
        ("RowAboveLease", "address,uint96,uint96"),
        ("LeaseNotEnded", "address,address"),
        ("NotReady", "uint256"),
        ("ECDSAInvalidSignature", ""),
        ("ECDSAInvalidSignatureLength", "uint256"),
        ("ECDSAInvalidSignatureS", "bytes32"),
        ("EnforcedPause", ""),
        ("ExpectedPause", ""),
        ("InvalidAccountNonce", "address,uint256"),
        ("ReentrancyGuardReentrantCall", ""),
        ("SafeERC20FailedOperation", "address"),
        ("SafeCastOverflowedUintDowncast", "uint8,uint256"),
    )
}


def vault_error(revert: Reverted) -> str:
    """Name of the contract's custom error, empty when it is none of the vault's."""
    return ERRORS.get(revert.data[:4], "")


def vault_reason(revert: Reverted) -> str:
    """The same as a reason code for logs, `reverted` for what has no name."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", vault_error(revert)).lower() or "reverted"


class VaultContract:
    """Read-only calls on one deployed vault, at the newest block or at one that is named. Raises what `RPC`
    raises, VerificationFailed `not_a_vault`, and `vault_of_another_version` for a vault whose calls or rows
    are others than those written here.
    """

    def __init__(self, rpc: RPC, address: bytes, *, block: int | None = None) -> None:
        self._rpc = rpc
        self.address = address
        self.block = block

    def at(self, block: int) -> VaultContract:
        """The vault as it was at a block: reads that belong together, whatever node answers each."""
        return VaultContract(self._rpc, self.address, block=block)

    async def deployed(self) -> bool:
        """True when there is code at the address."""
        return bool(await self._rpc.code(self.address))

    async def require_spoken(self) -> None:
        """That its rows and calls are those written here: another version's events have the same names and
        mean something else. Vaults whose rows name payers answer this call, the ones before do not.
        """
        await self.lease(bytes(20), bytes(20))

    async def parameters(self) -> VaultParameters:
        """What it was deployed with."""
        (network,) = await self._read("network", [], [], ["bytes32"])
        (asset,) = await self._read("asset", [], [], ["address"])
        (authority,) = await self._read("signers", [], [], ["address[]"])
        numbers = [
            (await self._read(name, [], [], ["uint256"]))[0]
            for name in ("threshold", "leaseTerm", "settleWindow", "withdrawDelay")
        ]
        keys = tuple(bytes.fromhex(key[2:]) for key in authority)
        return VaultParameters(network, bytes.fromhex(asset[2:]), keys, numbers[0], Delays(*numbers[1:]))

    async def account(self, payer: bytes) -> Account:
        """A payer's account; all zero for none."""
        kinds = ["uint96", "uint96", "uint32", "uint32"]
        return Account(*await self._read("accountOf", ["address"], [hex0x(payer)], kinds))

    async def ceiling(self, payer: bytes, payee: bytes) -> CeilingInForce:
        """A payer's ceiling for a payee; all zero for none."""
        kinds = ["uint96", "uint96", "uint32", "uint32"]
        values = [hex0x(payer), hex0x(payee)]
        return CeilingInForce(*await self._read("ceilingOf", ["address", "address"], values, kinds))

    async def lease(self, enclave: bytes, payer: bytes) -> OpenLease:
        """An enclave's lease on a payer's account; all zero for none."""
        values, kinds = [hex0x(enclave), hex0x(payer)], ["uint96", "uint96", "uint64"]
        return OpenLease(*await self._read("leaseOf", ["address", "address"], values, kinds))

    async def enclave(self, key: bytes) -> RegisteredEnclave:
        """What the vault knows of an enclave's key."""
        kinds = ["address", "uint48", "uint40", "bool"]
        payee, *rest = await self._read("enclaveOf", ["address"], [hex0x(key)], kinds)
        return RegisteredEnclave(bytes.fromhex(payee[2:]), *rest)

    async def earned(self, payee: bytes) -> int:
        """What a payee may collect."""
        (amount,) = await self._read("earned", ["address"], [hex0x(payee)], ["uint256"])
        return int(amount)

    async def nonce(self, payer: bytes) -> int:
        """Nonce of the payer's next WithdrawalRequest."""
        (nonce,) = await self._read("nonces", ["address"], [hex0x(payer)], ["uint256"])
        return int(nonce)

    async def deposits_paused(self) -> tuple[bool, int]:
        """Whether deposits are stopped, and the nonce of the next DepositPause."""
        (paused,) = await self._read("paused", [], [], ["bool"])
        (nonce,) = await self._read("pauseNonce", [], [], ["uint64"])
        return bool(paused), int(nonce)

    async def _read(
        self, name: str, kinds: Sequence[str], values: Sequence[Any], returns: Sequence[str]
    ) -> tuple[Any, ...]:
        from eth_abi.abi import decode

        try:
            returned = await self._rpc.read(self.address, call_data(name, kinds, values), block=self.block)
        except Reverted as error:
            raise await self._unread(name) from error
        try:
            return decode(returns, returned)
        except Exception as error:
            # Offsets and lengths are the endpoint's: the library raises whatever they lead it to.
            raise await self._unread(name) from error

    async def _unread(self, name: str) -> VerificationFailed:
        """What is here instead of the vault that this version speaks to. `network` is in every version."""
        if name != "network":
            try:
                await self._read("network", [], [], ["bytes32"])
                return VerificationFailed(
                    "vault_of_another_version",
                    f"The vault {hex0x(self.address)} is of another version of Hallmark, which this version "
                    "cannot read.",
                    "What is in it stays there for its payers: a client of the version that made it reads "
                    "it, and withdraws.",
                )
            except VerificationFailed:
                pass
        return VerificationFailed(
            "not_a_vault", "There is no vault contract at this address.", "Compare the trust file."
        )
