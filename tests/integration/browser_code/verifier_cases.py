"""Saved receipts, whole and broken in every way that we could think of, for both verifiers to judge."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from tests.integration.browser_code.verifier_batch import Batch

from hallmark.core.document import Document, digest_of, hex0x
from hallmark.core.documents import Attempt, InputRecord, KeyBundle, RouteRecord, UpstreamRecord
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.marks import Finding, Question, State
from hallmark.core.merkle import inclusion_proof
from hallmark.core.model_names import pinned
from hallmark.core.objected import MAX_POSITIONS, Run, digest_of_runs, encode_runs
from hallmark.core.receipt import Mode
from hallmark.core.statements import Judgement, Role
from hallmark.crypto.secp256k1 import sign_statement
from hallmark.testing.answers import Answer
from hallmark.testing.contradictions import contradictions
from hallmark.testing.development import DevelopmentNetwork
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import HOUR, Party
from hallmark.testing.withheld import Withheld, put, put_entry
from hallmark.verification.dossier import Anchor, Dossier, RequestCopy
from hallmark.verification.tree import root_of
from hallmark.verification.trust import AnchorContract, CompromisedKey, RevokedMeasurement, Trust

replace = msgspec.structs.replace
SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
ALL = ("full node 0", "full node 1", "full node 2", "full node 3")


class Case:
    """An answer in the log of a network with real development evidence, and its saved receipt."""

    def __init__(self, net: DevelopmentNetwork, node: Party | None = None, **answer: Any) -> None:
        self.net = net
        self.answer: Answer = net.answer(node or net.nodes[0], **answer)
        self.index = net.add(self.answer.entry)
        self.notary = Notary(net)
        self.trust: Trust = net.trust(self.notary)

    def dossier(self, signers: Sequence[str] | None = None, reviews: Sequence[int] = ()) -> Dossier:
        """The saved receipt."""
        return self.notary.dossier(self.answer, self.index, signers, reviews)

    def followed(self) -> Dossier:
        """The saved receipt with the leaves behind it."""
        dossier = self.dossier()
        after = tuple(base64.b64encode(leaf).decode() for leaf in self.net.leaves[self.index + 1 :])
        assert dossier.entry is not None
        return replace(dossier, entry=replace(dossier.entry, after=after))


def whole(batch: Batch) -> Case:
    """Receipts that hold, of every shape; the first one is given back for breaking."""
    net = DevelopmentNetwork()
    case = Case(net)
    plain = case.dossier()
    bare = replace(plain, entry=None, registration=None, version=None)
    shapes = {
        "witnessed": plain,
        "before the log": bare,
        "with leaves": case.followed(),
        "three cosigners": case.dossier(ALL[1:]),
        "two cosigners": case.dossier(ALL[:2]),
        "no cosigners": case.dossier([]),
        "one cosigner twice": case.dossier([ALL[0], ALL[0], ALL[1]]),
        "no registration": replace(plain, registration=None),
        "no version": replace(plain, version=None),
        "no entry": replace(plain, entry=None),
        "no copies": Dossier.parse(_without(plain, "request", "response", "salts")),
    }
    for name, dossier in shapes.items():
        add(batch, name, case, dossier)
    for name, answer in answers(net).items():
        made = Case(net, **answer)
        add(batch, f"answer {name}", made, made.dossier())
        add(batch, f"answer {name}, early", made, replace(made.dossier(), **dict.fromkeys(PLACED)))
    for number, (body, upstream) in enumerate(pins(net)):
        made = Case(net, asked=body, upstream_record=upstream)
        add(batch, f"pin {number}", made, made.dossier())
        unsalted = replace(made.dossier(), salts=replace(made.dossier().salts, request=None))
        add(batch, f"pin {number}, not compared", made, unsalted)
    assert plain.entry is not None
    assert plain.entry.proof is not None
    extra = plain.entry.proof.replace("\nindex", "\nextra AAAA\nindex", 1)
    add(batch, "extra line", case, replace(plain, entry=replace(plain.entry, proof=extra)))
    twin = Case(net)
    s = SECP256K1_ORDER - int.from_bytes(twin.answer.signature[32:64], "big")
    other = twin.answer.signature[:32] + s.to_bytes(32, "big") + bytes((55 - twin.answer.signature[64],))
    for signatures in ((other,), (twin.answer.signature, other), ()):
        at = net.add(replace(twin.answer.entry, signatures=signatures))
        add(batch, "entry signed otherwise", twin, replace(twin.dossier(), entry=twin.notary.part(at)))
    modes(batch)
    insecure = Case(DevelopmentNetwork(insecure=("no-seccomp", "no-landlock")))
    add(batch, "insecure", insecure, insecure.dossier())
    return case


PLACED = ("entry", "registration", "version")


def pins(net: DevelopmentNetwork) -> list[tuple[bytes, UpstreamRecord | None]]:
    """Requests with pinned models, rightly and wrongly, and what only looks so; with a provider's record."""
    right, wrong = net.manifest.artifact, hex0x(sha256(b"another artifact"))
    met, other = pinned("digits", right), pinned("digits", wrong)
    named = [f"digits@{right}", met, pinned("a@b", right), f"digits@{wrong}", other]
    names = [other[:-1], f"@{wrong}", "digits@20240229", f"x@{wrong}@"]
    bodies = [json.dumps({"model": name}).encode() for name in (*named, *names)]
    bodies += [b"not json", b"[]", b'{"model": 7}']
    bodies.append(f'{{"model": "{other}", "model": "{met}"}}'.encode())
    bodies.append(f'{{"model": "{other[:-1]}\\u{ord(other[-1]):04x}"}}'.encode())
    record = UpstreamRecord("example", "https://example.test", "big", "big-9", "r1")
    return [*((body, None) for body in bodies), (bodies[0], record), (b'{"model": "gpt"}', record)]


