"""Real full node processes beside a real log: witnessing, lies, kills, restarts, and a fifth that joins."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import httpx
import msgspec
import pytest

from hallmark.attestation import verify
from hallmark.core.marks import Question, State
from hallmark.core.policy import Outcome
from hallmark.core.statements import Role
from hallmark.testing.dossiers import proof_verifier
from hallmark.testing.network import Party
from hallmark.testing.processes import RealNetwork, patiently
from hallmark.verification.dossier import LoggedPart
from hallmark.verification.offline import verify_dossier

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNetwork]:
    """A log and four full nodes as processes, the founding entries witnessed."""
    network = RealNetwork(tmp_path_factory.mktemp("network"))
    with network.running():
        yield network


def _settled(net: RealNetwork) -> bool:
    net.follow()
    return net.witnessed() >= len(net.leaves)


def _witnessed(net: RealNetwork, what: str) -> None:
    patiently(lambda: _settled(net), what)


def test_a_receipt_is_witnessed_and_verifies_offline(net: RealNetwork) -> None:
    """From a real log with real cosignatures: the saved receipt meets its policy for a stranger."""
    answer = net.answer(net.nodes[0])
    index = net.add(answer.entry)
    trust = net.trust(net.notary)
    dossier = net.notary.dossier(answer, index)

    def real(part: LoggedPart | None) -> LoggedPart:
        assert part is not None
        return msgspec.structs.replace(part, proof=net.proof(part.index))

    dossier = msgspec.structs.replace(
        dossier,
        entry=real(dossier.entry),
        registration=real(dossier.registration),
        version=real(dossier.version),
    )
    verified = verify_dossier(
        dossier, trust, net.now, verify_evidence=verify, verify_proof=proof_verifier(trust)
    )
    assert verified.decide("witnessed").outcome is Outcome.CLEAR
    assert verified.marks[Question.PROVED].state is State.WITNESSED


def test_a_bad_receipt_is_witnessed_only_with_its_verdicts(net: RealNetwork) -> None:
    """A lying node's receipt stands in the log with the verdicts of at least f+1 full nodes before it
    is cosigned.
    """
    at = net.add(net.receipt_entry(net.nodes[1], charged=1))
    _witnessed(net, "the verdicts are witnessed")
    replica = net.replica()
    assert replica.failures(at) == ("payment_record_absent",)
    standing = replica.standing(at)
    assert standing.state is State.FAILED
    assert net.witnessed() > standing.since
    for watcher in net.watchers:
        patiently(lambda w=watcher: w.status()["objections"][-1]["index"] == at, "each full node found it")


def test_a_false_verdict_is_faulted_by_the_others(net: RealNetwork) -> None:
    """A full node's false verdict is refuted by the honest ones, and the receipt stands."""
    at = net.add(net.receipt_entry(net.nodes[0]))
    liar = net.full_nodes[3]
    net.add(net.verdict(liar, at, "bad_signature"))

    def faulted() -> bool:
        net.follow()
        return bool(net.replica().registry.members[liar.address].faults)

    patiently(faulted, "the liar is faulted")
    assert net.replica().standing(at).state is None
    _witnessed(net, "the faults are witnessed")


def test_a_killed_full_node_is_not_missed_and_comes_back(net: RealNetwork) -> None:
    """SIGKILL of one: the others are the quorum; started again it catches up and cosigns."""
    victim = net.watchers[2]
    victim.kill()
    net.add(net.receipt_entry(net.nodes[0]))
    _witnessed(net, "three of four witness")
    victim.start().ready()
    net.add(net.receipt_entry(net.nodes[0]))
    patiently(lambda: victim.status()["cosigned_size"] >= len(net.leaves), "the killed one has caught up")


def test_with_two_dead_nothing_is_witnessed_until_one_is_back(net: RealNetwork) -> None:
    """Two of four are no quorum; nothing is lost meanwhile."""
    before = net.witnessed()
    for victim in net.watchers[:2]:
        victim.kill()
    index = net.add(net.receipt_entry(net.nodes[0]))
    waiting = httpx.get(f"{net.log.url}/proof/{index}?wait=1500", timeout=30)
    assert waiting.status_code == 503
    assert net.witnessed() == before
    for victim in net.watchers[:2]:
        victim.start().ready()
    _witnessed(net, "the quorum is back")


