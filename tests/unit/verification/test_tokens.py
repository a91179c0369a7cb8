"""Tokens on receipts: each is signed by an issuer whose keys stand in the log, and pays once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.core.marks import Question, State
from hallmark.core.statements import Role
from hallmark.core.tokens import GRACE_MS, MAX_EPOCH_MS, TokenSpend
from hallmark.crypto.token_keys import KeySet
from hallmark.services.sdk.verifying import Verifier
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import LittleNetwork, key
from hallmark.testing.payments import issuer_epoch, keys_of_issuer, offer, price_offer, token_answer
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.testing.token_cases import FOREIGN, HOUR, WRONGS, TokenWrong, answer_of, logged
from hallmark.testing.tokens import chance_of, tokens_of
from hallmark.verification.fold import Replica
from hallmark.verification.tables import MemoryIndex

DAY = 24 * HOUR


def reasons(net: LittleNetwork, index: int) -> tuple[str, ...]:
    """What full nodes find in the entry at `index`."""
    return net.replica().failures(index)


def issued(net: LittleNetwork, *, registered: bool = True, **changes: Any) -> int:
    """An issuer's keys in the log; where."""
    if registered:
        net.register(net.issuer)
    return net.add(issuer_epoch(net, keys_of_issuer(net, **changes)))


def test_an_answer_that_tokens_paid_for_holds() -> None:
    """And its tokens are known by from then on."""
    net = LittleNetwork()
    answer, index = logged(net)
    replica = net.replica()
    assert replica.failures(index) == ()
    keys = KeySet(answer.issuer_keys)  # type: ignore[arg-type]
    (token,) = TokenSpend.decode(answer.authorization).tokens
    place = (index - 2).to_bytes(8, "big")
    assert dict(replica.registry.nullifiers) == {place + keys.nullifier(token): index}


@pytest.mark.parametrize("wrong", WRONGS, ids=lambda wrong: wrong.name)
def test_what_does_not_hold_is_objected_to(wrong: TokenWrong) -> None:
    """By the reason that both offline verifiers give."""
    net = LittleNetwork()
    _, index = logged(net, wrong)
    assert reasons(net, index) == (wrong.reason,)


def test_tokens_of_another_network_pay_nothing() -> None:
    """Full nodes know no such keys; who is shown them with a saved receipt finds whose they are."""
    net = LittleNetwork()
    answer, index = logged(net, FOREIGN)
    assert reasons(net, index) == ("token_keys_unknown",)
    saved = Notary(net).dossier(answer, None)
    assert saved.documents.issuer_keys is not None
    verified = Verifier(Notary(net).trust(), verify_stub_evidence).verify(saved, net.now)
    found = [finding for finding in verified.findings if finding.question is Question.PAID]
    assert [(finding.state, finding.reason) for finding in found] == [(State.FAILED, FOREIGN.reason)]


def test_a_token_pays_once() -> None:
    """Whatever else stands beside it in the second spend; a spend that was refused used nothing."""
    net = LittleNetwork()
    refused, _ = logged(net, TokenWrong("", "token_sum_other", {"reserved": "41"}))
    terms, keys = offer(net), keys_of_issuer(net)
    first = net.add(token_answer(net, terms, keys).entry)
    assert reasons(net, first) == ()
    more = tokens_of(keys, 0, chance=chance_of("more"))
    both = TokenSpend.of(keys.digest(), (*tokens_of(keys, 2), *more))
    assert reasons(net, net.add(token_answer(net, terms, keys, both).entry)) == ("token_reused",)
    alone = TokenSpend.of(keys.digest(), more)
    assert reasons(net, net.add(token_answer(net, terms, keys, alone).entry)) == ()
    assert refused.authorization == TokenSpend.of(keys.digest(), tokens_of(keys, 2)).encode()


def test_tokens_of_keys_that_are_not_in_the_log_pay_nothing() -> None:
    """Never logged, refused, or rejected by full nodes."""
    net = LittleNetwork()
    net.add(price_offer(net, offer(net)))
    assert reasons(net, net.add(answer_of(net).entry)) == ("token_keys_unknown",)
    at = issued(net, registered=False)
    assert reasons(net, at) == ("issuer_not_registered",)
    assert reasons(net, net.add(answer_of(net).entry)) == ("token_keys_unknown",)
    at = issued(net, unit=9)
    for full_node in net.full_nodes[:2]:
        net.add(net.verdict(full_node, at, "issuer_keys_unsound"))
    answer = token_answer(net, offer(net), keys_of_issuer(net, unit=9))
    assert reasons(net, net.add(answer.entry)) == ("token_keys_rejected",)


