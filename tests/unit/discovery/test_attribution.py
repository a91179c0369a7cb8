"""On what a word lands: on nothing that was not shown, and on no template that was not applied."""

from __future__ import annotations

from typing import Any

import msgspec

from hallmark.core.documents import InputRecord, UpstreamRecord
from hallmark.core.outcomes import Basis
from hallmark.core.receipt import Receipt
from hallmark.discovery.attribution import (
    NOT_SHOWN,
    NOTHING_ENTERED,
    PROVIDERS,
    WITHIN,
    Landing,
    Scope,
    landings,
    unknown,
)
from hallmark.testing.network import LittleNetwork
from hallmark.testing.outcomes import NAMED
from hallmark.verification.tree import root_of


def landed(receipt: Receipt, basis: Basis = NAMED) -> set[Landing]:
    """What a word with this basis about this receipt lands on; no route record is known."""
    return set(landings(receipt, basis, label="digits", route=None, gateway=""))


def by_parameters(answer: Any, task: str) -> set[Scope]:
    """What a word lands on that shows the parameters of such an answer to a request of this task."""
    applied = msgspec.structs.replace(answer.parameters, task=task)
    receipt = msgspec.structs.replace(answer.receipt, parameters=applied.digest())
    basis = msgspec.structs.replace(NAMED, parameters=applied.encode().decode())
    return {one.scope for one in landed(receipt, basis)} & {Scope.TEMPLATE, Scope.PARAMETERS}


def test_a_template_is_landed_on_only_where_a_chat_was_answered_by_an_artifact() -> None:
    """Not where a completion was, and not where a provider answered."""
    net = LittleNetwork()
    answer = net.answer(net.nodes[0])
    assert by_parameters(answer, "chat") == {Scope.TEMPLATE, Scope.PARAMETERS}
    assert by_parameters(answer, "completion") == {Scope.PARAMETERS}
    record = UpstreamRecord("example", "https://example.test", "big", "big-9", "r")
    passed = net.answer(net.nodes[0], upstream_record=record)
    assert by_parameters(passed, "chat") == {Scope.PARAMETERS}
    assert dict(unknown(passed.receipt, set()))[Scope.TEMPLATE] == PROVIDERS
    assert dict(unknown(answer.receipt, set()))[Scope.TEMPLATE] == WITHIN


def test_records_that_are_not_the_receipts_land_on_nothing() -> None:
    """Those that are do, by kind and source; of what is not shown nobody says that nothing entered."""
    net = LittleNetwork()
    records = (InputRecord("row", "0x" + "02" * 32, "prices"),)
    fed = net.answer(net.nodes[0], inputs=records, inputs_root=root_of(one.encode() for one in records))
    bare = net.answer(net.nodes[0])
    shown = msgspec.structs.replace(NAMED, inputs=tuple(one.encode().decode() for one in records))
    assert Landing(Scope.DATA, b"row from prices") in landed(fed.receipt, shown)
    assert Scope.DATA not in {one.scope for one in landed(bare.receipt, shown)}
    assert dict(unknown(fed.receipt, set()))[Scope.DATA] == NOT_SHOWN
    assert dict(unknown(bare.receipt, set()))[Scope.DATA] == NOTHING_ENTERED
    assert Scope.ROUTE in dict(unknown(bare.receipt, set()))
