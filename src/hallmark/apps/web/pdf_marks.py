"""The seven marks in a PDF, drawn from the same spec/marks.json as on the pages. Lengths are mm."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from fpdf import FPDF
from fpdf.drawing import ClippingPath, PaintedPath
from fpdf.drawing_primitives import Transform, color_from_hex_string
from fpdf.svg import svg_path_converter

from hallmark.apps.web.marks import spec
from hallmark.core.shown import ShownMark

TONES: Final = {
    "grey": "#66625a",
    "ink": "#1b1d22",
    "green": "#1f4d46",
    "blue": "#123a5e",
    "ochre": "#8a4b08",
    "red": "#8f1d1d",
    "coin": "#3d3d3d",
    "coin-quiet": "#646464",
}
"""Tones of static/marks.css in the light scheme."""
PAPER: Final = "#ffffff"
BOX: Final = 48.0
STROKE: Final = 1.33
"""Strokes do not scale on screen, where a mark is 36 px: this keeps their weight against the 48 units."""
_SCALED = re.compile(r"translate\(24 24\) scale\(([0-9.]+)\) translate\(-24 -24\)")


def draw_mark(pdf: FPDF, mark: ShownMark, x: float, y: float, size: float) -> None:
    """Strike one mark into the square at `x`, `y` of `size` mm."""
    question, state = spec()["questions"][mark.question], spec()["states"][mark.state]
    simulated = mark.question == "ran" and mark.assurance == "simulated"
    tone = TONES[question.get("tones", {}).get(mark.state, state["tone"])]
    for name in state["simulated" if simulated else "layers"]:
        layer = spec()["layers"][name]
        attributes = layer["attributes"]
        if layer.get("use") == "letter":
            _letter(pdf, question, attributes, tone, (x, y, size))
            continue
        outline = question[layer["use"]] if "use" in layer else layer["d"]
        if attributes["fill"].startswith("url("):
            _hatch(pdf, outline, tone, (x, y, size))
        else:
            _path(pdf, outline, attributes, tone, (x, y, size))


def tone_of(mark: ShownMark) -> tuple[int, int, int]:
    """The colour of a mark's word, as on the pages: red, green, blue, 0 to 255."""
    question, state = spec()["questions"][mark.question], spec()["states"][mark.state]
    text = TONES[question.get("tones", {}).get(mark.state, state["tone"])]
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _path(
    pdf: FPDF, outline: str, attributes: Mapping[str, str], tone: str, place: tuple[float, float, float]
) -> None:
    path = PaintedPath()
    svg_path_converter(path, outline)
    style = path.style
    style.auto_close = False
    style.fill_color = _colour(attributes["fill"], tone)
    style.stroke_color = _colour(attributes.get("stroke", "none"), tone)
    style.stroke_width = float(attributes.get("stroke-width", "1")) * STROKE
    style.stroke_cap_style = attributes.get("stroke-linecap", "butt")
    style.stroke_join_style = attributes.get("stroke-linejoin", "miter")
    if "stroke-dasharray" in attributes:
        style.stroke_dash_pattern = [float(n) * STROKE for n in attributes["stroke-dasharray"].split()]
    path.transform = _placed(attributes.get("transform", ""), place)
    with pdf.drawing_context() as context:
        context.add_item(path)


def _hatch(pdf: FPDF, outline: str, tone: str, place: tuple[float, float, float]) -> None:
    """Lines at 45 degrees inside the outline, as the pattern of the spec draws them."""
    clip, lines = ClippingPath(), PaintedPath()
    svg_path_converter(clip, outline)
    hatch = spec()["hatch"]
    step = float(hatch["pattern"]["width"]) * 2**0.5
    at = -BOX
    while at < BOX:
        lines.move_to(at, BOX)
        lines.line_to(at + BOX, 0)
        at += step
    lines.clipping_path = clip
    lines.style.auto_close = False
    lines.style.fill_color = None
    lines.style.stroke_color = _colour("currentColor", tone)
    lines.style.stroke_width = float(hatch["line"]["stroke-width"])
    lines.transform = _placed("", place)
    with pdf.drawing_context() as context:
        context.add_item(lines)


def _letter(
    pdf: FPDF,
    question: Mapping[str, Any],
    attributes: Mapping[str, str],
    tone: str,
    place: tuple[float, float, float],
) -> None:
    x, y, size = place
    unit = size / BOX
    points = float(question.get("size", spec()["letter"]["font-size"])) * unit * 72 / 25.4
    cut = attributes["fill"] != "currentColor"
    pdf.set_font("Times", "B", points)
    left = x + size / 2 - pdf.get_string_width(question["letter"]) / 2
    base = y + float(question["baseline"]) * unit
    red, green, blue = _rgb(PAPER if cut else tone)
    if "stroke" in attributes:
        with pdf.local_context(
            text_mode="STROKE", draw_color=_rgb(PAPER), line_width=float(attributes["stroke-width"]) * unit
        ):
            pdf.text(left, base, question["letter"])
    with pdf.local_context(text_color=(red, green, blue)):
        pdf.text(left, base, question["letter"])


def _placed(transform: str, place: tuple[float, float, float]) -> Transform:
    x, y, size = place
    found = _SCALED.fullmatch(transform)
    about = Transform.identity()
    if found is not None:
        about = Transform.translation(-24, -24).scale(float(found[1])).translate(24, 24)
    return about.scale(size / BOX).translate(x, y)


def _colour(value: str, tone: str) -> Any:
    if value == "none":
        return None
    return color_from_hex_string(tone if value == "currentColor" else PAPER)


def _rgb(text: str) -> tuple[int, int, int]:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
