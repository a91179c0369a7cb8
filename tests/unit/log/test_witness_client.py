"""What a log makes of a witness's refusals."""

from __future__ import annotations

from typing import Any, cast

import pytest
from tests.unit.log.test_publisher import WITNESSES, started

from hallmark.ledger.witness import SIZE_TYPE, TEXT_TYPE
from hallmark.services.log.witness_client import WitnessClient, WitnessRefused


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [(422, TEXT_TYPE, b"root_differs: x\n"), (409, SIZE_TYPE, b"7\n"), (409, TEXT_TYPE, b"")],
)
async def test_another_root_at_an_equal_size_is_another_history(status: int, kind: str, body: bytes) -> None:
    """422 by the newer text of tlog-witness and 409 by v1.0.0 both contradict the store."""
    bench = await started()
    await bench.grow(7 - bench.store.size)
    told = []
    party = next(iter(WITNESSES.values()))
    if not party.url:
        party = type(party)(party.name, party.key, "http://witness.test")
    link = WitnessClient(bench.publisher, cast(Any, None), party, lambda *_: None)
    link.known = 7
    bench.publisher.contradict = lambda _, reason: told.append(reason)  # type: ignore[method-assign]
    with pytest.raises(WitnessRefused) as caught:
        link._check_forked(status, kind, body)
    assert (caught.value.reason, told) == ("log_forked", ["log_forked"])
    link._check_forked(409, SIZE_TYPE, b"5\n")
    assert told == ["log_forked"]
