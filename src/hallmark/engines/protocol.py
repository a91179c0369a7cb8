"""The seam between the service and whatever computes answers.

An engine is given a request that is already valid OpenAI (roles and text) and yields `Delta`s, or it is given
named tensors and returns named tensors. It knows nothing of HTTP, receipts or networks. Everything that may
change a bit of the answer stands in its `Description`, which goes into the key bundle and the parameters.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.core.merkle import fold_peaks

MILLION = 1_000_000

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[np.generic]"
"""A tensor's values. An enclave without an engine has no numpy, and none that starts waits for it in vain."""


class Task(enum.StrEnum):
    """What an engine can be asked for; `Parameters.task` holds the same words."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    IMAGE = "image"
    TENSOR = "tensor"


class Description(msgspec.Struct, frozen=True):
    """Which engine, version and flags computed, on which class of processor: what bit-exactness depends
    on.
    """

    name: str
    version: str
    flags: tuple[str, ...] = ()
    processor: str = ""

    def text(self) -> str:
        """One line for `KeyBundle.engine` and `Parameters.engine`."""
        return " ".join(part for part in (f"{self.name}/{self.version}", *self.flags, self.processor) if part)


class Message(msgspec.Struct, frozen=True):
    """One message of a chat, text only; `role` is system, developer, user, assistant or tool."""

    role: str
    content: str


class ChatRequest(msgspec.Struct, frozen=True):
    """A chat to be continued by the assistant."""

    messages: tuple[Message, ...]


class CompletionRequest(msgspec.Struct, frozen=True):
    """Raw text to be continued; no template is applied."""

    prompt: str


class Sampling(msgspec.Struct, frozen=True):
    """How to choose tokens. `temperature` and `top_p` are in millionths; temperature 0 is greedy;
    `top_k` 0 is all.

    `max_tokens` 0 means up to the end of the context; `stop` strings end the answer and are not part of it.
    """

    max_tokens: int = 0
    temperature: int = 0
    top_p: int = MILLION
    top_k: int = 0
    stop: tuple[str, ...] = ()


class Trace(msgspec.Struct, frozen=True):
    """What a receipt commits to of a run that can be replayed: the root over `leaves` leaves. It is kept as
    the perfect subtrees' hashes, because one is made for every token and few are ever asked for their root.
    """

    peaks: tuple[bytes, ...]
    leaves: int

    @property
    def root(self) -> bytes:
        """The root, 32 bytes."""
        return fold_peaks(self.peaks)


class Delta(msgspec.Struct, frozen=True):
    """One step of an answer: new text, tokens counted so far, and at the end why it ended.

    `finish` is "" until the last delta, then "stop" or "length". `tokens_in` is the prompt's length in
    tokens,
    `tokens_out` includes the end token, `budget` is how many tokens the answer may have at most: what
    was asked for, or what the context leaves if that is less. `trace` is that of the run so far, where an
    engine makes one.
    """

    text: str
    tokens_in: int
    tokens_out: int
    budget: int
    finish: str = ""
    trace: Trace | None = None


class Drawn(msgspec.Struct, frozen=True):
    """An image (PNG), and in words what it shows."""

    image: bytes
    words: str


class TensorSpec(msgspec.Struct, frozen=True):
    """A named tensor of a model: element type as numpy spells it, and its shape; None is any size from 1 on.

    `minimum` and `maximum` bound its values when the model was made for a range.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    minimum: float | None = None
    maximum: float | None = None


class Engine(Protocol):
    """Whatever can answer. Calls for a task that is not in `tasks` raise InvalidInput `unsupported_task`."""

    @property
    def tasks(self) -> frozenset[Task]:
        """What it can be asked for."""
        ...

    @property
    def context(self) -> int:
        """How many tokens a prompt and its answer have at most; 0 where no tokens are counted."""
        ...

    def describe(self) -> Description:
        """What its bits depend on."""
        ...

    def generate(
        self, request: ChatRequest | CompletionRequest, sampling: Sampling, seed: int
    ) -> AsyncGenerator[Delta, None]:
        """Answer step by step; `seed` (uint64) matters only when sampling. Closing the iterator
        stops the work.

        Raises InvalidInput `context_length_exceeded` when the prompt leaves no room for an answer.
        """
        ...

    async def infer(self, inputs: Mapping[str, object]) -> dict[str, Array]:
        """Run a tensor model on named nested lists.

        Raises InvalidInput with `missing_input`, `unknown_input`, `wrong_type`, `wrong_shape`, `not_finite`,
        `out_of_range` or `too_many_elements`; HallmarkError `output_not_finite` when the model
        answers with NaN or infinity.
        """
        ...

    async def embed(self, texts: tuple[str, ...]) -> Array:
        """Embed texts; float32 of shape (texts, dimensions)."""
        ...

    @property
    def sides(self) -> tuple[int, ...]:
        """The sides, in pixels, of the square images that it draws; empty where it draws none."""
        ...

    async def draw(self, prompt: str, side: int, seed: int) -> Drawn:
        """Draw an image of one of `sides`; `seed` (uint64) chooses what the prompt leaves open.

        Raises BadParameter `invalid_value`, `cannot_draw` for a prompt that it cannot draw.
        """
        ...

    def close(self) -> None:
        """Stop its threads and forget the model."""
        ...


class Unoffered:
    """The calls of `Engine` for engines that do not offer them: each raises `unsupported_task`."""

    context = 0
    sides: tuple[int, ...] = ()

    async def generate(
        self,
        request: ChatRequest | CompletionRequest,  # noqa: ARG002 - the protocol's signature
        sampling: Sampling,  # noqa: ARG002
        seed: int,  # noqa: ARG002
    ) -> AsyncGenerator[Delta, None]:
        """Not offered."""
        raise unsupported(Task.CHAT)
        yield

    async def infer(self, inputs: Mapping[str, object]) -> dict[str, Array]:  # noqa: ARG002
        """Not offered."""
        raise unsupported(Task.TENSOR)

    async def embed(self, texts: tuple[str, ...]) -> Array:  # noqa: ARG002
        """Not offered."""
        raise unsupported(Task.EMBEDDING)

    async def draw(self, prompt: str, side: int, seed: int) -> Drawn:  # noqa: ARG002
        """Not offered."""
        raise unsupported(Task.IMAGE)


def context_exceeded(limit: int, prompt: int, *, at_least: bool = False) -> InvalidInput:
    """The error for a prompt that leaves no room for an answer, worded as OpenAI words it. `at_least` where
    it was not counted, and cannot have fewer tokens.
    """
    has = f"has {'at least ' if at_least else ''}{prompt} tokens"
    return InvalidInput(
        "context_length_exceeded",
        f"This model's maximum context length is {limit} tokens. However, your prompt {has}.",
        "Shorten the prompt: at least one token must be left for the answer.",
    )


def unsupported(task: Task) -> InvalidInput:
    """The error of an engine that is asked for what it does not do."""
    return InvalidInput("unsupported_task", f"This model does not offer the task '{task}'.")