def answers(net: DevelopmentNetwork) -> dict[str, dict[str, Any]]:
    """Answers that are signed and logged, each with something else in it, right or wrong."""
    vanilla = Party("vanilla", Role.NODE)
    vanilla.bundle = net.bundle(vanilla, Mode.VANILLA)
    net.register(vanilla)
    replay = Party("replay", Role.NODE)
    replay.bundle = net.bundle(replay, Mode.REPLAY)
    net.register(replay)
    records = (
        InputRecord("tool", hex0x(b"\x01" * 32), "client"),
        InputRecord("row", hex0x(b"\x02" * 32), "caf\u00e9 \u2028 \U0001f600", net.now - 90_000),
    )
    root = root_of(record.encode() for record in records)
    upstream = UpstreamRecord("example", "https://example.test", "big", "big-9", "r1")
    one = b"\x07" * 32
    made: dict[str, dict[str, Any]] = {
        "direct": {"direct": True},
        "inputs": {"inputs": records, "inputs_root": root},
        "inputs unlisted": {"inputs_root": root},
        "inputs uncommitted": {"inputs": records},
        "upstream": {"upstream_record": upstream},
        "vanilla": {"node": vanilla},
        "replay": {"node": replay},
        "paid": {"payment": one, "charged": 2**127 + 5},
        "charged": {"charged": 1},
        "both models": {"upstream": one},
        "neither model": {"artifact": ZERO32, "manifest": ZERO32},
        "half a model": {"artifact": ZERO32},
        "far past and future": {"started": 0, "finished": 2**64 - 1},
        "reversed": {"started": net.now + 5, "finished": net.now - 5},
    }
    fields = ("network", "bundle", "manifest", "artifact", "parameters", "route", "request", "response")
    made |= {f"other {name}": {name: one} for name in fields}
    made |= {f"mode {mode}": {"mode": mode} for mode in (0, 2, 3, 200)}
    made |= {f"version {version}": {"version": version} for version in (0, 2)}
    later = net.now + 10 * HOUR
    tickets: dict[str, dict[str, Any]] = {
        "expired": {"expires": 1},
        "expires within the skew": {"expires": net.now - 60_040},
        "expired past the skew": {"expires": net.now - 60_041},
        "issued later": {"issued": later},
        "of nobody": {"gateway": b"\x07" * 20},
        "of another network": {"network": one},
    }
    return made | {f"ticket {name}": {"ticket_changes": change} for name, change in tickets.items()}


