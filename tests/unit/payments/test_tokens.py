"""Unlinkable tokens: made, paid with, changed."""

from __future__ import annotations

import base64
import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.errors import HallmarkError, InvalidInput, VerificationFailed
from hallmark.core.tokens import (
    MAX_UNITS,
    SPENT_SIZE,
    VALUES,
    Token,
    TokenSpend,
    challenge,
    check_issuer_keys,
)
from hallmark.crypto.blind_rsa import BlindPublicKey
from hallmark.crypto.blind_signing import BlindSigningKey
from hallmark.crypto.token_keys import KeySet
from hallmark.payments.accounts import PaymentRequired
from hallmark.payments.token_signing import SigningKeys
from hallmark.payments.tokens import (
    Signed,
    TokenPayment,
    change_due,
    change_values,
    choose,
    make_blank,
    pay_with,
    read_token_request,
    split,
    take_change,
    token_request,
)
from hallmark.testing.tokens import SIGNING, issuer_keys, tokens_of

KEYS = KeySet(issuer_keys())
ISSUER = SigningKeys(KEYS, SIGNING)


def bought(*values: int) -> tuple[Token, ...]:
    """Tokens of these values."""
    return tokens_of(KEYS.document, *values)


def test_a_token_is_bought_spent_and_changed() -> None:
    """The whole way: what comes back is worth what was not charged, and verifies as what was bought did."""
    payment, blanks = pay_with(KEYS, bought(0, 3, 3), os.urandom)
    read = TokenPayment.decode(payment.encode().encode())
    assert read == payment
    reserved = KEYS.verify_spend(read.spend)
    assert reserved == 17 * KEYS.document.unit
    charged = 4 * KEYS.document.unit + 1
    due = change_due(reserved, charged, KEYS.document.unit)
    assert due == (2, 3)
    messages = {each.value: each.message for each in read.change}
    signed = [ISSUER.sign(value, messages[value], os.urandom) for value in due]
    change = take_change(KEYS, blanks, signed, reserved=reserved, charged=charged)
    assert KEYS.verify_spend(TokenSpend.of(KEYS.digest, change)) == 12 * KEYS.document.unit


@pytest.mark.parametrize("wrong", ["none", "fewer", "another", "garbage"])
def test_change_that_is_not_all_that_is_due_is_refused(wrong: str) -> None:
    """Left out, of another value, or not a signature: `change_short`."""
    payment, blanks = pay_with(KEYS, bought(3), os.urandom)
    messages = {each.value: each.message for each in payment.change}
    good = [ISSUER.sign(value, messages[value], os.urandom) for value in (0, 1)]
    given = {
        "none": [],
        "fewer": good[:1],
        "another": [good[0], Signed(1, good[0].signature)],
        "garbage": [good[0], Signed(1, b"x")],
    }[wrong]
    unit = KEYS.document.unit
    with pytest.raises(VerificationFailed) as caught:
        take_change(KEYS, blanks, given, reserved=8 * unit, charged=5 * unit)
    assert caught.value.reason == "change_short"


def test_a_token_is_good_for_its_value_and_epoch_alone() -> None:
    """Another value, nonce or epoch: it does not verify."""
    (token,) = bought(2)
    KEYS.verify(token)
    other = KeySet(issuer_keys(epoch=2))
    changed = msgspec.structs.replace
    cases = [
        (KEYS, changed(token, value=3)),
        (KEYS, changed(token, nonce=bytes(32))),
        (KEYS, changed(token, authenticator=bytes(256))),
        (KEYS, changed(token, authenticator=b"\xff" * 256)),
        (other, token),
    ]
    for keys, each in cases:
        with pytest.raises(VerificationFailed) as caught:
            keys.verify(each)
        assert caught.value.reason == "token_invalid"
    spend = TokenSpend.of(other.digest, (token,))
    with pytest.raises(VerificationFailed) as caught:
        KEYS.verify_spend(spend)
    assert caught.value.reason == "token_keys_other"


def test_what_is_signed_tells_payers_not_apart() -> None:
    """The challenge names network, issuer and epoch, and nothing else; it is one for all values."""
    one, two = challenge(issuer_keys()), challenge(issuer_keys(unit=7, since=5))
    assert one == two != challenge(issuer_keys(epoch=2))
    assert one[:2] == b"\0\2"
    assert one[2:4] == b"\0\x2a"
    assert one[46] == 32
    assert len(one) == 4 + 42 + 1 + 32 + 2


@given(st.integers(0, MAX_UNITS))
def test_any_amount_is_one_of_each_value_at_most(units: int) -> None:
    """And a request that spends so much has a change message for each of them."""
    assert sum(1 << value for value in split(units)) == units
    assert set(split(units)) <= set(change_values(units))


