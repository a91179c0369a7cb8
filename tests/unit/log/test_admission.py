"""What the log lets in, in whose name, and what it says to the rest."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from hallmark.core.beacon import network_id
from hallmark.core.document import digest_of
from hallmark.core.documents import Manifest, ModelCard
from hallmark.core.entries import MAX_ENTRY, Entry, decode, entry_id
from hallmark.core.errors import Conflict, HallmarkError, InvalidInput, RateLimited, TooLarge
from hallmark.core.money import Payment
from hallmark.core.objected import Run, digest_of_runs, encode_runs
from hallmark.core.receipt import Receipt
from hallmark.core.statements import (
    Compromise,
    Fault,
    Publication,
    Retirement,
    Review,
    Role,
    Verdict,
    Version,
    code,
)
from hallmark.core.typed import TypedStruct
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.ledger import proof_of_work
from hallmark.services.log.admission import MAX_MANY_ENTRIES, SIZES, join_many, split_many
from hallmark.services.log.membership import Member
from hallmark.services.log.settings import Quota, Quotas
from hallmark.services.log.submitters import Lane, Submitter
from hallmark.testing.log_admission import Gate
from hallmark.testing.log_entries import AUTHORITY, CHAIN_ID, ROUTE, plain_entry, receipt_chain, vouched
from hallmark.testing.network import LittleNetwork
from hallmark.testing.payments import offer, paid_receipt, payment

NETWORK = network_id("log.test/hallmark")
NODE, FULL_NODE, REVIEWER, STRANGER, OTHER, NODE_2 = (Key(bytes([number]) * 32) for number in range(7, 13))
OWNER = AUTHORITY.address
MEMBERS = (
    Member(NODE.address, Role.NODE, OWNER),
    Member(FULL_NODE.address, Role.FULL_NODE, OWNER),
    Member(REVIEWER.address, Role.REVIEWER, OWNER),
)
RECEIPTS = receipt_chain(NETWORK, CHAIN_ID, NODE, 3)
EASY = Quotas(work_bits=4)


def made(statement: TypedStruct, *signers: Key, attached: tuple[bytes, ...] = ()) -> bytes:
    """An entry signed by these keys."""
    signatures = tuple(sign_statement(statement, CHAIN_ID, signer) for signer in signers)
    return Entry(statement, signatures, attached).encode()


def verdict(author: Key, signer: Key | None = None, position: int = 3) -> bytes:
    """An objection to one position."""
    runs = encode_runs([Run(position, 1, "bad_signature")])
    return made(
        Verdict(NETWORK, author.address, 9, bytes(32), digest_of_runs(runs), 0),
        signer or author,
        attached=(runs,),
    )


def review(author: Key) -> bytes:
    """A review of some answer."""
    values = {
        field.name: bytes(field.size) if field.kind.startswith("bytes") else 0 for field in Review.fields()
    }
    return made(Review(**(values | {"network": NETWORK, "reviewer": author.address})), author)


def publication(owner: Key, document: bytes = b"card") -> bytes:
    """A claim to a label."""
    statement = Publication(NETWORK, owner.address, digest_of(ModelCard, document), 0)
    return made(statement, owner, attached=(document,))


def version(owner: Key) -> bytes:
    """A version of a label."""
    statement = Version(NETWORK, owner.address, digest_of(Manifest, b"m"), bytes(32), bytes(32), 0)
    return made(statement, owner, attached=(b"m",))


def equivocation(author: Key) -> bytes:
    """A fault that anybody may show."""
    return made(Fault(NETWORK, author.address, NODE.address, code("equivocation"), 1, 2, 0), author)


def refuted(author: Key) -> bytes:
    """A fault that full nodes show."""
    return made(Fault(NETWORK, author.address, FULL_NODE.address, code("refuted_verdict"), 1, 0, 0), author)


def retirement(signer: Key) -> bytes:
    """The end of the node."""
    return made(Retirement(NETWORK, NODE.address, code("end_of_life"), 0), signer)


def compromise(*signers: Key) -> bytes:
    """The node's key has leaked."""
    return made(Compromise(NETWORK, NODE.address, 0, code("key_leaked"), 0), *signers)


