"""Files that a page reads from a person: the explorer's PDFs, trust files as TOML, receipts with content."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fpdf import FPDF

from hallmark.apps.web.pdf import receipt_pdf
from hallmark.services.chain.toolchain import find_node, prepare, repository_root
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import LittleNetwork
from hallmark.testing.scene import Scene
from hallmark.testing.scene_explorer import SceneExplorer
from hallmark.testing.scene_parts import item_id
from hallmark.verification.dossier import Dossier, RequestCopy, ResponseCopy, Salts

pytestmark = pytest.mark.integration
REASONS = ("refused bad_pdf", "refused no_attached_dossier")
ODD = 'a "quoted" \\ name, [x] = {y} \u4e2d \U0001f600'


class Asked:
    """Cases and what is expected of each; asked of one node process at once."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root, self._file = root, folder / "batch.json"
        self._cases: list[dict[str, str]] = []
        self._expected: list[Any] = []

    def add(self, kind: str, data: bytes, expected: Any, item: bytes = b"") -> None:
        """A case; what is expected is a text, or a function that says whether a text will do."""
        text = {"data": base64.b64encode(data).decode(), "item": base64.b64encode(item).decode()}
        self._cases.append({"kind": kind, **text})
        self._expected.append(expected)

    def run(self) -> None:
        """Ask, and compare."""
        self._file.write_text(json.dumps(self._cases))
        script = str(self._root / "web" / "test" / "opening-batch.ts")
        done = subprocess.run(
            [str(find_node().node), "--no-warnings", script, str(self._file)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        told = json.loads(done.stdout)
        assert len(told) == len(self._expected)
        for case, found, expected in zip(self._cases, told, self._expected, strict=True):
            holds = expected(found) if callable(expected) else found == expected
            assert holds, (case["kind"], found[:500], expected)


@pytest.fixture(scope="module")
def root() -> Path:
    """The checkout, with its npm packages."""
    found = repository_root()
    prepare(found)
    return found


@pytest.fixture
def asked(root: Path, tmp_path: Path) -> Asked:
    """An empty batch."""
    return Asked(root, tmp_path)


def filed(dossier: bytes) -> bytes:
    """A PDF as the explorer writes it."""
    view = asyncio.run(SceneExplorer(Scene()).receipt(item_id(0)))
    return receipt_pdf(view, dossier, "HOLD")


def attached(*files: tuple[str, bytes], compress: bool = False) -> bytes:
    """A PDF by the same library with other attachments."""
    made = FPDF()
    made.add_page()
    for name, data in files:
        made.embed_file(bytes=data, basename=name, compress=compress)
    return bytes(made.output())


def test_the_explorers_pdf_gives_the_exact_dossier(asked: Asked) -> None:
    """Stored or deflated, short or long: the very bytes, as `hallmark verify` takes them out."""
    net = LittleNetwork()
    dossier = Notary(net).dossier(net.answer(net.nodes[0]), None)
    for data in (dossier.encode(), b"{}", b"\n%%EOF\nendstream\nendobj\n" * 9, bytes(range(256)) * 300):
        asked.add("pdf", filed(data), base64.b64encode(data).decode())
        deflated = attached(("r.hallmark.json", data), ("a.txt", b"no"), compress=True)
        asked.add("pdf", deflated, base64.b64encode(data).decode())
    asked.add("file", filed(dossier.encode()), dossier.id)
    asked.add("file", dossier.encode(), dossier.id)
    asked.run()


def test_other_pdfs_are_refused_with_a_reason(asked: Asked) -> None:
    """No attachment, two, another producer's form, one that inflates beyond the bound, or no PDF at all."""
    bomb = attached(("r.hallmark.json", b"0" * (65 << 20)), compress=True)
    for pdf, reason in (
        (b"%PDF-1.7\n", "bad_pdf"),
        (b"not a pdf", "bad_pdf"),
        (attached(), "no_attached_dossier"),
        (attached(("r.json", b"{}")), "no_attached_dossier"),
        (attached(("a.hallmark.json", b"1"), ("b.hallmark.json", b"2")), "several_attached_dossiers"),
        (filed(b"{}").replace(b"/Root", b"/Prev 1 /Root"), "bad_pdf"),
        (bomb, "pdf_too_large"),
    ):
        asked.add("pdf", pdf, f"refused {reason}")
    asked.run()


def test_a_damaged_pdf_gives_a_file_or_a_reason(asked: Asked) -> None:
    """Any byte changed: what comes out is read like any other file, or there is a reason; never a crash."""
    made = attached(("r.hallmark.json", zlib.compress(b"{}") * 20), compress=True)
    for at in range(0, len(made), 3):
        changed = made[:at] + bytes([made[at] ^ 0x15]) + made[at + 1 :]
        asked.add("pdf", changed, lambda told: told in REASONS or not told.startswith("refused"))
    asked.run()


def test_a_trust_file_reads_alike_as_toml_and_as_json(asked: Asked) -> None:
    """`trust.toml` gives the members of its JSON form, odd names and long texts too; nothing is guessed."""
    trust = Notary(LittleNetwork()).trust()
    pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    odd = msgspec.structs.replace(
        trust,
        network=ODD,
        root_certificates=({"kind": "nitro", "pem": pem},) * 2,
        attestation=msgspec.structs.replace(trust.attestation, roots={ODD: ("0x" + "00" * 32,)}),
        policy=tuple(
            msgspec.structs.replace(each, min_value=2**62 + 1, classes=("a, b", 'c"'))
            for each in trust.policy
        ),
    )
    for each in (trust, odd):
        expected = {k: v for k, v in msgspec.to_builtins(each).items() if v is not None}

        def same(told: str, expected: dict[str, Any] = expected) -> bool:
            return bool(json.loads(told) == json.loads(json.dumps(expected)))

        asked.add("toml", each.to_toml().encode(), same)
        asked.add("trust", each.to_toml().encode(), each.network)
        asked.add("trust", msgspec.json.encode(each), each.network)
    text = trust.to_toml()
    for bad in (
        text + "\nnot a line",
        text + '\nformat = "hallmark-trust/1"\n[attestation]\n',
        text.replace("threshold = 2", "threshold = 2\nthreshold = 1"),
        text.replace("threshold = 2", "threshold = 2.0"),
        text.replace("threshold = 2", "threshold = {}"),
        text.replace('"""\n\n', "", 1).replace('"""', "", 1),
        "",
        "[a]",
        "\ufeff" + text,
    ):
        asked.add("trust", bad.encode(), "refused bad_trust_file")
    asked.add("trust", b"\xff\xfe", "refused bad_trust_file")
    asked.run()


def test_what_differs_is_named(asked: Asked) -> None:
    """The item's own file, another answer's, one with another text, and a public one: each says which."""
    net = LittleNetwork()
    notary = Notary(net)
    mine = notary.dossier(net.answer(net.nodes[0]), None)
    other = notary.dossier(net.answer(net.nodes[1]), None)
    replace = msgspec.structs.replace
    item = bare(mine).encode()
    assert mine.request is not None
    asked.add("compare", mine.encode(), "receipt\nrequest\nanswer", item)

    def another(told: str) -> bool:
        first, *_ = told.splitlines()
        return first.startswith(f"NOT receipt: the file is of another one, {other.id}. They differ in node")

    asked.add("compare", other.encode(), another, item)
    changed = replace(mine, response=ResponseCopy("something else"))
    asked.add(
        "compare", changed.encode(), lambda t: "receipt\nrequest\nNOT answer: another digest" in t, item
    )
    path = replace(mine, request=RequestCopy("/v1/completions", mine.request.body))
    asked.add("compare", path.encode(), lambda t: "NOT request: another digest" in t, item)
    asked.add("compare", bare(mine).encode(), lambda t: t.count("the file does not hold it") == 2, item)
    # An id that the file merely states is not believed.
    asked.add("compare", replace(other, id=mine.id).encode(), another, item)
    asked.add("file", b'{"choices": []}', "refused answer_not_receipt")
    asked.add("file", b"data: {}\n\n", "refused answer_not_receipt")
    asked.add("file", b"{}", "refused bad_dossier")
    asked.run()


def bare(dossier: Dossier) -> Dossier:
    """The public receipt: without what is its owner's."""
    return msgspec.structs.replace(dossier, request=None, response=None, salts=Salts(None, None))
