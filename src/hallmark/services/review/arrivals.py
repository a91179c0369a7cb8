"""What the desk notes of a receipt when it arrives: who made it, under which label. Nothing of its
content.
"""

from __future__ import annotations

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.hashing import ZERO32
from hallmark.core.receipt import Receipt
from hallmark.core.statements import Role
from hallmark.review.events import Born, Placed
from hallmark.services.explorer.receipt_story import ReceiptContext, asserted_by, label
from hallmark.services.following.followed_log import FollowedLog


class Arrival(msgspec.Struct, frozen=True):
    """A receipt that is there: its id (32 bytes), log position (-1: no quorum covers it), and who made it
    (20-byte addresses, empty where that is not known).
    """

    id: bytes
    position: int
    receipt: Receipt
    owner: bytes
    gateway: bytes
    model: str

    def born(self, at: int) -> Born:
        """The event that begins the item. Its price is at risk at least; more is declared."""
        return Born(
            at,
            hex0x(self.id),
            self.position,
            "",
            self.receipt.charged,
            node=hex0x(self.receipt.node),
            owner=_hex(self.owner),
            gateway=_hex(self.gateway),
            model=self.model,
            artifact=hex0x(self.receipt.artifact) if self.receipt.artifact != ZERO32 else "",
        )

    def placed(self, at: int) -> Placed:
        """The event that gives an item of the tail its place."""
        return Placed(at, self.position, _hex(self.owner), _hex(self.gateway))


def arrival(watch: FollowedLog, told: ReceiptContext) -> Arrival:
    """What there is to note of a receipt of the folded log or of its tail."""
    member = watch.replica.registry.members.get(told.receipt.node)
    owner = member.owner if member is not None and member.role is Role.NODE else b""
    named, by = label(watch, told), asserted_by(watch, told)
    model = (f"{named[:120]}, asserted by {by}" if named else f"asserted by {by}") if by else named
    return Arrival(told.id, told.index, told.receipt, owner, _gateway(watch, told), model[:200])


def _gateway(watch: FollowedLog, told: ReceiptContext) -> bytes:
    """The gateway that signed the route ticket, empty without one."""
    attachments, memory = told.entry.attachments, watch.replica.memory
    if len(attachments) < 3 or not attachments[2]:
        return b""
    passage = memory.passage(attachments[2], attachments[1], watch.replica.genesis.chain_id)
    return passage.ticket.gateway if passage is not None else b""


def _hex(address: bytes) -> str:
    return hex0x(address) if address else ""
