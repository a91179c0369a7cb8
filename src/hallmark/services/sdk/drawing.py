"""`AsyncClient.draw`: images of a model that draws, and what an answer with images holds."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, overload

import msgspec

from hallmark.services.sdk.answers import Cleared, Draft, Image
from hallmark.services.sdk.asking import ModeName, in_mode
from hallmark.services.sdk.seen_models import SeenModels
from hallmark.services.sdk.way import Pairs

if TYPE_CHECKING:
    from hallmark.services.sdk.receipts import AsyncReceipt

IMAGES: Final = "/v1/images/generations"


class Draws:
    """The part of `AsyncClient` that asks for images."""

    _models: SeenModels

    async def _post(self, path: str, body: bytes, model: str, headers: Pairs = ()) -> Draft[AsyncReceipt]:
        raise NotImplementedError

    async def _cleared(
        self, draft: Draft[AsyncReceipt], policy: str, timeout: float
    ) -> Cleared[AsyncReceipt]:
        raise NotImplementedError

    @overload
    async def draw(
        self, prompt: str, *, model: str = ..., require: None = ..., timeout: float = ..., **options: Any
    ) -> Draft[AsyncReceipt]: ...

    @overload
    async def draw(
        self, prompt: str, *, model: str = ..., require: str, timeout: float = ..., **options: Any
    ) -> Cleared[AsyncReceipt]: ...

    async def draw(
        self,
        prompt: str,
        *,
        model: str = "shapes",
        mode: ModeName = None,
        require: str | None = None,
        timeout: float = 10.0,
        **options: Any,
    ) -> Draft[AsyncReceipt] | Cleared[AsyncReceipt]:
        """Have images made: `images` of what comes back. `options` are those of the OpenAI images API (n,
        size) and `seed`; `mode` and `require` as in `ask`.
        """
        model = self._models.named(model)
        draft = await self._post(IMAGES, encode_draw(prompt, model, options), model, in_mode(mode))
        return draft if require is None else await self._cleared(draft, require, timeout)


def encode_draw(prompt: str, model: str, options: Mapping[str, Any]) -> bytes:
    """The exact bytes of a request for images."""
    return msgspec.json.encode({"model": model, "prompt": prompt, **options})


class _One(msgspec.Struct, frozen=True):
    b64_json: str
    revised_prompt: str | None = None


class _Answer(msgspec.Struct, frozen=True):
    data: tuple[_One, ...]


def images_of(body: Mapping[str, Any]) -> tuple[Image, ...]:
    """An answer's images; none when it has none, or one that cannot be read: the answer keeps its receipt,
    and `body` what the node sent.
    """
    try:
        found = msgspec.convert(body, _Answer).data
        return tuple(
            Image(base64.b64decode(one.b64_json, validate=True), one.revised_prompt or "") for one in found
        )
    except (msgspec.ValidationError, ValueError):
        return ()