def modes(batch: Batch) -> None:
    """Replay receipts of artifacts that allow it and that do not, and zkml ones; whole and left out."""
    traced = {"trace_root": hex0x(sha256(b"trace")), "trace_leaves": 7}
    for about in ({"format": "integer-exact"}, {}):
        net = DevelopmentNetwork(found=False)
        net.manifest = replace(net.manifest, **about)
        net.found()
        vanilla = Party("vanilla", Role.NODE)
        vanilla.bundle = net.bundle(vanilla, Mode.VANILLA)
        net.register(vanilla)
        for node in (net.nodes[0], vanilla):
            for mode in (Mode.REPLAY, Mode.ZKML):
                for applied in ({}, traced):
                    case = Case(net, node, mode=mode, applied=applied)
                    name, whole_one = f"{about} {node.name} {mode.name} {len(applied)}", case.dossier()
                    add(batch, name, case, whole_one)
                    for left in ("manifest", "parameters", "bundle"):
                        shown = replace(whole_one.documents, **{left: "" if left == "bundle" else None})
                        add(batch, f"{name}, no {left}", case, replace(whole_one, documents=shown))


def seconds(batch: Batch) -> None:
    """Cosignatures whose whole second lies before the admission of what they cover, at it, and after it."""
    for apart in (0, 1, 882, 999):
        net = DevelopmentNetwork()
        net.tick(apart)
        case = Case(net)
        review = net.add(net.review(net.reviewers[0], case.index))
        add(batch, f"admitted {apart} ms into a second", case, case.dossier(reviews=[review]))
        net.tick(1_000)
        add(batch, f"cosigned {1_000 + apart} ms later", case, case.dossier(reviews=[review]))


def lists(batch: Batch, net: DevelopmentNetwork) -> None:
    """Verdicts on many entries, and lists that are none: each behind a receipt of its own."""
    made: tuple[tuple[str, Callable[[int], bytes]], ...] = (
        ("many", lambda at: encode_runs([Run(0, at, "a"), Run(at, 1, "bad_signature"), Run(at + 1, 1, "b")])),
        ("beside it", lambda at: encode_runs([Run(0, at, "bad_signature"), Run(at + 1, 1, "b")])),
        ("ahead", lambda at: encode_runs([Run(at, 50, "bad_signature")])),
        ("empty", lambda _: b""),
        ("cut", lambda at: encode_runs([Run(at, 1, "bad_signature")])[:-1]),
        ("too many positions", lambda at: encode_runs([Run(at - 1, MAX_POSITIONS + 1, "bad_signature")])),
        ("no positions", lambda at: encode_runs([Run(0, 0, "a"), Run(at, 1, "bad_signature")])),
        ("disorder", lambda at: encode_runs([Run(at, 1, "bad_signature"), Run(0, 1, "a")])),
        ("overlap", lambda at: encode_runs([Run(at - 1, 2, "a"), Run(at, 1, "bad_signature")])),
        (
            "too many runs",
            lambda at: encode_runs([Run(at, 1, "a"), *(Run(at + n, 1, "a") for n in range(1, 129))]),
        ),
        ("no reason", lambda at: at.to_bytes(8, "big") + b"\0\0\0\1" + bytes(32)),
        ("a zero within", lambda at: at.to_bytes(8, "big") + b"\0\0\0\1" + b"a\0b".ljust(32, b"\0")),
        ("a byte past ASCII", lambda at: at.to_bytes(8, "big") + b"\0\0\0\1" + b"\xff".ljust(32, b"\0")),
    )
    author = net.full_nodes[0]
    for name, listed in made:
        case = Case(net)
        net.add(net.receipt_entry(net.nodes[1]))
        objected, said = listed(case.index), net.verdict(author, case.index, "bad_signature").statement
        signed = replace(said, objected=digest_of_runs(objected))
        net.add(net.entry(signed, (author.key,), objected))
        add(batch, f"a list: {name}", case, case.followed())
        for odd in (replace(signed, size=net.tree.size + 9), replace(signed, objected=ZERO32)):
            other = Case(net)
            net.add(net.entry(odd, (author.key,), listed(other.index)))
            add(batch, f"a list: {name}, not as committed", other, other.followed())


