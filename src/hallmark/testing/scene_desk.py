"""The desk of a scene: complete views without a store, and acts that are written down instead of done."""

from __future__ import annotations

from collections import Counter
from typing import Final
from urllib.parse import parse_qs

import msgspec

from hallmark.core.errors import InvalidInput, NotFound
from hallmark.services.review.views import (
    Appeal,
    AsSeen,
    Count,
    DecisionView,
    DryRun,
    Figures,
    ItemPage,
    ItemRow,
    Lack,
    Person,
    PolicyPage,
    PolicyRow,
    QueuePage,
    RequirementRow,
    ReviewView,
    SavedView,
)
from hallmark.testing import scene_parts as parts
from hallmark.testing.scene import REVIEWER, Scene, address, digest, marks_of

HOUR = 3_600_000
REASONS = ("proved:state_too_low", "ran:assurance_not_allowed", "reviewed:too_few_reviewers")
TOML = 'name = "witnessed"\nversion = 3\n\n[[requires]]\nquestion = "proved"\nstate = "witnessed"\n'


class SceneDesk:
    """A `DeskView`."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def row(self, number: int = 0) -> ItemRow:
        """The n-th item. The first one is the scene's; the others are the same, older."""
        scene = self.scene
        held = scene.state == "HOLD"
        overdue = scene.overdue or number % 4 == 3
        born = scene.answered - number * HOUR
        row = ItemRow(
            parts.item_id(number),
            scene.state,
            self._reason(number),
            "witnessed",
            scene.klass,
            scene.value + number * 1_000,
            born,
            born + (HOUR // 60 if overdue else 48 * HOUR),
            overdue and held,
            scene.index - number if scene.index >= 0 else -1,
            parts.node_key(),
            f"{parts.LABEL}, asserted by {scene.asserted_by}" if scene.asserted_by else parts.LABEL,
            "" if scene.asserted_by else parts.artifact(),
            address("requester"),
            REVIEWER if number == 1 else "",
            marks_of(scene),
            scene.sampled,
            scene.appealed,
            scene.released_until,
            reasons=self._reasons(number),
            missed=born + HOUR // 60 if overdue else 0,
        )
        return scene.poisoned(row) if number or scene.poison else row

    def _reason(self, number: int) -> str:
        return REASONS[number % 3] if self.scene.state == "HOLD" else ""

    def _reasons(self, number: int) -> tuple[str, ...]:
        first = self._reason(number)
        return (first, REASONS[(number + 1) % 3]) if first and number % 2 else (first,) if first else ()

    async def queue(self, query: str, cursor: str, limit: int, person: Person | None = None) -> QueuePage:
        """The scene's items, filtered by `state=` and `reason=`; a person has a view of their own."""
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        if asked.get("order", "due") not in ("due", "value", "age", ""):
            raise InvalidInput("bad_query", "The order is due, value or age.")
        numbers = range(self.scene.items)
        kept = [
            number
            for number in numbers
            if self.scene.state in asked.get("state", self.scene.state).split(",")
            and ("reason" not in asked or asked["reason"] in self._reasons(number))
        ]
        start = int(cursor or 0)
        reasons = Counter(reason for number in numbers for reason in self._reasons(number))
        page = QueuePage(
            self.scene.now,
            query,
            (),
            len(kept),
            str(start + limit) if start + limit < len(kept) else "",
            tuple(Count(name, count, _why(name)) for name, count in reasons.most_common()),
            (Count("HOLD", 4), Count("CLEAR", 12), Count("FINAL", 230), Count("REJECTED", 1)),
            (Count("payment", 5), Count("", 1)),
            (SavedView("Overdue first", "overdue=1&order=due"), *_own(person)),
        )
        shown = self.scene.poisoned(page) if self.scene.poison else page
        return msgspec.structs.replace(
            shown, rows=tuple(map(self.row, kept[start : start + limit])), query=query
        )

    async def item(self, receipt: str, person: Person | None) -> ItemPage:
        """Any of the scene's items. Raises NotFound `unknown_item`."""
        numbers = {parts.item_id(number): number for number in range(self.scene.items)}
        if receipt not in numbers:
            raise NotFound("unknown_item", "There is no item with this id.", "Look for it in the queue.")
        scene, row = self.scene, self.row(numbers[receipt])
        reviewer = person is not None and person.reviewer
        page = ItemPage(
            scene.now,
            row,
            f"{scene.state} under policy witnessed, version 3, at 16:30:12 UTC ({ASKED}).",
            digest("screen", receipt),
            digest("policy", 3),
            scene.answered,
            self._lacks() if scene.state == "HOLD" else (),
            parts.facts(scene),
            parts.timeline(scene),
            parts.route(scene),
            parts.inputs(scene),
            ""
            if scene.memory
            else "The receipt names no attachment, tool result, outside data or memory row.",
            parts.lineage(scene),
            self._reviews(reviewer),
            self._decisions(),
            (Appeal(scene.answered + 90_000, address("owner"), "The route was as offered.", scene.appealed),)
            if scene.appealed
            else (),
            (),
            (),
            reviewer,
            "" if reviewer else "Only a registered reviewer signs reviews.",
        )
        page = scene.poisoned(page)
        numbered = [number for number in range(min(scene.items, 6)) if parts.item_id(number) != receipt]
        others = list(map(self.row, numbered))
        # Rows are poisoned already, and their ids are what links lead to.
        return msgspec.structs.replace(
            page,
            row=row,
            screen=digest("screen", receipt),
            screen_open=digest("screen open", receipt),
            alike=tuple(others[:3]),
            by_node=tuple(others[3:5]),
        )

    def _lacks(self) -> tuple[Lack, ...]:
        marks = {mark.question: mark for mark in marks_of(self.scene)}
        due = self.scene.answered + 48 * HOUR
        then = "It stays in HOLD; whatever was reserved goes back to the payer."
        return (
            Lack(
                "proved",
                "witnessed",
                marks["proved"].state,
                "state_too_low",
                f"Policy witnessed asks that proved is witnessed; it is {marks['proved'].state}.",
                "the full nodes",
                "Wait until a quorum has cosigned a checkpoint that covers the receipt.",
                due,
                then,
                marks["proved"].state in ("failed", "disputed", "revoked", "stale"),
            ),
            Lack(
                "ran",
                "witnessed",
                marks["ran"].state,
                "assurance_not_allowed",
                "Policy witnessed asks for hardware evidence; the hardware here is simulated.",
                "the node's operator",
                "Run the node on hardware that the policy names, or ask under another policy.",
                due,
                then,
                False,
            ),
        )

    def _reviews(self, reviewer: bool) -> tuple[ReviewView, ...]:
        if self.scene.marks.get("reviewed", "absent") in ("absent", "not_required"):
            return ()
        unfit = self.scene.marks["reviewed"] == "failed"
        return (
            ReviewView(
                REVIEWER,
                "Ada Reviewer",
                "unfit" if unfit else "fit",
                "incomplete" if unfit else "complete",
                "The answer leaves out what was asked." if unfit else "The answer covers what was asked.",
                self.scene.answered + 120_000,
                self.scene.index + 4,
                True,
                "Thank you, this covers it.",
                "Compared with the second answer." if reviewer else "",
                digest("screen", "review"),
            ),
        )

    def _decisions(self) -> tuple[DecisionView, ...]:
        at, zero = self.scene.answered, "0x" + "00" * 32
        first = DecisionView(
            1,
            at + 40,
            "HOLD",
            "evaluator",
            "witnessed",
            "HOLD: 2 marks are missing.",
            digest("screen", 1),
            zero,
        )
        if self.scene.state == "HOLD":
            return (first,)
        second = DecisionView(
            2,
            at + 60_000,
            self.scene.state,
            REVIEWER if self.scene.state == "REJECTED" else "evaluator",
            "witnessed",
            f"{self.scene.state} under policy witnessed, version 3.",
            digest("screen", 2),
            digest("decision", 1),
        )
        return (second, first)

    async def as_seen(self, receipt: str, number: int) -> AsSeen:
        """The first decision's screen: everything absent, beside the scene's marks."""
        if number > 2:
            raise NotFound("unknown_decision", "The item has no decision of this number.")
        before = marks_of(msgspec.structs.replace(self.scene, marks={"ran": "claimed"}))
        seen = AsSeen(
            receipt,
            number or 1,
            self.scene.answered + 40,
            "evaluator",
            digest("screen", 1),
            True,
            f"HOLD under policy witnessed, version 3, at 16:26:32 UTC ({ASKED}).",
            before,
            marks_of(self.scene),
            self.scene.now,
        )
        return msgspec.structs.replace(self.scene.poisoned(seen), id=receipt)

    async def figures(self) -> Figures:
        """Aggregates."""
        reasons = tuple(Count(name, 9 - 3 * n, _why(name)) for n, name in enumerate(REASONS))
        return self.scene.poisoned(
            Figures(247, 4, 12, 230, 1, reasons, 1_900, 86_000, 221, 2, 1, 0, 1, int(self.scene.appealed))
        )

    def _policy(self, version: int = 3) -> PolicyRow:
        return self.scene.poisoned(
            PolicyRow(
                "witnessed",
                version,
                digest("policy", version),
                "enforce" if version > 1 else "warn",
                "log",
                12 * version,
                self.scene.answered - (10 - version) * parts.DAY,
                ("payment",),
                1_000_000,
                "Clears what a quorum of full nodes checked and the authority's hardware list allows.",
            )
        )

    async def policies(self) -> tuple[PolicyRow, ...]:
        """Two policies."""
        warn = msgspec.structs.replace(
            self._policy(1), name="reviewed", digest=digest("policy", "reviewed"), source="proposal", index=-1
        )
        return (self._policy(), warn)

    async def policy(self, name: str) -> PolicyPage:
        """The one policy. Raises NotFound `policy_unknown`."""
        if name not in ("witnessed", "reviewed"):
            raise NotFound("policy_unknown", "There is no policy of this name.")
        requires = (
            RequirementRow("proved", "witnessed", "A quorum of full nodes checked it."),
            RequirementRow("ran", "witnessed", "Hardware evidence, at most 1 day old."),
        )
        page = PolicyPage(
            self._policy(), requires, ("paid", "inputs"), TOML, (self._policy(2), self._policy(1)), 4, 242
        )
        return msgspec.structs.replace(self.scene.poisoned(page), not_required=("paid", "inputs"))

    async def dry_run(self, toml: str, since: int) -> DryRun:
        """Always the same outcome. Raises InvalidInput `bad_policy` unless it looks like a policy."""
        if "name" not in toml:
            raise InvalidInput(
                "bad_policy", "The file is not a policy: name is missing.", "See docs/review.md."
            )
        run = DryRun(
            "witnessed",
            digest("policy", 4),
            since,
            1_200,
            214,
            986,
            214,
            9,
            (Count(REASONS[0], 200, _why(REASONS[0])), Count(REASONS[1], 14, _why(REASONS[1]))),
            (),
            (),
            "Would have held 214, released 9, of 1200 items of the last 7 days.",
        )
        return msgspec.structs.replace(
            self.scene.poisoned(run),
            held_examples=(parts.item_id(0), parts.item_id(1)),
            cleared_examples=(parts.item_id(2),),
        )


def _own(person: Person | None) -> tuple[SavedView, ...]:
    return (SavedView("Mine", f"assigned={person.address}", person.address),) if person is not None else ()


ASKED: Final = "asks for ran, model, route, proved"


def _why(reason: str) -> str:
    return {
        REASONS[0]: "The mark has not reached the state that the policy asks for.",
        REASONS[1]: "The hardware behind the run is not one that the policy allows.",
        REASONS[2]: "Fewer people have reviewed it than the policy asks for.",
    }.get(reason, "Something that only this scene knows.")
