"""Verifying saved receipts offline: what holds, what each broken part costs, and that nothing is inert."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from hallmark.core.beacon import EMPTY_ROOT
from hallmark.core.document import hex0x
from hallmark.core.documents import AnchorRecord, InputRecord, UpstreamRecord
from hallmark.core.errors import HallmarkError, InvalidInput, NotFound, VerificationFailed
from hallmark.core.hashing import ZERO32
from hallmark.core.marks import Finding, Question, State
from hallmark.core.merkle import inclusion_proof
from hallmark.core.policy import Outcome
from hallmark.core.receipt import Mode
from hallmark.core.statements import Role
from hallmark.testing.answers import Answer
from hallmark.testing.dossiers import Notary, proof_verifier
from hallmark.testing.network import HOUR, LittleNetwork, Party
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification.dossier import Anchor, Dossier, RequestCopy, ResponseCopy, Salts
from hallmark.verification.offline import Verified, verify_dossier
from hallmark.verification.tree import root_of
from hallmark.verification.trust import AnchorContract, CompromisedKey, RevokedMeasurement, Trust

STRIDE = 37
replace = msgspec.structs.replace


class Case:
    """A network, an answer in its log, the trust file, and the saved receipt."""

    def __init__(self, net: LittleNetwork | None = None, *, node: Party | None = None, **answer: Any) -> None:
        self.net = net or LittleNetwork()
        self.answer: Answer = self.net.answer(node or self.net.nodes[0], **answer)
        self.index = self.net.add(self.answer.entry)
        self.notary = Notary(self.net)
        self.trust: Trust = self.notary.trust()
        self.dossier: Dossier = self.notary.dossier(self.answer, self.index)

    def verify(self, dossier: Dossier | None = None, **options: Any) -> Verified:
        """Verify the saved receipt with this case's trust file."""
        options.setdefault("verify_proof", proof_verifier(self.trust))
        return verify_dossier(
            dossier or self.dossier,
            self.trust,
            self.net.now,
            verify_evidence=verify_stub_evidence,
            **options,
        )


def _states(verified: Verified) -> dict[str, str]:
    return {question.value: mark.state.value for question, mark in verified.marks.items()}


def _reasons(verified: Verified) -> dict[str, str]:
    return {question.value: mark.reason for question, mark in verified.marks.items() if mark.reason}


def test_a_witnessed_receipt_meets_its_policy() -> None:
    """Receipt, registration and version under a quorum: four marks witnessed, three absent, policy met."""
    verified = Case().verify()
    assert _states(verified) == {
        "ran": "witnessed",
        "model": "witnessed",
        "route": "witnessed",
        "inputs": "absent",
        "paid": "absent",
        "proved": "witnessed",
        "reviewed": "absent",
    }
    assert verified.marks[Question.PROVED].by == "4 of 4 full nodes"
    assert verified.decide("witnessed").outcome is Outcome.CLEAR
    assert verified.shown("witnessed")[Question.PAID].state is State.NOT_REQUIRED


def test_simulated_hardware_does_not_meet_a_hardware_policy() -> None:
    """The same marks under a policy that asks for hardware are not enough, and the mark says simulated."""
    verified = Case().verify()
    assert verified.decide("hardware").outcome is Outcome.HOLD
    assert verified.marks[Question.RAN].assurance == "simulated"
    assert "simulated" in verified.marks[Question.RAN].shows


def test_unknown_policy_is_an_error() -> None:
    """A policy that the trust file does not name is refused, not guessed."""
    with pytest.raises(NotFound):
        Case().verify().decide("anything")


def test_before_the_log_marks_are_checked_here_only() -> None:
    """A receipt without log parts: every digest was re-computed, nothing is witnessed, the policy is
    not met.
    """
    case = Case()
    early = replace(case.dossier, entry=None, registration=None, version=None)
    verified = case.verify(early)
    assert _states(verified)["ran"] == _states(verified)["model"] == _states(verified)["route"] == "checked"
    assert _states(verified)["proved"] == "absent"
    assert verified.decide("witnessed").outcome is Outcome.HOLD
    assert verified.marks[Question.RAN].by == "this verifier"


@pytest.mark.parametrize(("part", "lowered"), [("registration", "ran"), ("version", "model")])
def test_a_mark_is_witnessed_only_with_all_that_it_rests_on(part: str, lowered: str) -> None:
    """Without a proven registration (version) `ran` (`model`) stays checked, though the receipt is proven."""
    case = Case()
    states = _states(case.verify(replace(case.dossier, **{part: None})))
    assert states[lowered] == "checked"
    assert states["proved"] == "witnessed"