def test_a_fifth_full_node_joins_copies_and_catches_up(net: RealNetwork) -> None:
    """Registered by the authority, it copies from another full node, judges everything, and mirrors it."""
    party = Party("full node 4", Role.FULL_NODE)
    net.register(party)
    _witnessed(net, "the registration is witnessed")
    fifth = net.full_node(party, "--copy-from", net.watchers[0].url)
    try:
        fifth.start().ready()
        patiently(lambda: fifth.status()["size"] >= len(net.leaves), "the fifth has copied the log")
        status = fifth.status()
        assert status["registered"]
        assert status["root"] == "0x" + net.tree.root(status["size"]).hex()
        size = status["size"]
        served = httpx.get(f"{fifth.url}/leaves?start=0&end={size}", timeout=30).content
        assert served == httpx.get(f"{net.log.url}/leaves?start=0&end={size}", timeout=30).content
    finally:
        fifth.kill()


def test_full_nodes_sign_for_the_chain_what_they_cosigned(net: RealNetwork) -> None:
    """POST /anchor-signature gives a signature by the node's own key, and refuses another root."""
    from hallmark.core.hashing import sha256
    from hallmark.core.statements import AnchoredCheckpoint
    from hallmark.crypto.secp256k1 import recover_statement

    _witnessed(net, "everything is witnessed")
    size, origin = len(net.leaves), net.genesis.origin
    root = net.tree.root()
    signers = set()
    for watcher in net.watchers:
        body = {"origin": origin, "size": size, "root": "0x" + root.hex()}
        answer = httpx.post(f"{watcher.url}/anchor-signature", json=body, timeout=30)
        if answer.status_code == 200:
            statement = AnchoredCheckpoint(net.genesis.network, sha256(origin.encode()), size, root)
            signature = bytes.fromhex(answer.json()["signature"][2:])
            signers.add(recover_statement(statement, net.genesis.chain_id, signature))
        body["root"] = "0x" + "00" * 32
        assert httpx.post(f"{watcher.url}/anchor-signature", json=body, timeout=30).status_code in (404, 409)
    assert len(signers & {party.address for party in net.full_nodes}) >= 3


def test_a_log_killed_before_the_verdicts_recovers(net: RealNetwork) -> None:
    """A bad receipt is admitted, the log is killed before any verdict: after its restart the verdicts
    get in.
    """
    for watcher in net.watchers:
        watcher.signal(signal.SIGSTOP)
    net.add(net.receipt_entry(net.nodes[1], charged=1))
    net.log.kill()
    for watcher in net.watchers:
        watcher.signal(signal.SIGCONT)
    net.log.start().ready()
    _witnessed(net, "the verdicts are witnessed after the restart")


def test_a_log_that_repeats_an_entry_is_refused_by_all(net: RealNetwork) -> None:
    """A sequencer that rewrites its own store: every full node refuses for ever and says why."""
    import sqlite3

    from hallmark.core.hashing import sha256

    net.log.kill()
    store = sqlite3.connect(net.folder / "log.db")
    leaf = store.execute("SELECT leaf FROM log_leaves WHERE idx = 3").fetchone()[0]
    end, last = store.execute("SELECT idx, leaf FROM log_leaves ORDER BY idx DESC LIMIT 1").fetchone()
    row = (end + 1, sha256(b"another name"), last[:8] + leaf[8:])
    store.execute("INSERT INTO log_leaves (idx, entry_id, leaf) VALUES (?, ?, ?)", row)
    store.commit()
    store.close()
    net.log.start().ready()
    for watcher in net.watchers:
        patiently(lambda w=watcher: w.status()["state"] == "refusing", "every full node refuses")
        assert watcher.status()["reason"] == "log_duplicate_entry"
        assert httpx.get(f"{watcher.url}/healthz", timeout=30).status_code == 503
    assert net.witnessed() <= end + 1
