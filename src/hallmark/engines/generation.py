"""What engines that make one token a step do alike: the thread, and an answer's pieces from tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Generator, Iterable

from hallmark.engines.protocol import (
    ChatRequest,
    CompletionRequest,
    Delta,
    Sampling,
    Task,
    Trace,
    Unoffered,
    context_exceeded,
    unsupported,
)
from hallmark.engines.stepper import Stepper
from hallmark.engines.text import Detokenizer, StopMatcher


class SteppedEngine(Unoffered, ABC):
    """A language model whose answers are made step by step, on a thread of the stepper."""

    tasks: frozenset[Task]

    def __init__(self, stepper: Stepper) -> None:
        self._stepper = stepper

    async def generate(
        self, request: ChatRequest | CompletionRequest, sampling: Sampling, seed: int
    ) -> AsyncGenerator[Delta, None]:
        """See `Engine.generate`."""
        if isinstance(request, ChatRequest) and Task.CHAT not in self.tasks:
            raise unsupported(Task.CHAT)
        stream = self._stepper.stream(self.steps(request, sampling, seed))
        try:
            async for delta in stream:
                yield delta
        finally:
            await stream.aclose()

    @abstractmethod
    def steps(
        self, request: ChatRequest | CompletionRequest, sampling: Sampling, seed: int
    ) -> Generator[Delta, None, None]:
        """The answer, one token a step; what `generate` runs on a thread."""

    def close(self) -> None:
        """Nothing to stop: the threads belong to whoever made the stepper."""


def room_for(context: int, prompt: int, wanted: int) -> int:
    """How many tokens an answer may have. Raises InvalidInput `context_length_exceeded`."""
    room = context - prompt
    if room < 1:
        raise context_exceeded(context, prompt)
    return min(wanted, room) if wanted else room


def steps(
    tokens: Iterable[int],
    ends: Callable[[int], bool],
    words: Detokenizer,
    stop: tuple[str, ...],
    lengths: tuple[int, int],
    *,
    trace: Callable[[], Trace | None] = lambda: None,
) -> Generator[Delta, None, None]:
    """An answer, one token a step. `lengths` are the prompt's, and how many tokens the answer may have;
    `trace` says what the trace of the run is so far. Nothing is taken of `tokens` beyond the answer's end.
    """
    prompt, budget = lengths
    stops, count = StopMatcher(stop), 0

    def delta(text: str, finish: str = "") -> Delta:
        return Delta(text, prompt, count, budget, finish, trace())

    for token in tokens:
        count += 1
        if ends(token):
            break
        shown = stops.push(words.push(token))
        if stops.stopped:
            yield delta(shown, "stop")
            return
        if count < budget:
            yield delta(shown)
            continue
        rest = shown + stops.push(words.flush())
        yield delta(rest + stops.flush(), "stop" if stops.stopped else "length")
        return
    rest = stops.push(words.flush())
    yield delta(rest + stops.flush(), "stop")
