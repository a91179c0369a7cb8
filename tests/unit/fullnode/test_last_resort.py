"""No entry stops a full node: what evidence does to a library, or to our own code, is a verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.attestation.conftest import CHAIN, Forged, forge, policy_for

from hallmark.attestation import verify
from hallmark.core.evidence import Evidence, Verdict, VerifyEvidence
from hallmark.core.hashing import sha256
from hallmark.core.marks import State
from hallmark.core.statements import Role
from hallmark.testing.fullnodes import Fleet, full_node
from hallmark.testing.network import LittleNetwork, Party
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification.outcome import JUDGING_FAILED

SAN, TLS_FEATURE = "2.5.29.17", "1.3.6.1.5.5.7.1.24"
UNREAD = ((SAN, "3002a500"), (TLS_FEATURE, "3003020163"))
BUG = b"evidence that stops a check"


class PanicException(BaseException):
    """What a panic in a library's Rust code looks like: no Exception."""


class Stranger(LittleNetwork):
    """A network to which somebody with two fresh keys brings evidence of their own making."""

    brought = Evidence("nitro-dev", BUG)

    def evidence(self, bundle: bytes, size: int, root: bytes) -> Evidence:
        """The stranger's evidence for the stranger's bundle, stub evidence for the founding nodes."""
        return self.brought if self.joined else super().evidence(bundle, size, root)

    joined = False

    def join(self, brought: Evidence) -> int:
        """The position of the stranger's registration."""
        self.joined, self.brought = True, brought
        return self.register(Party("stranger", Role.NODE))


def real(forged: Forged) -> VerifyEvidence:
    """Stub evidence for the founding nodes, the real verifier with the forged chain's root for all else."""

    def judge(evidence: Evidence, policy: Any, at: int, **told: Any) -> Verdict:
        if evidence.data.startswith(b"{"):
            return verify_stub_evidence(evidence, policy, at, **told)
        return verify(evidence, policy_for("nitro-dev", sha256(forged.chain[0].der)), at, **told)

    return judge


def buggy(error: BaseException) -> VerifyEvidence:
    """A verifier that raises on the stranger's evidence."""

    def judge(evidence: Evidence, policy: Any, at: int, **told: Any) -> Verdict:
        if evidence.data == BUG:
            raise error
        return verify_stub_evidence(evidence, policy, at, **told)

    return judge


@pytest.mark.parametrize(("oid", "value"), UNREAD)
@pytest.mark.parametrize("name", ["regional", "zonal", "leaf"])
async def test_an_extension_that_no_library_can_represent(name: str, oid: str, value: str) -> None:
    """The registration is judged like any other, by every full node alike, and witnessing goes on."""
    spec = next(spec for spec in CHAIN if spec.name == name)
    forged = forge(CHAIN, **{name: replace(spec, extra=((oid, bytes.fromhex(value)),))})
    network = Stranger()
    fleet = await Fleet(network).start(real(forged))
    at = network.join(Evidence("nitro-dev", forged.document()))
    assert await fleet.settle() == network.tree.size > at + 1
    for node in fleet.nodes.values():
        assert node.replica.failures(at) == ("evidence_rejected",)
        assert node.replica.bugs == 0
        assert node.health.state == "ready"
    fleet.close()


ERRORS = (
    KeyError("x"),
    RecursionError(),
    MemoryError(),
    AssertionError("secret content"),
    PanicException("x"),
    UnicodeDecodeError("utf-8", b"", 0, 1, "x"),
)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_a_check_that_stops_is_a_verdict_which_all_reach(error: BaseException, tmp_path: Path) -> None:
    """Whatever a check raises, all full nodes object with one reason, the cosigned size moves on, after a
    restart too, and the bug is counted and shown without its text.
    """
    network = Stranger()
    fleet = await Fleet(network).start(buggy(error))
    at = network.join(Evidence("nitro-dev", BUG))
    assert await fleet.settle() == network.tree.size > at + 1
    later = network.add(network.receipt_entry(network.nodes[0]))
    assert await fleet.settle() == network.tree.size > later
    for node in fleet.nodes.values():
        assert node.replica.failures(at) == (JUDGING_FAILED,)
        assert node.replica.standing(at).state is State.FAILED
        assert network.tree.root() == node.replica.root()
        status = await node.status()
        assert status.bugs == 1
        assert type(error).__name__ in status.newest_bug
        assert "test_last_resort.py" in status.newest_bug
        assert "secret" not in status.newest_bug
        assert (node.health.state, node.health.reason) == ("degraded", JUDGING_FAILED)
        assert all(not node.replica.registry.members[p.address].faults for p in network.full_nodes)
    stranger = Party("stranger", Role.NODE)
    assert all(stranger.address not in node.replica.registry.members for node in fleet.nodes.values())

    url = f"sqlite:///{tmp_path}/fullnode.db"
    for _ in range(2):
        again = full_node(fleet.log, network.full_nodes[0], database=url, verify_evidence=buggy(error))
        await again.start()
        fleet.add("fn0.test", again)
        fleet.log.known.pop("fn0.test", None)
        assert await fleet.log.ask("fn0.test") == 200
        assert again.replica.failures(at) == (JUDGING_FAILED,)
        again.database.close()  # type: ignore[attr-defined]
    fleet.close()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_what_ends_the_process_ends_it(error: BaseException) -> None:
    """A signal to stop is no verdict."""
    network = Stranger()
    network.join(Evidence("nitro-dev", BUG))
    with pytest.raises(type(error)):
        network.replica(buggy(error))


async def test_a_full_node_whose_own_check_stops_refutes_nobody() -> None:
    """Three judge, one stops: it refutes none of their verdicts, and witnessing goes on."""
    network = Stranger()
    fleet = await Fleet(network).start(verify_stub_evidence)
    odd = full_node(fleet.log, network.full_nodes[3], verify_evidence=buggy(KeyError("x")))
    await odd.start()
    fleet.nodes["fn3.test"].database.close()  # type: ignore[attr-defined]
    fleet.add("fn3.test", odd)
    at = network.join(Evidence("nitro-dev", BUG))
    assert await fleet.settle(12) == network.tree.size
    judged = fleet.nodes["fn0.test"].replica
    assert judged.failures(at) == ("evidence_rejected",)
    assert judged.standing(at).state is State.FAILED
    assert not odd.replica.judgements.false_verdicts
    faults = [party.name for party in network.full_nodes if judged.registry.members[party.address].faults]
    assert faults == ["full node 3"]
    fleet.close()
