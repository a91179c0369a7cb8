"""From tokens to the pieces of an answer: what every engine that makes one token a step does alike."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

from hallmark.engines.protocol import Delta, context_exceeded
from hallmark.engines.text import Detokenizer, StopMatcher


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
) -> Generator[Delta, None, None]:
    """An answer, one token a step. `lengths` are the prompt's, and how many tokens the answer may have."""
    prompt, budget = lengths
    stops, count = StopMatcher(stop), 0

    def delta(text: str, finish: str = "") -> Delta:
        return Delta(text, prompt, count, budget, finish)

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
