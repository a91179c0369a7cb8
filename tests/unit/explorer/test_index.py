"""The explorer's index: what is asked of it at any size, what it writes, and what it counts."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from hallmark.core.document import hex0x
from hallmark.services.explorer.index import RECEIPT, prefix_of
from hallmark.services.explorer.schema import NAMES
from hallmark.testing.query_plans import plans


async def _some(exploring: Any) -> Any:
    net = exploring.net
    for number in range(4):
        net.add(net.receipt_entry(net.nodes[number % 2]))
    await exploring.witness()
    return net


@pytest.mark.parametrize("query", ["", "node={node}", "model=digits", "node={node}&model=digits"])
async def test_no_list_of_receipts_reads_a_whole_table(exploring: Any, query: str) -> None:
    """Nor sorts one: a page costs the same whatever lies behind it."""
    net = await _some(exploring)
    with plans(exploring.database) as found:
        page = await exploring.explorer.receipts(query.format(node=hex0x(net.nodes[0].key.address)), "", 25)
        await exploring.explorer.receipts(query.format(node=hex0x(net.nodes[0].key.address)), "3", 25)
    assert page.rows
    assert found.asked
    assert found.walks == []


async def test_no_search_and_no_page_of_a_party_reads_a_whole_table(exploring: Any) -> None:
    """By id, by prefix, by address; faults and objections as well."""
    net = await _some(exploring)
    receipt = (await exploring.explorer.receipts("", "", 1)).rows[0].id
    with plans(exploring.database) as found:
        for text in (receipt, receipt[:8], hex0x(net.nodes[0].key.address)):
            assert (await exploring.explorer.search(text)).rows
        await exploring.explorer.node(hex0x(net.nodes[0].key.address))
        await exploring.explorer.model("digits")
        await exploring.explorer.receipt(receipt)
        await exploring.explorer.figures()
    assert [walk for walk in found.walks if "explorer_" in walk] == []


async def test_a_name_that_only_begins_alike_is_not_found(exploring: Any) -> None:
    """The index keeps 12 digits; the others are compared with the entry itself."""
    await _some(exploring)
    receipt = (await exploring.explorer.receipts("", "", 1)).rows[0].id
    other = receipt[:-1] + ("0" if receipt[-1] != "0" else "1")
    assert (await exploring.explorer.search(other)).rows == ()
    found = exploring.explorer._index
    assert await found.find(RECEIPT, other[2:], 5) == await found.find(RECEIPT, receipt[2:], 5) != []


async def test_a_checkpoint_is_indexed_in_one_transaction(exploring: Any) -> None:
    """However many receipts it covers, counts included."""
    net = await _some(exploring)
    commits = []
    event.listen(exploring.database._write_engine, "commit", lambda _: commits.append(1))
    for number in range(16):
        net.add(net.receipt_entry(net.nodes[number % 2]))
    exploring.log.witnessed = net.tree.size
    await exploring.follow()
    commits.clear()
    await exploring.explorer.flush()
    assert len(commits) == 1
    kept = exploring.database.read(
        lambda c: c.scalar(sa.select(sa.func.count()).select_from(NAMES).where(NAMES.c.space == RECEIPT))
    )
    assert kept == 3 * 20
    assert (await exploring.explorer.receipts("", "", 1)).total == 20


def test_prefixes_keep_the_order_of_digests() -> None:
    """So that any prefix of digits is a range."""
    names = [bytes([first, second]) + bytes(30) for first in (0, 127, 128, 255) for second in (0, 255)]
    assert sorted(names) == sorted(names, key=prefix_of)
