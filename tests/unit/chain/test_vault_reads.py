"""Reading and deploying through an endpoint that answers with anything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hallmark.core.document import hex0x
from hallmark.core.errors import Unavailable, VerificationFailed
from hallmark.crypto.secp256k1 import Key
from hallmark.services.chain import transactions
from hallmark.services.chain.contract import FACTORY, create2_address
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.token import TokenContract
from hallmark.services.chain.transactions import deploy_code
from hallmark.services.chain.vault import Account, VaultContract

A = b"\x0a" * 20
KEY = Key(b"\x07" * 32)
CODE = b"\x60\x00"


class Endpoint(RPC):
    """An endpoint with fixed answers by method; eth_getCode by address."""

    def __init__(self, answers: dict[str, object], codes: dict[bytes, str] | None = None) -> None:
        super().__init__("http://127.0.0.1:1")
        self.answers = answers
        self.codes = codes or {}
        self.sent: list[object] = []

    async def call(self, method: str, *params: object) -> Any:
        if method == "eth_getCode":
            return self.codes.get(bytes.fromhex(str(params[0])[2:]), "0x")
        if method == "eth_sendRawTransaction":
            self.sent.append(params[0])
            if self.answers.get("deploys"):
                self.codes[create2_address(CODE)] = "0x60"
        return self.answers.get(method)


READS: tuple[Callable[[VaultContract], Awaitable[object]], ...] = (
    lambda vault: vault.parameters(),
    lambda vault: vault.account(A),
    lambda vault: vault.ceiling(A, A),
    lambda vault: vault.lease(A, A),
    lambda vault: vault.enclave(A),
    lambda vault: vault.earned(A),
    lambda vault: vault.nonce(A),
    lambda vault: vault.deposits_paused(),
)
GARBAGE = ("0x", "0x00", "0x" + "ff" * 31, "0x" + "ff" * 32 * 7)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("answer", GARBAGE[:3])
async def test_what_no_vault_answers_has_a_reason(
    read: Callable[[VaultContract], Awaitable[object]], answer: str
) -> None:
    """Nothing, too little and numbers that do not fit are no vault's answers."""
    with pytest.raises(VerificationFailed) as error:
        await read(VaultContract(Endpoint({"eth_call": answer}), A))
    assert error.value.reason == "not_a_vault"


async def test_numbers_beyond_their_types_have_a_reason() -> None:
    """A field that is larger than its type is refused; the same field within it is read."""
    words = [1, 2, 3, 4]
    good = "0x" + b"".join(word.to_bytes(32, "big") for word in words).hex()
    assert await VaultContract(Endpoint({"eth_call": good}), A).account(A) == Account(1, 2, 3, 4)
    with pytest.raises(VerificationFailed):
        await VaultContract(Endpoint({"eth_call": GARBAGE[3]}), A).account(A)


@pytest.mark.parametrize("answer", GARBAGE[:3])
async def test_what_no_token_answers_has_a_reason(answer: str) -> None:
    """The same for tokens; whether one takes authorizations is then simply no."""
    token = TokenContract(Endpoint({"eth_call": answer}), A)
    for read in (token.balance(A), token.allowance(A, A), token.decimals(), token.domain(1)):
        with pytest.raises(VerificationFailed) as error:
            await read
        assert error.value.reason == "not_a_token"
    assert not await token.takes_authorizations()


CHAIN: dict[str, object] = {
    "eth_chainId": "0x7a69",
    "eth_getTransactionCount": "0x0",
    "eth_getBlockByNumber": {"baseFeePerGas": "0x1"},
}


async def test_code_that_is_there_is_not_deployed_again() -> None:
    """Nothing is sent, and no transaction is named."""
    endpoint = Endpoint(CHAIN, {create2_address(CODE): "0x60", FACTORY: "0x60"})
    deployed = await deploy_code(endpoint, KEY, CODE)
    assert (deployed.address, deployed.transaction, endpoint.sent) == (create2_address(CODE), b"", [])


async def test_code_is_deployed_through_the_proxy() -> None:
    """One transaction, whose hash is told."""
    endpoint = Endpoint({**CHAIN, "deploys": True}, {FACTORY: "0x60"})
    deployed = await deploy_code(endpoint, KEY, CODE)
    assert len(endpoint.sent) == 1
    assert len(deployed.transaction) == 32


async def test_a_chain_that_does_not_deploy_says_why() -> None:
    """No proxy, and a transaction that changes nothing, each have a reason and a hint."""
    with pytest.raises(Unavailable) as error:
        await deploy_code(Endpoint(CHAIN), KEY, CODE)
    assert error.value.reason == "no_create2_factory"
    with pytest.raises(Unavailable) as error:
        await deploy_code(Endpoint(CHAIN, {FACTORY: "0x60"}), KEY, CODE, timeout_s=0)
    assert error.value.reason == "deployment_failed"
    assert hex0x(KEY.address) in error.value.hint


@pytest.mark.parametrize(
    ("receipt", "told"),
    [({"status": "0x0"}, "mined and reverted"), (None, "does not know a transaction")],
)
async def test_waiting_ends_once_nothing_can_come_of_it(
    monkeypatch: pytest.MonkeyPatch, receipt: object, told: str
) -> None:
    """A transaction that reverted, or that the chain has lost, is not waited for until the time is over."""
    monkeypatch.setattr(transactions, "LOOKS_A_SECOND", 1_000)
    lost = {**CHAIN, "eth_estimateGas": "0x5208", "eth_getTransactionReceipt": receipt}
    with pytest.raises(Unavailable) as error:
        await deploy_code(Endpoint(lost, {FACTORY: "0x60"}), KEY, CODE, timeout_s=10_000)
    assert (error.value.reason, told in str(error.value)) == ("deployment_failed", True)
    with pytest.raises(Unavailable) as error:
        await transactions.perform(Endpoint(lost), KEY, A, timeout_s=10_000)
    assert (error.value.reason, told in str(error.value)) == ("transaction_failed", True)
