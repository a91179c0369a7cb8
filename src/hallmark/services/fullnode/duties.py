"""What a full node owes to the log: a verdict on every entry that does not hold, a fault on every proven lie.

An entry is submitted again until it is in the log, so a crash or a log that is down loses nothing: what is
owed follows from the log itself.
"""

from __future__ import annotations

from collections.abc import Callable

from hallmark.core.entries import Entry
from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.core.statements import Fault, Role, Verdict, code
from hallmark.core.typed import TypedStruct
from hallmark.crypto.secp256k1 import Signer, sign_statement
from hallmark.http.client import Pool, Timeouts
from hallmark.telemetry.logs import get_logger
from hallmark.verification.fold import Replica

TIMEOUTS = Timeouts(connect=2.0, head=10.0, idle=10.0)
SENT_KEPT = 65_536


class Duties:
    """Signs and submits; each thing owed is made once per process and sent until the log has it."""

    def __init__(
        self, replica: Replica, signer: Signer, pool: Pool, log_url: str, now: Callable[[], int]
    ) -> None:
        self._replica = replica
        self._signer = signer
        self._pool = pool
        self._url = log_url.rstrip("/") + "/add"
        self._now = now
        self._made: dict[tuple[str, int], bytes] = {}
        self._sent: set[tuple[str, int]] = set()

    @property
    def registered(self) -> bool:
        """Whether this node's key counts as a full node's, so that its verdicts would."""
        registry = self._replica.registry
        known = registry.member(self._signer.address, Role.FULL_NODE, registry.size)
        return known is not None and not known.faults

    def owed(self, end: int) -> tuple[int, ...]:
        """Positions below `end` that this node must object to before it may cosign."""
        return self._replica.objections_due(self._signer.address, end)

    async def perform(self) -> None:
        """Submit what is owed. Raises Unavailable `log_unreachable` when something could not be placed."""
        if not self.registered:
            return
        for index in self.owed(self._replica.size):
            await self._submit(("verdict", index), self._verdict(index))
        for due in self._replica.faults_due(self._signer.address):
            statement = Fault(
                self._replica.genesis.network,
                self._signer.address,
                due.culprit,
                code(due.kind),
                due.first,
                due.second,
                self._now(),
            )
            await self._submit((due.kind, due.second), statement)

    def _verdict(self, index: int) -> Verdict:
        reason = self._replica.failures(index)[0]
        return Verdict(
            self._replica.genesis.network,
            self._signer.address,
            index,
            self._replica.leaf_hash(index),
            code(reason),
            self._now(),
        )

    async def _submit(self, name: tuple[str, int], statement: TypedStruct) -> None:
        if name in self._sent:
            return
        if name not in self._made:
            signature = sign_statement(statement, self._replica.genesis.chain_id, self._signer)
            self._made[name] = Entry(statement, (signature,)).encode()
        headers = ((b"content-type", b"application/octet-stream"),)
        try:
            async with self._pool.request(
                "POST", self._url, headers, self._made[name], timeouts=TIMEOUTS
            ) as response:
                await response.read(65_536)
                status = response.status
        except HallmarkError as error:
            raise Unavailable("log_unreachable", "The log cannot take what is owed.", error.reason) from error
        if status != 200:
            raise Unavailable("log_unreachable", f"The log answers {status} to what is owed.")
        del self._made[name]
        if len(self._sent) >= SENT_KEPT:
            self._sent.clear()
        self._sent.add(name)
        get_logger().warning("objection_submitted", kind=name[0], index=name[1])