def objections(batch: Batch) -> None:
    """What full nodes, liars and strangers log behind a receipt."""
    net = DevelopmentNetwork()
    for count in range(5):
        case = Case(net)
        for author in net.full_nodes[:count]:
            net.add(net.verdict(author, case.index, ("artifact_mismatch", "unheard_of", "x" * 32)[count % 3]))
        net.add(net.verdict(net.nodes[1], case.index, "bad_signature"))
        net.add(net.verdict(net.full_nodes[0], case.index - 1, "bad_signature"))
        add(batch, f"{count} objections", case, case.followed())
    case = Case(net)
    said = net.verdict(net.full_nodes[0], case.index, "bad_signature")
    for entry in (
        net.entry(said.statement, (net.full_nodes[1].key,), *said.attachments),
        net.entry(said.statement, (net.full_nodes[0].key, net.full_nodes[1].key), *said.attachments),
        net.entry(replace(said.statement, network=ZERO32), (net.full_nodes[0].key,), *said.attachments),
        said,
    ):
        net.add(entry)
        add(batch, "objections in another's name", case, case.followed())
    lists(batch, net)
    case, liar = Case(net), net.full_nodes[0]
    lie = net.add(net.verdict(liar, case.index, "bad_signature"))
    for refuter in net.full_nodes[1:4]:
        net.add(net.fault(refuter, liar.address, "refuted_verdict", lie, lie))
        add(batch, "refuted", case, case.followed())
    second = net.add(net.receipt_entry(net.nodes[0], sequence=0, previous=ZERO32))
    net.add(net.fault(net.full_nodes[1], net.nodes[0].address, "equivocation", case.index, second))
    add(batch, "equivocation", case, case.followed())
    true = case.followed()
    assert true.entry is not None
    after = true.entry.after or ()
    for name, wrong in {
        "shorter": after[:-1], "longer": (*after, after[0]), "reversed": after[::-1], "none": (),
        "another": (base64.b64encode(b"another leaf").decode(), *after[1:]),
    }.items():  # fmt: skip
        add(batch, f"leaves {name}", case, replace(true, entry=replace(true.entry, after=wrong)))
    add(batch, "leaves unproven", case, replace(true, entry=replace(true.entry, proof=None)))
    extra = replace(true.registration, after=()) if true.registration else None
    add(batch, "leaves beside a registration", case, replace(true, registration=extra))


def withheld(batch: Batch) -> None:
    """Every part of a file that may be left out: left out, contrary, and two of them at once."""
    net = DevelopmentNetwork()
    made = Withheld(net)
    trust = made.trust(net.trust(made.notary))
    wholes = (
        (made.whole, list(made.rows())),
        (made.tokened, list(made.token_rows())),
        (made.provided, list(made.provider_rows())),
    )
    for whole, rows in wholes:
        for row in rows:
            batch.dossier(f"without {row.part}", row.without(whole).encode(), trust, net.now)
            batch.dossier(f"contrary {row.part}", row.contrary(whole).encode(), trust, net.now)
            for also in rows:
                both = also.without(row.without(whole))
                batch.dossier(f"without {row.part}, {also.part}", both.encode(), trust, net.now)
                wrong = row.contrary(also.without(whole))
                name = f"contrary {row.part}, without {also.part}"
                batch.dossier(name, wrong.encode(), trust, net.now)
    for name, saved, _, _ in contradictions(made):
        batch.dossier(name, saved.encode(), trust, net.now)
    key = CompromisedKey(hex0x(net.nodes[0].address), made.at + 1, "key_leaked")
    lost = replace(trust, compromised=(key,))
    for name, change in {"proven": put(), "unproven": put_entry(proof=None), "none": put(entry=None)}.items():
        batch.dossier(f"position {name}", change(made.whole).encode(), lost, net.now)


