"""The plain façade: the asyncio client, run by a thread of its own. One implementation, two ways to call
it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from hallmark.core.marks import Mark, Question
from hallmark.crypto.secp256k1 import Key
from hallmark.services.sdk.answer_stream import AnswerStream
from hallmark.services.sdk.answers import Cleared, Draft, PaidFor, clear
from hallmark.services.sdk.asking import Messages, ModeName
from hallmark.services.sdk.chain_account import Balance, Withdrawal
from hallmark.services.sdk.client import AsyncClient, History
from hallmark.services.sdk.model_history import ModelHistory
from hallmark.services.sdk.network import Chain
from hallmark.services.sdk.offers import NodeOffer
from hallmark.services.sdk.outcomes import Rests, Spoken
from hallmark.services.sdk.receipts import AsyncReceipt
from hallmark.services.sdk.seen_models import WARN
from hallmark.services.sdk.spending import REGISTRY
from hallmark.services.sdk.sync_tokens import PlainTokens
from hallmark.services.sdk.tensors import Tensors
from hallmark.services.sdk.verifying import Verifier
from hallmark.services.sdk.wallet import Wallet
from hallmark.services.sdk.ways import PLAIN
from hallmark.verification.dossier import Dossier
from hallmark.verification.offline import Verified

if TYPE_CHECKING:
    from hallmark.services.sdk.gateway_watch import Judged
    from hallmark.services.sealing.route_compare import Sealed

T = TypeVar("T")


class _Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hallmark-sdk", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` there and wait for it here; an interrupt here cancels it there."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        if not self._loop.is_running():
            self._loop.close()


class PlainReceipt:
    """One receipt; see `AsyncReceipt`."""

    def __init__(self, receipt: AsyncReceipt, loop: _Loop) -> None:
        self._receipt = receipt
        self._loop = loop

    @property
    def id(self) -> str:
        """The receipt's id."""
        return self._receipt.id

    @property
    def dossier(self) -> Dossier:
        """All that is known of it so far."""
        return self._receipt.dossier

    @property
    def answered(self) -> int:
        """When the answer had arrived here, unix ms."""
        return self._receipt.answered

    @property
    def sealed(self) -> Sealed | None:
        """What the question was sealed to; None: it went plain."""
        return self._receipt.sealed

    @property
    def payment(self) -> PaidFor | None:
        """What its money was; None: the answer came with no payment record."""
        return self._receipt.payment

    def verify(self) -> Verified:
        """The marks as derived now, from what is at hand."""
        return self._receipt.verify()

    def marks(self) -> dict[Question, Mark]:
        """The seven marks as derived now."""
        return self._receipt.marks()

    def refresh(self, wait: str = "", timeout_ms: int = 0) -> None:
        """Fetch what the network has by now."""
        self._loop.run(self._receipt.refresh(wait, timeout_ms))

    def wait(self, policy: str = "witnessed", timeout: float = 10.0) -> Verified:
        """Wait until the marks meet `policy`, checked here; see `AsyncReceipt.wait`."""
        return self._loop.run(self._receipt.wait(policy, timeout))

    def save(self, path: Path | str) -> Path:
        """Write the dossier."""
        return self._receipt.save(path)


class PlainStream:
    """A streamed answer: iterate over its text, then read `draft`."""

    def __init__(self, stream: AnswerStream, loop: _Loop) -> None:
        self._stream = stream
        self._loop = loop

    @property
    def draft(self) -> Draft[PlainReceipt]:
        """The whole answer with its receipt, once the stream has ended."""
        return _draft(self._stream.draft, self._loop)

    def __iter__(self) -> Iterator[str]:
        pieces = aiter(self._stream)
        while True:
            piece = self._loop.run(_next(pieces))
            if piece is None:
                return
            yield piece