def test_two_cosignatures_are_no_quorum() -> None:
    """A checkpoint that two of four full nodes cosigned proves nothing."""
    case = Case()
    two = case.notary.dossier(case.answer, case.index, ["full node 0", "full node 1"])
    verified = case.verify(two)
    assert _reasons(verified)["proved"] == "proof_invalid"
    assert verified.decide("witnessed").outcome is Outcome.HOLD


def test_three_cosignatures_are() -> None:
    """One dead full node does not keep a receipt from being witnessed; the words count three."""
    case = Case()
    three = case.notary.dossier(case.answer, case.index, ["full node 0", "full node 1", "full node 3"])
    verified = case.verify(three)
    assert verified.marks[Question.PROVED].by == "3 of 4 full nodes"
    assert verified.decide("witnessed").outcome is Outcome.CLEAR


def test_a_cosigner_that_the_trust_file_does_not_know_is_refused() -> None:
    """A line that this verifier cannot check is not passed over."""
    case = Case()
    assert case.dossier.entry is not None
    assert case.dossier.entry.proof is not None
    proof = case.dossier.entry.proof.replace("full-node-3.hallmark.test", "full-node-4.hallmark.test")
    verified = case.verify(replace(case.dossier, entry=replace(case.dossier.entry, proof=proof)))
    assert _reasons(verified) == {"proved": "unknown_cosigner"}


def test_a_known_signers_line_may_stand_twice() -> None:
    """The lines of known signers are all checked, so that one of them stands twice makes nobody unknown."""
    case = Case()
    assert case.dossier.entry is not None
    assert case.dossier.entry.proof is not None
    lines = case.dossier.entry.proof.splitlines(keepends=True)
    for line in [line for line in lines if line.startswith("\u2014 ")]:
        part = replace(case.dossier.entry, proof="".join((*lines, line)))
        verified = case.verify(replace(case.dossier, entry=part))
        assert _reasons(verified) == {}
        assert verified.marks[Question.PROVED].by == "4 of 4 full nodes"
        assert verified.decide("witnessed").outcome is Outcome.CLEAR


Tamper = Callable[[Case], Dossier]


def _documents(**changes: Any) -> Tamper:
    return lambda c: replace(c.dossier, documents=replace(c.dossier.documents, **changes))


def _entry_of_other(case: Case) -> Dossier:
    other = case.net.add(case.net.receipt_entry(case.net.nodes[1]))
    return replace(case.dossier, entry=case.notary.part(other))


def _registration_of_other(case: Case) -> Dossier:
    return replace(case.dossier, registration=case.notary.part(case.net.nodes[1].registered))


def _version_of_other(case: Case) -> Dossier:
    return replace(case.dossier, version=case.notary.part(0))


def _moved(case: Case) -> Dossier:
    assert case.dossier.entry is not None
    return replace(case.dossier, entry=replace(case.dossier.entry, admitted=case.dossier.entry.admitted + 1))


def _evidence_of_other(case: Case) -> Dossier:
    evidence = case.net.nodes[1].evidence
    assert evidence is not None
    return replace(case.dossier, evidence=base64.b64encode(evidence.encode()).decode())


def _ticket_broken(case: Case) -> Dossier:
    assert case.dossier.ticket is not None
    return replace(case.dossier, ticket=case.dossier.ticket[:-4] + "001b")


