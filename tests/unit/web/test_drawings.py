"""Drawings: whatever a view holds, the picture is finite, in its frame, escaped, and says what it must."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from hallmark.apps.web.drawings import (
    DRAWINGS,
    draw_bands,
    draw_exposure,
    draw_histogram,
    draw_history,
    draw_lineage,
    draw_route,
    draw_timeline,
)
from hallmark.apps.web.drawings.lineage import BREAK, breaks
from hallmark.apps.web.drawings.svg import WIDTH, fitted, number, width_of
from hallmark.services.explorer.network_views import Bin, Slots
from hallmark.services.explorer.shared_views import Fact, Hop, Left, LineageStep, Moment, RouteView
from hallmark.telemetry.parts import ObservedPart

SVG = "http://www.w3.org/2000/svg"
ODD = "<script>alert(1)</script>\u202e\"'&{{7*7}}\x00\x1b\u2028"
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
SMALL = settings(max_examples=35, deadline=None)
KINDS = (
    *("asked", "answered", "paid", "logged", "witnessed", "anchored", "decided", "reviewed"),
    *("declared", "appealed", "released", "objected", "revoked", "sampled", "rejected", "final"),
)
MOMENTS = st.lists(
    st.builds(
        lambda gap, kind, text, by: Moment(1_763_656_212_000 + gap, gap, kind, text, by),
        st.integers(-(10**13), 10**13) | st.integers(-2_000, 2_000),
        st.sampled_from(KINDS),
        TEXT,
        TEXT,
    ),
    max_size=60,
)
STEPS = st.lists(
    st.builds(
        LineageStep,
        TEXT,
        st.sampled_from(("0x" + "aa" * 32, "0x" + "bb" * 32, "")),
        TEXT,
        TEXT,
        st.integers(-1, 2**63),
        st.integers(0, 2**63),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    max_size=40,
)
ROUTES = st.builds(
    RouteView,
    st.booleans(),
    st.sampled_from(("plain", "sealed", "direct")),
    st.lists(
        st.builds(
            Hop,
            st.sampled_from(("client", "gateway", "relay", "node", "enclave", "upstream")),
            TEXT,
            TEXT,
            st.booleans(),
        ),
        max_size=8,
    ).map(tuple),
    st.just(()),
    st.lists(st.builds(Left, TEXT, TEXT, TEXT, st.booleans()), max_size=20).map(tuple),
)
BINS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**9)), min_size=1, max_size=40).map(
    lambda pairs: tuple(
        Bin(sum(width for width, _ in pairs[:n]), sum(width for width, _ in pairs[: n + 1]), count)
        for n, (_, count) in enumerate(pairs)
    )
)
COUNT = st.integers(0, 10**6)
SLOTS = st.lists(st.builds(Slots, TEXT, TEXT, COUNT, COUNT, COUNT, COUNT, st.just({})), max_size=8)
FACTS = st.lists(
    st.builds(Fact, TEXT, TEXT | st.sampled_from(("3 of 4", "52.0 %", "7 of 0", "999 %"))), max_size=8
)


def tree(drawn: Markup) -> ElementTree.Element:
    """The drawing as an XML tree: it is well formed. A parser of XML knows no U+FFFE, which HTML allows."""
    assert isinstance(drawn, Markup)
    return ElementTree.fromstring(re.sub("[\ufffe\uffff]", "?", str(drawn)))


def words(drawn: Markup) -> str:
    """Everything that is written in a drawing, titles apart."""
    return " ".join(" ".join(part.itertext()) for part in tree(drawn).iter("text"))


def check(drawn: Markup) -> None:
    """What holds of every drawing."""
    if not drawn:
        return
    root = tree(drawn)
    assert [child.tag for child in root][:2] == ["title", "desc"]
    assert root.findtext("title")
    assert root.findtext("desc")
    assert root.get("role") == "img"
    wide = root.get("width") == "100%"
    right, below = (300.0 if wide else float(WIDTH)), float(root.attrib["height"])
    for part in root.iter():
        assert "style" not in part.attrib
        assert not any(name.startswith("on") for name in part.attrib)
        for name, value in part.attrib.items():
            if name in ("x", "x1", "x2", "cx", "width", "y", "y1", "y2", "cy", "height", "r", "d"):
                assert not re.search(r"nan|inf|e[+-]?\d", value, re.IGNORECASE), (name, value)
        _inside(part, right, below)


def _inside(part: ElementTree.Element, right: float, below: float) -> None:
    across = [_px(part.attrib[name], right) for name in ("x", "x1", "x2", "cx") if name in part.attrib]
    down = [float(part.attrib[name]) for name in ("y", "y1", "y2", "cy") if name in part.attrib]
    if part.tag == "rect":
        across.append(across[0] + _px(part.attrib["width"], right))
        down.append(down[0] + float(part.attrib["height"]))
    if part.tag == "path":
        down += [float(y) for y in re.findall(r"[ML][-0-9.]+ ([-0-9.]+)", part.attrib["d"])]
        across += [float(x) for x in re.findall(r"[ML]([-0-9.]+) ", part.attrib["d"])]
    if part.tag == "text" and not part.get("text-anchor"):
        shown = "".join(child.text or "" for child in part if child.tag == "tspan") or _own(part)
        across.append(across[0] + 0.9 * width_of(shown))
    assert all(-0.6 <= x <= right + 0.6 for x in across), (part.tag, part.attrib, across)
    assert all(-0.1 <= y <= below + 0.1 for y in down), (part.tag, part.attrib, below)


def _own(part: ElementTree.Element) -> str:
    return (part.text or "") + "".join(child.tail or "" for child in part)


def _px(value: str, right: float) -> float:
    return float(value[:-1]) / 100 * right if value.endswith("%") else float(value)


@SMALL
@given(MOMENTS)
def test_a_timeline_of_anything_is_inside_its_frame(moments: list[Moment]) -> None:
    """Any gaps from a millisecond to centuries, any text."""
    check(draw_timeline(moments))


@SMALL
@given(STEPS)
def test_a_lineage_of_anything_is_inside_its_frame(steps: list[LineageStep]) -> None:
    """Any versions in any order."""
    check(draw_lineage(steps))


@SMALL
@given(ROUTES)
def test_a_route_of_anything_is_inside_its_frame(route: RouteView) -> None:
    """Any hops, any nodes left out."""
    check(draw_route(route))


@SMALL
@given(BINS, st.integers(-1, 10**9), st.integers(-1, 10**9))
def test_a_histogram_of_anything_is_inside_its_frame(bins: tuple[Bin, ...], p50: int, p99: int) -> None:
    """Any bins, bins of no width, percentiles beyond them."""
    check(draw_histogram(bins, p50, p99))


PARTS = st.lists(st.builds(ObservedPart, COUNT, st.integers(0, 60), COUNT, COUNT, COUNT), max_size=60)


@SMALL
@given(PARTS)
def test_a_history_of_anything_is_inside_its_frame(parts: list[ObservedPart]) -> None:
    """Whatever was counted, the bars stay in the picture."""
    drawn = draw_history(parts, 10**15)
    if drawn:
        check(drawn)


def test_a_part_without_data_is_not_a_part_without_requests() -> None:
    """No row: dashed, and said; observed and idle: nothing stands there."""
    drawn = draw_history([ObservedPart(1, 0), ObservedPart(2, 1), ObservedPart(3, 1, 4, 2)], 60_000)
    assert drawn.count("no data") == drawn.count("hd-offline") == 1
    assert "4 answered" in drawn
    assert "2 failed" in drawn
    assert "2 of 3 parts have data" in drawn
    assert draw_history([ObservedPart(1, 0)], 60_000) == Markup("")


@SMALL
@given(SLOTS)
def test_bands_of_anything_are_inside_their_frame(slots: list[Slots]) -> None:
    """Any numbers of slots, none of a kind, none at all."""
    check(draw_bands(slots))


@SMALL
@given(FACTS)
def test_exposure_of_anything_is_inside_its_frame(facts: list[Fact]) -> None:
    """Any facts, also shares of nothing and above the whole."""
    check(draw_exposure(facts))


def test_text_cannot_leave_its_element() -> None:
    """Markup, quotes, control and reordering characters in any field stay text or are replaced."""
    drawn = (
        draw_timeline([Moment(1, 1, ODD, ODD, ODD, ODD)]),
        draw_lineage([LineageStep(ODD, ODD, ODD, ODD, 1, 1, True, True, True)]),
        draw_route(RouteView(True, ODD, (Hop(ODD, ODD, ODD, True),), (), (Left(ODD, ODD, ODD),), ODD)),
        draw_bands([Slots(ODD, ODD, 1, 1, 1, 1, {ODD: 1})]),
        draw_exposure([Fact(ODD, ODD)]),
    )
    for one in drawn:
        assert "<script" not in one
        assert not set("\u202e\x00\x1b\u2028") & set(one)
        assert "script" in "".join(tree(one).itertext())


def test_nothing_to_draw_is_empty() -> None:
    """An empty view gives no picture at all, so that no empty frame looks like a finding."""
    assert draw_timeline([]) == draw_lineage([]) == draw_bands([]) == draw_exposure([]) == Markup("")
    assert draw_histogram([]) == draw_histogram([Bin(0, 1, 0)]) == Markup("")
    assert draw_route(RouteView(False, "", (), (), ())) == Markup("")
    assert set(DRAWINGS) == {
        f"draw_{name}"
        for name in ("timeline", "lineage", "route", "histogram", "bands", "exposure", "history")
    }


def moments(*gaps: int) -> list[Moment]:
    """Moments at these gaps."""
    return [Moment(10**12 + gap, gap, "logged", "text") for gap in gaps]


def dots(drawn: Markup) -> list[float]:
    """Where moments stand on the spine, from the top."""
    return [float(part.attrib["cy"]) for part in tree(drawn).iter("circle")]


def test_near_gaps_are_drawn_in_proportion() -> None:
    """Where every gap can be seen the axis is linear, says so, and distances are as the times."""
    drawn = draw_timeline(moments(0, 100, 200, 400))
    a, b, c, d = dots(drawn)
    assert "Linear" in words(drawn)
    assert (b - a, c - b) == (pytest.approx((d - a) / 4, abs=0.02), pytest.approx((d - a) / 4, abs=0.02))


def test_gaps_of_many_magnitudes_are_logarithmic_and_say_so() -> None:
    """A day beside 18 ms: the axis is logarithmic, says so to everybody, and keeps the order."""
    drawn = draw_timeline(moments(0, 18, 2_140, 86_400_000))
    assert "Logarithmic" in words(drawn)
    assert "Logarithmic" in (tree(drawn).findtext("desc") or "")
    assert dots(drawn) == sorted(dots(drawn))
    assert len(set(dots(drawn))) == 4
    assert "+18 ms" in words(drawn)
    assert "2.1 s later" in words(drawn)


def test_labels_never_meet() -> None:
    """However near the moments, their labels stand apart."""
    drawn = draw_timeline(moments(0, 0, 0, 1, 1, 2, 10**9))
    ys = [float(p.attrib["y"]) for p in tree(drawn).iter("text") if p.attrib["x"] == "112" and len(p)]
    assert all(b - a >= 30 for a, b in itertools.pairwise(ys))


def step(index: int, artifact: str, **which: bool) -> LineageStep:
    """A version."""
    known = {"here": False, "then": False, "now": False} | which
    return LineageStep(
        f"v{index}", artifact, "0x", "0x", index, 10**12, known["here"], known["then"], known["now"]
    )


def test_a_new_artifact_under_the_same_label_is_a_break() -> None:
    """Tuesday and Thursday: one break, drawn torn, said in the picture and in its description."""
    steps = [step(1, "0xaa"), step(2, "0xaa", here=True, then=True), step(3, "0xbb", now=True)]
    drawn = draw_lineage(steps)
    assert breaks(steps) == 1
    assert words(drawn).count(BREAK) == 1
    assert BREAK in (tree(drawn).findtext("desc") or "")
    assert str(drawn).count('class="hd-tear"') == 1
    assert words(draw_lineage(steps[:2])).count(BREAK) == 0


def test_a_long_lineage_keeps_what_matters() -> None:
    """Of 100 versions the picture keeps the newest and the answer's own, and counts the others."""
    steps = [step(n, f"0x{n:02x}", here=n == 3, now=n == 99) for n in range(100)]
    said = words(draw_lineage(steps))
    assert "v3 " in said
    assert "v99" in said
    assert "75 earlier versions" in said


