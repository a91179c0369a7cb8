"""The facilitator as a process on a real chain: each authorization settles once, whatever is asked how often,
killed when, and what cannot settle is refused in x402's own words.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from hallmark.core import x402_digests as digests
from hallmark.core.document import hex0x
from hallmark.core.eip3009 import TokenDomain
from hallmark.core.hashing import sha256
from hallmark.core.x402_payment import Authorization
from hallmark.payments.x402.actions import Claim
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.token import TokenContract
from hallmark.services.chain.x402_settlement import channel_state
from hallmark.services.facilitator.settings import Key, Settings
from hallmark.services.log.settings import Quota
from hallmark.testing.anvil import CHAIN_ID, fund, running_anvil
from hallmark.testing.rpc_proxy import RPCProxy
from hallmark.testing.vaults import named_key
from hallmark.testing.x402 import (
    NETWORK,
    PAYEE,
    PAYER,
    SECRET,
    SIGNER,
    Chain,
    facilitator_settings,
    request_body,
    running_facilitator,
    voucher,
    x402_chain,
)

pytestmark = pytest.mark.integration

SERVER = {"authorization": f"Bearer {SECRET}"}
POOR = named_key("x402 payer without money")


@pytest.fixture(scope="module")
def rpc_url() -> Iterator[str]:
    """One chain for all tests of this file."""
    with running_anvil() as url:
        yield url


@pytest.fixture(scope="module")
def domain(rpc_url: str) -> TokenDomain:
    """The token, on a chain where the facilitator has gas and the payer has approved Permit2."""

    async def prepare() -> TokenDomain:
        async with x402_chain(rpc_url) as chain:
            await fund(chain.rpc, SIGNER)
            await chain.approve()
            return chain.domain

    return asyncio.run(prepare())


@pytest.fixture
async def chain(rpc_url: str, domain: TokenDomain) -> AsyncIterator[Chain]:
    """The chain as a test speaks to it."""
    rpc = RPC(rpc_url)
    yield Chain(rpc, TokenContract(rpc, domain.token), domain)
    await rpc.aclose()


def made_for(folder: Path, rpc_url: str, domain: TokenDomain) -> Settings:
    """Settings with two keys, and room for one payer who pays a lot."""
    other = Key("other", hex0x(sha256(b"another server")), (), idempotent=True)
    made = facilitator_settings(folder, rpc_url, domain)
    return replace(made, keys=(*made.keys, other), per_payer=Quota(rate=100, burst=1_000))


@pytest.fixture
def settings(rpc_url: str, domain: TokenDomain, tmp_path: Path) -> Settings:
    """Settings of a facilitator of a test's own, which changes what it is about."""
    return made_for(tmp_path, rpc_url, domain)