def reviews(batch: Batch) -> None:
    """Reviews that agree, disagree, are withdrawn, and that do not count."""
    said = Judgement
    orders: dict[str, tuple[tuple[int, int], ...]] = {
        "one": ((0, said.FIT),),
        "two": ((0, said.FIT), (1, said.FIT)),
        "unfit": ((0, said.UNFIT),),
        "two unfit": ((0, said.UNFIT), (2, said.UNFIT)),
        "apart": ((0, said.FIT), (1, said.UNFIT)),
        "withdrawn": ((0, said.UNFIT), (1, said.FIT), (0, said.UNDECIDED)),
        "changed": ((0, said.UNFIT), (0, said.FIT)),
        "unknown": ((0, 9),),
    }
    net = DevelopmentNetwork()
    for name, order in orders.items():
        case = Case(net)
        at = [
            net.add(net.review(net.reviewers[who], case.index, Judgement.FIT, judgement=what))
            for who, what in order
        ]
        saved = case.dossier(reviews=at)
        add(batch, f"reviews {name}", case, saved)
        add(batch, f"reviews {name} backwards", case, replace(saved, reviews=saved.reviews[::-1]))
        first, *others = saved.reviews
        add(
            batch,
            f"reviews {name} unproven",
            case,
            replace(saved, reviews=(replace(first, proof=None), *others)),
        )
    case, party = Case(net), net.reviewers[0]
    changes: dict[str, dict[str, Any]] = {
        "network": {"network": b"\x07" * 32}, "item": {"item": b"\x07" * 32}, "subject": {"subject": 1},
        "reviewer": {"reviewer": b"\x07" * 20}, "reason": {"reason": b"\xff\x00caf\xc3\xa9" + bytes(25)},
    }  # fmt: skip
    for name, change in changes.items():
        statement = replace(net.review(party, case.index).statement, **change)
        at = [net.add(net.entry(statement, (party.key,)))]
        add(batch, f"review of another {name}", case, case.dossier(reviews=at))
    node, gateway = case.net.nodes[0], case.net.gateway
    for name, by in {"stranger": case.net.nodes[1], "node": node, "gateway": gateway}.items():
        at = [net.add(net.review(by, case.index))]
        add(batch, f"review by {name}", case, case.dossier(reviews=at))
        trust = replace(case.trust, reviewers=(*case.trust.reviewers, hex0x(by.address)))
        add(batch, f"review by {name} who is listed", case, case.dossier(reviews=at), trust)
    entry = net.review(party, case.index)
    forged = entry.signatures[0]
    for name, signature in {
        "high": forged[:32] + b"\xff" * 32 + forged[64:], "other v": forged[:64] + b"\x02",
        "zero": bytes(64) + b"\x1b", "changed": forged[:9] + b"\x00" + forged[10:],
    }.items():  # fmt: skip
        at = [net.add(replace(entry, signatures=(signature,)))]
        add(batch, f"review signature {name}", case, case.dossier(reviews=at))
    at = [net.add(replace(entry, attachments=(b"x",))), net.add(net.receipt_entry(net.nodes[1]))]
    for position in at:
        add(batch, "review that is none", case, case.dossier(reviews=[position]))
    saved = case.dossier(reviews=[net.add(entry)])
    add(batch, "review without an entry", case, replace(saved, entry=None))