class Client:
    """`AsyncClient` without asyncio; same arguments, same errors. Use it as a context manager, or close
    it.
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
        self._client = AsyncClient(
            base_url,
            trust=trust,
            home=home,
            timeout=timeout,
            verifier=verifier,
            wallet=wallet,
            chain=chain,
            privacy=privacy,
            relay=relay,
            relay_issuer=relay_issuer,
            unsafe_insecure_nodes=unsafe_insecure_nodes,
            on_model_change=on_model_change,
        )
        self._loop = _Loop()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection and end the thread."""
        self._loop.run(self._client.aclose())
        self._loop.stop()

    @property
    def base_url(self) -> str:
        """The gateway's base URL."""
        return self._client.base_url

    def forget_model(self, label: str) -> None:
        """Take the next answer under the label as it comes; see `AsyncClient.forget_model`."""
        self._client.forget_model(label)

    @property
    def wallet(self) -> Wallet:
        """The payer's wallet."""
        return self._client.wallet

    def spending(self, *, max_per_request: str, max_per_day: str, pay_to: str = REGISTRY) -> None:
        """Pay for requests from now on, within these limits; see `AsyncClient.spending`."""
        self._client.spending(max_per_request=max_per_request, max_per_day=max_per_day, pay_to=pay_to)

    @property
    def tokens(self) -> PlainTokens:
        """Money that nobody can link to who bought it; see `sdk.tokens`."""
        return PlainTokens(self._client.tokens, self._loop)

    def spend_tokens(self, *, max_per_request: str) -> None:
        """Pay for sealed requests with tokens from now on; see `AsyncClient.spend_tokens`."""
        self._client.spend_tokens(max_per_request=max_per_request)

    def take_ticket(self, model: str) -> None:
        """Have one more route ticket for `steering`; see `AsyncClient.take_ticket`."""
        self._loop.run(self._client.take_ticket(model))

    def steering(self, log: str | None = None, timeout: float = 60.0) -> Judged:
        """Whether a gateway steered, by the log; see `AsyncClient.steering`."""
        return self._loop.run(self._client.steering(log, timeout))

    def offers(self) -> tuple[NodeOffer, ...]:
        """What answers cost now, by node."""
        return self._loop.run(self._client.offers())

    def deposit(self, amount: str) -> bytes:
        """Put so much of the wallet's tokens into its account; the transaction's hash."""
        return self._loop.run(self._client.deposit(amount))

    def balance(self) -> Balance:
        """What the wallet and its account have."""
        return self._loop.run(self._client.balance())

    def withdraw(self, amount: str | None = None) -> Withdrawal:
        """Ask for so much back (None: everything)."""
        return self._loop.run(self._client.withdraw(amount))

    def finish_withdrawal(self) -> int:
        """Have what was asked back paid to the wallet; atomic units."""
        return self._loop.run(self._client.finish_withdrawal())

    def history(self, most: int = 50) -> History:
        """What happened to the account, and what this home signed for requests."""
        return self._loop.run(self._client.history(most))

    def fund(self, amount: str = "100") -> int:
        """Development money for the wallet; atomic units."""
        return self._loop.run(self._client.fund(amount))

    @overload
    def ask(
        self, prompt: Messages, *, model: str = ..., require: None = ..., timeout: float = ..., **options: Any
    ) -> Draft[PlainReceipt]: ...

    @overload
    def ask(
        self, prompt: Messages, *, model: str = ..., require: str, timeout: float = ..., **options: Any
    ) -> Cleared[PlainReceipt]: ...

    def ask(
        self,
        prompt: Messages,
        *,
        model: str = "pydoc",
        mode: ModeName = None,
        require: str | None = None,
        timeout: float = 10.0,
        **options: Any,
    ) -> Draft[PlainReceipt] | Cleared[PlainReceipt]:
        """Ask a language model; see `AsyncClient.ask`."""
        options |= {"model": model, "mode": mode}
        if require is None:
            return _draft(self._loop.run(self._client.ask(prompt, **options)), self._loop)
        asked = self._client.ask(prompt, require=require, timeout=timeout, **options)
        return _cleared(self._loop.run(asked), self._loop)

    def stream(
        self, prompt: Messages, *, model: str = "pydoc", mode: ModeName = None, **options: Any
    ) -> PlainStream:
        """Ask a language model and read the answer as it comes; see `AsyncClient.stream`."""
        return PlainStream(self._client.stream(prompt, model=model, mode=mode, **options), self._loop)

    @overload
    def infer(
        self, model: str, inputs: Tensors, *, mode: ModeName = ..., require: None = ..., timeout: float = ...
    ) -> Draft[PlainReceipt]: ...

    @overload
    def infer(
        self, model: str, inputs: Tensors, *, mode: ModeName = ..., require: str, timeout: float = ...
    ) -> Cleared[PlainReceipt]: ...

    def infer(
        self,
        model: str,
        inputs: Tensors,
        *,
        mode: ModeName = None,
        require: str | None = None,
        timeout: float = 10.0,
    ) -> Draft[PlainReceipt] | Cleared[PlainReceipt]:
        """Run a tensor model; see `AsyncClient.infer`."""
        if require is None:
            return _draft(self._loop.run(self._client.infer(model, inputs, mode=mode)), self._loop)
        asked = self._client.infer(model, inputs, mode=mode, require=require, timeout=timeout)
        return _cleared(self._loop.run(asked), self._loop)

    @overload
    def draw(
        self, prompt: str, *, model: str = ..., require: None = ..., timeout: float = ..., **options: Any
    ) -> Draft[PlainReceipt]: ...

    @overload
    def draw(
        self, prompt: str, *, model: str = ..., require: str, timeout: float = ..., **options: Any
    ) -> Cleared[PlainReceipt]: ...

    def draw(
        self,
        prompt: str,
        *,
        model: str = "shapes",
        require: str | None = None,
        timeout: float = 10.0,
        **options: Any,
    ) -> Draft[PlainReceipt] | Cleared[PlainReceipt]:
        """Have images made; see `AsyncClient.draw`."""
        if require is None:
            return _draft(self._loop.run(self._client.draw(prompt, model=model, **options)), self._loop)
        asked = self._client.draw(prompt, model=model, require=require, timeout=timeout, **options)
        return _cleared(self._loop.run(asked), self._loop)

    def models(self) -> list[dict[str, Any]]:
        """The models that the network knows."""
        return self._loop.run(self._client.models())

    def model_history(self, label: str) -> ModelHistory:
        """Every artifact that a label pointed to; see `AsyncClient.model_history`."""
        return self._loop.run(self._client.model_history(label))

    def outcome(
        self,
        receipt: str,
        said: str,
        rests: Rests,
        *,
        key: Key,
        show: Dossier | None = None,
        log: str | None = None,
    ) -> Spoken:
        """Say how an answer turned out; see `AsyncClient.outcome`."""
        return self._loop.run(self._client.outcome(receipt, said, rests, key=key, show=show, log=log))

    @property
    def verifies(self) -> bool:
        """Whether there is a trust file, so that what comes is checked here."""
        return self._client.verifier is not None

    def receipt(self, receipt_id: str) -> PlainReceipt:
        """A receipt as the network has it; see `AsyncClient.receipt`."""
        return PlainReceipt(self._loop.run(self._client.receipt(receipt_id)), self._loop)

    def handle(self, dossier: Dossier) -> PlainReceipt:
        """A receipt from a dossier at hand."""
        return PlainReceipt(self._client.handle(dossier), self._loop)

    def get_json(self, path: str) -> Any:
        """GET a JSON page of the gateway."""
        return self._loop.run(self._client.get_json(path))


async def _next(pieces: AsyncIterator[str]) -> str | None:
    return await anext(pieces, None)


def _draft(draft: Draft[AsyncReceipt], loop: _Loop) -> Draft[PlainReceipt]:
    receipt = PlainReceipt(draft.receipt, loop)
    d = draft
    return Draft(d.text, d.body, receipt, d.outputs, d.payment, d.moved, d.images)


def _cleared(cleared: Cleared[AsyncReceipt], loop: _Loop) -> Cleared[PlainReceipt]:
    c = cleared
    draft = Draft(c.text, c.body, c.receipt, c.outputs, c.payment, c.moved, c.images)
    return clear(_draft(draft, loop), cleared.decision)