def worked(data: bytes, bits: int = 4) -> bytes:
    """A proof of work for an entry."""
    return proof_of_work.make(entry_id(data), bits)


def refusal(act: Callable[[], object]) -> str:
    """The reason that something is refused for."""
    with pytest.raises(HallmarkError) as caught:
        act()
    return caught.value.reason


def test_a_receipt_is_admitted_with_its_node_and_sequence() -> None:
    """In the first lane, on its node's quota."""
    found = Gate(NETWORK, MEMBERS).judge(RECEIPTS[2])
    assert (found.data, found.entry_id) == (RECEIPTS[2], entry_id(RECEIPTS[2]))
    assert (found.node, found.sequence) == (NODE.address, 2)
    assert found.standing == Submitter(Lane.RECEIPTS, "receipts", NODE.address)


@pytest.mark.parametrize(
    ("data", "lane", "quota"),
    [
        (plain_entry(NETWORK, 1), Lane.MEMBERS, ""),
        (vouched(NETWORK, STRANGER), Lane.MEMBERS, "members"),
        (vouched(NETWORK, STRANGER, Role.FULL_NODE), Lane.MEMBERS, ""),
        (vouched(NETWORK, NODE), Lane.RECEIPTS, "members"),
        (verdict(FULL_NODE), Lane.MEMBERS, "objections"),
        (refuted(FULL_NODE), Lane.MEMBERS, "objections"),
        (equivocation(NODE), Lane.MEMBERS, "members"),
        (review(REVIEWER), Lane.MEMBERS, "reviews"),
        (publication(AUTHORITY), Lane.MEMBERS, "members"),
        (version(AUTHORITY), Lane.MEMBERS, "members"),
        (retirement(NODE), Lane.MEMBERS, "members"),
        (retirement(AUTHORITY), Lane.MEMBERS, ""),
        (compromise(AUTHORITY), Lane.MEMBERS, ""),
    ],
)
def test_what_members_and_the_authority_say(data: bytes, lane: Lane, quota: str) -> None:
    """Needs no work, and counts against whoever speaks."""
    found = Gate(NETWORK, MEMBERS).judge(data)
    assert (found.standing.lane, found.standing.quota, found.node) == (lane, quota, b"")
    assert len(found.note.statement) == 32


@pytest.mark.parametrize(
    "data",
    [
        receipt_chain(NETWORK, CHAIN_ID, STRANGER, 1)[0],
        verdict(STRANGER),
        verdict(NODE),
        refuted(STRANGER),
        refuted(NODE),
        review(STRANGER),
        review(FULL_NODE),
        version(STRANGER),
        made(Retirement(NETWORK, STRANGER.address, code("end_of_life"), 0), STRANGER),
    ],
)
def test_who_is_not_registered_is_told_so(data: bytes) -> None:
    """It may come again once it is; no signature is looked at before."""
    gate = Gate(NETWORK, MEMBERS)
    with pytest.raises(Conflict) as caught:
        gate.admission.claim(data)
    assert (caught.value.reason, caught.value.retry) == ("signer_unknown", True)


@pytest.mark.parametrize(
    "data",
    [vouched(NETWORK, STRANGER, owner=OTHER), publication(STRANGER), equivocation(STRANGER)],
)
def test_a_stranger_pays_with_work(data: bytes) -> None:
    """Without a proof of work for these very bytes it is told how much; with it, it is admitted."""
    gate = Gate(NETWORK, MEMBERS, quotas=EASY)
    with pytest.raises(proof_of_work.WorkMissing) as caught:
        gate.judge(data)
    assert (caught.value.reason, caught.value.status) == ("work_missing", 428)
    assert caught.value.detail == {"work_bits": 4}
    nonce = next(
        n.to_bytes(8, "big") for n in range(99) if not proof_of_work.holds(entry_id(data), n.to_bytes(8), 4)
    )
    assert refusal(lambda: gate.judge(data, nonce=nonce)) == "work_missing"
    assert gate.judge(data, nonce=worked(data)).standing == Submitter(Lane.STRANGERS, "strangers")


