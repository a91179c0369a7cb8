"""A request that is paid for may only go to a node that the payment pays; and to the same one again.

1. Only nodes whose key bundle names the payee serve it, and of these only the one whose settlement key the
   payment names, where it names one: no other could charge for it.
2. An authorization that names none stays with the node that got it first, so that a copy of it is not served
   by another node of the same owner, which cannot know that it was used.
3. Of the nodes that may, the one that served this payer last leads: it has the lease on the account.

Both memories are bounded. Who forgets serves a copy at another node at worst: full nodes then refuse the
second receipt, because an authorization pays for one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.documents import Exclusion, KeyBundle
from hallmark.core.registry import Registry
from hallmark.routing.choice import MAX_CANDIDATES
from hallmark.routing.eligibility import Eligibility, Eligible

REMEMBERED: Final = 4096
K = TypeVar("K")


class Paying(msgspec.Struct, frozen=True):
    """Who pays whom (addresses as 0x-hex; the payer's may be empty), the 32-byte name of what the payer
    signed, which is the same for every copy, and the settlement key of the one enclave that it is for (empty:
    any of the payee's).
    """

    payer: str
    payee: str
    authorization: bytes
    enclave: str = ""

    def pays(self, bundle: KeyBundle) -> bool:
        """Whether the node with this key bundle can charge for it."""
        return bundle.payment == self.payee and self.enclave in ("", bundle.settlement)


class PayersNodes:
    """Which node got an authorization, and which served a payer last; see the module docstring."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._most = remembered
        self._held: OrderedDict[bytes, bytes] = OrderedDict()
        self._last: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def take(self, paying: Paying, node: bytes) -> bool:
        """The authorization goes to `node`; False when another one has it."""
        held = self._held.get(paying.authorization, node)
        if held != node:
            return False
        _remember(self._held, paying.authorization, node, self._most)
        _remember(self._last, (paying.payer, paying.payee), node, self._most)
        return True

    def release(self, paying: Paying) -> None:
        """The node did not begin, so another one may get the authorization."""
        self._held.pop(paying.authorization, None)

    def may_serve(self, found: Eligibility, registry: Registry, paying: Paying) -> Eligibility:
        """The nodes that the payment pays, of those that may serve."""
        paid = {
            key
            for key, member in registry.members.items()
            if member.bundle is not None and paying.pays(member.bundle)
        }
        held = self._held.get(paying.authorization)
        excluded = [
            msgspec.structs.replace(exclusion, reason=_reason(exclusion.node, paid) or exclusion.reason)
            for exclusion in found.excluded
        ]
        eligible = []
        for node in found.eligible:
            reason = _reason(hex0x(node.node), paid)
            if not reason and held not in (None, node.node):
                reason = "payment_elsewhere"
            if reason:
                excluded.append(Exclusion(hex0x(node.node), reason))
            else:
                eligible.append(node)
        excluded.sort(key=lambda exclusion: exclusion.node)
        return msgspec.structs.replace(
            found, eligible=tuple(eligible), excluded=tuple(excluded), payee=paying.payee
        )

    def lead(
        self, order: Sequence[Eligible], eligible: Sequence[Eligible], paying: Paying
    ) -> tuple[Eligible, ...]:
        """`order` behind the node that served this payer last, if it may."""
        last = self._last.get((paying.payer, paying.payee))
        first = next((node for node in eligible if node.node == last), None)
        if first is None:
            return tuple(order)
        return (first, *(node for node in order if node.node != last))[:MAX_CANDIDATES]


def _reason(node: str, paid: set[bytes]) -> str:
    return "" if bytes.fromhex(node[2:]) in paid else "other_payee"


def _remember(kept: OrderedDict[K, bytes], key: K, node: bytes, most: int) -> None:
    kept[key] = node
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)
