"""The explorer's index and what is followed, on PostgreSQL."""

from __future__ import annotations

import pytest

from hallmark.core.document import hex0x
from hallmark.store import Database
from hallmark.testing import postgres
from hallmark.testing.explorer import ExplorerFixture

pytestmark = pytest.mark.integration


async def test_lists_search_and_restart_on_postgresql() -> None:
    """Lists, totals, prefix search, history and kept checkpoints are the same on the other database."""
    if postgres.binaries() is None:
        pytest.skip("PostgreSQL's server is not installed")
    with postgres.server() as url:
        first = ExplorerFixture(database=Database(url))
        net = first.net
        answers = [net.answer(net.nodes[n % 2]) for n in range(4)]
        for answer in answers:
            net.add(answer.entry)
        await first.witness()
        await first.flush()
        node, wanted = hex0x(net.nodes[0].address), hex0x(answers[2].receipt.digest())
        first.database.close()
        again = ExplorerFixture(net, Database(url))
        assert len(again.watch.heads) == 1
        await again.witness()
        page = await again.explorer.receipts(f"node={node}", "", 10)
        assert [row.id for row in page.rows] == [wanted, hex0x(answers[0].receipt.digest())]
        assert (await again.explorer.receipts("", "", 2)).total == 4
        for query in (wanted[:9], hex0x(answers[2].receipt.request)):
            assert [row.name for row in (await again.explorer.search(query)).rows] == [wanted]
        root = hex0x(net.tree.root())
        assert [row.kind for row in (await again.explorer.search(root)).rows] == ["checkpoint"]
        assert [m.kind for m in (await again.explorer.node(node)).history] == ["logged"]
        assert await again.watch.leaves.read(0, net.tree.size) == net.leaves
        again.database.close()
