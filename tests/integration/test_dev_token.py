"""DevToken.sol on a real EVM: what stock wallets sign for it moves money once, and nothing else does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from eth_account.messages import encode_typed_data
from msgspec.structs import replace

from hallmark.core.document import hex0x
from hallmark.core.eip3009 import RECEIVE, TRANSFER, Authorization, authorization_digest
from hallmark.core.hashing import keccak256, sha256
from hallmark.core.vault import contract_domain
from hallmark.services.chain.contract import abi_encode, selector
from hallmark.services.chain.token import DEV_MONEY_NAME, DEV_MONEY_VERSION
from hallmark.testing.anvil import CHAIN_ID, running_anvil
from hallmark.testing.vaults import FOREVER, SUBMITTER, VaultOnChain, deploy_hostile, fresh_vault, named_key

pytestmark = pytest.mark.integration

ALICE, BOB = named_key("alice"), named_key("bob")
BY_BYTES = "(address,address,uint256,uint256,uint256,bytes32,bytes)"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One chain for all tests of this file."""
    with running_anvil() as url:
        yield url


@pytest.fixture
async def token(url: str) -> AsyncIterator[VaultOnChain]:
    """The token, addressed as the harness addresses a vault; Alice has 100."""
    async with fresh_vault(url) as chain:
        await chain.pour(ALICE.address, 100)
        yield VaultOnChain(chain.rpc, chain.parameters, chain.parameters.asset)


def by_bytes(name: str, authorization: Authorization, signature: bytes) -> bytes:
    """Call data of an overload that takes the signature as bytes."""
    a = authorization
    values = [hex0x(a.holder), hex0x(a.to), a.value, a.valid_after, a.valid_before, a.nonce, signature]
    return selector(name + BY_BYTES) + abi_encode(BY_BYTES[1:-1].split(","), values)


async def signed(token: VaultOnChain, kind: str, authorization: Authorization) -> bytes:
    """Alice's signature under the token's own domain."""
    domain = await token.token.domain(CHAIN_ID)
    return ALICE.sign(authorization_digest(kind, authorization, domain))


async def test_the_domain_is_what_the_token_says(token: VaultOnChain) -> None:
    """DOMAIN_SEPARATOR is made of the name and version that clients are told."""
    said = await token.rpc.read(token.address, selector("DOMAIN_SEPARATOR()"))
    assert said == contract_domain(DEV_MONEY_NAME, DEV_MONEY_VERSION, CHAIN_ID, token.address)


async def test_transfers_with_the_signature_as_bytes(token: VaultOnChain) -> None:
    """The second overload moves the same money under the same nonce, once."""
    authorization = Authorization(ALICE.address, BOB.address, 40, 0, FOREVER, b"\x01" * 32)
    signature = await signed(token, TRANSFER, authorization)
    data = by_bytes("transferWithAuthorization", authorization, signature)
    state = selector("authorizationState(address,bytes32)") + abi_encode(
        ["address", "bytes32"], [hex0x(ALICE.address), authorization.nonce]
    )
    assert not any(await token.rpc.read(token.address, state))
    await token.send(data)
    assert any(await token.rpc.read(token.address, state))
    assert await token.token.balance(BOB.address) == 40
    assert await token.refusal(data) != ""


async def test_what_is_not_signed_moves_nothing(token: VaultOnChain) -> None:
    """Another amount, receiver, time or kind, a stranger's key, and times outside of the window."""
    good = Authorization(ALICE.address, BOB.address, 40, 0, FOREVER, b"\x02" * 32)
    signature = await signed(token, TRANSFER, good)
    for wrong in (
        replace(good, value=41),
        replace(good, to=ALICE.address),
        replace(good, valid_before=FOREVER - 1),
        replace(good, nonce=bytes(32)),
        replace(good, holder=BOB.address),
    ):
        assert await token.refusal(by_bytes("transferWithAuthorization", wrong, signature)) != ""
    receive = await signed(token, RECEIVE, good)
    assert await token.refusal(by_bytes("transferWithAuthorization", good, receive)) != ""
    for late in (replace(good, valid_before=1), replace(good, valid_after=FOREVER - 1)):
        data = by_bytes("transferWithAuthorization", late, await signed(token, TRANSFER, late))
        assert await token.refusal(data) != ""
    assert await token.refusal(by_bytes("transferWithAuthorization", good, signature)) == ""


