"""Parts that the desk's and the explorer's pages of a scene share."""

from __future__ import annotations

from hallmark.core.marks import State
from hallmark.routing.steering import Doubt
from hallmark.services.explorer.origins import told
from hallmark.services.explorer.shared_views import (
    Fact,
    Hop,
    InputView,
    Left,
    LineageStep,
    Moment,
    Origin,
    RouteView,
    SealedView,
)
from hallmark.testing.scene import REACHED, Scene, address, digest, marks_of

LABEL = "tiny-chat"
DAY = 86_400_000


def item_id(number: int = 0) -> str:
    """The id of the n-th receipt of every scene."""
    return digest("receipt", number)


def node_key(number: int = 0) -> str:
    """The n-th node."""
    return address("node", number)


def artifact(number: int = 3) -> str:
    """The n-th artifact of the label."""
    return digest("artifact", number)


def facts(scene: Scene) -> tuple[Fact, ...]:
    """The receipt in words."""
    named = (
        [Fact("Model", f"{LABEL}, asserted by {scene.asserted_by}")]
        if scene.asserted_by
        else [
            Fact("Label", LABEL, f"/explore/models/{LABEL}"),
            Fact("Artifact", artifact(), f"/explore/artifacts/{artifact()}", artifact()),
        ]
    )
    ran = scene.marks.get("ran", "absent") not in ("absent", "not_required")
    simulated = ran and scene.assurance == "simulated"
    return (
        Fact("Receipt", item_id(), f"/explore/receipts/{item_id()}", item_id()),
        Fact("Node", node_key(), f"/explore/nodes/{node_key()}", node_key()),
        *named,
        Fact("Mode", "tee; its hardware is simulated" if simulated else "tee"),
        Fact("Tokens", "412 in, 187 out"),
        Fact("Answered", "in 1.9 s"),
        Fact("Charged", "1200 atomic units"),
    )


def timeline(scene: Scene) -> tuple[Moment, ...]:
    """Every moment that the scene's marks imply, in true order."""
    states = dict(scene.marks)
    at = scene.answered
    moments = [
        Moment(at - 1_900, -1_900, "asked", "The request was taken."),
        Moment(at, 0, "answered", "The last byte left the node."),
        Moment(at + 6, 6, "logged", "The log took the receipt.", link=f"/explore/entries/{scene.index}"),
        Moment(at + 40, 40, "decided", "HOLD under policy witnessed, version 3.", "evaluator"),
    ]
    proved = states.get("proved", "absent")
    if proved in (State.WITNESSED, State.ANCHORED):
        moments.append(
            Moment(at + 18, 18, "witnessed", "A quorum of full nodes checked it.", "3 of 4 full nodes")
        )
    if proved == State.ANCHORED:
        moments.append(Moment(at + 2_140, 2_140, "anchored", "The chain holds the checkpoint."))
    if states.get("paid", "absent") not in ("absent", "not_required"):
        moments.append(Moment(at - 1_850, -1_850, "paid", "A payment of 1200 atomic units is named."))
    if states.get("ran") == State.REVOKED:
        gap = REACHED[State.REVOKED]
        moments.append(Moment(at + gap, gap, "revoked", "The authority revoked the measurement."))
    return tuple(sorted(moments, key=lambda moment: moment.at))


def _exposed(scene: Scene) -> str:
    return "" if scene.assurance == "hardware" else "simulated hardware"


def route(scene: Scene) -> RouteView:
    """The way of the request."""
    sealed = scene.path == "sealed"
    relay = Hop(
        "relay",
        "",
        "https://relay.example, by the client's word",
        False,
        sees="saw an address, a size class of 2048 bytes and a time",
    )
    plain, asked = scene.path == "plain", "saw a route request and not the prompt" if sealed else ""
    hops = [
        Hop("client", "", "the asker", True),
        *([relay] * sealed),
        Hop("gateway", address("gateway"), "gateway one", plain, sees=asked, beside=sealed),
        Hop("node", node_key(), "node alpha", plain, _exposed(scene), "carried ciphertext" if sealed else ""),
        Hop("enclave", address("bundle"), "enclave-1.4", True),
    ]
    if scene.asserted_by:
        hops.append(Hop("upstream", "", scene.asserted_by, True))
    left = [
        Left(node_key(1), "measurement_revoked", "Its image is no longer accepted."),
        Left(node_key(2), "no_slot", "It had no free slot.", doubt=Doubt.WORD.sentence),
    ]
    if scene.fallback:
        left.append(Left(node_key(3), "timed_out", "It was asked first and gave no answer in time.", True))
    return RouteView(
        True,
        scene.path,
        tuple(hops),
        tuple(map(node_key, range(3))),
        tuple(left),
        digest("ticket"),
        SealedView(digest("keys"), 17, "x-wing/hkdf-sha256/aes-128-gcm", 2048, "https://relay.example")
        if sealed
        else None,
    )


def inputs(scene: Scene) -> tuple[InputView, ...]:
    """The outside things that entered."""
    if not scene.memory:
        return ()
    age = 90 * DAY
    return (
        InputView("memory", "notes", scene.answered - age, age, False, digest("memory row")),
        InputView("tool", "weather", 0, 0, False, digest("tool result")),
    )


def lineage(scene: Scene) -> tuple[LineageStep, ...]:
    """The label's versions, none where a provider merely asserts the model; `relabelled`: the label points to
    another artifact than when the answer was given.
    """
    if scene.asserted_by:
        return ()
    start = scene.answered - 40 * DAY
    steps = []
    count = 4 if scene.relabelled else 3
    for number in range(1, count + 1):
        steps.append(
            LineageStep(
                str(number),
                artifact(number),
                digest("manifest", number),
                digest("sha256", number),
                number * 7,
                start + number * 10 * DAY,
                number == 3,
                number == 3,
                number == count,
            )
        )
    return tuple(steps)


def origins() -> tuple[Origin, ...]:
    """What the owner says that the third version was made from, in the words of the real page."""
    made_from, tool, measured = (
        "digits version 1",
        "models/exact.py, version 1",
        ("images 448 images over 450",),
    )
    said = told(made_from, tool, measured)
    one = Origin(
        "3",
        digest("manifest", 3),
        21,
        digest("manifest", 1),
        made_from,
        tool,
        digest("tool"),
        "",
        measured,
        said,
    )
    return (one,)


__all__ = [
    "artifact",
    "facts",
    "inputs",
    "item_id",
    "lineage",
    "marks_of",
    "node_key",
    "origins",
    "route",
    "timeline",
]
