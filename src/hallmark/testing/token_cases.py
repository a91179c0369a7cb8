"""Receipts that tokens paid for and whose money does not hold, each signed by its node as if it did, and the
reason that full nodes and both offline verifiers give; and saved receipts with one part changed.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.tokens import IssuerKeys, Token, TokenSpend
from hallmark.testing.answers import Answer
from hallmark.testing.network import LittleNetwork
from hallmark.testing.payments import ASSET, issuer_epoch, keys_of_issuer, offer, price_offer, token_answer
from hallmark.testing.tokens import tokens_of
from hallmark.testing.withheld import Change, put, put_document

replace = msgspec.structs.replace
HOUR: Final = 3_600_000


def _changed(**changes: Any) -> Callable[[IssuerKeys], TokenSpend]:
    def spend(keys: IssuerKeys) -> TokenSpend:
        (token,) = tokens_of(keys, 2)
        return TokenSpend.of(keys.digest(), (replace(token, **changes),))

    return spend


def _of_another_epoch(keys: IssuerKeys) -> TokenSpend:
    return TokenSpend.of(keys.digest(), tokens_of(replace(keys, epoch=keys.epoch + 1), 2))


def _one_of_three(keys: IssuerKeys) -> TokenSpend:
    good = tokens_of(keys, 1, 1)
    return TokenSpend.of(keys.digest(), (*good, Token(2, bytes(32), good[0].authenticator)))


class TokenWrong(NamedTuple):
    """What a dishonest enclave or payer changed, and what is found in it."""

    name: str
    reason: str
    record: dict[str, Any] = {}
    keys: dict[str, Any] = {}
    hours: tuple[int, int] | None = None
    spend: Callable[[IssuerKeys], TokenSpend] | None = None


WRONGS: Final = (
    TokenWrong("a payer named", "token_payer_named", {"payer": hex0x(b"\7" * 20)}),
    TokenWrong("an account named", "token_payer_named", {"account": 1}),
    TokenWrong("another digest", "authorization_other", {"authorization": hex0x(bytes(32))}),
    TokenWrong("more reserved", "token_sum_other", {"reserved": "41"}),
    TokenWrong("less reserved", "token_sum_other", {"reserved": "39"}),
    TokenWrong("too little charged", "charged_wrongly", {"charged": "1"}),
    TokenWrong("more charged than reserved", "charged_over_reserved", {"reserved": "1"}),
    TokenWrong("as if it were a vault's", "authorization_other", {"rail": "vault"}),
    TokenWrong("as if it were x402's", "authorization_other", {"rail": "upto"}),
    TokenWrong("other money", "asset_other", keys={"asset": replace(ASSET, development=False)}),
    TokenWrong("keys from later on", "token_keys_not_in_force",
               hours=(1, 2)),
    TokenWrong("keys that had ended", "token_keys_not_in_force",
               hours=(-2, -1)),
    TokenWrong("another value", "token_invalid", spend=_changed(value=3)),
    TokenWrong("another nonce", "token_invalid", spend=_changed(nonce=bytes(32))),
    TokenWrong("another authenticator", "token_invalid", spend=_changed(authenticator=b"\1" * 256)),
    TokenWrong("a number over the modulus", "token_invalid", spend=_changed(authenticator=b"\xff" * 256)),
    TokenWrong("a token of another epoch", "token_invalid", spend=_of_another_epoch),
    TokenWrong("one of three forged", "token_invalid", spend=_one_of_three),
)  # fmt: skip
FOREIGN: Final = TokenWrong(
    "keys of another network", "token_keys_other", keys={"network": hex0x(b"\7" * 32)}
)
"""Of offline verifiers alone, who are shown the keys: full nodes know no others than their log's."""


def answer_of(net: LittleNetwork, wrong: TokenWrong | None = None) -> Answer:
    """The answer by the first node of a network; honest without `wrong`."""
    made = wrong or TokenWrong("", "")
    keys = keys_of_issuer(net, **made.keys)
    if made.hours:
        begin, end = (net.now + hour * HOUR for hour in made.hours)
        keys = replace(keys, since=begin, until=end)
    spend = made.spend(keys) if made.spend else None
    return token_answer(net, offer(net), keys, spend, **made.record)


def logged(net: LittleNetwork, wrong: TokenWrong | None = None) -> tuple[Answer, int]:
    """The same answer in the log, a registered issuer, its keys and the offer before it; its position."""
    made = answer_of(net, wrong)
    assert isinstance(made.issuer_keys, IssuerKeys)
    net.register(net.issuer)
    net.add(issuer_epoch(net, made.issuer_keys))
    net.add(price_offer(net, offer(net)))
    return made, net.add(made.entry)


def changed_parts(answer: Answer) -> Iterator[tuple[str, str, Change]]:
    """(name, reason, change of a saved receipt)."""
    keys, spend = answer.issuer_keys, TokenSpend.decode(answer.authorization)
    assert isinstance(keys, IssuerKeys)
    changes: dict[str, Any] = {
        "network": hex0x(b"\7" * 32), "issuer": hex0x(b"\7" * 20), "asset": replace(ASSET, decimals=7), 
        "unit": 11, "epoch": 2, "since": keys.since + 1, "until": keys.until + 1, "keys": keys.keys[::-1],
    }  # fmt: skip
    for name, value in changes.items():
        other = replace(keys, **{name: value}).encode().decode()
        yield f"keys {name}", "token_keys_mismatch", put_document(issuer_keys=other)
    token = spend.tokens[0]
    spends = {
        "key set": replace(spend, keys=b"\7" * 32),
        "value": replace(spend, tokens=(replace(token, value=1),)),
        "nonce": replace(spend, tokens=(replace(token, nonce=bytes(32)),)),
        "authenticator": replace(spend, tokens=(replace(token, authenticator=bytes(256)),)),
    }
    for name, said in spends.items():
        reason = "token_keys_mismatch" if name == "key set" else "authorization_other"
        yield f"token's {name}", reason, put(payment_authorization=_text(said.encode()))
    yield "token's length", "authorization_other", put(payment_authorization=_text(answer.authorization[:-1]))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
