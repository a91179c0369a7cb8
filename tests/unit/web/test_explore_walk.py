"""A walk over the explorer's pages of a real log: every link of every page leads to a page that answers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from html import unescape
from typing import cast

import msgspec
import pytest
from starlette.testclient import TestClient

from hallmark.apps.web.app import create_app
from hallmark.core.document import hex0x
from hallmark.core.documents import UpstreamRecord
from hallmark.faults.evidence import Evidence, Form
from hallmark.http.client import Pool
from hallmark.ledger.policy import Policy
from hallmark.services.explorer import faults
from hallmark.services.explorer.explorer import Explorer
from hallmark.services.explorer.views import FaultRow
from hallmark.services.sdk.pdf import attached_dossier
from hallmark.testing.dossiers import proof_verifier
from hallmark.testing.followed_log import GATEWAY, FollowedLogFixture
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.testing.surfaces import ORIGIN, Scene, surfaces
from hallmark.verification.dossier import Dossier
from hallmark.verification.offline import verify_dossier

LINK = re.compile(r'(?:href|action)="(/(?:explore|network|models)[^"#]*)')


class Log:
    """A network with a moved label, a provider's answer, a revoked image, an objection, and a tail."""

    def __init__(self) -> None:
        self.watching = watching = FollowedLogFixture(by="this explorer")
        net = watching.net
        self.explorer = Explorer(
            watching.watch,
            watching.database,
            policy=Policy.parse(watching.notary.policy_text),
            pool=cast(Pool, watching.pool),
            gateway_url=f"http://{GATEWAY}",
        )
        tuesday = net.answer(net.nodes[0])
        net.add(tuesday.entry)
        thursday = net.make_manifest("2", b"another artifact", hex0x(net.manifest.digest()))
        net.add(net.version(thursday))
        record = UpstreamRecord("example", "https://api.example.com/v1", "digits", "digits-9", "r")
        asserted = net.answer(net.nodes[0], upstream_record=record)
        disputed = net.add(asserted.entry)
        net.add(net.verdict(net.full_nodes[0], disputed, "label_moved"))
        net.add(net.revocation(net.measurement, since=disputed))
        asyncio.run(self._settle())
        self.tail = net.answer(net.nodes[1])
        net.add(self.tail.entry)
        self.tuesday, self.asserted = hex0x(tuesday.receipt.digest()), hex0x(asserted.receipt.digest())
        parts = msgspec.structs.replace(surfaces(Scene()), explorer=self.explorer)
        self.pages = TestClient(create_app(parts), base_url=ORIGIN)

    def lacks(self, path: str) -> bool:
        """Whether a page may say that there is no such thing: a candidate that nobody registered, a beacon
        whose checkpoint was not seen here, the entry after the last one.
        """
        kind, _, name = path.removeprefix("/explore/").partition("/")
        watch = self.watching.watch
        if kind == "nodes":
            return len(name) == 42 and bytes.fromhex(name[2:]) not in watch.replica.registry.members
        if kind == "checkpoints":
            return int(name) not in (seen.size for seen in watch.heads.page(10**9, 1_000))
        return kind == "entries" and int(name) >= watch.replica.size

    async def _settle(self) -> None:
        await self.watching.witness()
        await self.watching.flush()
        await self.explorer.flush()


@pytest.fixture(scope="module")
def log() -> Iterator[Log]:
    """One log for all tests of this file: they only read."""
    found = Log()
    yield found
    found.watching.database.close()


