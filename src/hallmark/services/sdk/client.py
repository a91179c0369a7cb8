"""The asyncio client. `hallmark.Client` is the same behind a plain façade."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload
from urllib.parse import quote

import msgspec

from hallmark.core.amounts import parse_amount
from hallmark.core.document import unhex
from hallmark.core.errors import HallmarkError, InvalidInput, VerificationFailed
from hallmark.crypto.secp256k1 import Key
from hallmark.crypto.token_keys import KeySet
from hallmark.services.sdk.answer_stream import AnswerStream
from hallmark.services.sdk.answers import Cleared, Draft, clear
from hallmark.services.sdk.asking import Messages, ModeName, draft_of, encode_chat, in_mode
from hallmark.services.sdk.chain_account import Balance, ChainAccount, Movement, Withdrawal
from hallmark.services.sdk.drawing import Draws, images_of
from hallmark.services.sdk.key_proof import require_proven
from hallmark.services.sdk.model_history import ModelHistory, read_history, read_page
from hallmark.services.sdk.money import Money
from hallmark.services.sdk.network import Chain, error_of, find, verifier_of
from hallmark.services.sdk.offers import NodeOffer, read_offers
from hallmark.services.sdk.outcomes import Rests, Spoken, say, showing
from hallmark.services.sdk.paid_request import PaidRequest
from hallmark.services.sdk.receipts import AsyncReceipt, News, open_answer, read_news
from hallmark.services.sdk.seen_models import WARN, ModelMove, SeenModels
from hallmark.services.sdk.spending import REGISTRY, Limits, Spending
from hallmark.services.sdk.spending_store import Spent
from hallmark.services.sdk.tensors import Tensors, encode_infer
from hallmark.services.sdk.token_price import most_for
from hallmark.services.sdk.token_request import TokenRequest
from hallmark.services.sdk.tokens import Leaving, Tokens
from hallmark.services.sdk.verifying import Verifier
from hallmark.services.sdk.wallet import Wallet
from hallmark.services.sdk.way import MAX_ANSWER, Pairs, Question, Way
from hallmark.services.sdk.ways import PLAIN, way_of
from hallmark.verification.dossier import Dossier

if TYPE_CHECKING:
    from hallmark.services.sdk.gateway_watch import GatewayWatch, Judged
    from hallmark.services.sealing.ticket_check import CheckedTicket

MOST_PAGES = 100
CHAT = "/v1/chat/completions"
INFER = "/v1/hallmark/infer"


class History(msgspec.Struct, frozen=True):
    """What happened to an account on the chain, and what its home signed for requests; newest first."""

    movements: tuple[Movement, ...]
    payments: tuple[Spent, ...]


class AsyncClient(Draws):
    """Talks to one network.

    `base_url` is a gateway; `trust` its trust file; without them `home` (default ~/.hallmark) says
    both, for a network on this machine. Without a trust file answers still come, and every mark stays
    underived. `verifier` takes the trust file's place.

    Nothing is paid until `spending` says what may be. `wallet` and `chain` take the place of those that the
    home names.

    With `privacy="sealed"` everything goes through `relay` (else the home's; `relay_issuer` makes the tokens
    of one that wants Privacy Pass): questions sealed to an enclave,
    the rest sealed to the gateway, which this machine never talks to. What would reveal who asks is refused
    (`not_on_the_sealed_way`), and nothing is ever asked plain instead. A node whose own configuration says
    that it runs without a check is refused (`node_insecure`), unless `unsafe_insecure_nodes`.

    `on_model_change` says what to do when a label points to another artifact than before: `warn`, `refuse`
    or `allow` (`sdk.seen_models`). `model="digits@BLOB_ID"` pins one request by itself.
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
        privacy: str = PLAIN,
        relay: str | None = None,
        relay_issuer: str | None = None,
        unsafe_insecure_nodes: bool = False,
        on_model_change: str = WARN,
    ) -> None:
        place = find(base_url, trust, home, relay, relay_issuer, verified=verifier is not None)
        self.base_url = place.base_url
        self._verifier = verifier or verifier_of(place)
        network = self._verifier.trust.network_id if self._verifier is not None else b""
        self._money = Money(place, wallet, chain, network)
        self._spending: Spending | None = None
        self._token_cap = ""
        seen = Path(place.home) / "models-seen.json" if place.home else None
        self._models = SeenModels(on_model_change, network, seen)
        self._log = place.log
        self._watch: GatewayWatch | None = None
        self._way = way_of(
            privacy,
            place,
            self._verifier,
            timeout,
            named=(relay, relay_issuer) != (None, None),
            unsafe_insecure=unsafe_insecure_nodes,
        )

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._way.aclose()
        if self._watch is not None:
            await self._watch.aclose()
        await self._money.aclose()

    def forget_model(self, label: str) -> None:
        """Take the next answer under the label as it comes, whatever the artifact."""
        self._models.forget(label)

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

    @property
    def tokens(self) -> Tokens:
        """Money that nobody can link to who bought it (`sdk.tokens`)."""
        self._money.sealed, self._money.proven = self._way.sealed, self._keys_proven
        return self._money.tokens

    async def _keys_proven(self, keys: KeySet) -> None:
        """Raises VerificationFailed `issuer_keys_not_proven`, InvalidInput `no_trust_file`."""
        if self._verifier is None:
            raise InvalidInput(
                "no_trust_file",
                "Without a trust file nobody can say that these keys are everybody's.",
                "Give the client `trust=`, a path to the network's trust.toml.",
            )
        require_proven(await self.get_json("/v1/hallmark/offers?proofs=true"), keys, self._verifier)

    def spend_tokens(self, *, max_per_request: str) -> None:
        """Pay for sealed requests with this home's tokens from now on, at most so much (`"0.05"`) for each.

        Raises InvalidInput `tokens_need_sealing` for a plain client, `bad_amount`.
        """
        if not self._way.sealed:
            raise InvalidInput(
                "tokens_need_sealing",
                "Tokens are spent in sealed questions alone: whoever else reads them could spend them.",
                'Make the client with privacy="sealed".',
            )
        if not parse_amount(max_per_request, 18):
            raise InvalidInput(
                "bad_amount", "A limit is more than nothing.", 'Such as max_per_request="0.05".'
            )
        self._token_cap = max_per_request

    async def offers(self) -> tuple[NodeOffer, ...]:
        """What answers cost now, by node. `proven` needs a trust file."""
        return read_offers(await self.get_json("/v1/hallmark/offers?proofs=true"), self._verifier)

    async def deposit(self, amount: str) -> bytes:
        """Put so much of the wallet's tokens into its account in the vault; the transaction's hash. See
        `ChainAccount.deposit`.
        """
        return await self._account.deposit(amount)

    async def balance(self) -> Balance:
        """What the wallet and its account have. Leases of every enclave that the network names now count."""
        return await self._account.balance(*await self._parties())

    async def withdraw(self, amount: str | None = None) -> Withdrawal:
        """Ask for so much back (None: everything); `finish_withdrawal` pays it after the vault's delay."""
        return await self._account.withdraw(amount)

    async def finish_withdrawal(self) -> int:
        """Have what was asked back paid to the wallet; atomic units. See `ChainAccount.finish`."""
        return await self._account.finish((await self._parties())[0])

    async def history(self, most: int = 50) -> History:
        """What happened to the account on the chain, and what this home signed for requests."""
        movements = await self._account.history(most)
        return History(movements, await self._money.store.newest(most))

    async def fund(self, amount: str = "100") -> int:
        """Development money for the wallet, where the chain is a development chain; atomic units."""
        return await self._account.fund(amount)

    @property
    def _account(self) -> ChainAccount:
        self._require_plain(
            "A wallet command talks to the chain and the gateway directly, from this machine's address."
        )
        return self._money.account

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
        mode: ModeName = None,
        require: str | None = None,
        timeout: float = 10.0,
        **options: Any,
    ) -> Draft[AsyncReceipt] | Cleared[AsyncReceipt]:
        """Ask a language model. `options` are those of the OpenAI chat API (temperature, max_tokens, ...).
        `mode` is what the receipt's is to be: tee, vanilla, replay or zkml; refused where no node keeps it.

        Without `require` a Draft, at once. With the name of a clearing policy a Cleared answer, or
        AnswerHeld after
        `timeout` seconds.
        """
        model = self._models.named(model)
        draft = await self._post(CHAT, encode_chat(prompt, model, options), model, in_mode(mode))
        return draft if require is None else await self._cleared(draft, require, timeout)

    def stream(
        self, prompt: Messages, *, model: str = "pydoc", mode: ModeName = None, **options: Any
    ) -> AnswerStream:
        """Ask a language model and read the answer as it comes: `async for piece in stream`, then
        `stream.draft`.
        """
        model = self._models.named(model)
        body = encode_chat(prompt, model, {**options, "stream": True})
        arrived = functools.partial(self._arrived, model)
        return AnswerStream(self._way.question(CHAT, body, in_mode(mode)), self.paid, self._handle, arrived)

    @overload
    async def infer(
        self, model: str, inputs: Tensors, *, mode: ModeName = ..., require: None = ..., timeout: float = ...
    ) -> Draft[AsyncReceipt]: ...

    @overload
    async def infer(
        self, model: str, inputs: Tensors, *, mode: ModeName = ..., require: str, timeout: float = ...
    ) -> Cleared[AsyncReceipt]: ...

    async def infer(
        self,
        model: str,
        inputs: Tensors,
        *,
        mode: ModeName = None,
        require: str | None = None,
        timeout: float = 10.0,
    ) -> Draft[AsyncReceipt] | Cleared[AsyncReceipt]:
        """Run a tensor model on named nested lists of numbers, or on the bytes of a safetensors file: then
        `body["safetensors"]` is such a file too, in base64. `mode` and `require` as in `ask`.
        """
        model = self._models.named(model)
        draft = await self._post(INFER, encode_infer(model, inputs), model, in_mode(mode))
        return draft if require is None else await self._cleared(draft, require, timeout)

    async def models(self) -> list[dict[str, Any]]:
        """The models that the network knows, as `/v1/models` lists them."""
        found: list[dict[str, Any]] = (await self.get_json("/v1/models"))["data"]
        return found

    async def model_history(self, label: str) -> ModelHistory:
        """Every artifact that a label pointed to, each step checked where there is a trust file. Raises
        NotFound `model_not_found`, InvalidInput `bad_history`.
        """
        ask = f"/v1/hallmark/history?proofs=true&model={quote(label, safe='')}"
        pages = [read_page(await self.get_json(ask))]
        while (before := pages[-1].before) is not None and len(pages) < MOST_PAGES:
            pages.append(read_page(await self.get_json(f"{ask}&before={before}")))
        return read_history(pages, label, self._verifier)

    async def receipt(self, receipt_id: str) -> AsyncReceipt:
        """A receipt as the network has it (without the owner's copies and salts), by its id, by the answer's
        own (`chatcmpl-...`) or by the response's `x-request-id`. Raises NotFound `no_such_receipt`, Conflict
        `several_receipts`, VerificationFailed `other_receipt`.
        """
        news = await self._ask_for(receipt_id, "", 0)
        if receipt_id.startswith("0x") and news.dossier.id != receipt_id:
            raise VerificationFailed("other_receipt", "The network answered with another receipt.")
        return self._handle(news.dossier)

    async def outcome(
        self,
        receipt: str,
        said: str,
        rests: Rests,
        *,
        key: Key,
        show: Dossier | None = None,
        log: str | None = None,
    ) -> Spoken:
        """Say how a receipt's answer turned out; see `sdk.outcomes`, and docs/outcomes.md."""
        self._require_plain("What is said of an answer goes to the log, from this machine's address.")
        dossier = (await self.receipt(receipt)).dossier
        told = rests if show is None else showing(rests, show, dossier.id)
        where, now = log or self._log, time.time_ns() // 1_000_000
        return await say(dossier, said, told, key=key, verifier=self._verifier, log=where, now=now)

    def _require_plain(self, why: str) -> None:
        """Raises InvalidInput `not_on_the_sealed_way`."""
        if self._way.sealed:
            raise InvalidInput(
                "not_on_the_sealed_way",
                why,
                "Use a plain client for it, at another time than the questions that must not be told apart.",
            )

    def handle(self, dossier: Dossier) -> AsyncReceipt:
        """A receipt from a dossier at hand, such as one that `saved.open_answer` made."""
        return self._handle(dossier)

    async def take_ticket(self, model: str) -> None:
        """Have a route ticket, and check it and every node that it names, as before a question that is then
        not asked: one more for `steering`. Raises as a sealed question does, and InvalidInput
        `steering_needs_sealing`.
        """
        self._require_tickets()
        await self._way.question(CHAT, msgspec.json.encode({"model": model})).prepare()

    async def steering(self, log: str | None = None, timeout: float = 60.0) -> Judged:
        """Whether a gateway steered: hold the last route tickets that it gave this client against the log.

        `log` is the address of the network's log or of any full node (else the home's), which is read from
        this machine's own address, and whose leaves count only below a quorum's checkpoint. See
        `sdk.gateway_watch`.

        Raises InvalidInput `steering_needs_sealing`, `no_log`; Unavailable `log_not_reached`;
        VerificationFailed `log_distrusted`.
        """
        tickets, verifier = self._require_tickets()
        url = log or self._log
        if not url:
            raise InvalidInput(
                "no_log",
                "The gateway's tickets are held against the log, and none is named.",
                "Give its address, or a full node's. A network of `hallmark up` names its own.",
            )
        # Loaded when it is used: it folds whole logs.
        from hallmark.services.sdk.gateway_watch import GatewayWatch

        if self._watch is None or self._watch.url != url:
            if self._watch is not None:
                await self._watch.aclose()
            self._watch = GatewayWatch(url, verifier)
        return await self._watch.look(tickets, timeout)

    def _require_tickets(self) -> tuple[tuple[CheckedTicket, ...], Verifier]:
        tickets = self._way.tickets
        if tickets is None or self._verifier is None:
            raise InvalidInput(
                "steering_needs_sealing",
                "A plain client has no route tickets: its gateway chooses for it.",
                'Make the client with privacy="sealed".',
            )
        return tickets, self._verifier

    @property
    def verifier(self) -> Verifier | None:
        """What answers are checked with; None without a trust file."""
        return self._verifier

    @property
    def way(self) -> Way:
        """The way that questions take."""
        return self._way

    def question(self, path: str, body: bytes, headers: Pairs = ()) -> Question:
        """A request of exact bytes, for who handles its answer's bytes himself (`hallmark proxy`)."""
        return self._way.question(path, body, headers)

    def paid(self, question: Question) -> PaidRequest:
        """What pays for it, if anything may be paid."""
        among = question.settlements
        if self._token_cap:
            asked = (question.path, question.body)
            take = functools.partial(self._tokens_for, question)
            return TokenRequest(self.tokens, take, asked, self.receipt)
        return PaidRequest(self._spending, question.path, question.body, self.receipt, among=among)

    async def get_json(self, path: str) -> Any:
        """GET a JSON page of the gateway. Raises the error that the page answers with."""
        status, body = await self._way.get(path)
        if status != 200:
            raise error_of(status, body)
        return msgspec.json.decode(body)

    async def _post(self, path: str, body: bytes, model: str, headers: Pairs = ()) -> Draft[AsyncReceipt]:
        question = self._way.question(path, body, headers)
        await question.prepare()
        async with self.paid(question) as paid:
            async with question.sent(paid) as response:
                answer = await response.read(MAX_ANSWER)
                if response.status != 200:
                    raise await paid.refused(response, answer)
            content, dossier = open_answer(path, body, answer)
            receipt = self._handle(dossier)
            question.arrived(receipt)
            await paid.delivered(receipt, answer)
        found = draft_of(msgspec.json.decode(content), receipt, self._arrived(model, receipt))
        return msgspec.structs.replace(found, images=images_of(found.body))

    def _arrived(self, model: str, receipt: AsyncReceipt) -> ModelMove | None:
        return self._models.arrived(model, receipt.dossier.opened().artifact)

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

    async def _tokens_for(self, question: Question) -> Leaving | None:
        """The tokens that go with a question; None where it is free."""
        offers = await self.offers()
        wanted = most_for(offers, question.body, self._token_cap, question.settlements)
        return None if wanted is None else await self.tokens.leave(*wanted)

    def _handle(self, dossier: Dossier) -> AsyncReceipt:
        async def ask(wait: str, timeout_ms: int) -> News:
            return await self._ask_for(dossier.id, wait, timeout_ms)

        return AsyncReceipt(dossier, self._verifier, ask, self._submit)

    async def _ask_for(self, receipt_id: str, wait: str, timeout_ms: int) -> News:
        query = f"?wait={wait}&timeout={timeout_ms}" if wait else ""
        found = await self.get_json(f"/v1/hallmark/receipts/{quote(receipt_id, safe='')}{query}")
        return read_news(found)

    async def _submit(self, entry: bytes) -> None:
        status, body = await self._way.submit(entry)
        if status not in (200, 202):
            raise error_of(status, body)