TAMPERED: dict[str, tuple[Tamper, dict[str, str]]] = {
    "id": (
        lambda c: replace(c.dossier, id=hex0x(ZERO32)),
        dict.fromkeys(("ran", "model", "route", "proved"), "id_mismatch"),
    ),
    "chain": (
        lambda c: replace(c.dossier, chain_id=1),
        dict.fromkeys(("ran", "model", "route", "proved"), "chain_mismatch"),
    ),
    "network": (
        lambda c: replace(c.dossier, network=hex0x(ZERO32)),
        dict.fromkeys(("ran", "model", "route", "proved"), "wrong_network"),
    ),
    "signature": (
        lambda c: replace(c.dossier, signature=c.dossier.signature[:-6] + "00" + c.dossier.signature[-4:]),
        dict.fromkeys(("ran", "model", "route", "proved"), "bad_signature"),
    ),
    "request": (
        lambda c: replace(c.dossier, request=RequestCopy("/v1/chat/completions", "{}")),
        {"ran": "request_mismatch"},
    ),
    "response": (
        lambda c: replace(c.dossier, response=ResponseCopy("Eight.")),
        {"ran": "response_mismatch"},
    ),
    "bundle": (_documents(bundle="{}"), {"ran": "bundle_mismatch", "model": "bundle_mismatch"}),
    "parameters": (_documents(parameters="{}"), {"ran": "parameters_mismatch"}),
    "configuration": (_documents(configuration="{}"), {"ran": "configuration_mismatch"}),
    "route": (_documents(route="{}"), {"route": "route_mismatch", "proved": "entry_mismatch"}),
    "candidates": (
        _documents(candidates="{}"),
        {"route": "candidates_mismatch", "proved": "entry_mismatch"},
    ),
    "manifest": (_documents(manifest="{}"), {"model": "manifest_mismatch"}),
    "upstream": (_documents(upstream="{}"), {"model": "artifact_and_upstream"}),
    "inputs": (_documents(inputs=("{}",)), {"inputs": "inputs_mismatch"}),
    "insecure": (lambda c: replace(c.dossier, insecure=("seccomp",)), {"ran": "insecure_mismatch"}),
    "evidence": (_evidence_of_other, {"ran": "registration_mismatch"}),
    "ticket": (_ticket_broken, {"route": "ticket_unsigned", "proved": "entry_mismatch"}),
    "entry": (_entry_of_other, {"proved": "entry_mismatch"}),
    "admission time": (_moved, {"proved": "proof_invalid"}),
    "registration": (_registration_of_other, {"ran": "registration_mismatch"}),
    "version": (_version_of_other, {"model": "version_mismatch"}),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampering_fails_the_mark_that_it_touches(name: str) -> None:
    """A replaced part fails exactly the marks that speak of it, with the reason, and the policy is not
    met.
    """
    tamper, expected = TAMPERED[name]
    case = Case()
    verified = case.verify(tamper(case))
    assert expected.items() <= _reasons(verified).items()
    assert verified.decide("witnessed").outcome is Outcome.HOLD
    assert verified.decide("checked").outcome is Outcome.HOLD


def _outcomes(case: Case) -> Callable[[bytes], bool]:
    verify_proof = functools.cache(proof_verifier(case.trust))

    def meets(data: bytes) -> bool:
        try:
            dossier = Dossier.parse(data)
        except HallmarkError:
            return False
        return case.verify(dossier, verify_proof=verify_proof).decide("witnessed").outcome is Outcome.CLEAR

    return meets


INERT_IN_ANCHOR = {"transaction", "block", "confirmations"}
"""Members of an anchor that no chain was asked about, in which a change goes unnoticed. Nothing else is
inert.
"""


@pytest.mark.parametrize("offset", [0, STRIDE // 2])
def test_no_character_is_inert(offset: int) -> None:
    """Changing a character anywhere makes the policy unmet (samples; the integration test tries every
    one).
    """
    case = Case()
    meets, data = _outcomes(case), msgspec.json.encode(case.dossier)
    assert meets(data)
    for at in range(offset, len(data), STRIDE):
        for other in {bytes((data[at] ^ 1,)), data[at : at + 1].swapcase()} - {data[at : at + 1]}:
            assert not meets(data[:at] + other + data[at + 1 :]), (at, data[max(0, at - 40) : at + 5])


def test_an_anchor_is_nothing_until_the_chain_was_read() -> None:
    """The server's anchor record changes no mark; the caller's own reading of the chain makes it anchored."""
    case = Case()
    contract = "0x" + "aa" * 20
    case.trust = replace(case.trust, anchor=AnchorContract(contract, 31337))
    size, root = case.net.beacon()
    record = {"chain_id": 31337, "contract": contract, "transaction": hex0x(ZERO32), "block": 7}
    anchor = msgspec.convert({**record, "size": size, "root": hex0x(root), "confirmations": 99}, type=Anchor)
    saved = replace(case.dossier, anchor=anchor)
    assert case.verify(saved).marks[Question.PROVED].state is State.WITNESSED
    asked: list[AnchorRecord] = []

    def check(record: AnchorRecord) -> int:
        asked.append(record)
        return 3

    mark = case.verify(saved, check_anchor=check).marks[Question.PROVED]
    assert mark.state is State.ANCHORED
    assert mark.detail["confirmations"] == "3"
    assert asked[0].size == size

    def deny(record: AnchorRecord) -> int:
        raise VerificationFailed("anchor_missing", "The chain holds no such checkpoint.")

    assert _reasons(case.verify(saved, check_anchor=deny))["proved"] == "anchor_contradicted"
    lie = replace(saved, anchor=replace(anchor, root=hex0x(b"\x01" * 32)))
    assert _reasons(case.verify(lie, check_anchor=check))["proved"] == "anchor_mismatch"
    other = replace(saved, anchor=replace(anchor, contract="0x" + "bb" * 20))
    assert _reasons(case.verify(other, check_anchor=check))["proved"] == "anchor_mismatch"


def test_of_an_unchecked_anchor_exactly_the_listed_members_are_inert() -> None:
    """The one exception to 'no character is inert' is what docs/formats.md lists, member by member."""
    case = Case()
    contract = "0x" + "aa" * 20
    case.trust = replace(case.trust, anchor=AnchorContract(contract, 31337))
    size, root = case.net.beacon()
    members: dict[str, Any] = {
        "chain_id": 31337,
        "contract": contract,
        "transaction": hex0x(ZERO32),
        "block": 7,
        "size": size,
        "root": hex0x(root),
        "confirmations": 2,
        "path": tuple(hex0x(s) for s in inclusion_proof(case.index, size, case.net.tree.node)),
    }

    def meets(values: dict[str, Any]) -> bool:
        saved = replace(case.dossier, anchor=msgspec.convert(values, type=Anchor))
        return case.verify(saved).decide("witnessed").outcome is Outcome.CLEAR

    assert meets(members)
    inert = set()
    for name, value in members.items():
        changed: object = ()
        if isinstance(value, int):
            changed = value + 1
        elif isinstance(value, tuple):
            changed = (hex0x(b"\x01" * 32), *value[1:])
        elif isinstance(value, str):
            changed = value[:-1] + ("1" if value[-1] != "1" else "2")
        if meets({**members, name: changed}):
            inert.add(name)
    assert inert == INERT_IN_ANCHOR


def test_content_that_was_not_kept_was_not_compared() -> None:
    """Without the owner's copies the marks stand, and the words say that nothing was compared."""
    case = Case()
    bare = replace(case.dossier, request=None, response=None, salts=Salts())
    mark = case.verify(bare).marks[Question.RAN]
    assert mark.state is State.WITNESSED
    assert "request and response were not compared" in mark.shows


def test_full_nodes_are_not_said_to_have_seen_the_content() -> None:
    """What only this verifier compared is not put into the full nodes' mouths."""
    shows = Case().verify().marks[Question.RAN].shows
    witnessed, _, here = shows.partition("this verifier alone:")
    assert "request" not in witnessed
    assert "request and response are the ones it signed for" in here


def test_insecure_switches_keep_ran_at_claimed() -> None:
    """A configuration that switched a check off is named, and nothing that the enclave says rises above
    claimed.
    """
    verified = Case(LittleNetwork(insecure=("no-seccomp",))).verify()
    states = _states(verified)
    assert (states["ran"], states["model"], states["route"]) == ("claimed", "claimed", "claimed")
    assert "no-seccomp" in verified.marks[Question.RAN].shows
    assert verified.marks[Question.RAN].detail["insecure"] == "no-seccomp"
    assert verified.decide("witnessed").outcome is Outcome.HOLD


def test_an_unshown_configuration_keeps_ran_at_claimed() -> None:
    """Without the configuration nobody knows which checks were off; unknown is not a pass."""
    case = Case()
    hidden = replace(case.dossier, documents=replace(case.dossier.documents, configuration=None))
    mark = case.verify(hidden).marks[Question.RAN]
    assert mark.state is State.CLAIMED
    assert "not shown" in mark.shows


def test_vanilla_is_only_ever_claimed() -> None:
    """A node without an enclave: its receipt may be witnessed, what ran stays its own word."""
    net = LittleNetwork()
    party = Party("vanilla", Role.NODE)
    party.bundle = net.bundle(party, Mode.VANILLA)
    net.register(party)
    verified = Case(net, node=party).verify()
    states = _states(verified)
    assert (states["ran"], states["model"], states["proved"]) == ("claimed", "claimed", "witnessed")
    assert verified.marks[Question.RAN].assurance == "none"
    assert "nothing measured its code" in verified.marks[Question.RAN].shows


def test_an_upstream_model_is_asserted_not_shown() -> None:
    """What a provider says about its model is `claimed`, without an artifact, with 'asserted by'."""
    record = UpstreamRecord("example", "https://example.test", "big", "big-model-9", "r1")
    mark = Case(upstream_record=record).verify().marks[Question.MODEL]
    assert mark.state is State.CLAIMED
    assert "asserted by example" in mark.shows
    assert "artifact" not in mark.detail


def test_inputs_are_named_with_source_and_age() -> None:
    """Input records that the receipt commits to are listed as not re-validated; hidden ones are only
    claimed.
    """
    records = (InputRecord("tool", hex0x(b"\x01" * 32), "client"),)
    root = root_of(record.encode() for record in records)
    assert root != EMPTY_ROOT
    case = Case(inputs=records, inputs_root=root)
    mark = case.verify().marks[Question.INPUTS]
    assert mark.state is State.WITNESSED
    assert "not re-validated" in mark.shows
    assert "age unknown" in mark.shows
    hidden = replace(case.dossier, documents=replace(case.dossier.documents, inputs=()))
    assert case.verify(hidden).marks[Question.INPUTS].state is State.CLAIMED


def test_evidence_too_old_for_the_answer_is_stale() -> None:
    """Evidence older than the policy allows when the answer was logged makes `ran` stale."""
    net = LittleNetwork()
    net.tick(24 * HOUR + 1)
    mark = Case(net).verify().marks[Question.RAN]
    assert (mark.state, mark.reason) == (State.STALE, "evidence_stale")


def test_a_gateway_that_the_trust_file_does_not_name_fails_route() -> None:
    """A ticket by somebody else's gateway is no ticket."""
    case = Case()
    case.trust = replace(case.trust, gateways=())
    assert _reasons(case.verify()) == {"route": "gateway_not_registered"}


def test_what_the_trust_file_revokes_is_revoked() -> None:
    """A compromised key revokes all that rests on it from its position on, a revoked image revokes `ran`."""
    case = Case()
    node, trust = hex0x(case.net.nodes[0].address), case.trust
    case.trust = replace(trust, compromised=(CompromisedKey(node, case.index, "key_leaked"),))
    assert set(_states(case.verify()).values()) == {"revoked", "absent"}
    case.trust = replace(trust, compromised=(CompromisedKey(node, case.index + 1, "key_leaked"),))
    assert case.verify().decide("witnessed").outcome is Outcome.CLEAR
    digest = hex0x(case.net.measurement.digest())
    case.trust = replace(trust, revoked=(RevokedMeasurement(digest, 0, "image_vulnerable"),))
    assert case.verify().marks[Question.RAN].state is State.REVOKED


def test_a_strangers_status_can_only_lower() -> None:
    """Somebody else's objection is taken over, somebody else's praise is not."""
    case = Case()
    praise = Finding(Question.REVIEWED, State.ANCHORED, "a friend", 1)
    objection = Finding(Question.PROVED, State.DISPUTED, "full node 2", 1, b"", "equivocation")
    verified = case.verify(status=(praise, objection))
    assert verified.marks[Question.REVIEWED].state is State.ABSENT
    assert verified.marks[Question.PROVED].state is State.DISPUTED
    assert verified.decide("witnessed").outcome is Outcome.HOLD


def test_verified_cannot_be_made_by_hand() -> None:
    """Only verify_dossier makes a Verified."""
    verified = Case().verify()
    with pytest.raises(TypeError):
        Verified(verified.marks, (), verified.receipt, verified.receipt_id, 0, verified.trust)


STRICT: dict[str, Callable[[bytes], bytes]] = {
    "upper-case digits": lambda d: d.replace(b'"id":"0x', b'"id":"0X', 1),
    "unknown member": lambda d: d.replace(b'{"format"', b'{"more":1,"format"', 1),
    "other format": lambda d: d.replace(b"hallmark.dossier/1", b"hallmark.dossier/2", 1),
    "not JSON": lambda d: d[:-1],
    "not UTF-8": lambda d: d.replace(b"Seven", b"Sev\xff\xfe", 1),
    "member twice": lambda d: d.replace(b'"chain_id":', b'"chain_id":31337,"chain_id":', 1),
    "member twice, spelled otherwise": lambda d: d.replace(b'{"format"', b'{"i\\u0064":"","format"', 1),
    "member of the receipt twice": lambda d: d.replace(b'"mode":1', b'"mode":1,"mode":1', 1),
    "member of a review twice": lambda d: d.replace(b'"proof":', b'"proof":null,"proof":', 1),
    "newline behind an id": lambda d: d.replace(b'","documents"', b'\\n","documents"', 1),
    "newline behind the signature": lambda d: d.replace(b'","id":"', b'\\n","id":"', 1),
    "newline behind evidence": lambda d: d.replace(b'","entry":', b'\\n","entry":', 1),
    "salt without request": lambda d: d.replace(b'"request":{"path"', b'"request":null,"x":{"path"', 1),
}


@pytest.mark.parametrize("name", STRICT)
def test_files_that_could_be_read_in_two_ways_are_refused(name: str) -> None:
    """Reading is strict: no second spelling of the same dossier exists."""
    data = msgspec.json.encode(Case().dossier)
    changed = STRICT[name](data)
    assert changed != data
    with pytest.raises(InvalidInput) as caught:
        Dossier.parse(changed)
    assert caught.value.reason == "bad_dossier"


@pytest.mark.parametrize("value", [-1, 1 << 63, 1 << 64, 10**400])
def test_positions_and_times_have_63_bits(value: int) -> None:
    """An index, a time or a count that no log can have is refused where it stands, not where it is used."""
    dossier = Case().dossier
    anchor = Anchor(31337, "0x" + "0a" * 20, hex0x(ZERO32), 7, 9, hex0x(ZERO32), 2)
    part = dossier.entry
    assert part is not None
    broken = [replace(dossier, chain_id=value)]
    broken += [replace(dossier, entry=replace(part, **{name: value})) for name in ("index", "admitted")]
    broken += [replace(dossier, reviews=(replace(part, admitted=value),))]
    names = ("chain_id", "block", "size", "confirmations")
    broken += [replace(dossier, anchor=replace(anchor, **{name: value})) for name in names]
    Dossier.parse(replace(dossier, anchor=anchor).encode())
    for each in broken:
        with pytest.raises(InvalidInput) as caught:
            Dossier.parse(each.encode())
        assert caught.value.reason == "bad_dossier"


@pytest.mark.parametrize("path", ["/" * 65_535, "/" * 65_536, "\u00e9" * 40_000])
def test_a_path_of_any_length_is_judged(path: str) -> None:
    """A path that has no length of 16 bits is not the one that was signed for, whatever was signed."""
    case = Case()
    request = RequestCopy(path, case.answer.request.decode())
    verified = case.verify(replace(case.dossier, request=request))
    assert _reasons(verified)["ran"] == "request_mismatch"


def test_witnessed_is_never_dated_before_what_it_covers() -> None:
    """A cosignature's whole second may lie before the admission of what it covers; the mark's time does not,
    and it is the cosignature's where that is later.
    """
    net = LittleNetwork()
    net.tick(882)
    case = Case(net)
    assert case.dossier.entry is not None
    rests = (Question.RAN, Question.MODEL, Question.ROUTE, Question.PROVED)
    admitted = case.dossier.entry.admitted
    assert admitted % 1000 == 882
    assert {case.verify().marks[question].since for question in rests} == {admitted}
    net.tick(5_000)
    later = case.verify(case.notary.dossier(case.answer, case.index))
    assert {later.marks[question].since for question in rests} == {net.now // 1000 * 1000}


def test_salts_go_with_their_content() -> None:
    """A salt without the content that it belongs to, or content without its salt, is refused."""
    dossier = Case().dossier
    for broken in (replace(dossier, request=None), replace(dossier, salts=Salts())):
        with pytest.raises(InvalidInput):
            Dossier.parse(broken.encode())


def test_a_dossier_reads_back_as_it_was_written() -> None:
    """Encoding and parsing are inverse."""
    dossier = Case().dossier
    assert Dossier.parse(dossier.encode()) == dossier


@pytest.mark.parametrize(
    ("escape", "refused"), [(rb"\u00e9", False), (rb"\u00E9", True), (rb"\\u00E9", False)]
)
def test_escapes_have_one_spelling(escape: bytes, refused: bool) -> None:
    """An upper-case JSON escape is refused; the same letters after an escaped backslash are just text."""
    data = msgspec.json.encode(Case().dossier).replace(b"Seven", b"Seven" + escape, 1)
    if refused:
        with pytest.raises(InvalidInput):
            Dossier.parse(data)
    else:
        Dossier.parse(data)
