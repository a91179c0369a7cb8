"""x402 on a real anvil: the contracts, a token, what payers sign, a facilitator as a process of its own."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from hallmark.core import x402_digests as digests
from hallmark.core.document import hex0x
from hallmark.core.eip3009 import RECEIVE, TRANSFER, TokenDomain, authorization_digest
from hallmark.core.eip3009 import Authorization as Transfer
from hallmark.core.hashing import sha256
from hallmark.core.x402_payment import Authorization, Deposit
from hallmark.crypto.secp256k1 import Key
from hallmark.http.serve import Listen
from hallmark.payments.x402.actions import Claim, Claims, Refund
from hallmark.services.chain.contract import read_contract
from hallmark.services.chain.deployment import deploy_dev_token
from hallmark.services.chain.rpc import RPC, Reverted
from hallmark.services.chain.token import TokenContract, approve_call, faucet_call
from hallmark.services.chain.toolchain import prepare_x402, repository_root
from hallmark.services.chain.x402_contracts import install
from hallmark.services.chain.x402_settlement import To, claims_digest, deposit_call, error_name
from hallmark.services.facilitator.settings import Key as APIKey
from hallmark.services.facilitator.settings import Settings, Token
from hallmark.testing.anvil import CHAIN_ID, fund, toolchain, transact
from hallmark.testing.ports import free_port
from hallmark.testing.vaults import FOREVER, SUBMITTER, named_key

PAYER, PAYEE, AUTHORIZER = named_key("x402 payer"), named_key("x402 payee"), named_key("x402 authorizer")
SIGNER: Final = named_key("x402 facilitator")
NETWORK: Final = f"eip155:{CHAIN_ID}"
SECRET: Final = "a key of a server"  # noqa: S105 - of tests
NO_CLAIMS: Final = Claims(())
SALTS = itertools.count(time.time_ns())


class Chain(msgspec.Struct):
    """A chain with x402's contracts and the development token."""

    rpc: RPC
    token: TokenContract
    domain: TokenDomain

    async def send(self, call: To, key: Key = SUBMITTER) -> None:
        """A transaction that must succeed."""
        receipt = await transact(self.rpc, key, call.contract, call.data)
        assert receipt["status"] == "0x1", await self.refusal(call, key)

    async def refusal(self, call: To, key: Key = SUBMITTER) -> str:
        """The error that a call would end with; empty for none."""
        question = {"from": hex0x(key.address), "to": hex0x(call.contract), "data": hex0x(call.data)}
        try:
            await self.rpc.call("eth_call", question, "latest")
        except Reverted as revert:
            return error_name(revert) or "another"
        return ""

    async def pour(self, holder: bytes, amount: int) -> None:
        """Development money."""
        await self.send(To(self.token.address, faucet_call(holder, amount)))

    async def approve(self, key: Key = PAYER) -> None:
        """A payer lets Permit2 take what it signs for."""
        await fund(self.rpc, key)
        await self.send(To(self.token.address, approve_call(digests.PERMIT2, 2**256 - 1)), key)

    def transfer(
        self, value: int, *, key: Key = PAYER, until: int = FOREVER, like: Authorization | None = None
    ) -> Authorization:
        """A signed payment by EIP-3009; for `like`, with its nonce and to the payer itself."""
        to, nonce = PAYEE.address, next(SALTS).to_bytes(32, "big")
        if like is not None and like.transfer is not None:
            to, nonce = key.address, like.transfer.nonce
        one = Transfer(key.address, to, value, 0, until, nonce)
        digest = authorization_digest(TRANSFER, one, self.domain)
        return Authorization(
            scheme="exact",
            kind="transfer",
            payer=key.address,
            amount=value,
            digest=digest,
            expires=until,
            signature=key.sign(digest),
            transfer=one,
            token=self.token.address,
        )

    def permit(self, value: int, facilitator: bytes = b"", *, key: Key = PAYER) -> Authorization:
        """A signed payment by Permit2; `upto` when a facilitator is named."""
        scheme, proxy = ("upto", digests.UPTO_PROXY) if facilitator else ("exact", digests.EXACT_PROXY)
        one = digests.Permit(
            self.token.address, value, proxy, next(SALTS), FOREVER, PAYEE.address, 0, facilitator
        )
        return signed_permit(scheme, one, key)

    def channel(self, *, authorizer: bytes = b"", by: bytes = b"", delay: int = 900) -> digests.Channel:
        """A new channel of the payer's for the payee; vouchers by `authorizer`, claims by `by`."""
        salt = next(SALTS).to_bytes(32, "big")
        return digests.Channel(
            PAYER.address,
            authorizer or bytes(20),
            PAYEE.address,
            by or AUTHORIZER.address,
            self.token.address,
            delay,
            salt,
        )

    def deposit(self, config: digests.Channel, amount: int, key: Key = PAYER) -> Deposit:
        """A signed deposit by EIP-3009."""
        name, salt = digests.channel_id(config, CHAIN_ID), next(SALTS).to_bytes(32, "big")
        nonce = digests.deposit_nonce(name, salt)
        one = Transfer(key.address, digests.DEPOSIT_COLLECTOR, amount, 0, FOREVER, nonce)
        digest = authorization_digest(RECEIVE, one, self.domain)
        return Deposit(amount, key.sign(digest), digest, one, salt)

    def deposit_to(self, config: digests.Channel, amount: int, key: Key = PAYER) -> To:
        """The call of a signed deposit."""
        return deposit_call(config, self.deposit(config, amount, key))


