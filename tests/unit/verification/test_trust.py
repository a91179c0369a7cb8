"""The trust file."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from hallmark.core.errors import InvalidInput, NotFound
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import LittleNetwork
from hallmark.verification.trust import (
    AnchorContract,
    CompromisedKey,
    RevokedMeasurement,
    RootCertificate,
    Trust,
    read_trust,
)


def _trust() -> Trust:
    return msgspec.structs.replace(
        Notary(LittleNetwork()).trust(),
        root_certificates=(RootCertificate("nitro-dev", "-----BEGIN CERTIFICATE-----\nAA==\n"),),
        anchor=AnchorContract("0x" + "aa" * 20, 31337),
        compromised=(CompromisedKey("0x" + "bb" * 20, 7, "key_leaked"),),
        revoked=(RevokedMeasurement("0x" + "cc" * 32, 9, 'odd "reason" \\ with \t marks'),),
    )


def test_a_trust_file_reads_back_as_it_was_written() -> None:
    """Everything that a trust file can hold survives its text form."""
    trust = _trust()
    assert read_trust(trust.to_toml()) == trust


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace("chain_id = 31337", "chain_id = -1", 1),
        lambda t: t.replace("threshold = ", "threshold = 0xffffffffffffffffffff # ", 1),
        lambda t: t.replace("since = 7", "since = -7", 1),
        lambda t: t.replace("max_age = ", "max_age = 0x" + "f" * 9_000 + " # ", 1),
        lambda t: "network = " + "9" * 5_000,
        lambda t: "network = " + "{a=" * 5_000,
        lambda t: t.replace("0x" + "bb" * 20 + '"', "0x" + "bb" * 20 + '\\n"', 1),
    ],
)
def test_what_cannot_be_a_trust_file_is_refused(change: Callable[[str], str]) -> None:
    """Numbers beyond all bounds, bottomless nesting and newlines behind an address: one error, our own."""
    text = _trust().to_toml()
    assert change(text) != text
    with pytest.raises(InvalidInput) as caught:
        read_trust(change(text))
    assert caught.value.reason == "bad_trust_file"


def test_genesis_follows_from_the_trust_file() -> None:
    """The network id comes from the origin, the authority from its addresses."""
    net = LittleNetwork()
    assert Notary(net).trust().genesis() == net.genesis


BROKEN = {
    "not TOML": lambda text: text + "\n=",
    "other format": lambda text: text.replace("hallmark-trust/1", "hallmark-trust/2"),
    "unknown key": lambda text: "extra = 1\n" + text,
    "unreachable threshold": lambda text: text.replace("threshold = 2", "threshold = 4"),
    "no threshold": lambda text: text.replace("threshold = 2", "threshold = 0"),
    "bad address": lambda text: text.replace('authority = ["0x', 'authority = ["0y'),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_trust_files_are_refused(name: str) -> None:
    """A file that cannot be a trust file raises, and no part of it is used."""
    text = _trust().to_toml()
    broken = BROKEN[name](text)
    assert broken != text
    with pytest.raises(InvalidInput) as caught:
        read_trust(broken)
    assert caught.value.reason == "bad_trust_file"


def test_policies_are_found_by_name() -> None:
    """A clearing policy is asked for by name, and one that is not there raises with what there is."""
    trust = _trust()
    assert trust.clearing("witnessed").name == "witnessed"
    with pytest.raises(NotFound) as caught:
        trust.clearing("nothing")
    assert "witnessed" in caught.value.hint
