"""The asyncio client. `hallmark.Client` is the same behind a plain façade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload
from urllib.parse import quote

import msgspec

from hallmark.core.document import unhex
from hallmark.core.errors import HallmarkError, InvalidInput, VerificationFailed
from hallmark.http.client import Pool, Timeouts
from hallmark.services.sdk.answer_stream import MAX_ANSWER, AnswerStream, Question
from hallmark.services.sdk.answers import Cleared, Draft, clear
from hallmark.services.sdk.chain_account import Balance, Movement, Withdrawal
from hallmark.services.sdk.money import Money
from hallmark.services.sdk.network import Chain, error_of, find, verifier_of
from hallmark.services.sdk.offers import NodeOffer, read_offers
from hallmark.services.sdk.paid_request import PaidRequest
from hallmark.services.sdk.receipts import AsyncReceipt, News, open_answer, read_news
from hallmark.services.sdk.spending import REGISTRY, Limits, Spending
from hallmark.services.sdk.spending_store import Spent
from hallmark.services.sdk.verifying import Verifier
from hallmark.services.sdk.wallet import Wallet
from hallmark.verification.dossier import Dossier

Messages = str | Sequence[Mapping[str, Any]]
CHAT = "/v1/chat/completions"
INFER = "/v1/hallmark/infer"


class History(msgspec.Struct, frozen=True):
    """What happened to an account on the chain, and what its home signed for requests; newest first."""

    movements: tuple[Movement, ...]
    payments: tuple[Spent, ...]


class AsyncClient:
    """Talks to one network.

    `base_url` is a gateway; `trust` its trust file; without them `home` (default ~/.hallmark) says
    both, for a network on this machine. Without a trust file answers still come, and every mark stays
    underived. `verifier` takes the trust file's place.

    Nothing is paid until `spending` says what may be. `wallet` and `chain` take the place of those that the
    home names.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        trust: Path | str | None = None,
        home: Path | str | None = None,
        timeout: float = 590.0,
        verifier: Verifier | None = None,
        wallet: Wallet | None = None,
        chain: Chain | None = None,
    ) -> None:
        place = find(base_url, trust, home)
        self.base_url = place.base_url
        self._verifier = verifier or verifier_of(place)
        network = self._verifier.trust.network_id if self._verifier is not None else b""
        self._money = Money(place, wallet, chain, network)
        self._spending: Spending | None = None
        self._pool = Pool(timeouts=Timeouts(head=timeout, idle=timeout))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()
        await self._money.aclose()

    @property
    def wallet(self) -> Wallet:
        """The payer's wallet. Raises NotFound `no_wallet`; `Wallet.new` makes one."""
        return self._money.wallet

    def spending(self, *, max_per_request: str, max_per_day: str, pay_to: str = REGISTRY) -> None:
        """Pay for requests from now on, within these limits (see `sdk.spending`).

        Amounts are as people write them (`"0.05"`); the day is the last 24 hours, over every process of this
        home. `pay_to` is `registry`, any payee that the log names for a registered node, or one address.
        Raises NotFound `no_wallet`, InvalidInput `no_chain`, `bad_amount`, `bad_payee`.
        """
        self._spending = self._money.spending(Limits(max_per_request, max_per_day, pay_to), self.offers)

    async def offers(self) -> tuple[NodeOffer, ...]:
        """What answers cost now, by node. `proven` needs a trust file."""
        return read_offers(await self.get_json("/v1/hallmark/offers?proofs=true"), self._verifier)

    async def deposit(self, amount: str) -> bytes:
        """Put so much of the wallet's tokens into its account in the vault; the transaction's hash. See
        `ChainAccount.deposit`.
        """
        return await self._money.account.deposit(amount)

    async def balance(self) -> Balance:
        """What the wallet and its account have. Leases of every enclave that the network names now count."""
        return await self._money.account.balance(*await self._parties())

    async def withdraw(self, amount: str | None = None) -> Withdrawal:
        """Ask for so much back (None: everything); `finish_withdrawal` pays it after the vault's delay."""
        return await self._money.account.withdraw(amount)

    async def finish_withdrawal(self) -> int:
        """Have what was asked back paid to the wallet; atomic units. See `ChainAccount.finish`."""
        return await self._money.account.finish((await self._parties())[0])

    async def history(self, most: int = 50) -> History:
        """What happened to the account on the chain, and what this home signed for requests."""
        movements = await self._money.account.history(most)
        return History(movements, await self._money.store.newest(most))

    async def fund(self, amount: str = "100") -> int:
        """Development money for the wallet, where the chain is a development chain; atomic units."""
        return await self._money.account.fund(amount)

    @overload
    async def ask(
        self, prompt: Messages, *, model: str = ..., require: None = ..., timeout: float = ..., **options: Any
    ) -> Draft[AsyncReceipt]: ...

    @overload
    async def ask(
        self, prompt: Messages, *, model: str = ..., require: str, timeout: float = ..., **options: Any
    ) -> Cleared[AsyncReceipt]: ...

    async def ask(
        self,
        prompt: Messages,
        *,
        model: str = "pydoc",
        require: str | None = None,
        timeout: float = 10.0,
        **options: Any,
    ) -> Draft[AsyncReceipt] | Cleared[AsyncReceipt]:
        """Ask a language model. `options` are those of the OpenAI chat API (temperature, max_tokens, ...).

        Without `require` a Draft, at once. With the name of a clearing policy a Cleared answer, or
        AnswerHeld after
        `timeout` seconds.
        """
        body = encode_chat(prompt, model, options)
        draft = await self._post(CHAT, body)
        return draft if require is None else await self._cleared(draft, require, timeout)

    def stream(self, prompt: Messages, *, model: str = "pydoc", **options: Any) -> AnswerStream:
        """Ask a language model and read the answer as it comes: `async for piece in stream`, then
        `stream.draft`.
        """
        body = encode_chat(prompt, model, {**options, "stream": True})
        question = Question(self._pool, self.base_url, CHAT, body)
        return AnswerStream(question, self._paid(CHAT, body), self._handle)

    @overload
    async def infer(
        self, model: str, inputs: Mapping[str, Any], *, require: None = ..., timeout: float = ...
    ) -> Draft[AsyncReceipt]: ...

    @overload
    async def infer(
        self, model: str, inputs: Mapping[str, Any], *, require: str, timeout: float = ...
    ) -> Cleared[AsyncReceipt]: ...

    async def infer(
        self, model: str, inputs: Mapping[str, Any], *, require: str | None = None, timeout: float = 10.0
    ) -> Draft[AsyncReceipt] | Cleared[AsyncReceipt]:
        """Run a tensor model on named nested lists of numbers. `require` as in `ask`."""
        draft = await self._post(INFER, msgspec.json.encode({"model": model, "inputs": inputs}))
        return draft if require is None else await self._cleared(draft, require, timeout)

    async def models(self) -> list[dict[str, Any]]:
        """The models that the network knows, as `/v1/models` lists them."""
        found: list[dict[str, Any]] = (await self.get_json("/v1/models"))["data"]
        return found

    async def receipt(self, receipt_id: str) -> AsyncReceipt:
        """A receipt as the network has it (without the owner's copies and salts), by its id, by the answer's
        own (`chatcmpl-...`) or by the response's `x-request-id`. Raises NotFound `no_such_receipt`, Conflict
        `several_receipts`, VerificationFailed `other_receipt`.
        """
        news = await self._ask_for(receipt_id, "", 0)
        if receipt_id.startswith("0x") and news.dossier.id != receipt_id:
            raise VerificationFailed("other_receipt", "The network answered with another receipt.")
        return self._handle(news.dossier)

    def handle(self, dossier: Dossier) -> AsyncReceipt:
        """A receipt from a dossier at hand, such as one that `saved.open_answer` made."""
        return self._handle(dossier)

    async def get_json(self, path: str) -> Any:
        """GET a JSON page of the gateway. Raises the error that the page answers with."""
        async with self._pool.request("GET", self.base_url + path) as response:
            body = await response.read(MAX_ANSWER)
            if response.status != 200:
                raise error_of(response.status, body)
        return msgspec.json.decode(body)

    async def _post(self, path: str, body: bytes) -> Draft[AsyncReceipt]:
        question = Question(self._pool, self.base_url, path, body)
        async with self._paid(path, body) as paid:
            async with question.sent(paid) as response:
                answer = await response.read(MAX_ANSWER)
                if response.status != 200:
                    raise await paid.refused(response, answer)
            content, dossier = open_answer(path, body, answer)
            receipt = self._handle(dossier)
            receipt.arrived(question.nonce)
            await paid.delivered(receipt)
        return _draft(msgspec.json.decode(content), receipt)

    async def _cleared(
        self, draft: Draft[AsyncReceipt], policy: str, timeout: float
    ) -> Cleared[AsyncReceipt]:
        verified = await draft.receipt.wait(policy, timeout)
        return clear(draft, verified.decide(policy))

    async def _parties(self) -> tuple[set[bytes], set[bytes]]:
        """Settlement keys and payees that the network names now; none when it cannot be asked."""
        try:
            found = read_offers(await self.get_json("/v1/hallmark/offers"), None)
        except HallmarkError:
            return set(), set()
        keys = {unhex(one.settlement) for one in found if one.settlement}
        return keys, {unhex(one.offer.payee) for one in found}

    def _paid(self, path: str, body: bytes) -> PaidRequest:
        return PaidRequest(self._spending, path, body, self.receipt)

    def _handle(self, dossier: Dossier) -> AsyncReceipt:
        async def ask(wait: str, timeout_ms: int) -> News:
            return await self._ask_for(dossier.id, wait, timeout_ms)

        return AsyncReceipt(dossier, self._verifier, ask, self._submit)

    async def _ask_for(self, receipt_id: str, wait: str, timeout_ms: int) -> News:
        query = f"?wait={wait}&timeout={timeout_ms}" if wait else ""
        found = await self.get_json(f"/v1/hallmark/receipts/{quote(receipt_id, safe='')}{query}")
        return read_news(found)

    async def _submit(self, entry: bytes) -> None:
        headers = ((b"content-type", b"application/octet-stream"),)
        url = f"{self.base_url}/v1/hallmark/receipts"
        async with self._pool.request("POST", url, headers, entry) as response:
            body = await response.read()
            if response.status not in (200, 202):
                raise error_of(response.status, body)


def encode_chat(prompt: Messages, model: str, options: Mapping[str, Any]) -> bytes:
    """The exact bytes of a chat request. Raises InvalidInput `bad_prompt`."""
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    if not messages:
        raise InvalidInput("bad_prompt", "A prompt has at least one message.")
    return msgspec.json.encode({"model": model, "messages": messages, **options})


def _draft(body: dict[str, Any], receipt: AsyncReceipt) -> Draft[AsyncReceipt]:
    choices = body.get("choices") or [{}]
    message = choices[0].get("message") or {}
    return Draft(message.get("content") or "", body, receipt, body.get("outputs") or {}, receipt.payment)