def test_a_label_owner_pays_for_each_version() -> None:
    """Owning a label makes nobody a member."""
    gate = Gate(NETWORK, MEMBERS, quotas=EASY)
    claimed = publication(STRANGER)
    gate.known.apply([gate.judge(claimed, nonce=worked(claimed)).note], 9)
    assert refusal(lambda: gate.judge(version(STRANGER))) == "work_missing"
    assert gate.judge(version(STRANGER), nonce=worked(version(STRANGER))).standing.lane is Lane.STRANGERS


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "bad_entry"),
        (b"\x01\xff" + bytes(300), "bad_entry"),
        (RECEIPTS[0][:-1], "bad_entry"),
        (RECEIPTS[0] + b"\0", "bad_entry"),
        (bytes(MAX_ENTRY + 1), "entry_too_large"),
        *((bytes([1, kind]) + bytes(size - 1), "entry_too_large") for kind, size in SIZES.items()),
        (plain_entry(bytes(32), 1), "wrong_network"),
        (Entry(decode(RECEIPTS[0]).statement, ()).encode(), "signature_missing"),
        (Entry(decode(RECEIPTS[0]).statement, (bytes(65),) * 17).encode(), "too_many_signatures"),
        (
            Entry(decode(RECEIPTS[0]).statement, decode(RECEIPTS[1]).signatures, (ROUTE, b"", b"")).encode(),
            "wrong_signer",
        ),
        (Entry(decode(RECEIPTS[0]).statement, (bytes(65),), (ROUTE, b"", b"")).encode(), "bad_signature"),
        (verdict(FULL_NODE, STRANGER), "wrong_signer"),
        (retirement(STRANGER), "wrong_signer"),
        (compromise(STRANGER), "wrong_signer"),
        (compromise(AUTHORITY, AUTHORITY), "wrong_signer"),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    """Everything else is refused with its reason."""
    gate = Gate(NETWORK, MEMBERS)
    assert refusal(lambda: gate.judge(data)) == reason


@pytest.mark.parametrize(
    "data",
    [
        RECEIPTS[0],
        verdict(FULL_NODE),
        vouched(NETWORK, STRANGER),
        plain_entry(NETWORK, 1),
        publication(AUTHORITY),
        version(AUTHORITY),
        review(REVIEWER),
        retirement(NODE),
        compromise(AUTHORITY),
        equivocation(NODE),
    ],
)
def test_an_entry_has_no_second_form(data: bytes) -> None:
    """With a signature or an attachment more, fewer, or changed, it is another's and refused."""
    entry, gate = decode(data), Gate(NETWORK, MEMBERS)
    gate.judge(data)
    forms = [
        msgspec.structs.replace(entry, signatures=(*entry.signatures, entry.signatures[0])),
        msgspec.structs.replace(entry, attachments=(*entry.attachments, b"more")),
    ]
    if entry.attachments:
        forms.append(msgspec.structs.replace(entry, attachments=entry.attachments[:-1]))
    for at in range(len(entry.attachments)):
        changed = (*entry.attachments[:at], b"other", *entry.attachments[at + 1 :])
        forms.append(msgspec.structs.replace(entry, attachments=changed))
    found = {refusal(lambda form=form: gate.judge(form.encode())) for form in forms}
    assert found <= {"wrong_signer", "too_many_signatures", "attachments_malformed", "document_mismatch"}