def test_every_link_answers(log: Log) -> None:
    """Every page of this log can be reached from the front page, none of them fails, nor does its twin."""
    waiting, seen = ["/explore", "/network", "/models"], set[str]()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = log.pages.get(path, headers={"accept": "text/html"})
        if answer.status_code == 404 and log.lacks(path):
            continue
        assert answer.status_code == 200, path
        if "text/html" in answer.headers["content-type"]:
            waiting += [unescape(link) for link in LINK.findall(answer.text)]
    kinds = {re.sub(r"0x[0-9a-f]+|\d+", "N", path.split("?")[0]) for path in seen}
    assert {
        "/explore/receipts/N",
        "/explore/receipts/N.pdf",
        "/explore/nodes/N",
        "/explore/entries/N",
    } <= kinds
    assert {"/explore/checkpoints/N", "/models/digits", "/explore/leaves", "/explore/faults"} <= kinds


def test_the_break_and_the_objection_are_on_the_pages(log: Log) -> None:
    """The label that moved after the answer, the objection, and the revoked image each have their words."""
    tuesday = log.pages.get(f"/explore/receipts/{log.tuesday}").text
    assert 'class="hd-tear"' in tuesday
    assert "Its label points to another artifact now" in tuesday
    assert "disputed" in log.pages.get("/explore/faults").text
    assert "no longer" in log.pages.get("/explore/measurements").text


def test_evidence_of_an_equivocation_is_on_the_page_whole(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """The faults' page has the evidence to copy and its twin has it to read; an objection has none."""
    assert "evidence <code" not in log.pages.get("/explore/faults").text
    shown = Evidence(Form.TWO_RECEIPTS, b"one", b"two").encode()
    monkeypatch.setattr(faults, "rows", lambda _watch, _at: (_equivocation("0x" + shown.hex()),))
    page = log.pages.get("/explore/faults").text
    assert f'title="0x{shown.hex()}"' in page
    assert log.pages.get("/explore/faults.json").json()["rows"][0]["evidence"] == "0x" + shown.hex()


def _equivocation(evidence: str) -> FaultRow:
    key = "0x" + "11" * 20
    return FaultRow(9, 1, "equivocation", key, key, (7, 8), "proven", "Two receipts.", evidence)


def test_a_provider_answers_without_an_artifact_of_ours(log: Log) -> None:
    """The asserted answer's page names who asserts it and no artifact of the label."""
    page = log.pages.get(f"/explore/receipts/{log.asserted}").text
    page = re.sub(r"<pre.*?</pre>", "", page, flags=re.DOTALL)  # a node's bundle lists what it may load
    assert "asserted by" in page
    assert log.watching.net.manifest.artifact not in page


def test_the_files_verify_offline(log: Log) -> None:
    """The exported file and the PDF's attachment are one dossier, and a stranger derives marks from it."""
    file = log.pages.get(f"/explore/receipts/{log.tuesday}.hallmark.json").content
    pdf = log.pages.get(f"/explore/receipts/{log.tuesday}.pdf").content
    assert attached_dossier(pdf) == file
    trust = log.watching.notary.trust()
    verified = verify_dossier(
        Dossier.parse(file),
        trust,
        log.watching.net.now,
        verify_evidence=verify_stub_evidence,
        verify_proof=proof_verifier(trust),
    )
    assert {q.value: m.state.value for q, m in verified.marks.items()}["proved"] == "witnessed"


def test_exact_documents_are_exact(log: Log) -> None:
    """What the page folds away is letter by letter what the file holds."""
    page = log.pages.get(f"/explore/receipts/{log.tuesday}").text
    documents = json.loads(log.pages.get(f"/explore/receipts/{log.tuesday}.hallmark.json").content)[
        "documents"
    ]
    shown = [
        unescape(text)
        for text in re.findall(r'<pre class="x-exact" tabindex="0">(.*?)</pre>', page, re.DOTALL)
    ]
    for name in ("bundle", "route", "manifest"):
        assert documents[name] in shown


def test_a_page_of_leaves_is_what_was_logged(log: Log) -> None:
    """The bytes that a browser recomputes from are the log's own."""
    leaf = log.watching.net.leaves[0]
    found = log.pages.get("/explore/leaves", params={"start": 0, "end": 1}).content
    assert found == len(leaf).to_bytes(2, "big") + leaf
