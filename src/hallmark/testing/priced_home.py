"""A home before its first start, whose owners say what answers cost: for tests that start nothing."""

from __future__ import annotations

from pathlib import Path

from hallmark.compose.founding import Founding
from hallmark.compose.genesis import Author
from hallmark.compose.home import Home
from hallmark.compose.keys import Keys, load_keys
from hallmark.compose.models import Shipped
from hallmark.compose.plan import Offers, Plan, Pricing, load_plan, with_offers
from hallmark.compose.pricing import Money, say_offers
from hallmark.core.beacon import network_id
from hallmark.core.documents import Manifest, ModelCard
from hallmark.core.money import Offer

NOW = 1_790_000_000_000
MONEY = Money(b"\x11" * 20, b"\x12" * 20)
FORMATS = {"digits": "onnx", "breast-cancer": "onnx", "pydoc": "onnxruntime-genai", "more": "onnx"}
FORMATS |= {"shapes": "shapes", "digits-exact": "integer-exact", "pydoc-exact": "integer-exact"}
TASKS = {"pydoc-exact": "chat"}


def shipped(label: str) -> Shipped:
    """A model of this label, as far as prices look at it."""
    zero = "0x" + "00" * 32
    manifest = Manifest(label, "1", zero, zero, 1, FORMATS[label], TASKS.get(label, "task"), zero)
    return Shipped(ModelCard(label, "0x" + "00" * 20, "task", ""), manifest, Path(label))


class Site:
    """A home with a plan, and what its owners say there."""

    def __init__(self, path: Path) -> None:
        self.home = Home(path)
        self.plan: Plan = load_plan(self.home)
        self.keys: Keys = load_keys(self.home, self.plan)
        self.founding = Founding(self.home)

    def start(
        self, *, now: int = NOW, chosen: Pricing | None = None, money: Money = MONEY
    ) -> tuple[str, ...]:
        """What a start says; the nodes with a new offer."""
        self.plan = with_offers(self.home, self.plan, Offers(pricing=chosen))
        author = Author(network_id(self.plan.origin), self.plan.chain_id, now)
        models = {label: shipped(label) for label in FORMATS}
        return say_offers(
            self.founding, author, self.plan, self.keys, models=models, money=money, chosen=chosen
        )

    def offer(self, number: int = 0) -> Offer:
        """What an owner said last."""
        found = self.founding.offer(self.keys.owners[number].address)
        assert found is not None
        return found[1]
