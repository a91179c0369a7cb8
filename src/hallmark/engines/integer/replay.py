"""Running an answer again, and where the two runs part.

The text of an answer is cut into tokens and run in one pass; where the model chooses exactly these, that is
the run. Where it does not (another cut of the same text, or another answer), it is run token by token. Both
ways are the same bits, so which one was taken says nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np

from hallmark.core.merkle import leaf_hash, root
from hallmark.engines.integer.language import ExactLanguageEngine
from hallmark.engines.integer.numbers import Floats
from hallmark.engines.integer.sampler import choose
from hallmark.engines.integer.trace import LEAF_SIZE, Tracer, place_of
from hallmark.engines.integer.transformer import Cache, Transformer
from hallmark.engines.protocol import Delta, Sampling, Trace

ROWS: Final = 256


class Difference(msgspec.Struct, frozen=True):
    """Where two runs part: `what` is a code, `told` a sentence. Of an answer's token and of a layer's state
    also the place: position in the sequence, token there, layer (0: none).
    """

    what: str
    told: str
    position: int = 0
    token: int = 0
    layer: int = 0


class Told(msgspec.Struct, frozen=True):
    """An answer as it was given: its text, why it ended (empty: it was cut off), its tokens, its trace."""

    text: str
    finish: str
    tokens_in: int
    tokens_out: int
    trace: Trace


class Rerun(msgspec.Struct, frozen=True):
    """What running again gave: deltas, the leaves of its trace, and whether one pass was enough."""

    deltas: tuple[Delta, ...]
    leaves: tuple[bytes, ...]
    one_pass: bool

    @property
    def trace(self) -> Trace:
        """The trace of the run."""
        return Trace(root([leaf_hash(leaf) for leaf in self.leaves]), len(self.leaves))


def rerun(
    engine: ExactLanguageEngine, prompt: list[int], sampling: Sampling, seed: int, given: Told
) -> Rerun:
    """Run a prompt again for as many tokens as were given.

    Raises InvalidInput `context_length_exceeded` as the first run would have.
    """
    budget = engine.budget(len(prompt), sampling.max_tokens)
    guess = engine.tokenizer.text(given.text)
    if given.finish == "stop":
        guess.append(min(engine.ends, default=0))
    made = _one_pass(engine, prompt, guess, sampling, seed) if len(guess) == given.tokens_out else None
    tokens: Iterator[int]
    if made is not None:
        tracer, tokens = made, iter(guess)
    else:
        tracer = Tracer(engine.model.shape.layers, keep=True)
        chosen = engine.tokens(prompt, budget, sampling, seed, tracer=tracer)
        # Of an answer that came to its end, the run has to come to it by itself.
        tokens = chosen if given.finish else itertools.islice(chosen, given.tokens_out)
    deltas = tuple(_stopped(engine.told(tokens, len(prompt), budget, sampling.stop, tracer), given))
    return Rerun(deltas, tuple(tracer.leaves or ()), made is not None)


def _stopped(deltas: Iterator[Delta], given: Told) -> Iterator[Delta]:
    """The deltas; of an answer that was cut off no end that it did not come to."""
    for delta in deltas:
        yield delta
        if not given.finish and delta.tokens_out == given.tokens_out:
            return


def _one_pass(
    engine: ExactLanguageEngine, prompt: list[int], guess: list[int], sampling: Sampling, seed: int
) -> Tracer | None:
    """The trace of prompt and guess, if the model chooses just that guess; None otherwise."""
    model, fed = engine.model, prompt + guess[:-1]
    if not guess or len(fed) > engine.context:
        return None
    tracer, cache = Tracer(model.shape.layers, keep=True), Cache(model.shape)
    for at in range(0, len(fed), ROWS):
        part = fed[at : at + ROWS]
        logits, states = _run(model, cache, part)
        tracer.add(part, states)
        for place, row in enumerate(logits, start=at - len(prompt) + 1):
            if place >= 0 and choose(row, sampling, model.exp2, seed=seed, step=place) != guess[place]:
                return None
    return tracer


def _run(model: Transformer, cache: Cache, part: list[int]) -> tuple[Floats, list[Floats]]:
    states: list[Floats] = []
    logits = model.forward([(cache, np.array(part))], lambda _, rows: states.append(rows.copy()), every=True)
    return logits, states


def compare(again: Rerun, given: Told, theirs: Sequence[bytes] | None = None) -> Difference | None:
    """Where what was given parts from what was made again; None where all of it is the same bits.

    `theirs` are the leaves of the trace that the answer's maker gave out; without them a difference within
    the layers cannot be placed.
    """
    if theirs is not None:
        found = _in_leaves(again, given, theirs)
        if found is not None:
            return found
    last = again.deltas[-1] if again.deltas else Delta("", 0, 0, 0)
    found = _in_text(again, given)
    if found is not None:
        return found
    counts = (last.finish, last.tokens_in, last.tokens_out)
    if counts != (given.finish, given.tokens_in, given.tokens_out):
        return Difference("counts", "The text is the same, but not why it ended or how many tokens it has.")
    if again.trace.leaves != given.trace.leaves:
        told = f"The trace has {given.trace.leaves} leaves, a whole one has {again.trace.leaves}."
        return Difference("trace_length", told)
    if again.trace.root != given.trace.root:
        told = "The answer is the same, and the states of the layers are not: whoever gave it has the leaves."
        return Difference("trace", told)
    return None


def split_leaves(data: bytes) -> list[bytes]:
    """The leaves of a trace file. What is over at its end is a leaf too, one that differs."""
    return [data[at : at + LEAF_SIZE] for at in range(0, len(data), LEAF_SIZE)]


def _in_leaves(again: Rerun, given: Told, theirs: Sequence[bytes]) -> Difference | None:
    if len(theirs) != given.trace.leaves or root([leaf_hash(leaf) for leaf in theirs]) != given.trace.root:
        return Difference("other_trace", "These are not the leaves that the receipt commits to.")
    for mine, other in itertools.zip_longest(again.leaves, theirs):
        if mine == other:
            continue
        if mine is None or other is None:
            longer = "longer" if mine is None else "shorter"
            return Difference("trace_length", f"The receipt's trace is {longer} than the run.")
        position, token, layer = place_of(mine)
        if len(other) != LEAF_SIZE or place_of(other) != (position, token, layer):
            told = f"At position {position} the run has token {token}, the receipt's trace another."
            return Difference("token", told, position, token)
        told = f"At position {position} (token {token}), layer {layer} is the first whose state differs."
        return Difference("layer", told, position, token, layer)
    return None


def _in_text(again: Rerun, given: Told) -> Difference | None:
    made = ""
    for number, delta in enumerate(again.deltas):
        made += delta.text
        if not given.text.startswith(made):
            told = f"Token {number + 1} of the answer is the first that differs from the run."
            return Difference("answer", told, position=delta.tokens_in + number)
    if made != given.text:
        told = f"The answer goes on where the run has ended, after {len(again.deltas)} tokens."
        return Difference("answer", told, position=again.deltas[-1].tokens_in + len(again.deltas))
    return None