def test_a_receipt_has_the_ticket_of_its_route() -> None:
    """Signed by the gateway that it names, with the candidates that it commits to: no other bytes."""
    net = LittleNetwork()
    members = [Member(one.address, one.role, one.owner.address) for one in (*net.nodes, net.gateway)]
    gate = Gate(net.genesis.network, members)
    entry = net.receipt_entry(net.nodes[0])
    route, candidates, ticket = entry.attachments
    assert ticket
    gate.judge(entry.encode())
    resigned = ticket[:-65] + decode(RECEIPTS[0]).signatures[0]
    for attachments in (
        (route, b"", b""),
        (route, candidates, b""),
        (route, candidates, ticket[:-1]),
        (route, candidates, resigned),
        (route, candidates, bytes(65)),
        (route, candidates + b" ", ticket),
        (route, candidates, bytes([ticket[0] ^ 1]) + ticket[1:]),
    ):
        form = msgspec.structs.replace(entry, attachments=attachments).encode()
        assert refusal(lambda form=form: gate.judge(form)) == "document_mismatch"


def test_a_paid_receipt_has_its_payment_record_and_what_a_payer_signed() -> None:
    """The record that it commits to, and an authorization exactly where somebody pays."""
    net = LittleNetwork()
    members = [Member(one.address, one.role, one.owner.address) for one in (*net.nodes, net.gateway)]
    gate, terms = Gate(net.genesis.network, members), offer(net)

    def free(receipt: Receipt) -> tuple[Payment, bytes]:
        changes = {"payer": None, "account": 0, "price": None, "reserved": "0", "charged": "0"}
        return payment(receipt, terms, b"", rail="free", **changes), b""

    for entry in (paid_receipt(net, terms), net.answers.make(net.nodes[0], paid=free).entry):
        gate.judge(entry.encode())
        *way, record, authorization = entry.attachments
        other = msgspec.structs.replace(Payment.decode(record), position=8).encode()
        for attachments, reason in (
            (way, "attachments_malformed"),
            ([*way, record], "attachments_malformed"),
            ([*way, other, authorization], "document_mismatch"),
            ([*way, b"{}", authorization], "document_mismatch"),
            ([*way, record, b"" if authorization else b"more"], "document_mismatch"),
        ):
            form = msgspec.structs.replace(entry, attachments=tuple(attachments)).encode()
            assert refusal(lambda form=form: gate.judge(form)) == reason


def test_another_chain_is_another_signature() -> None:
    """A receipt signed for one chain id is not one for another."""
    gate = Gate(NETWORK, MEMBERS, chain_id=1)
    assert refusal(lambda: gate.judge(RECEIPTS[0])) == "wrong_signer"


def test_a_quota_says_when_to_come_again() -> None:
    """What is over it is refused with a time, and taken then; what authority keys signed is not bounded."""
    quotas = Quotas(receipts=Quota(2, 2), reviews=Quota(0.5, 1))
    gate = Gate(NETWORK, MEMBERS, quotas=quotas)
    gate.take(RECEIPTS[0])
    gate.take(RECEIPTS[1])
    with pytest.raises(RateLimited) as caught:
        gate.judge(RECEIPTS[2])
    assert (caught.value.reason, caught.value.retry_after, caught.value.status) == ("quota_used", "1", 429)
    gate.take(review(REVIEWER))
    with pytest.raises(RateLimited) as other:
        gate.judge(review(REVIEWER))
    assert other.value.detail == {"retry_after": 2}
    gate.now += 0.5
    gate.take(RECEIPTS[2])
    for number in range(500):
        gate.take(plain_entry(NETWORK, number))


def test_nobody_uses_up_anothers_quota() -> None:
    """What is forged in a member's name is refused before it counts."""
    gate = Gate(NETWORK, MEMBERS, quotas=Quotas(objections=Quota(0, 1)))
    for _ in range(20):
        assert refusal(lambda: gate.take(verdict(FULL_NODE, STRANGER))) == "wrong_signer"
    gate.take(verdict(FULL_NODE))
    assert refusal(lambda: gate.take(verdict(FULL_NODE, position=4))) == "quota_used"


def test_strangers_share_a_quota() -> None:
    """By address, and all together: many addresses do not make it more."""
    quotas = Quotas(work_bits=0, strangers=Quota(0, 2), all_strangers=Quota(0, 3))
    gate = Gate(NETWORK, MEMBERS, quotas=quotas)
    claims = [publication(STRANGER, b"%d" % number) for number in range(5)]
    gate.take(claims[0], b"a", bytes(8))
    gate.take(claims[1], b"a", bytes(8))
    assert refusal(lambda: gate.take(claims[2], b"a", bytes(8))) == "quota_used"
    gate.take(claims[3], b"b", bytes(8))
    assert refusal(lambda: gate.take(claims[4], b"c", bytes(8))) == "quota_used"


