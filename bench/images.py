"""Processor time of an image by the embedded generator, by size, beside Pillow drawing the same scenes.

    python bench/images.py [--rounds 20] [--json]

Both run here, on one thread, in alternating rounds over the same prompts and seeds; the first round warms up.
`shapes` is the whole engine: prompt read, scene drawn, PNG written. Pillow is given the scene that the prompt
became: it draws the outline at four times the side, reduces it (a box filter) to the cover of each pixel in
sixteen steps, and writes a PNG of the same form: sixteen colours, zlib's level 9. Its pixels are alike and
not equal: `apart` is the share of pixels that differ, at the edges.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from hallmark.engines.png import write_png
from hallmark.engines.prompt_net import PromptNet
from hallmark.engines.rasteriser import ALONE, CANVAS, HOLE, POLYGONS, TOGETHER, UNIT, _centres, draw
from hallmark.engines.scene import COLOURS, Scene, scene_of
from hallmark.engines.shapes import SIDES

WEIGHTS = Path(__file__).resolve().parents[1] / "models" / "shapes" / "artifact" / "net.safetensors"
PROMPTS = (
    "a small red circle on white",
    "three large blue stars on yellow",
    "a heart",
    "two green hexagons at the top left",
    "a black ring on orange",
    "four small crosses",
)
FINER = 4
PARTS = ("read", "draw", "png")


def by_pillow(scene: Scene, side: int) -> bytes:
    """The same scene, drawn and written by Pillow alone."""
    scale = side * FINER / CANVAS
    mask = Image.new("L", (side * FINER, side * FINER), 0)
    pen = ImageDraw.Draw(mask)
    radius = (ALONE if scene.count == 1 else TOGETHER)[scene.size]
    for x, y in _centres(scene, radius):
        if scene.shape in POLYGONS:
            corners = POLYGONS[scene.shape]
            points = [((x + a * radius / UNIT) * scale, (y + b * radius / UNIT) * scale) for a, b in corners]
            pen.polygon(points, fill=255)
            continue
        rounds = ((radius, 255), (radius * HOLE / UNIT, 0))[: 2 if scene.shape == "ring" else 1]
        for r, fill in rounds:
            pen.ellipse([(x - r) * scale, (y - r) * scale, (x + r) * scale, (y + r) * scale], fill=fill)
    levels = mask.reduce(FINER).point([(value * 15 + 127) // 255 for value in range(256)])
    image = Image.frombytes("P", (side, side), levels.tobytes())
    under, over = COLOURS[scene.background], COLOURS[scene.colour]
    mixed = [(b * (15 - n) + o * n + 7) // 15 for n in range(16) for b, o in zip(under, over, strict=True)]
    image.putpalette(mixed)
    out = io.BytesIO()
    image.save(out, "PNG", bits=4, compress_level=9)
    return out.getvalue()


def differing(one: bytes, other: bytes) -> float:
    """The share of pixels that two images do not have in common."""
    left, right = (np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in (one, other))
    return float((left != right).any(axis=2).mean())


def timed(into: dict[str, float], name: str, work: Callable[[], object]) -> object:
    """What the work gives; its processor milliseconds are added up under the name."""
    begun = time.process_time()
    found = work()
    into[name] = into.get(name, 0.0) + (time.process_time() - begun) * 1000
    return found


def measure(net: PromptNet, side: int, rounds: int) -> dict[str, object]:
    """Milliseconds of processor time for one image of this side, and bytes."""
    spent: dict[str, float] = {}
    sizes, apart = {"shapes": 0, "pillow": 0}, 0.0
    for number in range(rounds + 1):
        if number == 1:
            spent, sizes, apart = {}, dict.fromkeys(sizes, 0), 0.0
        for prompt in PROMPTS:
            read = timed(spent, "read", lambda prompt=prompt: net.read(prompt))
            scene = scene_of(read, number)
            drawn = timed(spent, "draw", lambda scene=scene: draw(scene, side))
            ours = timed(spent, "png", lambda drawn=drawn: write_png(*drawn))
            theirs = timed(spent, "pillow", lambda scene=scene: by_pillow(scene, side))
            sizes["shapes"] += len(ours)
            sizes["pillow"] += len(theirs)
            apart += differing(ours, theirs)
    images = rounds * len(PROMPTS)
    row: dict[str, object] = {name: spent[name] / images for name in (*PARTS, "pillow")}
    whole = sum(spent[name] for name in PARTS)
    row |= {"shapes": whole / images, "ratio": whole / spent["pillow"], "apart": apart / images}
    return (
        {"side": side, "images": images} | row | {f"{name}_bytes": n // images for name, n in sizes.items()}
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    begun = time.process_time()
    net = PromptNet(WEIGHTS.read_bytes())
    load = (time.process_time() - begun) * 1000
    rows = [measure(net, side, args.rounds) for side in SIDES]
    print(json.dumps({"load_ms": load, "rows": rows}) if args.json else "\n".join(table(load, rows)))


def table(load: float, rows: list[dict[str, object]]) -> list[str]:
    names = (*PARTS, "shapes", "pillow", "ratio")
    lines = [
        f"{'side':>6}" + "".join(f"{name:>9}" for name in names) + f"{'bytes':>9}{'pillow':>9}{'apart':>9}"
    ]
    for row in rows:
        cells = "".join(f"{row[name]:>9.2f}" for name in names)
        lines.append(
            f"{row['side']:>6}{cells}{row['shapes_bytes']:>9}{row['pillow_bytes']:>9}{row['apart']:>9.2%}"
        )
    return [*lines, f"processor ms an image; loading the network once: {load:.1f} ms"]


if __name__ == "__main__":
    main()