def remade(batch: Batch, case: Case) -> None:
    """Receipts that the node signed over other documents, and evidence exchanged before any logging."""
    net, answer = case.net, case.answer
    node, other = net.nodes
    assert node.bundle is not None
    assert other.bundle is not None
    assert answer.candidates is not None
    zero, upstream = ZERO32, UpstreamRecord("example", "https://example.test", "big", "big-9", "r1")
    stranger = replace(answer.candidates, candidates=answer.candidates.candidates[1:])
    ticket, packed = net.answers.ticket(stranger)
    record, told = answer.route, upstream.encode().decode()
    spaced = node.bundle.encode().replace(b",", b", ", 1)
    made: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "bundle of another": ({"bundle": other.bundle.digest()}, {"bundle": other.bundle}),
        "bundle with white space": ({"bundle": digest_of(KeyBundle, spaced)}, {"bundle": spaced.decode()}),
        "bundle not canonical": ({"bundle": digest_of(KeyBundle, b"{}")}, {"bundle": "{}"}),
        "route to another": _routed(replace(record, chosen=hex0x(other.address))),
        "route by fax": _routed(replace(record, path="fax")),
        "route sealed": _routed(replace(record, path="sealed", saw_prompt=("upstream x", "node"))),
        "route seen by nobody": _routed(replace(record, saw_prompt=())),
        "route with attempts": _routed(
            replace(record, attempts=(Attempt(hex0x(other.address), "busy"),) * 2)
        ),
        "node not offered": _routed(replace(record, ticket=hex0x(ticket.struct_hash())), candidates=stranger),
        "upstream shown": (
            {"upstream": upstream.digest(), "artifact": zero, "manifest": zero},
            {"upstream": upstream, "manifest": None},
        ),
        "another upstream shown": (
            {"upstream": b"\x07" * 32, "artifact": zero, "manifest": zero},
            {"upstream": told, "manifest": None},
        ),
    }
    early = replace(case.dossier(), **dict.fromkeys(PLACED))
    for name, (fields, documents) in made.items():
        receipt = replace(answer.receipt, **fields)
        texts = {k: v.encode().decode() if isinstance(v, Document) else v for k, v in documents.items()}
        signed = replace(
            early,
            receipt=receipt.to_json(),
            signature=hex0x(sign_statement(receipt, net.genesis.chain_id, node.key)),
            id=hex0x(receipt.digest()),
            documents=replace(early.documents, **texts),
            ticket=hex0x(packed) if "candidates" in documents else early.ticket,
        )
        add(batch, name, case, signed)
    path = "/" * 65_536
    unbounded = sha256(b"hallmark/request/v1\0", answer.salts[0], path.encode(), answer.request)
    receipt = replace(answer.receipt, request=unbounded)
    signed = replace(
        early,
        receipt=receipt.to_json(),
        signature=hex0x(sign_statement(receipt, net.genesis.chain_id, net.nodes[0].key)),
        id=hex0x(receipt.digest()),
        request=RequestCopy(path, answer.request.decode()),
    )
    add(batch, "path without a length", case, signed)
    evidence = base64.b64decode(early.evidence or "")
    for name, raw in {
        "none": b"", "junk": b"junk", "longer": evidence + b"\0", "shorter": evidence[:-1],
        "not ASCII": b"\xff" + evidence[1:],
        "other kind": b"\x05nitro" + evidence[10:],
        "other": other.evidence.encode() if other.evidence else b"",
    }.items():  # fmt: skip
        text = base64.b64encode(raw).decode() or None
        add(batch, f"evidence {name}", case, replace(early, evidence=text))
    for insecure in (("seccomp",), ("", "")):
        add(batch, "switches", case, replace(early, insecure=insecure))
    hidden = replace(early, documents=replace(early.documents, configuration=None, parameters=None))
    add(batch, "nothing shown", case, hidden)
    add(batch, "nothing shown, switches", case, replace(hidden, insecure=("seccomp",)))
    vanilla = Party("plain", Role.NODE)
    vanilla.bundle = net.bundle(vanilla, Mode.VANILLA)
    plain = Case(net, vanilla).notary.dossier(net.answer(vanilla), None)
    add(batch, "vanilla with evidence", case, replace(plain, evidence=early.evidence))
    old = Case(DevelopmentNetwork())
    old.net.tick(2 * HOUR + 1)
    late = Case(old.net)
    add(batch, "old evidence", late, late.dossier())
    again = Case(late.net)
    late.net.register(late.net.nodes[0])
    add(batch, "registered after the answer", again, again.dossier())
    node = late.net.nodes[1]
    node.registered = late.net.add(late.net.registration(node), admitted=late.net.now + 5)
    backwards = Case(late.net, node)
    add(batch, "registered before it, by a later clock", backwards, backwards.dossier())


