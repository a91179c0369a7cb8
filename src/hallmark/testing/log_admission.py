"""The log's admission over a store in memory, with a clock to set."""

from __future__ import annotations

from collections.abc import Iterable

from hallmark.services.log.admission import Admission, Submission
from hallmark.services.log.membership import Member, Membership, Note
from hallmark.services.log.settings import Quotas
from hallmark.services.log.submitters import Authority
from hallmark.store.raw import RawDatabase
from hallmark.testing.log_entries import AUTHORITY, CHAIN_ID


class Gate:
    """Admission to a network's log. `now` is the time in seconds, `size` what the quorum has cosigned,
    `highest` the highest sequence of each node.
    """

    def __init__(
        self,
        network: bytes,
        members: Iterable[Member] = (),
        *,
        quotas: Quotas | None = None,
        chain_id: int = CHAIN_ID,
        authority: Authority | None = None,
        database: RawDatabase | None = None,
    ) -> None:
        self.now, self.size = 1_000.0, 1 << 40
        self.highest: dict[bytes, int] = {}
        self.quotas = quotas or Quotas()
        self.known = Membership(
            database or RawDatabase("sqlite://"),
            (AUTHORITY.address,),
            cosigned=lambda: self.size,
            clock=lambda: self.now,
            new_s=self.quotas.new_s,
            slowed_s=self.quotas.slowed_s,
        )
        self.known.apply([Note(joins=member) for member in members], 0)
        self.admission = Admission(
            network,
            self.known,
            authority=authority or Authority(frozenset((AUTHORITY.address,)), 1, chain_id),
            quotas=self.quotas,
            clock=lambda: self.now,
            highest=lambda node: self.highest.get(node, -1),
        )

    def judge(self, data: bytes, source: bytes = b"a", nonce: bytes = b"") -> Submission:
        """An entry through all rules but those about what is in the log already; nothing is charged."""
        return self.admission.admit(self.admission.claim(data, source, nonce))

    def take(self, data: bytes, source: bytes = b"a", nonce: bytes = b"") -> Submission:
        """The same, charged."""
        return self.admission.charge(self.judge(data, source, nonce))
