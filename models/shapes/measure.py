"""Draw the held-out prompts and let the judge say from the pixels what is seen; print figures and JSON.

python models/shapes/measure.py [--json FILE] [--seeds N]
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "src")]

from judge import seen  # noqa: E402

from hallmark.engines.png import write_png  # noqa: E402
from hallmark.engines.prompt_net import PromptNet  # noqa: E402
from hallmark.engines.rasteriser import draw  # noqa: E402
from hallmark.engines.request_errors import BadParameter  # noqa: E402
from hallmark.engines.scene import COLOURS, SHAPES, SIZES, Scene, scene_of  # noqa: E402

FIELDS = ("shape", "colour", "background", "size", "place", "count")
SIDE = 256
SETS = ("held_out.txt", "held_out_2.txt")


def held_out(name: str) -> list[tuple[str, list[str] | None]]:
    """Prompts, and what must be seen (None: nothing is drawn)."""
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    rows = [line.rsplit(" | ", 1) for line in lines if line and not line.startswith("#")]
    return [(prompt, None if means == "refused" else means.split()) for prompt, means in rows]


def judge_itself() -> tuple[int, int]:
    """How often the judge sees what a scene holds, over scenes of every kind: what limits the figures."""
    right = total = 0
    for at, (shape, size, count, place) in enumerate(
        itertools.product(SHAPES, SIZES, (1, 2, 3, 4), range(9))
    ):
        colour, background = list(COLOURS)[at % 11], list(COLOURS)[(at + 1 + at // 11 % 10) % 11]
        found = seen(write_png(*draw(Scene(shape, colour, background, size, place, count), SIDE)))
        right += [found.get(name) for name in FIELDS] == [shape, colour, background, size, place, count]
        total += 1
    return right, total


def measure(name: str, seeds: int) -> dict[str, object]:
    """Each prompt with several seeds; an image is right where everything that the prompt says is seen."""
    net = PromptNet((HERE / "artifact" / "net.safetensors").read_bytes())
    said, right, wrong = dict.fromkeys(FIELDS, 0), dict.fromkeys(FIELDS, 0), []
    images = whole = refusals = refused = 0
    for prompt, means in held_out(name):
        refusals += means is None
        for seed in range(seeds if means else 1):
            try:
                png = write_png(*draw(scene_of(net.read(prompt), seed), SIDE))
            except BadParameter:
                refused += means is None
                if means:
                    images += 1
                    wrong.append([prompt, "refused"])
                continue
            if means is None:
                wrong.append([prompt, "drawn"])
                continue
            images += 1
            found, good = seen(png), True
            for name, value in zip(FIELDS, means, strict=True):
                if value != "-":
                    said[name] += 1
                    right[name] += str(found.get(name)) == value
                    good &= str(found.get(name)) == value
            whole += good
            if not good:
                wrong.append([prompt, {name: found.get(name) for name in FIELDS}])
    share = {name: f"{right[name]} of {said[name]}" for name in FIELDS}
    return {"images": images, "all_right": whole, **share, "refused_rightly": f"{refused} of {refusals}",
            "wrong": wrong}  # fmt: skip


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    figures = {name: measure(name, args.seeds) for name in SETS}
    judge = judge_itself()
    figures["judge_on_every_kind_of_scene"] = f"{judge[0]} of {judge[1]}"
    for name in SETS:
        one = figures[name]
        print(f"{name}: {one['all_right']} of {one['images']} images show all that was asked for")
    text = json.dumps(figures, indent=2)
    print(text)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
