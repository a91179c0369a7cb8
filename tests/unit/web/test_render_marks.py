"""The Jinja macro and the browser draw the same markup, for every question in every state."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path

import msgspec
import pytest

from hallmark.apps.web import times
from hallmark.apps.web.marks import Drawer, spec
from hallmark.apps.web.render import Pages
from hallmark.core.marks import Question, State
from hallmark.core.shown import ShownMark
from hallmark.services.chain.toolchain import find_node, prepare
from hallmark.testing.scene import ANSWERED, Scene, marks_of
from hallmark.testing.surfaces import surfaces

SECONDS = (
    1_763_656_212_000,
    1_763_656_212_118,
    1_000,
    0,
    253_402_300_799_000,
    253_402_300_800_000,
    9 * 10**15,
)
ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import { readFileSync } from "node:fs";
import { rowTree } from "%s/web/src/marks/draw.ts";
import { toMarkup } from "%s/web/src/marks/tree.ts";
import { gapOf, gapText, fullTime } from "%s/web/src/marks/gap.ts";
const { rows, gaps } = JSON.parse(readFileSync(0, "utf8"));
const drawn = rows.map(([marks, answerAt, size, prefix]) => {
  const byQuestion = Object.fromEntries(marks.map((mark) => [mark.question, mark]));
  return toMarkup(rowTree(byQuestion, { answerAt, size: size || undefined }, prefix));
});
const said = ([at, gap]) => {
  const { text, title } = gapOf(at, at - gap);
  return [gapText(gap), fullTime(at, gap), text, title];
};
console.log(JSON.stringify({ drawn, gaps: gaps.map(said) }));
"""


def scenes() -> list[Scene]:
    """Every state of every question, every assurance, and an asserted model."""
    states = [state.value for state in State]
    every = [Scene(marks=dict.fromkeys((q.value for q in Question), state)) for state in states]
    assured = [
        Scene(marks={"ran": state}, assurance=assurance)
        for state, assurance in itertools.product(states, ("simulated", "none", "hardware", "", "other"))
    ]
    asserted = [Scene(marks={"model": state}, asserted_by="Big & <Co>") for state in states]
    return every + assured + asserted


def poisoned_row(scene: Scene) -> tuple[ShownMark, ...]:
    """A scene's marks with a text that would leave attributes and elements if it were not escaped."""
    return Scene(poison="\"'><script>&amp;{word}").poisoned(marks_of(scene))


def node(given: object) -> dict[str, list[object]]:
    """What the browser's code makes of the same marks."""
    prepare(ROOT)
    script = SCRIPT.replace("%s", str(ROOT))
    done = subprocess.run(
        [str(find_node().node), "--input-type=module", "-e", script],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded: dict[str, list[object]] = json.loads(done.stdout)
    return loaded


def as_json(marks: tuple[ShownMark, ...]) -> list[dict[str, object]]:
    """Marks as the API gives them."""
    return [{name: getattr(mark, name) for name in mark.__struct_fields__} for mark in marks]


def test_macro_and_browser_draw_the_same_marks() -> None:
    """Character for character, over every state, assurance, size and a hostile text."""
    environment = Pages(surfaces(Scene())).environment
    rows = [marks_of(scene) for scene in scenes()] + [poisoned_row(scene) for scene in scenes()[:12]]
    given = [
        (row, (ANSWERED, 0)[n % 2], ("", "small", "large")[n % 3], f"prefix-{n}")
        for n, row in enumerate(rows)
    ]
    mine = [str(Drawer(environment)(row, at, size, prefix)) for row, at, size, prefix in given]
    theirs = node({"rows": [(as_json(row), at, size, p) for row, at, size, p in given], "gaps": []})["drawn"]
    assert mine == theirs


def test_gaps_are_written_alike() -> None:
    """Every unit and both sides of each border, halves included."""
    borders = (0, 1, 999, 1000, 1049, 1050, 1150, 1250, 9949, 9950, 9999, 10_000, 10_500, 119_999, 120_000)
    more = (150_000, 7_199_999, 7_200_000, 9_000_000, 172_799_999, 172_800_000, 216_000_000)
    gaps = [(ANSWERED, sign * gap) for gap in (*borders, *more) for sign in (1, -1)]
    # Whole seconds that began just before the answer ended, and times that no calendar has.
    gaps += [(at, gap) for at in SECONDS for gap in (-1001, -1000, -999, -118, -1, 0, 1)]
    mine = [[times.gap(gap), times.full_gap(at, gap), *times.gap_of(at, at - gap)] for at, gap in gaps]
    assert mine == node({"rows": [], "gaps": gaps})["gaps"]
    assert times.gap_of(5_000, 5_882) == (
        "< 1 s",
        "in the second of 1970-01-01 00:00:05 UTC, within which the last byte came",
    )
    assert [times.gap_of(at, ended)[0] for at, ended in ((5_001, 5_882), (5_000, 6_000), (5_018, 5_000))] == [
        "\u2212881 ms",
        "\u22121.0 s",
        "+18 ms",
    ]


def test_a_cosignatures_second_is_drawn_alike() -> None:
    """Marks dated to the second within which the last byte came read "< 1 s" in both, and earlier ones do
    not.
    """
    environment = Pages(surfaces(Scene())).environment
    rows = []
    for second in (ANSWERED // 1000 * 1000, ANSWERED // 1000 * 1000 - 1000, ANSWERED // 1000 * 1000 + 1):
        marks = tuple(msgspec.structs.replace(mark, since=second) for mark in marks_of(Scene()))
        rows += [(marks, ended, "", f"prefix-{second}-{ended}") for ended in (second + 882, second + 1000)]
    mine = [str(Drawer(environment)(*row)) for row in rows]
    assert mine == node({"rows": [(as_json(row), *rest) for row, *rest in rows], "gaps": []})["drawn"]
    assert [text.count("&lt; 1 s</span>") for text in mine] == [7, 0, 7, 0, 0, 0]


@pytest.mark.parametrize("state", [state.value for state in State])
def test_simulated_hardware_is_never_solid(state: str) -> None:
    """Whatever the state, a simulated `ran` has no solid layer, is hatched, and says so."""
    drawer = Drawer(Pages(surfaces(Scene())).environment)
    row = marks_of(Scene(marks={"ran": state}, assurance="simulated"))
    ran = drawer.one(row[0])
    if state in ("absent", "not_required"):
        assert 'data-state="' + state in ran
        return
    assert "hm-solid" not in ran
    assert "hm-hatched" in ran
    assert ">simulated</span>" in ran


def test_every_state_has_geometry_and_word() -> None:
    """The specification knows every question in its order and every state."""
    assert spec()["order"] == [question.value for question in Question]
    assert set(spec()["states"]) == {state.value for state in State}