def test_the_route_is_filled_where_the_prompt_was_seen() -> None:
    """A filled circle per hop that saw the prompt, an outlined one for each other, and words for both."""
    hops = (
        Hop("client", "", "me", True),
        Hop("relay", "", "r", False),
        Hop("node", "", "n", False, "simulated hardware"),
        Hop("upstream", "", "api.example", True),
    )
    drawn = draw_route(RouteView(True, "sealed", hops, (), (Left("0x1", "timed_out", "Late.", True),)))
    kinds = [part.attrib["class"] for part in tree(drawn).iter("circle")]
    assert kinds == ["hd-full", "hd-hollow", "hd-hollow", "hd-full"]
    assert words(drawn).count("saw the prompt in clear") == 2
    # Never of a host that could read it.
    assert words(drawn).count("did not see the prompt in clear (node's word)") == 1
    assert "could read the prompt: simulated hardware" in words(drawn)
    assert "edge of this network" in words(drawn)
    assert "tried, failed" in words(drawn)


def test_a_gateway_beside_the_path_is_off_it() -> None:
    """On the sealed path the request did not pass the gateway: its circle stands on a stub."""
    hops = (
        Hop("client", "", "me", True),
        Hop("relay", "", "r", False, sees="saw an address, a size class of 2048 bytes and a time"),
        Hop("gateway", "", "g", False, sees="saw a route request and not the prompt", beside=True),
        Hop("node", "", "n", False, "", "carried ciphertext"),
    )
    drawn = draw_route(RouteView(True, "sealed", hops, (), ()))
    places = [float(part.attrib["cx"]) for part in tree(drawn).iter("circle")]
    assert places[0] == places[1] == places[3] < places[2]
    lines = [part.attrib for part in tree(drawn).iter("line") if part.attrib["class"] == "hd-path"]
    assert len(lines) == 2
    for said in (
        "saw a route request and not the prompt",
        "a size class of 2048 bytes",
        "carried ciphertext",
    ):
        assert said in words(drawn)


