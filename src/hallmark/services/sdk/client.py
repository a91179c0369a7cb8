"""The asyncio client. `hallmark.Client` is the same behind a plain façade."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload
from urllib.parse import quote

import msgspec

from hallmark.core.errors import InvalidInput, Unavailable, VerificationFailed
from hallmark.http.client import Pool, Timeouts
from hallmark.http.sse import Splitter, data_of
from hallmark.services.sdk.answers import Cleared, Draft, clear
from hallmark.services.sdk.network import error_of, find, verifier_of
from hallmark.services.sdk.receipts import AsyncReceipt, News, open_answer, read_news
from hallmark.services.sdk.verifying import Verifier
from hallmark.verification.dossier import Dossier

Messages = str | Sequence[Mapping[str, Any]]
CHAT = "/v1/chat/completions"
INFER = "/v1/hallmark/infer"
MAX_ANSWER = 64 << 20


class AsyncClient:
    """Talks to one network.

    `base_url` is a gateway; `trust` its trust file; without them `home` (default ~/.hallmark) says
    both, for a network on this machine. Without a trust file answers still come, and every mark stays
    underived. `verifier` takes the trust file's place.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        trust: Path | str | None = None,
        home: Path | str | None = None,
        timeout: float = 590.0,
        verifier: Verifier | None = None,
    ) -> None:
        place = find(base_url, trust, home)
        self.base_url = place.base_url
        self._verifier = verifier or verifier_of(place)
        self._pool = Pool(timeouts=Timeouts(head=timeout, idle=timeout))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

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
        return AnswerStream(self, body)

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
        nonce = secrets.token_bytes(32)
        async with self._pool.request("POST", self.base_url + path, headers_of(nonce), body) as response:
            answer = await response.read(MAX_ANSWER)
            if response.status != 200:
                raise error_of(response.status, answer)
        content, dossier = open_answer(path, body, answer)
        receipt = self._handle(dossier)
        receipt.arrived(nonce)
        return _draft(msgspec.json.decode(content), receipt)

    async def _cleared(
        self, draft: Draft[AsyncReceipt], policy: str, timeout: float
    ) -> Cleared[AsyncReceipt]:
        verified = await draft.receipt.wait(policy, timeout)
        return clear(draft, verified.decide(policy))

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


class AnswerStream:
    """A streamed answer: iterate over its text, then read `draft`. The receipt covers every byte of it."""

    def __init__(self, client: AsyncClient, body: bytes) -> None:
        self._client = client
        self._body = body
        self._draft: Draft[AsyncReceipt] | None = None

    @property
    def draft(self) -> Draft[AsyncReceipt]:
        """The whole answer with its receipt, once the stream has ended. Raises Unavailable
        `stream_not_ended`.
        """
        if self._draft is None:
            raise Unavailable("stream_not_ended", "The stream has not ended, so there is no receipt yet.")
        return self._draft

    async def __aiter__(self) -> AsyncIterator[str]:
        client, splitter = self._client, Splitter()
        received: list[bytes] = []
        text: list[str] = []
        url = client.base_url + CHAT
        nonce = secrets.token_bytes(32)
        async with client._pool.request("POST", url, headers_of(nonce), self._body) as response:
            if response.status != 200:
                raise error_of(response.status, await response.read(MAX_ANSWER))
            async for chunk in response:
                received.append(chunk)
                for event in splitter.feed(chunk):
                    for piece in _pieces(event):
                        text.append(piece)
                        yield piece
        _, dossier = open_answer(CHAT, self._body, b"".join(received), stream=True)
        receipt = client._handle(dossier)
        receipt.arrived(nonce)
        self._draft = Draft("".join(text), {}, receipt)


def encode_chat(prompt: Messages, model: str, options: Mapping[str, Any]) -> bytes:
    """The exact bytes of a chat request. Raises InvalidInput `bad_prompt`."""
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    if not messages:
        raise InvalidInput("bad_prompt", "A prompt has at least one message.")
    return msgspec.json.encode({"model": model, "messages": messages, **options})


def headers_of(nonce: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Headers of a request whose receipt must carry `nonce` (32 bytes)."""
    return ((b"content-type", b"application/json"), (b"hallmark-nonce", nonce.hex().encode()))


def _draft(body: dict[str, Any], receipt: AsyncReceipt) -> Draft[AsyncReceipt]:
    choices = body.get("choices") or [{}]
    message = choices[0].get("message") or {}
    return Draft(message.get("content") or "", body, receipt, body.get("outputs") or {})


def _pieces(event: bytes) -> list[str]:
    data = data_of(event)
    if data is None or data == b"[DONE]":
        return []
    value = msgspec.json.decode(data)
    if "error" in value:
        raise error_of(503, data)
    return [
        choice["delta"]["content"]
        for choice in value.get("choices", ())
        if choice.get("delta", {}).get("content")
    ]