def _routed(record: RouteRecord, **documents: Document) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"route": record.digest()}, {"route": record, **documents}


def trusts(batch: Batch, case: Case) -> None:
    """One sound receipt under trust files of all kinds."""
    trust, dossier = case.trust, case.dossier()
    node, digest = hex0x(case.net.nodes[0].address), hex0x(case.net.measurement.digest())
    policy, measurement = trust.attestation, trust.measurement[0]
    root = policy.roots["nitro-dev"][0]
    aws = "0x641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
    attestations: dict[str, dict[str, Any]] = {
        "no kinds": {"kinds": ()},
        "no roots": {"roots": {}},
        "empty roots": {"roots": {"nitro-dev": ()}},
        "other root": {"roots": {"nitro-dev": (hex0x(b"\x07" * 32),)}},
        "shared root": {"roots": {"nitro-dev": (root,), "snp": (root,)}},
        "vendor root as simulated": {"roots": {"nitro-dev": (root, aws)}},
        "no vendor root": {"roots": {"nitro-dev": (root,), "nitro": (root,)}},
        "every kind": {"roots": {"nitro-dev": (root,), "nitro": (aws,)}, "kinds": ("nitro", "nitro-dev")},
        "no age": {"max_age": 0},
        "one ms": {"max_age": 1},
    }
    lines = trust.tlog_policy.splitlines()
    group = "full-node-0 full-node-1 full-node-2 full-node-3"
    quorums = {
        "none": [*lines[:5], "quorum none"],
        "all": [*lines[:5], f"group all all {group}", "quorum all"],
        "any": [*lines[:5], "# comment", "", f"group\tany  any {group}", "quorum any"],
        "one": [*lines[:5], "quorum full-node-2"],
        "nested": [*lines[:5], "group a 2 full-node-0 full-node-1", "group b 2 a full-node-2", "quorum b"],
        "three of them": [lines[0], *lines[2:5], "quorum none"],
        "one log less": [*lines[1:5], "quorum none"],
    }
    changed: dict[str, Trust] = {
        "no gateways": replace(trust, gateways=()),
        "no full nodes": replace(trust, full_nodes=()),
        "another origin": replace(trust, origin="other.test/log"),
        "another chain": replace(trust, chain_id=1),
        "no measurement": replace(trust, measurement=()),
        "compromised": replace(trust, compromised=(CompromisedKey(node, case.index, "x"),)),
        "compromised later": replace(trust, compromised=(CompromisedKey(node, case.index + 1, "x"),)),
        "another compromised": replace(trust, compromised=(CompromisedKey("0x" + "07" * 20, 0, "x"),)),
        "revoked": replace(trust, revoked=(RevokedMeasurement(digest, 0, "x"),)),
        "revoked later": replace(trust, revoked=(RevokedMeasurement(digest, 10_000, "x"),)),
        "another revoked": replace(trust, revoked=(RevokedMeasurement(hex0x(ZERO32), 0, "x"),)),
    }
    changed |= {
        f"attestation: {n}": replace(trust, attestation=replace(policy, **c)) for n, c in attestations.items()
    }
    changed |= {f"quorum: {n}": replace(trust, tlog_policy="\n".join(c) + "\n") for n, c in quorums.items()}
    images: dict[str, dict[str, Any]] = {
        "ended": {"not_after": 1}, "ends now": {"not_after": case.net.start},
        "floor": {"registers": measurement.registers | {"PCR0_FLOOR": "0x" + "00" * 48}},
        "high floor": {"registers": measurement.registers | {"PCR1_FLOOR": "0x" + "ff" * 48}},
        "short floor": {"registers": measurement.registers | {"PCR1_FLOOR": "0x00"}},
        "no PCR0": {"registers": {"PCR1": measurement.registers["PCR1"]}},
        "PCR3": {"registers": measurement.registers | {"PCR3": "0x" + "00" * 48}},
        "another kind": {"evidence": "nitro"},
        "upper case": {"registers": {n: v[:2] + v[2:].upper() for n, v in measurement.registers.items()}},
        "other PCR2": {"registers": measurement.registers | {"PCR2": "0x" + "07" * 48}},
        "name": {"name": "caf\u00e9 {what}"},
    }  # fmt: skip
    changed |= {
        f"image: {n}": replace(trust, measurement=(replace(measurement, **c),))
        for n, c in images.items()
        if n != "upper case"
    }
    changed["two images"] = replace(trust, measurement=(replace(measurement, not_after=1), measurement))
    for name, each in changed.items():
        for shape, saved in {"": dossier, ", early": replace(dossier, **dict.fromkeys(PLACED))}.items():
            add(batch, f"trust {name}{shape}", case, saved, each)
    objection = Finding(
        Question.PROVED, State.DISPUTED, "full node 2", 1, b"", "equivocation", {"what": "said"}
    )
    praise = Finding(Question.REVIEWED, State.ANCHORED, "a friend", 1)
    for status in (
        (objection,),
        (praise,),
        (praise, objection, replace(objection, state=State.FAILED, at=9)),
    ):
        batch.dossier("status", dossier.encode(), trust, case.net.now, status)