def test_the_histogram_names_its_percentiles_and_its_height() -> None:
    """p50 and p99 stand at their places, the highest bar has its count, the axis the bins' limits."""
    drawn = draw_histogram((Bin(0, 10, 12), Bin(10, 20, 240), Bin(20, 100, 7)), 18, 96)
    for said in ("half within 18 ms", "99 of 100 within 96 ms", "240", "0 ms", "100 ms"):
        assert said in words(drawn)
    assert "equally wide though their spans grow" in (tree(drawn).findtext("desc") or "")


def test_bands_share_one_scale() -> None:
    """A model with half the slots has half the length; parts add up to the whole."""
    drawn = draw_bands([Slots("a", "tee", 4, 2, 1, 1, {}), Slots("b", "tee", 4, 0, 0, 0, {})])
    widths = [float(part.attrib["width"][:-1]) for part in tree(drawn).iter("rect")]
    assert sum(widths[:4]) == pytest.approx(100, abs=0.1)
    assert widths[4:] == [pytest.approx(50)]
    assert {"4 idle", "2 busy", "1 ineligible", "1 offline"} <= set(re.findall(r"\d+ \w+", words(drawn)))


def test_shares_are_drawn_and_other_facts_stay_words() -> None:
    """Only what names a share gets a bar."""
    drawn = draw_exposure(
        [Fact("a", "3 of 4"), Fact("b", "52.0 %"), Fact("c", "somebody"), Fact("d", "1 of 0")]
    )
    full = [p.attrib["width"] for p in tree(drawn).iter("rect") if p.attrib["class"] == "hd-bar-full"]
    assert full == ["75%", "52%"]
    assert "somebody" in words(drawn)


def test_coordinates_are_finite() -> None:
    """A number that no renderer can draw is refused where it arises."""
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite"):
            number(bad)
    assert number(-0.001) == "0"


@SMALL
@given(TEXT, st.floats(20, 400))
def test_what_is_cut_fits(text: str, room: float) -> None:
    """Cut text with its ellipsis is never wider than its room."""
    assert width_of(fitted(text, room)) <= room + 0.01
