"""What the embedded image generator can draw: scenes of one to four flat shapes, and words for them.

A prompt says some of a scene and leaves the rest open; what is open is chosen by the seed. Whoever gets an
image gets the whole scene in words with it, so that nobody has to guess what was understood.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from hallmark.core.hashing import sha256
from hallmark.engines.request_errors import BadParameter

SEED_TAG: Final = b"hallmark/shapes/v1\0"
OPEN: Final = "open"
SHAPES: Final = (
    "circle", "ring", "square", "triangle", "diamond", "pentagon", "hexagon", "star", "cross", "heart",
)  # fmt: skip
COLOURS: Final[dict[str, tuple[int, int, int]]] = {
    "red": (216, 32, 32),
    "orange": (244, 132, 20),
    "yellow": (250, 220, 40),
    "green": (28, 140, 56),
    "blue": (32, 80, 208),
    "purple": (124, 44, 160),
    "pink": (248, 152, 190),
    "brown": (120, 72, 32),
    "black": (16, 16, 16),
    "grey": (136, 136, 136),
    "white": (255, 255, 255),
}
SIZES: Final = ("small", "medium", "large")
_DOWN, _ACROSS = ("top", "middle", "bottom"), ("left", "centre", "right")
POSITIONS: Final = tuple(f"{down} {across}" for down, across in itertools.product(_DOWN, _ACROSS))
"""Nine places, row by row; "middle centre" is the middle."""
COUNTS: Final = ("1", "2", "3", "4")
NONE, SEVERAL, SOME, MORE = "none", "several", "some", "more"

HEADS: Final[dict[str, tuple[str, ...]]] = {
    "shape": (*SHAPES, NONE, SEVERAL),
    "colour": (*COLOURS, OPEN),
    "background": (*COLOURS, OPEN),
    "size": (*SIZES, OPEN),
    "position": (*POSITIONS, OPEN),
    "count": (*COUNTS, SOME, MORE),
}
"""What is read of a prompt, in the order in which the network says it: each of one of these."""
PLACES: Final = (
    "at the top left", "at the top", "at the top right", "on the left", "in the middle", "on the right",
    "at the bottom left", "at the bottom", "at the bottom right",
)  # fmt: skip
NUMBERS: Final = ("a", "two", "three", "four")

T = TypeVar("T")


class Scene(msgspec.Struct, frozen=True):
    """Everything that an image shows. `position` counts POSITIONS, `count` is 1 to 4."""

    shape: str
    colour: str
    background: str
    size: str
    position: int
    count: int

    def words(self) -> str:
        """The scene in a sentence, as `revised_prompt` says it."""
        shape = self.shape
        if self.count > 1:
            shape += "es" if shape == "cross" else "s"
        number = NUMBERS[self.count - 1]
        return f"{number} {self.size} {self.colour} {shape} {PLACES[self.position]} on {self.background}"


def scene_of(read: dict[str, str], seed: int) -> Scene:
    """The scene that a prompt asks for: `read` has a class of each of HEADS, `seed` (uint64) chooses what is
    open.

    Raises BadParameter `cannot_draw` for what no scene holds.
    """
    if read["shape"] == NONE:
        raise cannot_draw("The prompt names no shape that this model draws")
    if read["shape"] == SEVERAL:
        raise cannot_draw("The prompt names more than one kind of shape")
    if read["count"] == MORE:
        raise cannot_draw("The prompt asks for more than four")
    chance = _Chance(seed)
    colour, background = read["colour"], read["background"]
    if background == OPEN:
        background = chance.one([name for name in COLOURS if name != colour])
    if colour == OPEN:
        colour = chance.one([name for name in COLOURS if name != background])
    size = chance.one(SIZES) if read["size"] == OPEN else read["size"]
    place = chance.one(POSITIONS) if read["position"] == OPEN else read["position"]
    count = chance.one((2, 3, 4)) if read["count"] == SOME else int(read["count"])
    return Scene(read["shape"], colour, background, size, POSITIONS.index(place), count)


def cannot_draw(why: str) -> BadParameter:
    """The error for a prompt that is no scene."""
    return BadParameter(
        "cannot_draw",
        f"{why}.",
        "prompt",
        f"It draws one to four of one kind: {', '.join(SHAPES)}; in {', '.join(COLOURS)}.",
    )


class _Chance:
    """Choices that follow from a seed alone."""

    def __init__(self, seed: int) -> None:
        self._bytes = sha256(SEED_TAG, seed.to_bytes(8, "big"))

    def one(self, choices: Sequence[T]) -> T:
        """The next choice: four bytes of the digest each."""
        number, self._bytes = int.from_bytes(self._bytes[:4], "big"), self._bytes[4:]
        return choices[number % len(choices)]
