"""What a client holds a sealed answer's route record against: what it really sealed, to whom, through whom.

The record is the enclave's word. It must say what the client did: otherwise somebody between them opened the
question and sealed it anew, or the enclave says of the way what is not so.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.documents import RouteRecord
from hallmark.core.errors import HallmarkError
from hallmark.services.sealing.node_check import CheckedNode
from hallmark.services.sealing.refusals import AnswerBroken
from hallmark.verification.dossier import Dossier

SEE_IT: Final = (("enclave",), ("enclave", "upstream"))
"""Who may have seen the question in clear on this way, as records name them."""


class Sealed(msgspec.Struct, frozen=True):
    """What a client sealed to: the node and its keys, the suite in words, the size class in bytes, the relay
    (its address, as the enclave was told), the ticket's struct hash (0x-hex).
    """

    node: CheckedNode
    suite: str
    size: int
    relay: str
    ticket: str


def compare(dossier: Dossier, sealed: Sealed) -> None:
    """Raises AnswerBroken `sealed_route_missing`, `sealed_other_node`, `sealed_other_ticket`,
    `sealed_other_key`, `sealed_other_size`, `sealed_other_relay`, `sealed_seen_in_clear`.
    """
    try:
        record = RouteRecord.decode(dossier.documents.route.encode())
        receipt = dossier.opened()
    except HallmarkError as error:
        raise AnswerBroken("sealed_route_missing", "The answer's route cannot be read.") from error
    said = record.sealed
    if record.path != "sealed" or isinstance(said, msgspec.UnsetType):
        raise AnswerBroken("sealed_route_missing", "The answer's receipt does not say that it came sealed.")
    if receipt.node != sealed.node.node or receipt.bundle != sealed.node.digest:
        raise AnswerBroken("sealed_other_node", "Another node answered than the one that was sealed to.")
    if record.chosen != hex0x(sealed.node.node) or record.ticket != sealed.ticket:
        raise AnswerBroken("sealed_other_ticket", "The receipt names another ticket than the one shown.")
    keys = (said.configuration, said.window, said.suite)
    if keys != (sealed.node.configuration_digest, sealed.node.window, sealed.suite):
        raise AnswerBroken("sealed_other_key", "The receipt names other keys than those that were sealed to.")
    if said.size != sealed.size:
        raise AnswerBroken("sealed_other_size", "The receipt says another size class than what was sent.")
    if said.relay != sealed.relay:
        raise AnswerBroken("sealed_other_relay", "The receipt names another relay than the one used.")
    if record.saw_prompt not in SEE_IT:
        raise AnswerBroken("sealed_seen_in_clear", "The receipt says that others saw the question in clear.")
