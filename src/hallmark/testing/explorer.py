"""An explorer over a watched little network; see `hallmark.testing.followed_log`."""

from __future__ import annotations

from typing import cast

from hallmark.http.client import Pool
from hallmark.ledger.policy import Policy
from hallmark.services.chain.rpc import RPC
from hallmark.services.explorer.explorer import Explorer
from hallmark.services.following.fold_store import EVERY
from hallmark.store import Database
from hallmark.store.raw import RawDatabase
from hallmark.testing.followed_log import GATEWAY, FollowedLogFixture
from hallmark.testing.network import LittleNetwork


class ExplorerFixture(FollowedLogFixture):
    """A watching with an explorer; its index is written by `witness`."""

    def __init__(
        self,
        net: LittleNetwork | None = None,
        database: Database | None = None,
        *,
        folded: RawDatabase | None = None,
        every: int = EVERY,
        rpc: RPC | None = None,
    ) -> None:
        super().__init__(net, database=database, folded=folded, by="this explorer", every=every)
        self.explorer = Explorer(
            self.watch,
            self.database,
            policy=Policy.parse(self.notary.policy_text),
            pool=cast(Pool, self.pool),
            gateway_url=f"http://{GATEWAY}",
            rpc=rpc,
        )

    async def witness(self) -> None:
        """The quorum cosigns everything; it is followed and indexed."""
        await super().witness()
        await self.explorer.flush()
