"""Running an answer again, and where the two runs part.

The text of an answer says which tokens to expect: they are run in one pass, and as far as the model chooses
just these, they are the run's. Where it chooses another one, the rest of the text is cut anew behind it. What
is expected decides how much is run in a pass, and never a bit of what comes out.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np

from hallmark.core.merkle import leaf_hash, root
from hallmark.engines.generation import room_for
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
    """What running again gave: deltas, its trace with the leaves, and how many passes it took."""

    deltas: tuple[Delta, ...]
    trace: Trace
    leaves: tuple[bytes, ...]
    passes: int = 1


def rerun(
    engine: ExactLanguageEngine, prompt: list[int], sampling: Sampling, seed: int, given: Told
) -> Rerun:
    """Run a prompt again for as many tokens as were given, and for one more where that should have been the
    end and is none.

    Raises InvalidInput `context_length_exceeded` as the first run would have.
    """
    budget = room_for(engine.context, len(prompt), sampling.max_tokens)
    again = _Again(engine, prompt, sampling, seed, given)
    again.until(min(given.tokens_out, budget))
    deltas, ended = again.told(budget)
    if given.finish and not ended and given.tokens_out < budget:
        again.until(given.tokens_out + 1)
        deltas, ended = again.told(budget)
    if not given.finish:
        # Of an answer that was cut off, no end that it did not come to.
        deltas = deltas[: max(given.tokens_out, 1)]
    tracer = again.tracer
    return Rerun(tuple(deltas), tracer.trace(), tuple(tracer.leaves or ()), again.passes)


class _Again:
    """One run: `chosen` are the tokens that the model chose, of which all but the last were run."""

    def __init__(
        self, engine: ExactLanguageEngine, prompt: list[int], sampling: Sampling, seed: int, given: Told
    ) -> None:
        self._engine, self._prompt, self._sampling, self._seed = engine, prompt, sampling, seed
        self._text, self._finish = given.text.encode("utf-8", "replace"), given.finish
        self._cut = engine.tokenizer.text(given.text)
        table = engine.tokenizer.table
        self._bounds = list(itertools.accumulate((len(table.get(one, b"")) for one in self._cut), initial=0))
        self._cache = Cache(engine.model.shape)
        self.tracer = Tracer(engine.model.shape.layers, keep=True)
        self.chosen: list[int] = []
        self.passes = 0

    def until(self, count: int) -> None:
        """Choose up to `count` tokens in all, or up to the end token."""
        while len(self.chosen) < count and not (self.chosen and self.chosen[-1] in self._engine.ends):
            self._pass(count)

    def told(self, budget: int) -> tuple[list[Delta], bool]:
        """The deltas of what was chosen, and whether it came to an end by itself."""
        ran_out = False

        def source() -> Iterator[int]:
            nonlocal ran_out
            yield from self.chosen
            ran_out = True

        deltas = self._engine.told(source(), len(self._prompt), budget, self._sampling.stop, self.tracer)
        return list(deltas), not ran_out

    def _pass(self, count: int) -> None:
        """Run what was chosen and not run yet, and behind it what is expected, as far as that is chosen."""
        sure, begin = self._prompt + self.chosen, self._cache.length
        known = sure + self._expected()
        part = known[begin : begin + ROWS][: self._engine.context - begin]
        logits, states = _run(self._engine.model, self._cache, part)
        self.passes += 1
        held = 0
        for place, row in enumerate(logits, start=begin):
            held += 1
            step = place + 1 - len(self._prompt)
            if step < 0:
                continue
            token = choose(row, self._sampling, self._engine.model.exp2, seed=self._seed, step=step)
            self.chosen.append(token)
            expected = known[place + 1] if place + 1 < len(known) else None
            if token != expected or token in self._engine.ends or len(self.chosen) == count:
                break
        self._cache.length = begin + held
        self.tracer.add(part[:held], [rows[:held] for rows in states])

    def _expected(self) -> list[int]:
        """Tokens of the text behind what was chosen, for one pass; none where that is not how the text goes.

        The text was cut once. Where what was chosen ends within a token, the rest of that one is cut anew.
        """
        table = self._engine.tokenizer.table
        made = b"".join(table.get(token, b"") for token in self.chosen)
        if not self._text.startswith(made):
            return []
        place = bisect_left(self._bounds, len(made))
        within = self._text[len(made) : self._bounds[place]] if place < len(self._bounds) else b""
        rest = self._engine.tokenizer.text(within.decode("utf-8", "replace"))
        rest += self._cut[place : place + ROWS]
        return [*rest, min(self._engine.ends, default=0)] if self._finish == "stop" else rest


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
