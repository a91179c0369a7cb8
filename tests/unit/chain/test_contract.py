"""Anchor.sol as Python sees it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_utils.address import to_checksum_address
from msgspec.structs import replace

from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import keccak256
from hallmark.core.statements import AnchoredCheckpoint
from hallmark.crypto.secp256k1 import Key
from hallmark.services.chain.contract import (
    ERRORS,
    Artifact,
    Parameters,
    anchor_address,
    creation_code,
    read_contract,
    selector,
    submit_call,
)
from hallmark.services.chain.transactions import FEE_CAP, Call, Fees, bumped, sign_transaction

SOURCE = Path(__file__).parents[3] / "contracts" / "Anchor.sol"
ARTIFACT = Artifact("Anchor", "0.8", [], "0x6000", "0x60", "cancun")
PARAMETERS = Parameters(bytes(32), "origin", (b"\x01" * 20, b"\x02" * 20), 2)


def test_type_string_of_the_contract_is_that_of_the_statement() -> None:
    """The contract hashes exactly the EIP-712 type and domain that full nodes sign."""
    source = SOURCE.read_text()
    assert f'keccak256("{AnchoredCheckpoint.type_string()}")' in source
    assert 'keccak256("EIP712Domain(string name,string version,uint256 chainId)")' in source
    assert 'keccak256("Hallmark"), keccak256("1"), block.chainid' in source


def test_every_error_of_the_contract_is_known() -> None:
    """Each custom error in the source has its name in the table, with the same parameter types."""
    for name, arguments in re.findall(r"error (\w+)\(([^)]*)\);", SOURCE.read_text()):
        kinds = ",".join(argument.split()[0] for argument in arguments.split(",") if argument.strip())
        assert ERRORS[selector(f"{name}({kinds})")] == name


def test_selectors_are_those_of_the_abi() -> None:
    """A published selector comes out (ERC-20 transfer)."""
    assert selector("transfer(address,uint256)").hex() == "a9059cbb"


@pytest.mark.parametrize(
    "other",
    [
        replace(PARAMETERS, network=b"\x01" * 32),
        replace(PARAMETERS, origin="other"),
        replace(PARAMETERS, signers=PARAMETERS.signers[::-1]),
        replace(PARAMETERS, threshold=1),
    ],
)
def test_address_commits_to_every_parameter(other: Parameters) -> None:
    """Another network, origin, signer set or threshold is another address; so is other code."""
    address = anchor_address(ARTIFACT, PARAMETERS)
    assert len(address) == 20
    assert anchor_address(ARTIFACT, other) != address
    assert anchor_address(replace(ARTIFACT, bytecode="0x6001"), PARAMETERS) != address


def test_create2_example_of_the_eip() -> None:
    """The formula of the address is EIP-1014's: its first example comes out."""
    computed = keccak256(b"\xff" + bytes(20) + bytes(32) + keccak256(b"\x00"))[12:]
    assert to_checksum_address("0x" + computed.hex()) == "0x4D1A2e2bB4F88F0250f26Ffff098B0b30B26BF38"
    assert creation_code(ARTIFACT, PARAMETERS).startswith(b"\x60\x00")


def test_submit_call_is_abi_encoded() -> None:
    """Call data is the selector followed by the ABI encoding of the arguments."""
    data = submit_call(7, b"\x05" * 32, (b"\x01" * 65,))
    assert data[4:] == encode(["uint64", "bytes32", "bytes[]"], [7, b"\x05" * 32, [b"\x01" * 65]])


def test_signed_transaction_recovers_to_its_key() -> None:
    """The signed bytes are a type 2 transaction by the given key, and the hash is of these bytes."""
    key = Key(b"\x07" * 32)
    call = Call(b"\x11" * 20, b"\x22", 21_000)
    signed = sign_transaction(call, key, chain_id=31_337, nonce=3, fees=Fees(100, 10))
    assert signed.raw[0] == 2
    assert keccak256(signed.raw) == signed.hash
    assert Account.recover_transaction(signed.raw) == to_checksum_address("0x" + key.address.hex())


def test_fees_rise_enough_and_end() -> None:
    """Each replacement pays a tenth more at least, and never more than the cap."""
    fees = Fees(1, 1)
    for _ in range(200):
        higher = bumped(fees)
        assert higher.limit == FEE_CAP or higher.limit * 10 >= fees.limit * 11
        fees = higher
    assert fees == Fees(FEE_CAP, FEE_CAP)


@pytest.mark.parametrize("fee", [0, 1, FEE_CAP - 1, FEE_CAP, FEE_CAP + 1, 2 * FEE_CAP])
def test_a_bump_never_lowers_a_fee(fee: int) -> None:
    """A replacement that pays less is refused by every chain, also where the first fee was over the cap."""
    higher = bumped(Fees(fee, fee))
    assert min(higher.limit, higher.tip) >= fee


def test_missing_contract_file_says_what_to_do(tmp_path: Path) -> None:
    """A folder without compiled contracts has a reason code and a hint."""
    with pytest.raises(InvalidInput) as error:
        read_contract(tmp_path / "Anchor.json")
    assert error.value.reason == "bad_contract_file"
    assert error.value.hint
