"""Draws a scene in whole numbers: no float is anywhere, so nothing rounds as a processor likes.

The canvas has 16,384 units a side. Of each row of pixels eight lines are cut; where a line enters and leaves
a shape is known to a unit, and what lies between is the share of each pixel that the shape covers. That
share, in sixteen steps, is the mix of the two colours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from hallmark.engines.scene import COLOURS, Scene

if TYPE_CHECKING:
    import numpy.typing as npt

Point = tuple[int, int]

CANVAS: Final = 16_384
LINES: Final = 8
LEVELS: Final = 16
UNIT: Final = 1024
"""Shapes are written down for a radius of so many units, clockwise as they are seen."""
HEART: Final = (
    (0, -455), (17, -534), (121, -713), (343, -855), (630, -848), (874, -673), (970, -394), (874, -94),
    (630, 182), (343, 431), (121, 652), (17, 817), (0, 879),
)  # fmt: skip
POLYGONS: Final[dict[str, tuple[Point, ...]]] = {
    "square": ((-840, -840), (840, -840), (840, 840), (-840, 840)),
    "triangle": ((0, -960), (960, 720), (-960, 720)),
    "diamond": ((0, -1000), (700, 0), (0, 1000), (-700, 0)),
    "pentagon": ((0, -1024), (974, -316), (602, 828), (-602, 828), (-974, -316)),
    "hexagon": ((-512, -887), (512, -887), (1024, 0), (512, 887), (-512, 887), (-1024, 0)),
    "star": (
        (0, -1024), (230, -316), (974, -316), (372, 121), (602, 828),
        (0, 391), (-602, 828), (-372, 121), (-974, -316), (-230, -316),
    ),
    "cross": (
        (-320, -1000), (320, -1000), (320, -320), (1000, -320), (1000, 320), (320, 320),
        (320, 1000), (-320, 1000), (-320, 320), (-1000, 320), (-1000, -320), (-320, -320),
    ),
    "heart": (*HEART, *((-x, y) for x, y in HEART[-2:0:-1])),
}  # fmt: skip
HOLE: Final = 600
"""A ring's hole, where its radius is UNIT."""
ALONE: Final = {"small": 1500, "medium": 2900, "large": 4800}
TOGETHER: Final = {"small": 1000, "medium": 1650, "large": 2250}
"""Radii on the canvas, of one shape alone and of each of several."""
ASIDE, MARGIN = 4600, 500


def draw(scene: Scene, side: int) -> tuple[npt.NDArray[np.uint8], tuple[tuple[int, int, int], ...]]:
    """The image: for each of `side` times `side` pixels (a power of two up to 2,048) which of the sixteen
    colours it has, and these.
    """
    cover = np.zeros((side, side + 2), np.int64)
    unit = CANVAS // side
    radius = (ALONE if scene.count == 1 else TOGETHER)[scene.size]
    for x, y in _centres(scene, radius):
        for at, sign, rows in _edges(scene.shape, x, y, radius, side):
            pixel, rest = at // unit, at % unit
            np.add.at(cover, (rows, pixel), sign * (unit - rest))
            np.add.at(cover, (rows, pixel + 1), sign * rest)
    whole = unit * LINES
    levels = (np.cumsum(cover, axis=1)[:, :side] * (LEVELS - 1) * 2 + whole) // (2 * whole)
    under, over = COLOURS[scene.background], COLOURS[scene.colour]
    mixed = tuple(
        tuple(
            (b * (LEVELS - 1 - n) + o * n + LEVELS // 2) // (LEVELS - 1)
            for b, o in zip(under, over, strict=True)
        )
        for n in range(LEVELS)
    )
    return levels.astype(np.uint8), mixed  # type: ignore[return-value]  # three each


def _centres(scene: Scene, radius: int) -> Iterator[Point]:
    """Where the shapes are: alone, two beside or above each other, three and four two by two."""
    down, right = scene.position // 3 - 1, scene.position % 3 - 1
    pitch = radius * 6 // 5
    upright = scene.count == 2 and right != 0
    wide = 0 if scene.count == 1 or upright else pitch
    high = 0 if scene.count == 1 or (scene.count == 2 and not upright) else pitch
    x = _within(right, radius + wide)
    y = _within(down, radius + high)
    places = {
        1: ((0, 0),),
        2: ((-1, -1), (1, 1)),
        3: ((0, -1), (-1, 1), (1, 1)),
        4: ((-1, -1), (1, -1), (-1, 1), (1, 1)),
    }
    for across, along in places[scene.count]:
        yield x + across * wide, y + along * high


def _within(aside: int, half: int) -> int:
    return max(half + MARGIN, min(CANVAS - half - MARGIN, CANVAS // 2 + aside * ASIDE))


def _edges(
    shape: str, x: int, y: int, radius: int, side: int
) -> Iterator[tuple[npt.NDArray[np.int64], int, npt.NDArray[np.int64]]]:
    """Where lines cross the outline: units from the left, 1 to enter and -1 to leave, and the rows."""
    step = CANVAS // side // LINES
    if shape in POLYGONS:
        corners = [(x + _scaled(a, radius), y + _scaled(b, radius)) for a, b in POLYGONS[shape]]
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
            lines = _lines(min(y0, y1), max(y0, y1), step)
            if y0 != y1:
                yield (
                    x0 + (lines - y0) * (x1 - x0) // (y1 - y0),
                    1 if y1 < y0 else -1,
                    lines // (step * LINES),
                )
        return
    for r, sign in ((radius, 1), (_scaled(HOLE, radius), -1))[: 2 if shape == "ring" else 1]:
        lines = _lines(y - r, y + r, step)
        halves = np.array([math.isqrt(r * r - d * d) for d in (lines - y).tolist()], np.int64)
        yield x - halves, sign, lines // (step * LINES)
        yield x + halves, -sign, lines // (step * LINES)


def _lines(top: int, bottom: int, step: int) -> npt.NDArray[np.int64]:
    """The lines from `top` on, before `bottom`; each stands in the middle of its strip."""
    first = -(-(top - step // 2) // step)
    return np.arange(first, -(-(bottom - step // 2) // step), dtype=np.int64) * step + step // 2


def _scaled(value: int, radius: int) -> int:
    return (value * radius + UNIT // 2) // UNIT
