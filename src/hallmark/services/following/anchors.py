"""Where the chain holds the log: the anchoring service says where to look, the chain is read here."""

from __future__ import annotations

from typing import Final

from hallmark.core.document import unhex
from hallmark.core.documents import AnchorRecord
from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.http.client import Pool, Timeouts
from hallmark.services.chain.check import ConfirmedAnchor, check_anchor
from hallmark.services.chain.rpc import RPC
from hallmark.verification.trust import Trust

TIMEOUTS: Final = Timeouts(connect=1.0, head=3.0, idle=3.0)


class Anchors:
    """Finds anchors of log positions. Without an anchoring service or a chain it finds none."""

    def __init__(
        self, pool: Pool, trust: Trust, *, anchor_url: str, rpc: RPC | None, confirmations: int
    ) -> None:
        self._pool = pool
        self._contract = trust.anchor
        self._url = anchor_url.rstrip("/")
        self._rpc = rpc
        self._confirmations = confirmations

    async def covering(self, position: int) -> tuple[AnchorRecord, ConfirmedAnchor | None]:
        """The record that covers a position, and what the chain itself says about it (None: not read, or it
        does not say so). Raises Unavailable `not_anchored` when there is no record.
        """
        record = await self._record(position)
        try:
            return record, await self.confirm(record)
        except HallmarkError:
            return record, None

    async def confirm(self, record: AnchorRecord) -> ConfirmedAnchor:
        """What the chain itself says about a record. Raises as `check_anchor` does, and Unavailable
        `not_anchored` without a chain.
        """
        if self._rpc is None or self._contract is None:
            raise Unavailable("not_anchored", "This network is not anchored.")
        return await check_anchor(
            self._rpc,
            unhex(self._contract.contract),
            record,
            chain_id=self._contract.chain_id,
            confirmations=self._confirmations,
        )

    async def _record(self, position: int) -> AnchorRecord:
        if not self._url:
            raise Unavailable("not_anchored", "This network is not anchored.")
        url = f"{self._url}/anchor?size={position + 1}&confirmations={self._confirmations}"
        try:
            async with self._pool.request("GET", url, timeouts=TIMEOUTS) as response:
                if response.status == 200:
                    return AnchorRecord.decode(await response.read(65_536))
        except HallmarkError as error:
            raise Unavailable("not_anchored", "The anchoring service does not answer.") from error
        raise Unavailable("not_anchored", "No anchored checkpoint covers this entry yet.")
