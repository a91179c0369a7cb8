"""Vectors of payments: saved receipts whose money holds or does not, and what both verifiers find in each.

`make.py` writes them to payments.json. A case is `base` with its `changes` put over it, member by member, and
those of `documents` likewise. A browser does not know the evidence of this network: what is `checked` here is
`claimed` there; what fails, and why, is the same.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hallmark.core.money import FreeUse, Offer
from hallmark.testing import token_cases
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import LittleNetwork
from hallmark.testing.paid_cases import WRONGS, answer_of, changed_fields, changed_x402
from hallmark.testing.payments import free_answer, offer, paid_answer, x402_answer
from hallmark.testing.withheld import put_document
from hallmark.verification.dossier import Dossier


def payment_vectors() -> dict[str, Any]:
    """See the module docstring."""
    net = LittleNetwork()
    notary, terms = Notary(net), offer(net, free=FreeUse(64, 64))
    answer, free = paid_answer(net, terms), free_answer(net, terms)
    assert isinstance(answer.offer, Offer)
    assert answer.payment is not None
    saved = notary.dossier(answer, None)
    base = _plain(saved)
    cases = [
        _case("a paid answer", "checked", "", base, saved),
        _case("a free answer", "not_required", "", base, notary.dossier(free, None)),
    ]
    for name, reason, change in changed_fields(answer.payment, answer.offer, answer.authorization):
        cases.append(_case(f"another {name}", "failed", reason, base, change(saved)))
    for way in ("transfer", "permit", "upto", "voucher"):
        paid = x402_answer(net, terms, way)
        shown = notary.dossier(paid, None)
        cases.append(_case(f"x402 {way}", "checked", "", base, shown))
        for name, reason, change in changed_x402(paid.authorization):
            cases.append(_case(f"x402 {way}, another {name}", "failed", reason, base, change(shown)))
    for wrong in WRONGS:
        made = notary.dossier(answer_of(net, wrong), None)
        cases.append(_case(wrong.name, "failed", wrong.reason, base, made))
    tokens = token_cases.answer_of(net)
    shown = notary.dossier(tokens, None)
    cases.append(_case("tokens", "checked", "", base, shown))
    unshown = put_document(issuer_keys=None)(shown)
    cases.append(_case("tokens, the issuer's keys not shown", "claimed", "", base, unshown))
    for name, reason, change in token_cases.changed_parts(tokens):
        cases.append(_case(f"tokens, another {name}", "failed", reason, base, change(shown)))
    for lie in (*token_cases.WRONGS, token_cases.FOREIGN):
        made = notary.dossier(token_cases.answer_of(net, lie), None)
        cases.append(_case(f"tokens, {lie.name}", "failed", lie.reason, base, made))
    trust = notary.trust()
    return {
        "now": net.now,
        "trust": trust.to_toml(),
        "trust_json": msgspec.json.encode(trust).decode(),
        "base": base,
        "cases": cases,
    }


def _case(name: str, state: str, reason: str, base: dict[str, Any], saved: Dossier) -> dict[str, Any]:
    told = _plain(saved)
    changes = {key: value for key, value in told.items() if value != base[key]}
    if "documents" in changes:
        before = base["documents"]
        changes["documents"] = {k: v for k, v in told["documents"].items() if v != before[k]}
    return {"name": name, "state": state, "reason": reason, "changes": changes}


def _plain(saved: Dossier) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(saved.encode())
    return found