@pytest.fixture(scope="module")
def facilitator(rpc_url: str, domain: TokenDomain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A facilitator that several tests ask."""
    folder = tmp_path_factory.mktemp("facilitator")
    with running_facilitator(folder, made_for(folder, rpc_url, domain)) as url:
        yield url


async def post(url: str, path: str, body: Any, headers: dict[str, str] = SERVER) -> dict[str, Any]:
    """What it answers, which is 200 whatever becomes of a payment."""
    async with httpx.AsyncClient(timeout=60) as client:
        content = body if isinstance(body, bytes) else None
        sent = await client.post(
            f"{url}{path}", headers=headers, content=content, json=body if content is None else None
        )
    assert sent.status_code == 200, sent.text
    said: dict[str, Any] = sent.json()
    assert None not in said.values()
    return said


async def test_every_scheme_verifies_settles_once_and_leaves_a_receipt(
    chain: Chain, facilitator: str
) -> None:
    """`exact` by both methods and `upto` for less; what is asked for again was used before."""
    before, paid = await chain.token.balance(PAYEE.address), 0
    for payment, amount, again in (
        (chain.transfer(40), 40, "invalid_exact_evm_nonce_already_used"),
        (chain.permit(50), 50, "permit2_invalid_nonce"),
        (chain.permit(500, SIGNER.address), 235, "permit2_invalid_nonce"),
    ):
        body = request_body(payment)
        assert await post(facilitator, "/verify", body) == {"isValid": True, "payer": hex0x(PAYER.address)}
        settling = request_body(payment, amount=str(amount))
        done = await post(facilitator, "/settle", settling)
        assert (done["success"], done["network"], done["payer"]) == (True, NETWORK, hex0x(PAYER.address))
        paid += amount
        assert await chain.token.balance(PAYEE.address) == before + paid
        for path, member in (("/verify", "invalidReason"), ("/settle", "errorReason")):
            assert (await post(facilitator, path, settling if path == "/settle" else body))[member] == again
        async with httpx.AsyncClient() as client:
            receipt = (await client.get(f"{facilitator}/receipts/{done['transaction']}")).json()
            assert (receipt["amount"], receipt["state"]) == (str(amount), "settled")
            assert (await client.get(f"{facilitator}/receipts/{receipt['id']}")).json() == receipt
            assert (await client.get(f"{facilitator}/receipts/0x12")).status_code == 404
    nothing = request_body(chain.permit(500, SIGNER.address), amount="0")
    done = await post(facilitator, "/settle", nothing)
    assert (done["success"], done["transaction"], done["amount"]) == (True, "", "0")
    assert await chain.token.balance(PAYEE.address) == before + paid


async def test_sixty_four_at_once_are_told_once_and_cost_one_transaction(
    chain: Chain, facilitator: str
) -> None:
    """One caller hears of the success; nobody else, and no gas is spent for them."""
    body, nonce = request_body(chain.transfer(40)), await chain.rpc.nonce(SIGNER.address)
    answers = await asyncio.gather(*(post(facilitator, "/settle", body) for _ in range(64)))
    assert sum(answer["success"] for answer in answers) == 1
    refused = {answer.get("errorReason") for answer in answers if not answer["success"]}
    assert refused == {"invalid_exact_evm_nonce_already_used"}
    assert await chain.rpc.nonce(SIGNER.address) == nonce + 1


async def test_many_payments_at_once_each_get_a_nonce(chain: Chain, facilitator: str) -> None:
    """Twenty different payments at the same moment all settle, each by a transaction of its own."""
    bodies = [request_body(chain.transfer(1)) for _ in range(20)]
    answers = await asyncio.gather(*(post(facilitator, "/settle", body) for body in bodies))
    assert all(answer["success"] for answer in answers)
    assert len({answer["transaction"] for answer in answers}) == 20


async def test_identifiers_are_for_one_payment(chain: Chain, facilitator: str) -> None:
    """The same again gets the same, for a server that serves one once; another payment under it does not."""
    name = "payment-0123456789"
    idempotent = {"authorization": "Bearer another server"}
    body = request_body(chain.transfer(40), identifier=name)
    first = await post(facilitator, "/settle", body, idempotent)
    assert first["success"]
    assert await post(facilitator, "/settle", body, idempotent) == first
    other = request_body(chain.transfer(40), identifier=name)
    for path, member in (("/verify", "invalidReason"), ("/settle", "errorReason")):
        assert (await post(facilitator, path, other, idempotent))[member] == "payment_identifier_conflict"
    body = request_body(chain.transfer(40), identifier=name)
    assert (await post(facilitator, "/settle", body))["success"]
    assert not (await post(facilitator, "/settle", body))["success"]
    bad = request_body(chain.transfer(40), identifier="short")
    assert (await post(facilitator, "/settle", bad))["errorReason"] == "invalid_payload"


async def test_what_cannot_settle_is_refused_in_x402s_words(chain: Chain, facilitator: str) -> None:
    """By /verify and by /settle, before any gas is spent."""
    nonce = await chain.rpc.nonce(SIGNER.address)
    good, permit = chain.transfer(40), chain.permit(50)
    version_1 = request_body(good)
    version_1["paymentPayload"] = {
        "x402Version": 1,
        "scheme": "exact",
        "network": "base-sepolia",
        "payload": {},
    }
    upto = request_body(chain.permit(500, PAYEE.address))
    cases: list[tuple[Any, str]] = [
        (request_body(chain.transfer(40, key=POOR)), "invalid_exact_evm_insufficient_balance"),
        (request_body(chain.transfer(40, until=1)), "invalid_exact_evm_payload_authorization_valid_before"),
        (request_body(replace(good, signature=permit.signature)), "invalid_exact_evm_payload_signature"),
        (request_body(good, amount="41"), "invalid_payment_requirements"),
        (request_body(good, payTo=hex0x(PAYER.address)), "invalid_payment_requirements"),
        (request_body(good, asset=hex0x(PAYER.address)), "invalid_payment_requirements"),
        (request_body(good, network="eip155:8453"), "invalid_network"),
        (request_body(good, network="base-sepolia"), "invalid_network"),
        (request_body(good, scheme="escrow"), "unsupported_scheme"),
        (request_body(good, extra={}), "missing_eip712_domain"),
        (request_body(good, extra={"name": "USDC", "version": "2"}), "invalid_exact_evm_token_name_mismatch"),
        (version_1, "invalid_x402_version"),
        (upto, "upto_facilitator_mismatch"),
        (request_body(good, amount=40), "invalid_payment_requirements"),
        ({}, "invalid_payload"),
        (b"", "invalid_payload"),
        (b"[" * 100_000, "invalid_payload"),
        (b'{"x402Version": 2, "x402Version": 2}', "invalid_payload"),
        (b"\xff\xfe", "invalid_payload"),
    ]
    for body, reason in cases:
        said = await post(facilitator, "/verify", body)
        assert (said["isValid"], said["invalidReason"]) == (False, reason), body
        said = await post(facilitator, "/settle", body)
        assert (said["success"], said["transaction"], said["errorReason"]) == (False, "", reason), body
    too_much = request_body(chain.permit(500, SIGNER.address), amount="501")
    said = await post(facilitator, "/settle", too_much)
    assert said["errorReason"] == "invalid_upto_evm_payload_settlement_exceeds_amount"
    assert await chain.rpc.nonce(SIGNER.address) == nonce


def batch_body(config: digests.Channel, payload: dict[str, Any], amount: int) -> dict[str, Any]:
    """A request about a channel."""
    accepted = {
        "scheme": "batch-settlement",
        "network": NETWORK,
        "amount": str(amount),
        "asset": hex0x(config.token),
        "payTo": hex0x(config.receiver),
        "maxTimeoutSeconds": 300,
        "extra": {
            "name": "Hallmark Development Money",
            "version": "1",
            "receiverAuthorizer": hex0x(config.receiver_authorizer),
            "withdrawDelay": config.withdraw_delay,
        },
    }
    message = {"x402Version": 2, "accepted": accepted, "payload": payload}
    return {"x402Version": 2, "paymentPayload": message, "paymentRequirements": accepted}


def config_json(config: digests.Channel) -> dict[str, Any]:
    """A channel's configuration as it is sent."""
    return {
        "payer": hex0x(config.payer),
        "payerAuthorizer": hex0x(config.payer_authorizer),
        "receiver": hex0x(config.receiver),
        "receiverAuthorizer": hex0x(config.receiver_authorizer),
        "token": hex0x(config.token),
        "withdrawDelay": config.withdraw_delay,
        "salt": hex0x(config.salt),
    }


def voucher_json(config: digests.Channel, most: int) -> dict[str, Any]:
    """A signed voucher as it is sent."""
    return {
        "channelId": hex0x(digests.channel_id(config, CHAIN_ID)),
        "maxClaimableAmount": str(most),
        "signature": hex0x(voucher(config, most, most).signature),
    }


def claim_json(one: Claim) -> dict[str, Any]:
    """A claim as servers send it."""
    return {
        "voucher": {"channel": config_json(one.config), "maxClaimableAmount": str(one.max_claimable)},
        "signature": hex0x(one.signature),
        "totalClaimed": str(one.total_claimed),
    }


async def test_a_channel_by_the_facilitator(chain: Chain, facilitator: str) -> None:
    """Deposit, voucher, claim, payout and refund; it signs as authorizer for the receiver's key alone."""
    config = chain.channel()
    deposit = chain.deposit(config, 300)
    assert deposit.transfer is not None
    authorization = {
        "validAfter": "0",
        "validBefore": str(deposit.transfer.valid_before),
        "salt": hex0x(deposit.salt),
        "signature": hex0x(deposit.signature),
    }
    opening = {
        "type": "deposit",
        "channelConfig": config_json(config),
        "voucher": voucher_json(config, 100),
        "deposit": {"amount": "300", "authorization": {"erc3009Authorization": authorization}},
    }
    body = batch_body(config, opening, 100)
    assert (await post(facilitator, "/verify", body))["extra"]["balance"] == "0"
    done = await post(facilitator, "/settle", body)
    assert (done["success"], done["extra"]["channelState"]["balance"]) == (True, "300")
    again = await post(facilitator, "/settle", body)
    assert again["errorReason"] == "invalid_batch_settlement_evm_deposit_simulation_failed"

    plain = {"type": "voucher", "channelConfig": config_json(config), "voucher": voucher_json(config, 200)}
    assert (await post(facilitator, "/verify", batch_body(config, plain, 100)))["isValid"]
    plain["voucher"] = voucher_json(config, 301)
    said = await post(facilitator, "/verify", batch_body(config, plain, 100))
    assert said["invalidReason"] == "invalid_batch_settlement_evm_cumulative_exceeds_balance"

    claims = {"type": "claim", "claims": [claim_json(voucher(config, 200, 150))]}
    claiming = batch_body(config, claims, 0)
    other = {"authorization": "Bearer another server"}
    said = await post(facilitator, "/settle", claiming, other)
    assert said["errorReason"] == "invalid_batch_settlement_evm_authorizer_not_configured"
    assert (await post(facilitator, "/settle", claiming))["success"]
    assert (await post(facilitator, "/settle", claiming))["success"]

    before = await chain.token.balance(PAYEE.address)
    sweep = {"type": "settle", "receiver": hex0x(PAYEE.address), "token": hex0x(config.token)}
    done = await post(facilitator, "/settle", batch_body(config, sweep, 0), other)
    assert (done["success"], done["amount"]) == (True, "150")
    assert await chain.token.balance(PAYEE.address) == before + 150
    said = await post(facilitator, "/settle", batch_body(config, sweep, 0))
    assert said["errorReason"] == "invalid_batch_settlement_evm_nothing_to_settle"

    back = {
        "type": "refund",
        "channelConfig": config_json(config),
        "voucher": voucher_json(config, 200),
        "amount": "1000",
        "refundNonce": "0",
        "claims": [claim_json(voucher(config, 200, 200))],
    }
    said = await post(facilitator, "/settle", batch_body(config, back, 0), other)
    assert said["errorReason"] == "invalid_batch_settlement_evm_authorizer_not_configured"
    done = await post(facilitator, "/settle", batch_body(config, back, 0))
    assert (done["amount"], done["extra"]["channelState"]["balance"]) == ("100", "200")
    state = await channel_state(chain.rpc, digests.channel_id(config, CHAIN_ID))
    assert (state.balance, state.total_claimed, state.refund_nonce) == (200, 200, 1)


async def test_who_may_not_ask_gets_401_and_who_asks_too_much_429(
    chain: Chain, settings: Settings, tmp_path: Path
) -> None:
    """Without a key nobody is served; a key and a payer have a quota each; what is supported says anybody."""
    few = replace(settings, per_key=Quota(rate=0.001, burst=4), per_payer=Quota(rate=0.001, burst=2))
    with running_facilitator(tmp_path, few) as url:
        async with httpx.AsyncClient(timeout=30) as client:
            body = request_body(chain.transfer(1))
            assert (await client.post(f"{url}/settle", json=body)).status_code == 401
            wrong = {"authorization": "Bearer nothing"}
            assert (await client.post(f"{url}/verify", json=body, headers=wrong)).status_code == 401
            said = (await client.get(f"{url}/supported")).json()
            assert [kind["scheme"] for kind in said["kinds"]] == ["batch-settlement", "upto", "exact"]
            assert said["signers"] == {"eip155:*": [hex0x(SIGNER.address)]}
            reasons = [(await post(url, "/verify", body)).get("invalidReason") for _ in range(3)]
            assert reasons == [None, None, "rate_limited"]
            await client.post(f"{url}/verify", json=body, headers=SERVER)
            limited = await client.post(f"{url}/verify", json=body, headers=SERVER)
            assert (limited.status_code, int(limited.headers["retry-after"]) > 0) == (429, True)
            assert (await client.get(f"{url}/settle")).status_code == 405


async def settle_and_kill(
    chain: Chain, settings: Settings, folder: Path, payment: Authorization
) -> dict[str, Any]:
    """Ask for a settlement while no blocks are made, and kill the facilitator once it has answered."""
    await chain.rpc.call("evm_setAutomine", False)
    with running_facilitator(folder, replace(settings, wait_ms=300)) as url:
        return await post(url, "/settle", request_body(payment))


async def test_a_killed_facilitator_goes_on_by_the_transactions_hash(
    chain: Chain, settings: Settings, tmp_path: Path
) -> None:
    """It says that it is pending; started again it tells what became of it, and pays nothing twice."""
    payment, before = chain.transfer(40), await chain.token.balance(PAYEE.address)
    try:
        pending = await settle_and_kill(chain, settings, tmp_path, payment)
        assert (pending["success"], pending["errorReason"]) == (False, "settlement_pending")
        await chain.rpc.call("evm_mine")
        with running_facilitator(tmp_path, settings) as url:
            done = await post(url, "/settle", request_body(payment))
            assert (done["success"], done["transaction"]) == (True, pending["transaction"])
            assert not (await post(url, "/settle", request_body(payment)))["success"]
    finally:
        await chain.rpc.call("evm_setAutomine", True)
    assert await chain.token.balance(PAYEE.address) == before + 40


async def test_a_dropped_transaction_goes_out_again(chain: Chain, settings: Settings, tmp_path: Path) -> None:
    """The chain forgot it while the facilitator was down: the same bytes are sent once more."""
    payment, before = chain.transfer(40), await chain.token.balance(PAYEE.address)
    try:
        pending = await settle_and_kill(chain, settings, tmp_path, payment)
        await chain.rpc.call("anvil_dropTransaction", pending["transaction"])
        await chain.rpc.call("evm_setAutomine", True)
        with running_facilitator(tmp_path, settings) as url:
            done = await post(url, "/settle", request_body(payment))
        assert (done["success"], done["transaction"]) == (True, pending["transaction"])
    finally:
        await chain.rpc.call("evm_setAutomine", True)
    assert await chain.token.balance(PAYEE.address) == before + 40


async def test_fees_are_raised_until_it_is_mined(chain: Chain, settings: Settings, tmp_path: Path) -> None:
    """One that waits is replaced under its own nonce; both hashes name the settlement."""
    payment, before = chain.transfer(40), await chain.token.balance(PAYEE.address)
    nonce = await chain.rpc.nonce(SIGNER.address)
    try:
        await chain.rpc.call("evm_setAutomine", False)
        with running_facilitator(tmp_path, replace(settings, wait_ms=1_500, resend_ms=200)) as url:
            pending = await post(url, "/settle", request_body(payment))
            await chain.rpc.call("evm_mine")
            done = await post(url, "/settle", request_body(payment))
            assert done["success"]
            async with httpx.AsyncClient() as client:
                found = [
                    (await client.get(f"{url}/receipts/{name}")).json()["id"]
                    for name in (pending["transaction"], done["transaction"])
                ]
            assert len(set(found)) == 1
    finally:
        await chain.rpc.call("evm_setAutomine", True)
    assert await chain.rpc.nonce(SIGNER.address) == nonce + 1
    assert await chain.token.balance(PAYEE.address) == before + 40


@pytest.mark.parametrize("depth", [0, 20])
async def test_a_chain_that_goes_back_gets_it_again(
    chain: Chain, settings: Settings, tmp_path: Path, depth: int
) -> None:
    """The block with the settlement is gone, and many after it: it goes out again, and is paid once."""
    before = await chain.token.balance(PAYEE.address)
    with running_facilitator(tmp_path, settings) as url:
        snapshot = await chain.rpc.call("evm_snapshot")
        done = await post(url, "/settle", request_body(chain.transfer(40)))
        assert done["success"]
        for _ in range(depth):
            await chain.rpc.call("evm_mine")
        await chain.rpc.call("evm_revert", snapshot)
        await chain.rpc.call("anvil_dropAllTransactions")
        assert await chain.token.balance(PAYEE.address) == before
        for _ in range(depth + 1):
            await chain.rpc.call("evm_mine")
        for _ in range(400):
            if await chain.token.balance(PAYEE.address) == before + 40:
                break
            await asyncio.sleep(0.05)
        assert await chain.token.balance(PAYEE.address) == before + 40


async def test_a_bad_endpoint_is_told_from_a_bad_payment(
    chain: Chain, settings: Settings, rpc_url: str, tmp_path: Path
) -> None:
    """Down or with nulls it is nobody's fault and nothing is sent; late and behind, all payments still settle
    once.
    """
    proxy, before = RPCProxy(rpc_url), await chain.token.balance(PAYEE.address)
    async with proxy.serving() as bad_url:
        running = running_facilitator(tmp_path, replace(settings, rpc_url=bad_url, wait_ms=50_000))
        url = await asyncio.to_thread(running.__enter__)
        try:
            body = request_body(chain.transfer(40))
            for fault in ({"down": True}, {"nulls": frozenset("*")}):
                for name, value in fault.items():
                    setattr(proxy, name, value)
                assert (await post(url, "/verify", body))["invalidReason"] == "unexpected_verify_error"
                assert (await post(url, "/settle", body))["errorReason"] == "unexpected_settle_error"
                proxy.down, proxy.nulls = False, frozenset()
            assert proxy.raw == []
            proxy.late_s, proxy.behind = 0.05, 2
            bodies = [body, *(request_body(chain.transfer(40)) for _ in range(5))]
            answers = await asyncio.gather(*(post(url, "/settle", one) for one in bodies))
            assert [answer["success"] for answer in answers] == [True] * 6, [
                answer.get("errorReason") for answer in answers
            ]
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)
    assert await chain.token.balance(PAYEE.address) == before + 240


async def test_gas_is_capped(chain: Chain, settings: Settings, tmp_path: Path) -> None:
    """What would cost more gas, or a higher fee, than is paid here is refused before it is sent."""
    nonce = await chain.rpc.nonce(SIGNER.address)
    for tight in (replace(settings, most_gas=30_000), replace(settings, most_fee=1)):
        with running_facilitator(tmp_path, tight) as url:
            said = await post(url, "/settle", request_body(chain.transfer(40)))
            assert said["errorReason"] == "unexpected_settle_error"
    assert await chain.rpc.nonce(SIGNER.address) == nonce