@given(st.lists(st.integers(0, 10), max_size=20), st.integers(1, 3000))
def test_tokens_that_are_chosen_cover_the_sum_without_one_too_many(values: list[int], units: int) -> None:
    """None can be left out; when nothing is chosen, all of them are too few."""
    if sum(1 << value for value in values) < units:
        with pytest.raises(PaymentRequired, match="tokens_insufficient"):
            choose(values, units)
        return
    chosen = choose(values, units)
    worth = [1 << values[at] for at in chosen]
    assert len(set(chosen)) == len(chosen)
    assert sum(worth) >= units
    assert sum(worth) - min(worth) < units


READERS = {
    "bad_tokens": (Token.decode, TokenSpend.decode),
    "bad_tokens_header": (TokenPayment.decode, lambda data: TokenPayment.decode(base64.b64encode(data))),
    "bad_token_request": (read_token_request,),
    "bad_token_key": (BlindPublicKey.from_spki, BlindSigningKey.from_der),
}


@pytest.mark.parametrize("reason", READERS)
@given(data=st.binary(max_size=2 * SPENT_SIZE))
def test_any_bytes_are_read_or_refused(reason: str, data: bytes) -> None:
    """Nothing comes of them but the reader's own reason."""
    for read in READERS[reason]:
        found = ""
        try:
            read(data)
        except InvalidInput as error:
            found = error.reason
        assert found in ("", reason)


def test_tokens_have_one_order_and_a_limit() -> None:
    """The same tokens in another order, one of them twice, too many or too much: not read."""
    some = tuple(Token(1, bytes((at,)) * 32, bytes(256)) for at in range(65))
    assert TokenSpend.decode(TokenSpend.of(bytes(32), some[3::-1]).encode()).tokens == some[:4]
    rich = tuple(Token(15, bytes((at,)) * 32, bytes(256)) for at in range(2))
    for tokens in ((some[1], some[0]), (some[0], some[0]), some, (), rich):
        with pytest.raises(InvalidInput) as caught:
            TokenSpend.decode(TokenSpend(bytes(32), tokens).encode())
        assert caught.value.reason == "bad_tokens"


def test_a_header_brings_change_messages_for_all_values_or_none() -> None:
    """One left out, doubled or cut short: `bad_tokens_header`."""
    payment, _ = pay_with(KEYS, bought(2), os.urandom)
    changed = msgspec.structs.replace
    for change in (payment.change[:-1], (*payment.change, payment.change[0]), payment.change[::-1], ()):
        with pytest.raises(InvalidInput) as caught:
            TokenPayment.decode(changed(payment, change=change).encode().encode())
        assert caught.value.reason == "bad_tokens_header"
    with pytest.raises(InvalidInput):
        TokenPayment.decode(payment.encode().encode()[:-4])


def test_a_token_request_is_as_rfc_9578_has_it() -> None:
    """Type, the last byte of the key's id, the blinded message."""
    blank = make_blank(KEYS, 1, os.urandom)
    data = token_request(KEYS, blank)
    assert read_token_request(data) == (KEYS.keys[1].key_id[-1], blank.blinded.message)
    assert len(data) == 259


def test_an_issuer_signs_numbers_below_its_modulus_alone() -> None:
    """Anything else is refused with a reason."""
    size = KEYS.keys[0].modulus
    for value, blinded, reason in [
        (0, b"", "bad_blinded_message"),
        (0, bytes(256), "bad_blinded_message"),
        (0, size.to_bytes(256, "big"), "bad_blinded_message"),
        (VALUES, bytes(256), "bad_token_value"),
        (-1, bytes(256), "bad_token_value"),
    ]:
        with pytest.raises(InvalidInput) as caught:
            ISSUER.sign(value, blinded, os.urandom)
        assert caught.value.reason == reason
    with pytest.raises(InvalidInput) as caught:
        SigningKeys(KEYS, SIGNING[::-1])
    assert caught.value.reason == "token_keys_other"


@pytest.mark.parametrize(
    "changes",
    [{"keys": ()}, {"since": 9, "until": 9}, {"unit": 0}, {"keys": (issuer_keys().keys[0],) * VALUES}],
)
def test_keys_that_cannot_be_meant_are_refused(changes: dict[str, object]) -> None:
    """Their number, time or unit."""
    with pytest.raises(HallmarkError) as caught:
        check_issuer_keys(msgspec.structs.replace(issuer_keys(), **changes))
    assert caught.value.reason == "issuer_keys_unsound"
