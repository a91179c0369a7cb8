"""What verifiers find on, and say of, a sealed route: to which key, through whom, who saw what."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hallmark.core.documents import RouteRecord
from hallmark.core.evidence import Assurance
from hallmark.core.marks import Mark, Question, State
from hallmark.testing.dossiers import Notary, proof_verifier
from hallmark.testing.network import SEALING, LittleNetwork, sealed_path
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification.dossier import Dossier
from hallmark.verification.offline import verify_dossier
from hallmark.verification.route_wording import Party, route

GATEWAY = b"\x11" * 20
RECORD = RouteRecord(
    "0x" + "22" * 32, "sealed", ("enclave",), "0x" + "33" * 20, sealed=sealed_path(size=4096)
)


def told(record: RouteRecord = RECORD, **beside: Any) -> str:
    """The words of a record."""
    return route(record, Party(**{"gateway": GATEWAY, "assurance": Assurance.HARDWARE, **beside}))


def test_a_sealed_route_says_what_each_party_saw() -> None:
    """Key, relay by the client's word with what it saw, the gateway, the host; in clear the enclave alone."""
    assert (
        told(candidates=3)
        == (
            f"sealed path; sealed to a key of configuration {RECORD.sealed.configuration[:8]}..."  # type: ignore[union-attr]
            f"{RECORD.sealed.configuration[-4:]}, window 0, suite x-wing/hkdf-sha256/aes-128-gcm; "  # type: ignore[union-attr]
            "through relay https://relay.example by the client's word, which saw an address, a size class of "
            "4096 bytes and a time; gateway 0x111111...1111 saw a route request and not the prompt; its host "
            "carried ciphertext; the prompt was seen in clear by enclave; 3 candidates were offered; no "
            "other node was tried"
        )
    )


def test_simulated_hardware_is_said_beside_the_seal() -> None:
    """Who runs the host could read it all the same; nor is hardware assumed."""
    assert "the hardware is simulated" in told(assurance=Assurance.SIMULATED)
    assert "could read what the enclave reads" in told(assurance=Assurance.SIMULATED)
    assert "nothing here vouches for the enclave" in told(assurance=Assurance.NONE)
    assert "could read" not in told()


def test_an_upstream_saw_the_prompt_in_clear() -> None:
    """The seal ends at the enclave; what it passed on is named."""
    record = msgspec.structs.replace(RECORD, saw_prompt=("enclave", "upstream"))
    assert "the prompt was seen in clear by enclave, upstream api.example" in told(
        record, upstream="api.example"
    )


def test_what_is_not_known_is_said_to_be_unknown() -> None:
    """A relay that the client did not name, and a request without a ticket."""
    unnamed = msgspec.structs.replace(RECORD, ticket="0x" + "00" * 32, sealed=sealed_path(relay=""))
    said = told(unnamed, gateway=None)
    assert "no relay is named, so who passed it on is not known here" in said
    assert "it came without a route ticket" in said
    assert "gateway" not in said


def test_the_plain_path_says_that_the_gateway_saw_the_prompt() -> None:
    """As loudly: in the first clause after the path's name."""
    record = RouteRecord("0x" + "22" * 32, "plain", ("gateway", "enclave"), "0x" + "33" * 20)
    assert told(record).startswith(
        "plain path; the prompt was seen in clear by gateway 0x111111...1111, enclave;"
    )


class Case:
    """A sealed answer in the log of a network whose nodes take such, and its saved receipt."""

    def __init__(self, **answer: Any) -> None:
        self.net = LittleNetwork(sealing=SEALING)
        made = self.net.answer(self.net.nodes[0], **{"sealed": sealed_path(), **answer})
        index = self.net.add(made.entry)
        notary = Notary(self.net)
        self.trust, self.dossier = notary.trust(), notary.dossier(made, index)

    def route(self, dossier: Dossier) -> Mark:
        """The mark `route`, verified offline."""
        proofs = proof_verifier(self.trust)
        verified = verify_dossier(
            dossier, self.trust, self.net.now, verify_evidence=verify_stub_evidence, verify_proof=proofs
        )
        return verified.marks[Question.ROUTE]


@pytest.mark.parametrize("direct", [False, True], ids=["ticket", "no ticket"])
def test_a_sealed_receipt_is_witnessed_with_its_key(direct: bool) -> None:
    """The mark carries configuration, window, suite, size and relay beside its sentence."""
    case = Case(direct=direct)
    mark = case.route(case.dossier)
    assert mark.state is State.WITNESSED
    found = {name: mark.detail[name] for name in ("path", "window", "suite", "size", "relay")}
    assert found == {
        "path": "sealed",
        "window": "0",
        "suite": "x-wing/hkdf-sha256/aes-128-gcm",
        "size": "2048",
        "relay": "https://relay.example",
    }


def test_without_the_bundle_the_seal_stays_a_claim() -> None:
    """The bundle names the keys: a file that leaves it out shows no more than the node's word."""
    case = Case()
    documents = msgspec.structs.replace(case.dossier.documents, bundle="")
    mark = case.route(msgspec.structs.replace(case.dossier, documents=documents))
    assert mark.state is State.CLAIMED
    assert "its key bundle is not shown here" in mark.detail["what"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"window": 7}, "sealed_other_window"),
        ({"suite": "rot13"}, "sealed_suite_unknown"),
        ({"relay": "a b"}, "sealed_malformed"),
    ],
)
def test_a_seal_that_cannot_be_fails(changes: dict[str, Any], reason: str) -> None:
    """The mark fails with the reason that full nodes give."""
    case = Case(sealed=sealed_path(**changes))
    mark = case.route(case.dossier)
    assert (mark.state, mark.reason) == (State.FAILED, reason)


@pytest.mark.parametrize(
    "name", ["Verified-by-TEE.", "https://x/?is=attested,safe", '"><b>proven</b>', "ftp://relay"]
)
def test_a_relay_is_an_address_or_nameless(name: str) -> None:
    """A client may call it anything; what is no address stands in no sentence, which says that it is none."""
    record = msgspec.structs.replace(RECORD, sealed=sealed_path(relay=name))
    assert name not in told(record)
    assert "through a relay that it names by no address, by the client's word" in told(record)