async def test_only_the_receiver_takes_what_is_signed_for_receiving(token: VaultOnChain) -> None:
    """ReceiveWithAuthorization cannot be submitted by somebody else."""
    authorization = Authorization(ALICE.address, SUBMITTER.address, 40, 0, FOREVER, b"\x03" * 32)
    data = by_bytes("receiveWithAuthorization", authorization, await signed(token, RECEIVE, authorization))
    assert await token.refusal(data, key=BOB) != ""
    await token.send(data)
    assert await token.token.balance(SUBMITTER.address) == 40


async def test_a_cancelled_authorization_is_void(token: VaultOnChain) -> None:
    """Its holder cancels it by a signature; then it moves nothing."""
    authorization = Authorization(ALICE.address, BOB.address, 40, 0, FOREVER, b"\x04" * 32)
    hashed = keccak256(
        keccak256(b"CancelAuthorization(address authorizer,bytes32 nonce)")
        + ALICE.address.rjust(32, b"\0")
        + authorization.nonce
    )
    domain = contract_domain(DEV_MONEY_NAME, DEV_MONEY_VERSION, CHAIN_ID, token.address)
    signature = ALICE.sign(keccak256(b"\x19\x01" + domain + hashed))
    cancel = selector("cancelAuthorization(address,bytes32,bytes)") + abi_encode(
        ["address", "bytes32", "bytes"], [hex0x(ALICE.address), authorization.nonce, signature]
    )
    await token.send(cancel)
    data = by_bytes("transferWithAuthorization", authorization, await signed(token, TRANSFER, authorization))
    assert await token.refusal(data) != ""


async def test_a_contract_wallet_pays_by_authorization(token: VaultOnChain) -> None:
    """A holder that is a contract signs with the key that it says (ERC-1271)."""
    wallet = await deploy_hostile(token.rpc, "Wallet", ALICE.address.rjust(32, b"\0"))
    await token.pour(wallet, 50)
    authorization = Authorization(wallet, BOB.address, 50, 0, FOREVER, sha256(wallet))
    signature = await signed(token, TRANSFER, authorization)
    await token.send(by_bytes("transferWithAuthorization", authorization, signature))
    assert await token.token.balance(BOB.address) == 50


async def test_permit_is_what_wallets_sign(token: VaultOnChain) -> None:
    """EIP-2612, hashed by eth_account: an allowance without gas of the holder, once."""
    words = ("owner", "address"), ("spender", "address"), ("value", "uint256"), ("nonce", "uint256")
    message = {
        "owner": hex0x(ALICE.address),
        "spender": hex0x(BOB.address),
        "value": 7,
        "nonce": 0,
        "deadline": FOREVER,
    }
    domain = (
        ("name", "string"),
        ("version", "string"),
        ("chainId", "uint256"),
        ("verifyingContract", "address"),
    )
    typed = encode_typed_data(
        full_message={
            "types": {
                "EIP712Domain": [{"name": name, "type": kind} for name, kind in domain],
                "Permit": [{"name": name, "type": kind} for name, kind in (*words, ("deadline", "uint256"))],
            },
            "primaryType": "Permit",
            "domain": {
                "name": DEV_MONEY_NAME,
                "version": DEV_MONEY_VERSION,
                "chainId": CHAIN_ID,
                "verifyingContract": hex0x(token.address),
            },
            "message": message,
        }
    )
    signature = ALICE.sign(keccak256(b"\x19" + typed.version + typed.header + typed.body))
    kinds = ["address", "address", "uint256", "uint256", "uint8", "bytes32", "bytes32"]
    values = [hex0x(ALICE.address), hex0x(BOB.address), 7, FOREVER]
    parts = [signature[64], signature[:32], signature[32:64]]
    data = selector(f"permit({','.join(kinds)})") + abi_encode(kinds, [*values, *parts])
    await token.send(data)
    assert await token.token.allowance(ALICE.address, BOB.address) == 7
    assert await token.refusal(data) != ""
