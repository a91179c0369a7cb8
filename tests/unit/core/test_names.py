"""Names that others give themselves claim nothing on a surface."""

from __future__ import annotations

import pytest
from tests.unit.web.test_claims import CASES

from hallmark.apps.web.claims import of_text, violations
from hallmark.core.names import claims_nothing, shown_name
from hallmark.core.sealing import relay_address

CLAIMS = (
    "verified by TEE",
    "Trusted Gateway",
    "attested_node",
    "the safest",
    "proven-ai",
    "node \u2714",
    "Nitro enclave",
    "checked here",
    "n" * 65,
    "two\nlines",
)
NAMES = ("node 0", "Gateway Zurich 2", "full-node-3", "anna", "steel", "attic", "topaz", "rightly.example")


@pytest.mark.parametrize("name", CLAIMS)
def test_a_name_that_claims_is_not_shown(name: str) -> None:
    """The key stands there instead."""
    assert shown_name(name) == ""


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_a_name(name: str) -> None:
    """It is shown as it is."""
    assert shown_name(name) == name


def test_no_sentence_that_breaks_a_rule_is_a_name() -> None:
    """What the table of claims forbids as words of a surface of its own is no name either."""
    always = [case.bad for case in CASES if violations({}, of_text("a page", case.bad))]
    assert len(always) > 5
    assert [bad for bad in always if claims_nothing(bad)] == []


def test_a_relay_is_an_address() -> None:
    """An address is shown, whatever words are in it; anything else that a client calls its relay is not."""
    shown = ("https://relay.example", "http://[::1]:8080/r", "https://tee.example:9/verified/by.tee")
    hidden = ("verified-by-TEE", "javascript:x", "https://a/?b=proven", "https://a b", "https://a/<b>", "")
    assert [relay_address(one) for one in shown] == list(shown)
    assert [relay_address(one) for one in hidden] == [""] * len(hidden)
    assert violations({}, of_text("a page", "Secure, by https://verified.by.tee/safe")) != ()
    assert violations({}, of_text("a page", "Through relay https://verified.by.tee/safe, its word.")) == ()
