"""The language model of the integer-exact engine."""

from __future__ import annotations

import unicodedata
from collections.abc import Generator, Iterable
from typing import Final

from hallmark.engines.artifact import Artifact
from hallmark.engines.generation import SteppedEngine, room_for, steps
from hallmark.engines.integer.batch import Batcher, Running
from hallmark.engines.integer.files import LanguageFile, bad, read_exact, read_language
from hallmark.engines.integer.sampler import choose
from hallmark.engines.integer.tokenizer import ExactTokenizer
from hallmark.engines.integer.trace import Tracer
from hallmark.engines.protocol import (
    ChatRequest,
    CompletionRequest,
    Delta,
    Description,
    Sampling,
    Task,
    context_exceeded,
)
from hallmark.engines.stepper import Stepper
from hallmark.engines.text import ByteDetokenizer

VERSION: Final = 1
"""Of the arithmetic. Whatever changes a bit of any answer is another version."""


def describe() -> Description:
    """What the bits of a model in this engine depend on: the arithmetic's version, and of the text's cutting
    the version of Unicode. Neither numpy nor the processor is among it.
    """
    return Description("integer-exact", str(VERSION), (f"unicode={unicodedata.unidata_version}",))


class ExactLanguageEngine(SteppedEngine):
    """A language model with its tokenizer. `context` is its context length in tokens."""

    def __init__(self, artifact: Artifact, stepper: Stepper) -> None:
        """Load the model. Raises InvalidInput `bad_artifact`, `integer_overflow`."""
        file = read_exact(artifact.files, LanguageFile)
        if file.version != VERSION:
            raise bad("it is of another version of the arithmetic")
        super().__init__(stepper)
        self.model = read_language(file, artifact.files)
        self.context = self.model.shape.context
        self.tokenizer = ExactTokenizer(artifact.files.get("tokenizer.json", b""), file.chat)
        vocabulary, marks = self.model.shape.vocabulary, file.chat
        wanted = [*self.tokenizer.table, *(marks.roles.values() if marks else ()), *_around(file)]
        if any(not 0 <= token < vocabulary for token in wanted) or (marks and "user" not in marks.roles):
            raise bad("its tokens are not those of its model")
        self.ends = frozenset(self.model.shape.ends)
        self._batcher = Batcher(self.model)
        self.tasks = frozenset({Task.COMPLETION, Task.CHAT} if marks else {Task.COMPLETION})

    def describe(self) -> Description:
        """See `Engine.describe`."""
        return describe()

    def steps(
        self, request: ChatRequest | CompletionRequest, sampling: Sampling, seed: int
    ) -> Generator[Delta, None, None]:
        """The answer, one token a step; what `generate` runs on a thread, the cutting of the text included.

        Raises InvalidInput `empty_prompt`, `context_length_exceeded`.
        """
        prompt = self.encode(request)
        budget = room_for(self.context, len(prompt), sampling.max_tokens)
        tracer = Tracer(self.model.shape.layers)
        tokens = self.tokens(prompt, budget, sampling, seed, tracer=tracer)
        yield from self.told(tokens, len(prompt), budget, sampling.stop, tracer)

    def encode(self, request: ChatRequest | CompletionRequest) -> list[int]:
        """Token ids of a request. What cannot fit is refused before it is cut.

        Raises InvalidInput `empty_prompt`, `context_length_exceeded`.
        """
        fewest = self.tokenizer.fewest(request)
        if fewest > self.context:
            raise context_exceeded(self.context, fewest, at_least=True)
        return self.tokenizer.encode(request)

    def told(
        self, tokens: Iterable[int], prompt: int, budget: int, stop: tuple[str, ...], tracer: Tracer
    ) -> Generator[Delta, None, None]:
        """The deltas of an answer of these tokens."""
        words = ByteDetokenizer(self.tokenizer.table)
        lengths = (prompt, budget)
        return steps(tokens, self.ends.__contains__, words, stop, lengths, trace=lambda: tracer.told)

    def tokens(
        self, prompt: list[int], budget: int, sampling: Sampling, seed: int, *, tracer: Tracer
    ) -> Generator[int, None, None]:
        """The chosen tokens, the end token included, in steps shared with whoever else runs."""
        exp2 = self.model.exp2
        one = Running(
            self.model, prompt, lambda row, step: choose(row, sampling, exp2, seed=seed, step=step), tracer
        )
        self._batcher.enter(one)
        try:
            for _ in range(budget):
                token, tracer.told = self._batcher.next_token(one)
                yield token
                if token in self.ends:
                    return
        finally:
            self._batcher.leave(one)


def _around(file: LanguageFile) -> tuple[int, ...]:
    return (file.chat.end, file.chat.opens) if file.chat else ()
