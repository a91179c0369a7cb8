"""What a network's authority and owners declare after the founding: revocations, compromises, retirements.

Each is an entry of the log with the signatures that the network asks for, kept beside the founding entries
and put into the trust file, so that offline verification knows of it too.
"""

from __future__ import annotations

import asyncio
import time

import msgspec

from hallmark.compose.founding import Founding
from hallmark.compose.genesis import Author, approval_entry, clearing_entry
from hallmark.compose.home import Home
from hallmark.compose.keys import AUTHORITY_THRESHOLD, Keys, load_keys
from hallmark.compose.plan import Plan, load_plan
from hallmark.compose.start import submit_founding
from hallmark.compose.trustfile import with_declarations
from hallmark.core.beacon import network_id
from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import ClearingPolicy, Measurement
from hallmark.core.entries import Entry
from hallmark.core.errors import Conflict, InvalidInput, NotFound
from hallmark.core.statements import Compromise, Retirement, Revocation, code
from hallmark.http.client import Pool
from hallmark.verification.trust import read_trust


class Declared(msgspec.Struct, frozen=True):
    """What was declared, and from which log position on it counts."""

    kind: str
    subject: str
    since: int
    reason: str


def revoke_measurement(home: Home, digest: str, reason: str, since: int | None = None) -> Declared:
    """The authority no longer accepts a measurement from log position `since` (default: now) on.

    Raises NotFound `measurement_not_approved` when the authority never approved it.
    """
    office = Office(home)
    known = {hex0x(m.digest()) for m in office.founding.measurements()}
    if digest not in known:
        raise NotFound(
            "measurement_not_approved",
            "The authority never approved such a measurement.",
            f"Approved: {', '.join(sorted(known))}.",
        )
    at = office.position(since)
    statement = Revocation(office.author.network, unhex(digest), at, code(reason), office.author.at)
    office.declare(office.author.entry(statement, office.authority))
    return Declared("measurement revoked", digest, at, reason)


def declare_compromise(home: Home, key: str, reason: str, since: int | None = None) -> Declared:
    """Nobody is to believe a key from log position `since` (default: now) on."""
    office = Office(home)
    at = office.position(since)
    statement = Compromise(office.author.network, _address(key), at, code(reason), office.author.at)
    office.declare(office.author.entry(statement, office.authority))
    return Declared("key compromised", key, at, reason)


def retire_node(home: Home, key: str, name: str, reason: str) -> Declared:
    """A node's key leaves in good standing, by its owner; old receipts stay as they were.

    Raises NotFound `node_unknown` when the plan has no node of that name.
    """
    office = Office(home)
    owners = dict(zip((node.name for node in office.plan.nodes), office.keys.owners, strict=True))
    if name not in owners:
        raise NotFound("node_unknown", f"There is no node {name!r}.", f"There are: {', '.join(owners)}.")
    statement = Retirement(office.author.network, _address(key), code(reason), office.author.at)
    office.declare(office.author.entry(statement, (owners[name],)))
    return Declared("key retired", key, office.position(None), reason)


def enact_policy(home: Home, policy: ClearingPolicy) -> Declared:
    """The authority brings a clearing policy into force, from the log's end on.

    Raises Conflict `policy_version` unless it is newer than the one in force under its name.
    """
    office = Office(home)
    known = office.founding.policies().get(policy.name)
    if known is not None and policy.version <= known.version:
        raise Conflict(
            "policy_version",
            f"Version {known.version} of policy {policy.name} is in force.",
            f"Give the file version = {known.version + 1}.",
        )
    at = office.position(None)
    office.declare(clearing_entry(office.author, office.authority, policy))
    return Declared("policy in force", f"{policy.name} version {policy.version}", at, "")


class Office:
    """The authority at its desk, and owners at theirs: plan, keys, what was said, and the pen.

    Raises NotFound `no_network` where nothing was ever started.
    """

    def __init__(self, home: Home) -> None:
        if not (home.path / "network.json").exists():
            raise NotFound(
                "no_network", f"No network is known in {home.path}.", "Start one with `hallmark up`."
            )
        self.home = home
        self.plan: Plan = load_plan(home)
        self.keys: Keys = load_keys(home, self.plan)
        self.founding = Founding(home)
        self.author = Author(network_id(self.plan.origin), self.plan.chain_id, int(time.time() * 1000))
        self.authority = self.keys.authority[:AUTHORITY_THRESHOLD]

    def position(self, since: int | None) -> int:
        """`since`, or the log's size now. Raises Unavailable when the log cannot be asked."""
        return since if since is not None else asyncio.run(_log_size(self.plan))

    def approve(self, measurement: Measurement) -> None:
        """The authority accepts a measurement, from the log's end on; one that it accepts already stays."""
        if measurement not in self.founding.measurements():
            self.declare(approval_entry(self.author, self.authority, measurement))

    def declare(self, entry: Entry) -> None:
        """Log the entry, keep it, and write the trust file anew."""
        self.founding.say((entry,))
        asyncio.run(submit_founding(self.plan, self.founding))
        trust = read_trust(self.home.file("trust.toml").read_text())
        trust = msgspec.structs.replace(trust, measurement=self.founding.measurements())
        self.home.write(with_declarations(trust, self.founding.entries).to_toml().encode(), "trust.toml")


async def _log_size(plan: Plan) -> int:
    pool = Pool()
    try:
        async with pool.request("GET", f"http://127.0.0.1:{plan.log_port}/head") as response:
            head = await response.json(dict[str, object])
    finally:
        await pool.aclose()
    return int(str(head["size"]))


def _address(text: str) -> bytes:
    address = unhex(text)
    if len(address) != 20:
        raise InvalidInput("bad_address", "A key is named by its address: 0x and 40 hexadecimal digits.")
    return address
