"""Vault.sol and its token as Python sees them, without a chain."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from eth_abi.abi import decode, encode
from msgspec.structs import replace

from hallmark.core.eip3009 import Authorization
from hallmark.core.typed import TypedStruct
from hallmark.core.vault import (
    DOMAIN_TYPE,
    STATEMENTS,
    VAULT_NAME,
    EnclaveRegistration,
    EnclaveRevocation,
    Lease,
    Settlement,
    SpendingCeiling,
    WithdrawalRequest,
)
from hallmark.services.chain import token, vault
from hallmark.services.chain.contract import Artifact, selector
from hallmark.services.chain.rpc import Reverted
from hallmark.services.chain.vault import Delays, VaultParameters, vault_address, vault_code

CONTRACTS = Path(__file__).parents[3] / "contracts"
SOURCE = (CONTRACTS / "Vault.sol").read_text()
ARTIFACT = Artifact("Vault", "0.8", [], "0x6000", "0x60", "cancun")
PARAMETERS = VaultParameters(bytes(32), b"\x03" * 20, (b"\x01" * 20, b"\x02" * 20), 2)
A, B, W = b"\x0a" * 20, b"\x0b" * 20, b"\x0c" * 32
AUTHORIZATION = Authorization(A, B, 7, 0, 9, W)
SIGNATURE = b"\x01" * 32 + b"\x02" * 32 + b"\x1b"
CALLS = {
    "deposit(address,uint256)": vault.deposit_call(A, 5),
    "setCeiling((address,address,address,uint128,uint32,uint32),bytes)": vault.ceiling_call(
        SpendingCeiling(A, B, A, 5, 1, 9), SIGNATURE
    ),
    "lease(address,uint64,uint64,bytes,bytes)": vault.lease_call(Lease(A, 1, 2, W), b"r", SIGNATURE),
    "settle(address,uint64,bytes,bytes32,bool,bytes)": vault.settle_call(
        Settlement(A, 1, W, W, 1), b"r", SIGNATURE
    ),
    "release(address,address)": vault.release_call(A, A),
    "collect(address)": vault.collect_call(A),
    "requestWithdrawal(uint96)": vault.withdrawal_call(vault.EVERYTHING),
    "requestWithdrawalFor(address,uint128,uint64,uint64,bytes)": vault.signed_withdrawal_call(
        WithdrawalRequest(A, 5, 0, 9), SIGNATURE
    ),
    "finalizeWithdrawal(address)": vault.finalize_call(A),
    "register(address,address,bytes32,bytes32,uint64,bytes[])": vault.register_call(
        EnclaveRegistration(A, B, W, W, 9), (SIGNATURE,)
    ),
    "revoke(address,bytes32,bytes[])": vault.revoke_call(EnclaveRevocation(A, W), (SIGNATURE,)),
    "pauseDeposits(bool,bytes[])": vault.pause_call(True, (SIGNATURE,)),
    "multicall(bytes[])": vault.multicall((b"a", b"b")),
    "depositWithAuthorization(address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)": (
        token.authorized_deposit_call(AUTHORIZATION, SIGNATURE)
    ),
}


@pytest.mark.parametrize("cls", STATEMENTS, ids=lambda c: c.__name__)
def test_types_of_the_contract_are_those_of_the_statements(cls: type[TypedStruct]) -> None:
    """The contract hashes exactly the EIP-712 types that are signed, under the same name."""
    assert f'"{cls.type_string()}"' in SOURCE
    assert f'EIP712("{VAULT_NAME}", "1")' in SOURCE
    assert b"verifyingContract" in DOMAIN_TYPE


def test_every_error_of_the_contract_is_known() -> None:
    """Each custom error of our own sources has its name in the table, with the same parameter types."""
    text = (CONTRACTS / "IVault.sol").read_text() + (CONTRACTS / "Quorum.sol").read_text() + SOURCE
    found = re.findall(r"error (\w+)\(([^)]*)\);", text)
    assert len(found) > 20
    for name, arguments in found:
        kinds = ",".join(argument.split()[0] for argument in arguments.split(",") if argument.strip())
        assert vault.ERRORS[selector(f"{name}({kinds})")] == name


@pytest.mark.parametrize("signature", CALLS)
def test_call_data_are_abi_encoded(signature: str) -> None:
    """Each call is the selector of its signature, and its arguments read back to the same bytes."""
    data = CALLS[signature]
    assert data[:4] == selector(signature)
    kinds = _kinds(signature)
    assert encode(kinds, decode(kinds, data[4:])) == data[4:]


def _kinds(signature: str) -> list[str]:
    """The types inside a signature's outer parentheses, tuples kept together."""
    inside, kinds, depth = signature[signature.index("(") + 1 : -1], [""], 0
    for letter in inside:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            kinds.append("")
        else:
            kinds[-1] += letter
    return kinds


@pytest.mark.parametrize(
    "other",
    [
        replace(PARAMETERS, network=b"\x01" * 32),
        replace(PARAMETERS, asset=b"\x04" * 20),
        replace(PARAMETERS, authority=PARAMETERS.authority[::-1]),
        replace(PARAMETERS, threshold=1),
        replace(PARAMETERS, delays=Delays(lease=1)),
        replace(PARAMETERS, delays=Delays(settlement=1)),
        replace(PARAMETERS, delays=Delays(withdrawal=50_000)),
    ],
)
def test_address_commits_to_every_parameter(other: VaultParameters) -> None:
    """Another network, asset, authority, quorum or delay is another address; so is other code."""
    address = vault_address(ARTIFACT, PARAMETERS)
    assert len(address) == 20
    assert vault_address(ARTIFACT, other) != address
    assert vault_address(replace(ARTIFACT, bytecode="0x6001"), PARAMETERS) != address
    assert vault_code(ARTIFACT, PARAMETERS).startswith(b"\x60\x00")


def test_default_delays_are_ones_that_the_contract_takes() -> None:
    """The delay of a withdrawal outlasts a lease and its settlement, and is at most 30 days."""
    delays = Delays()
    assert delays.lease + delays.settlement < delays.withdrawal <= 30 * 24 * 3600


def test_an_authorization_is_split_into_its_parts() -> None:
    """The token reads v, r and s of a 65-byte signature; the vault is not named, because it is the
    receiver.
    """
    data = token.authorized_transfer_call(AUTHORIZATION, SIGNATURE)
    kinds = ["address", "address", "uint256", "uint256", "uint256", "bytes32", "uint8", "bytes32", "bytes32"]
    assert decode(kinds, data[4:])[6:] == (27, b"\x01" * 32, b"\x02" * 32)
    deposit = token.authorized_deposit_call(AUTHORIZATION, SIGNATURE)
    assert B not in deposit


def test_an_error_has_a_name_for_logs() -> None:
    """The contract's own name in the form of a reason code; what has no name is said to have reverted."""
    stale = Reverted(selector("StaleSequence(uint64,uint64)") + bytes(64), "")
    assert vault.vault_reason(stale) == "stale_sequence"
    assert vault.vault_reason(Reverted(b"\1\2\3\4", "")) == "reverted"
    assert {vault.vault_reason(Reverted(code, "")) for code in vault.ERRORS}.isdisjoint({"reverted"})