def test_a_new_node_waits_to_be_believed() -> None:
    """Until its registration is witnessed and some seconds old it sends little, and its owner registers
    nobody else without work.
    """
    quotas = Quotas(new=Quota(0, 1), all_new=Quota(0, 2), work_bits=4, new_s=10)
    gate = Gate(NETWORK, MEMBERS, quotas=quotas)
    first = receipt_chain(NETWORK, CHAIN_ID, STRANGER, 3)
    joining = vouched(NETWORK, STRANGER, owner=OTHER)
    submission = gate.take(joining, nonce=worked(joining))
    gate.known.apply([submission.note], 50)
    gate.size = 50
    gate.now += 60
    assert gate.judge(first[0]).standing.quota == "new"
    gate.take(first[0])
    assert refusal(lambda: gate.take(first[1])) == "quota_used"
    assert refusal(lambda: gate.judge(vouched(NETWORK, NODE_2, owner=OTHER))) == "work_missing"
    gate.size = 51
    assert gate.judge(first[1]).standing.quota == "receipts"
    assert gate.judge(vouched(NETWORK, NODE_2, owner=OTHER)).standing.quota == "members"


def test_a_receipt_for_a_sequence_that_is_taken() -> None:
    """Two for one sequence are an equivocation: both belong in the log, a few, behind all others."""
    gate = Gate(NETWORK, MEMBERS, quotas=Quotas(repeats=Quota(0, 1)))
    gate.highest[NODE.address] = 2
    other = receipt_chain(NETWORK, CHAIN_ID, NODE, 3, salt=5)
    found = gate.take(other[0])
    assert found.standing == Submitter(Lane.STRANGERS, "repeats", NODE.address)
    assert refusal(lambda: gate.take(other[1])) == "quota_used"
    assert gate.admission.repeats(gate.judge(other[1]))


def test_who_sends_what_must_be_refused_is_heard_no_more() -> None:
    """For a while, by address; not where others stand behind the same one."""
    gate = Gate(NETWORK, quotas=Quotas(refusals=Quota(1, 3), shared_addresses=("10.0.0.1",)))
    for _ in range(3):
        gate.admission.open_to(b"a")
        gate.admission.refused(b"a")
    assert refusal(lambda: gate.admission.open_to(b"a")) == "too_much_refused"
    gate.admission.open_to(b"b")
    for _ in range(9):
        gate.admission.refused(bytes([10, 0, 0, 1]))
    gate.admission.open_to(bytes([10, 0, 0, 1]))
    gate.now += 3
    gate.admission.open_to(b"a")


def test_a_statement_is_on_its_way_once() -> None:
    """Two forms of one statement at the same time: the second is refused."""
    gate = Gate(NETWORK, MEMBERS)
    taken = gate.take(plain_entry(NETWORK, 1))
    assert refusal(lambda: gate.take(plain_entry(NETWORK, 1))) == "statement_logged"
    gate.known.gone(taken.note)
    gate.take(plain_entry(NETWORK, 1))


def test_many_entries_in_one_body() -> None:
    """Bodies of many entries come apart as they were put together; cut ones are refused."""
    body = join_many([b"", b"a", *RECEIPTS])
    assert split_many(body) == [b"", b"a", *RECEIPTS]
    assert split_many(b"") == []
    assert len(split_many(bytes(4 * MAX_MANY_ENTRIES))) == MAX_MANY_ENTRIES
    with pytest.raises(TooLarge):
        split_many(bytes(4 * (MAX_MANY_ENTRIES + 1)))
    for cut in (1, 3, len(body) - 1):
        with pytest.raises(InvalidInput):
            split_many(body[cut:] if cut == 3 else body[:cut])
