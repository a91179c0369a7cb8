"""Says what an image shows from its pixels alone: it shares no code with what draws, and decodes with Pillow.

The background is the colour of most of the border; what differs from it is in pieces that hang together; each
piece is compared with outlines that are written down here once more, as inequalities.
"""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

NAMES = {
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
SIDE, CELLS = 256, 48
PLACE = 0.07


def seen(png: bytes) -> dict[str, object]:
    """Shape, colour, background, size, place (0 to 8, row by row), count."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.int64)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    behind = _commonest(border)
    differs = np.abs(pixels - behind).sum(axis=2) > 60
    pieces = _pieces(differs)
    if not pieces:
        return {"background": _name(behind), "count": 0}
    boxes = [(rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) for rows, columns in pieces]
    top, bottom = min(box[0] for box in boxes), max(box[1] for box in boxes)
    left, right = min(box[2] for box in boxes), max(box[3] for box in boxes)
    extent = max(max(box[1] - box[0], box[3] - box[2]) for box in boxes) / SIDE
    small, medium = (0.23, 0.415) if len(boxes) == 1 else (0.143, 0.213)
    down, aside = (top + bottom) / 2 / SIDE - 0.5, (left + right) / 2 / SIDE - 0.5
    return {
        "shape": _commonest_of([_shape(differs[a:b, c:d]) for a, b, c, d in boxes]),
        "colour": _name(_commonest(pixels[differs])),
        "background": _name(behind),
        "size": "small" if extent < small else "medium" if extent < medium else "large",
        "place": 4 + 3 * (int(down > PLACE) - int(down < -PLACE)) + int(aside > PLACE) - int(aside < -PLACE),
        "count": len(boxes),
    }


def _commonest(colours: np.ndarray) -> np.ndarray:
    values, counts = np.unique(colours, axis=0, return_counts=True)
    return values[counts.argmax()]


def _commonest_of(names: list[str]) -> str:
    return max(sorted(set(names)), key=names.count)


def _name(colour: np.ndarray) -> str:
    return min(
        NAMES, key=lambda name: sum((a - b) ** 2 for a, b in zip(NAMES[name], colour.tolist(), strict=True))
    )


def _pieces(there: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Groups of pixels that touch, of at least twelve."""
    left = set(zip(*(axis.tolist() for axis in np.nonzero(there)), strict=True))
    found = []
    while left:
        edge, piece = [left.pop()], []
        while edge:
            y, x = edge.pop()
            piece.append((y, x))
            for one in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if one in left:
                    left.remove(one)
                    edge.append(one)
        if len(piece) >= 12:
            rows, columns = zip(*piece, strict=True)
            found.append((np.array(rows), np.array(columns)))
    return found


def _shape(mask: np.ndarray) -> str:
    """The outline that fits best, with how wide it is for its height taken into account."""
    high, wide = mask.shape
    at = (np.arange(CELLS) + 0.5) / CELLS
    got = mask[np.ix_((at * high).astype(int), (at * wide).astype(int))]

    def fit(name: str) -> float:
        outline, ratio = OUTLINES[name]
        return float((got & outline).sum() / (got | outline).sum()) - 0.7 * abs(math.log(wide / high / ratio))

    return max(OUTLINES, key=fit)


def _outlines() -> dict[str, tuple[np.ndarray, float]]:
    """Each shape over its own box, and the box's width by its height."""
    axis = (np.arange(CELLS) + 0.5) / CELLS * 2 - 1
    y, x = np.meshgrid(axis, axis, indexing="ij")
    far = np.hypot(x, y)

    def regular(sides: int, inner: float, turn: float) -> tuple[np.ndarray, float]:
        angles = [turn + math.pi * k / sides for k in range(2 * sides)]
        points = [((1 if k % 2 == 0 else inner) * math.sin(a), -(1 if k % 2 == 0 else inner) * math.cos(a))
                  for k, a in enumerate(angles)]  # fmt: skip
        px, py = [p[0] for p in points], [p[1] for p in points]
        wide, high = max(px) - min(px), max(py) - min(py)
        u, v = (x + 1) / 2 * wide + min(px), (y + 1) / 2 * high + min(py)
        inside = np.zeros_like(u, dtype=bool)
        for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
            if y0 != y1:
                inside ^= ((y0 > v) != (y1 > v)) & (u < (v - y0) * (x1 - x0) / (y1 - y0) + x0)
        return inside, wide / high

    u, v = x * 1.14, 1.25 - (y + 1) / 2 * 2.25
    heart = (u * u + v * v - 1) ** 3 - u * u * v**3 <= 0
    return {
        "circle": (far <= 1, 1.0),
        "ring": ((far <= 1) & (far >= 0.6), 1.0),
        "square": (np.ones_like(far, dtype=bool), 1.0),
        "triangle": (np.abs(x) <= (y + 1) / 2, 8 / 7),
        "diamond": (np.abs(x) + np.abs(y) <= 1, 0.7),
        "pentagon": regular(5, math.cos(math.pi / 5), 0.0),
        "hexagon": regular(6, math.cos(math.pi / 6), math.pi / 6),
        "star": regular(5, math.sin(math.radians(18)) / math.cos(math.radians(36)), 0.0),
        "cross": ((np.abs(x) <= 0.32) | (np.abs(y) <= 0.32), 1.0),
        "heart": (heart, 1.12),
    }


OUTLINES = _outlines()
