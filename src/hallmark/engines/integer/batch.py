"""Several answers in one step, without one knowing of the others.

Answers are generators whose turns come round (`engines.stepper`). The one whose turn comes and who has no
next token yet computes one step for everybody who waits for one, in one pass through the weights; the others
find theirs made. Sums are exact, so that who else is in a step cannot be seen in anybody's bits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import numpy as np

from hallmark.engines.integer.numbers import Floats
from hallmark.engines.integer.trace import Tracer
from hallmark.engines.integer.transformer import Cache, Transformer
from hallmark.engines.protocol import Trace

MOST_TOGETHER: Final = 32
PREFILL_ROWS: Final = 256


class Running:
    """One sequence: what waits to be run, its cache and trace, and the token that was chosen and not taken
    yet, with the trace as it was then.

    `choose` takes integer logits and how many tokens were chosen before.
    """

    def __init__(
        self, model: Transformer, prompt: list[int], choose: Callable[[Floats, int], int], tracer: Tracer
    ) -> None:
        self.cache, self.tracer = Cache(model.shape), tracer
        self._choose = choose
        self.waits = prompt
        self.chosen: tuple[int, Trace] | None = None
        self._count = 0

    def take(self, logits: Floats, part: list[int], states: list[Floats]) -> None:
        """What a step made of `part`, the first tokens that waited. A chosen token waits at once."""
        self.tracer.add(part, states)
        self.waits = self.waits[len(part) :]
        if not self.waits:
            token = self._choose(logits, self._count)
            self.chosen, self.waits = (token, self.tracer.trace()), [token]
            self._count += 1


class Batcher:
    """Everybody who runs at the moment. Safe for several threads: one computes at a time."""

    def __init__(self, model: Transformer, together: int = MOST_TOGETHER) -> None:
        self._model, self._together = model, together
        self._lock = threading.Lock()
        self._running: list[Running] = []

    def enter(self, one: Running) -> None:
        """From now on steps may be made for it, also in others' turns."""
        with self._lock:
            self._running.append(one)

    def leave(self, one: Running) -> None:
        """No step is made for it any more."""
        with self._lock:
            if one in self._running:
                self._running.remove(one)

    def next_token(self, one: Running) -> tuple[int, Trace]:
        """The token chosen for `one`, and the trace up to it: computed now, with whoever else has none that
        is not taken, unless it is there. A prompt may take several passes.
        """
        while True:
            with self._lock:
                if one.chosen is not None:
                    taken, one.chosen = one.chosen, None
                    return taken
                others = [other for other in self._running if other.chosen is None and other is not one]
                self._step([one, *others[: self._together - 1]])

    def _step(self, together: list[Running]) -> None:
        """One pass: who begins is prefilled alone, the rest have a token each."""
        first = together[0]
        alone = len(first.waits) > 1
        together = [first] if alone else [one for one in together if len(one.waits) == 1]
        parts = [one.waits[:PREFILL_ROWS] for one in together]
        states: list[Floats] = []
        logits = self._model.forward(
            [(one.cache, np.array(part)) for one, part in zip(together, parts, strict=True)],
            lambda _, rows: states.append(rows.copy()),
        )
        at = 0
        for number, (one, part) in enumerate(zip(together, parts, strict=True)):
            mine = slice(at, at := at + len(part))
            one.take(logits[number], part, [rows[mine] for rows in states])