def signed_permit(scheme: str, one: digests.Permit, key: Key = PAYER) -> Authorization:
    """A Permit2 payment with a key's signature, as the payer's."""
    digest = digests.permit_digest(one, CHAIN_ID)
    return Authorization(
        scheme=scheme,
        kind="permit2",
        payer=PAYER.address,
        amount=one.amount,
        digest=digest,
        expires=one.deadline,
        signature=key.sign(digest),
        permit=one,
        token=one.token,
    )


def voucher(config: digests.Channel, most: int, claimed: int, key: Key = PAYER) -> Claim:
    """A voucher, and what is claimed of it."""
    digest = digests.voucher_digest(digests.channel_id(config, CHAIN_ID), most, CHAIN_ID)
    return Claim(config, most, key.sign(digest), claimed)


def authorized(*claims: Claim, key: Key = AUTHORIZER) -> Claims:
    """Claims with their authorizer's signature."""
    return Claims(claims, key.sign(claims_digest(Claims(claims), CHAIN_ID)))


def refund(config: digests.Channel, amount: int, nonce: int, claims: Claims = NO_CLAIMS) -> Refund:
    """A refund with its authorizer's signature."""
    name = digests.channel_id(config, CHAIN_ID)
    signature = AUTHORIZER.sign(digests.refund_digest(name, nonce, amount, CHAIN_ID))
    return Refund(config, amount, nonce, claims, signature)


@contextlib.asynccontextmanager
async def x402_chain(url: str, *, poured: int = 1_000_000) -> AsyncIterator[Chain]:
    """The contracts and the token on a running chain; the payer gets so much of it."""
    rpc = RPC(url)
    try:
        await fund(rpc, SUBMITTER)
        await install(rpc, prepare_x402(repository_root()))
        artifact = read_contract(toolchain().contracts / "DevToken.json")
        token = TokenContract(rpc, (await deploy_dev_token(rpc, SUBMITTER, artifact)).address)
        chain = Chain(rpc, token, await token.domain(CHAIN_ID))
        await chain.pour(PAYER.address, poured)
        yield chain
    finally:
        await rpc.aclose()


def request_body(payment: Authorization, *, identifier: str = "", **changed: Any) -> dict[str, Any]:
    """A request to /verify or /settle for a payment by EIP-3009 or Permit2; `changed` members of what is
    required.
    """
    extra: dict[str, Any] = {"name": "Hallmark Development Money", "version": "1"}
    if payment.permit is not None:
        extra["assetTransferMethod"] = "permit2"
        if payment.permit.facilitator:
            extra["facilitatorAddress"] = hex0x(payment.permit.facilitator)
    accepted = {
        "scheme": payment.scheme,
        "network": NETWORK,
        "amount": str(payment.amount),
        "asset": hex0x(payment.token),
        "payTo": hex0x(PAYEE.address),
        "maxTimeoutSeconds": 300,
        "extra": extra,
    }
    message = {"x402Version": 2, "accepted": accepted, "payload": _payload(payment)}
    if identifier:
        message["extensions"] = {"payment-identifier": {"info": {"required": False, "id": identifier}}}
    return {"x402Version": 2, "paymentPayload": message, "paymentRequirements": {**accepted, **changed}}


def _payload(payment: Authorization) -> dict[str, Any]:
    signature, payer = hex0x(payment.signature), hex0x(payment.payer)
    if payment.transfer is not None:
        one = payment.transfer
        fields = {
            "from": payer,
            "to": hex0x(one.to),
            "value": str(one.value),
            "validAfter": str(one.valid_after),
            "validBefore": str(one.valid_before),
            "nonce": hex0x(one.nonce),
        }
        return {"signature": signature, "authorization": fields}
    permit = payment.permit
    assert permit is not None
    witness = {"to": hex0x(permit.to), "validAfter": str(permit.valid_after)}
    if permit.facilitator:
        witness["facilitator"] = hex0x(permit.facilitator)
    return {
        "signature": signature,
        "permit2Authorization": {
            "from": payer,
            "permitted": {"token": hex0x(permit.token), "amount": str(permit.amount)},
            "spender": hex0x(permit.spender),
            "nonce": str(permit.nonce),
            "deadline": str(permit.deadline),
            "witness": witness,
        },
    }


def facilitator_settings(folder: Path, rpc_url: str, token: TokenDomain, **more: Any) -> Settings:
    """Settings of a facilitator for tests: one key, the development token."""
    (folder / "signer.key").write_text(SIGNER.secret.hex())
    (folder / "authorizer.key").write_text(AUTHORIZER.secret.hex())
    key = APIKey("server", hex0x(sha256(SECRET.encode())), (hex0x(PAYEE.address),))
    given: dict[str, Any] = {
        "listen": Listen(free_port()),
        "database": f"sqlite:///{folder}/store.db",
        "rpc_url": rpc_url,
        "chain_id": CHAIN_ID,
        "key_file": str(folder / "signer.key"),
        "authorizer_file": str(folder / "authorizer.key"),
        "tokens": (Token(hex0x(token.token), token.name, token.version),),
        "keys": (key,),
        "poll_ms": 50,
    }
    return Settings(**(given | more))


@contextlib.contextmanager
def running_facilitator(folder: Path, settings: Settings) -> Iterator[str]:
    """A facilitator as a process of its own; its URL. It is killed at the end, as by a power cut."""
    (folder / "settings.json").write_bytes(msgspec.json.encode(settings))
    command = [
        sys.executable,
        "-m",
        "hallmark.services.facilitator",
        "--config",
        str(folder / "settings.json"),
    ]
    url = f"http://127.0.0.1:{settings.listen.port}"
    with (folder / "log.jsonl").open("a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            _wait_ready(url, process)
            yield url
        finally:
            process.kill()
            process.wait(10)


def _wait_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert process.poll() is None, "the facilitator ended"
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError("the facilitator did not become ready")
