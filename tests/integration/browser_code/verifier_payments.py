"""Saved receipts that are paid for, or that nobody pays for, whole and wrong, for both verifiers to judge."""

from __future__ import annotations

from tests.integration.browser_code.verifier_batch import Batch
from tests.integration.browser_code.verifier_cases import PLACED, replace

from hallmark.core.documents import UpstreamRecord
from hallmark.core.money import FreeUse, Price
from hallmark.testing.development import DevelopmentNetwork
from hallmark.testing.dossiers import Notary
from hallmark.testing.paid_cases import WRONGS, answer_of, changed_fields
from hallmark.testing.payments import ASSET, free_answer, offer, paid_answer, price_offer
from hallmark.testing.withheld import put_document


def payments(batch: Batch) -> None:
    """Answers that are paid for and answers that nobody pays for; each field changed; what an enclave signs
    wrongly.
    """
    net = DevelopmentNetwork()
    notary, terms = Notary(net), offer(net, free=FreeUse(64, 64))
    trust = net.trust(notary)
    net.add(price_offer(net, terms))
    early = dict.fromkeys(PLACED)
    for make in (paid_answer, free_answer):
        answer = make(net, terms)
        saved = notary.dossier(answer, net.add(answer.entry))
        for shape, dossier in {"": saved, ", early": replace(saved, **early)}.items():
            batch.dossier(f"{make.__name__}{shape}", dossier.encode(), trust, net.now)
            for part in ("payment", "offer"):
                for name, text in {"null": None, "empty": "", "spaced": "{ }", "none": "{}"}.items():
                    told = put_document(**{part: text})(dossier)
                    batch.dossier(f"{make.__name__} {part} {name}{shape}", told.encode(), trust, net.now)
            for text in (None, "", "AAAA", "AAB="):
                told = replace(dossier, payment_authorization=text)
                batch.dossier(f"authorization {text}{shape}", told.encode(), trust, net.now)
            if answer.payment is not None and answer.authorization:
                for name, _, change in changed_fields(answer.payment, terms, answer.authorization):
                    batch.dossier(f"another {name}{shape}", change(dossier).encode(), trust, net.now)
    for wrong in WRONGS:
        made = notary.dossier(answer_of(net, wrong), None)
        batch.dossier(wrong.name, made.encode(), trust, net.now)
        for part in ("offer", "manifest"):
            batch.dossier(
                f"{wrong.name}, no {part}", put_document(**{part: None})(made).encode(), trust, net.now
            )
        batch.dossier(f"{wrong.name}, no bundle", put_document(bundle="")(made).encode(), trust, net.now)
    symbols = ("", "USDC", "caf\u00e9", "guaranteed money", "a" * 12)
    assets = [
        replace(ASSET, symbol=symbol, decimals=decimals) for symbol in symbols for decimals in (0, 1, 6, 18)
    ]
    assets += [replace(ASSET, decimals=-1), replace(ASSET, decimals=19), replace(ASSET, chain_id=0)]
    priced = Price(net.card.label, 150_000, 600_000, 7, 1_234_567, 10**15)
    for asset in assets:
        answer = paid_answer(net, offer(net, asset=asset, prices=(priced,)))
        batch.dossier(
            f"asset {asset.symbol} {asset.decimals}", notary.dossier(answer, None).encode(), trust, net.now
        )
    provided = paid_answer(net, terms, upstream_record=UpstreamRecord("e", "https://e.test", "b", "b", "r"))
    batch.dossier("a provider's", notary.dossier(provided, None).encode(), trust, net.now)