def anchors(batch: Batch, case: Case) -> None:
    """The anchoring service's word, right and wrong; none of it ever reads as anchored."""
    net, dossier = case.net, case.dossier()
    size, contract = net.tree.size, "0x" + "0a" * 20
    path = tuple(hex0x(node) for node in inclusion_proof(case.index, size, net.tree.node))
    right = Anchor(31337, contract, hex0x(ZERO32), 7, size, hex0x(net.tree.root()), 2, path)
    words: dict[str, dict[str, Any]] = {
        "right": {}, "root": {"root": hex0x(ZERO32)}, "size": {"size": size + 1},
        "smaller": {"size": 1, "path": ()},
        "huge": {"size": 2**70, "path": ()}, "negative": {"size": -1}, "path": {"path": path[1:]},
        "other path": {"path": (hex0x(ZERO32), *path[1:])}, "chain": {"chain_id": 1},
        "contract": {"contract": "0x" + "0b" * 20},
        "transaction": {"transaction": hex0x(b"\x01" * 32)}, "no path": {"path": ()},
        "other root, no path": {"root": hex0x(ZERO32), "path": ()},
    }  # fmt: skip
    known = replace(case.trust, anchor=AnchorContract(contract, 31337))
    for name, change in words.items():
        for trust in (case.trust, known):
            add(batch, f"anchor {name}", case, replace(dossier, anchor=replace(right, **change)), trust)


def _without(dossier: Dossier, *names: str) -> bytes:
    return msgspec.json.encode({k: v for k, v in json.loads(dossier.encode()).items() if k not in names})


def add(batch: Batch, name: str, case: Case, dossier: Dossier, trust: Trust | None = None) -> None:
    """A dossier under the case's trust file, or another, at the network's time."""
    batch.dossier(name, dossier.encode(), trust or case.trust, case.net.now)
