"""What a question says: its exact body, and the mode that its receipt is to have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.modes import BY_NAME, NAMES
from hallmark.core.receipt import Receipt
from hallmark.services.sdk.answers import Draft
from hallmark.services.sdk.seen_models import ModelMove
from hallmark.services.sdk.tensors import outputs_of

if TYPE_CHECKING:
    from hallmark.services.sdk.receipts import AsyncReceipt

Messages = str | Sequence[Mapping[str, Any]]
Headers = Sequence[tuple[bytes, bytes]]
ModeName = str | None
MODE = b"hallmark-mode"


def encode_chat(prompt: Messages, model: str, options: Mapping[str, Any]) -> bytes:
    """The exact bytes of a chat request. Raises InvalidInput `bad_prompt`."""
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    if not messages:
        raise InvalidInput("bad_prompt", "A prompt has at least one message.")
    return msgspec.json.encode({"model": model, "messages": messages, **options})


def in_mode(mode: str | None) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that ask for a mode; none where none is named. Raises InvalidInput `bad_mode`."""
    if mode is None:
        return ()
    if mode not in BY_NAME:
        raise InvalidInput("bad_mode", f"A mode is one of {', '.join(BY_NAME)}.")
    return ((MODE, mode.encode()),)


def require_mode(receipt: Receipt, headers: Headers) -> None:
    """Raises VerificationFailed `mode_not_kept` unless the receipt has the mode that the headers ask for."""
    asked = dict(headers).get(MODE, b"").decode("latin-1").lower()
    found = NAMES.get(receipt.mode, "unknown")
    if asked and found != asked:
        raise VerificationFailed(
            "mode_not_kept",
            f"The request asked for the mode {asked}, and the receipt has the mode {found}.",
            "Keep nothing of it: somebody on the way left the mode out, or the node did not keep it.",
        )


def draft_of(body: dict[str, Any], receipt: AsyncReceipt, moved: ModelMove | None) -> Draft[AsyncReceipt]:
    """An answer that came in one piece."""
    choices = body.get("choices") or [{}]
    message = choices[0].get("message") or {}
    return Draft(message.get("content") or "", body, receipt, outputs_of(body), receipt.payment, moved)