def test_an_issuer_that_is_not_believed_pays_nothing_and_one_that_left_still_does() -> None:
    """Who holds tokens of an issuer that left in good standing can spend them to the end."""
    net = LittleNetwork()
    issued(net)
    net.add(price_offer(net, offer(net)))
    net.add(net.retirement(net.issuer))
    assert reasons(net, net.add(answer_of(net).entry)) == ()
    at = net.add(net.compromise(net.issuer, 1))
    assert reasons(net, at) == ()
    more = TokenSpend.of(keys_of_issuer(net).digest(), tokens_of(keys_of_issuer(net), 3))
    answer = token_answer(net, offer(net), keys_of_issuer(net), more)
    assert reasons(net, net.add(answer.entry)) == ("issuer_not_registered",)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"network": hex0x(b"\7" * 32)}, "issuer_keys_name_other"),
        ({"issuer": hex0x(b"\7" * 20)}, "issuer_keys_name_other"),
        ({"unit": 0}, "issuer_keys_unsound"),
        ({"keys": keys_of_issuer(LittleNetwork()).keys[:15]}, "issuer_keys_unsound"),
        ({"until": 1}, "issuer_keys_unsound"),
        ({"since": 0, "until": MAX_EPOCH_MS + 1}, "issuer_keys_unsound"),
    ],
)
def test_keys_are_refused_that_name_another_or_cannot_be_meant(changes: dict[str, Any], reason: str) -> None:
    """And nothing can be paid with them."""
    net = LittleNetwork()
    at = issued(net, **changes)
    assert reasons(net, at) == (reason,)
    assert net.replica().registry.issuer_keys == {}


def test_keys_are_the_issuers_own_word() -> None:
    """Signed by another, of another epoch than the statement, by a party of another role: refused."""
    net = LittleNetwork()
    net.register(net.issuer)
    keys = keys_of_issuer(net)
    assert reasons(net, net.add(issuer_epoch(net, keys, key("another")))) == ("bad_signature",)
    entry = issuer_epoch(net, keys)
    statement = msgspec.structs.replace(entry.statement, epoch=2)
    told = net.entry(statement, (net.issuer.key,), keys.encode())
    assert reasons(net, net.add(told)) == ("issuer_keys_name_other",)
    statement = msgspec.structs.replace(entry.statement, issuer=net.gateway.address)
    told = net.entry(statement, (net.gateway.key,), keys.encode())
    assert reasons(net, net.add(told)) == ("issuer_not_registered",)
    assert reasons(net, net.add(net.entry(entry.statement, (net.issuer.key,)))) == (
        "attachments_malformed",
        "document_mismatch",
    )


def test_nobody_is_told_apart_by_his_keys() -> None:
    """One set for an epoch; epochs and their beginnings ascend; no third set while the first is in force."""
    net = LittleNetwork()
    now = net.now
    week = 7 * DAY
    made = [
        ({"epoch": 3, "since": now, "until": now + 2 * week}, ()),
        ({"epoch": 3, "since": now + week, "until": now + 3 * week}, ("issuer_epoch_repeated",)),
        ({"epoch": 2, "since": now + week, "until": now + 3 * week}, ("issuer_epoch_repeated",)),
        ({"epoch": 4, "since": now, "until": now + 3 * week}, ("issuer_epochs_overlap",)),
        ({"epoch": 4, "since": now + week, "until": now + 3 * week}, ()),
        ({"epoch": 5, "since": now + 2 * week - 1, "until": now + 4 * week}, ("issuer_epochs_overlap",)),
        ({"epoch": 5, "since": now + 2 * week, "until": now + 4 * week}, ()),
    ]
    for number, (changes, reason) in enumerate(made):
        assert reasons(net, issued(net, registered=not number, **changes)) == reason
        net.tick(1)


def test_what_was_spent_of_an_epoch_is_forgotten_when_nothing_of_it_can_be_spent() -> None:
    """Key set and nullifiers go, in memory and in the index; a receipt that comes later pays with nothing."""
    net, index = LittleNetwork(), MemoryIndex()
    answer, _ = logged(net)
    late = answer_of(net, TokenWrong("", "", spend=lambda k: TokenSpend.of(k.digest(), tokens_of(k, 3))))
    replica = net.replica()
    kept = Replica(net.genesis, replica._context.verify_evidence)
    kept.resume(index, lambda size, root: True)
    for at, leaf in enumerate(net.leaves):
        kept.feed(at, leaf)
    index.write(kept.changes())
    kept.kept(kept.size)
    assert len(index.tables["nullifiers"]) == 1
    until = answer.issuer_keys.until  # type: ignore[union-attr]
    for moment, there in ((until + GRACE_MS - 1, 1), (until + GRACE_MS, 0)):
        net.now = moment
        at = net.add(net.review(net.reviewers[0], 1))
        for one in (replica, kept):
            one.feed(at, net.leaves[at])
            assert len(one.registry.issuer_keys) == there
        index.write(kept.changes())
        kept.kept(kept.size)
        assert len(replica.registry.nullifiers) == len(kept.registry.nullifiers) == there
        assert len(index.tables["nullifiers"]) == there
    assert dict(kept.registry.nullifiers) == {}
    again = Replica(net.genesis, replica._context.verify_evidence)
    assert again.resume(index, lambda size, root: root == net.tree.root(size))
    assert again.registry == replica.registry
    at = net.add(late.entry)
    for one in (replica, kept, again):
        one.feed(at, net.leaves[at])
        assert "token_keys_unknown" in one.failures(at)


def test_an_issuer_registers_as_gateways_do() -> None:
    """With the authority, and a profile."""
    net = LittleNetwork()
    at = net.register(net.issuer) or len(net.leaves) - 1
    replica = net.replica()
    assert replica.failures(at) == ()
    member = replica.registry.member(net.issuer.address, Role.ISSUER, at)
    assert member is not None
    assert member.profile is not None
