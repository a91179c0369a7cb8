"""Saying how an answer turned out: signed with one's own key, handed to the log, with what it rests on."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from hallmark.core.document import digest_of, hex0x
from hallmark.core.documents import Parameters
from hallmark.core.entries import Entry
from hallmark.core.errors import InvalidInput, Unavailable, VerificationFailed
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.merkle import leaf_hash, root
from hallmark.core.outcomes import EVALUATION, RECEIPT, SALT, TEXT, Basis, check_basis, text_digest
from hallmark.core.statements import Outcome, Said
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.http.client import Pool
from hallmark.services.following.log_client import LogClient
from hallmark.verification.dossier import Dossier

if TYPE_CHECKING:
    from hallmark.services.sdk.verifying import Verifier

WORDS: Final[Mapping[str, Said]] = {
    "right": Said.RIGHT,
    "wrong": Said.WRONG,
    "partly": Said.PARTLY,
    "withdrawn": Said.WITHDRAWN,
}


UNCHANGED: Final = "Show the file as it was saved."


class Spoken(msgspec.Struct, frozen=True):
    """A word that the log took: where it stands, who said what of which receipt, and what it rests on.

    `salt` is that of a text (0x-hex, else ""): keep it with the text, or nobody can ever show that this is
    what was meant.
    """

    receipt: str
    said: str
    speaker: str
    index: int
    rests_on: str
    salt: str = ""


class Rests(msgspec.Struct, frozen=True):
    """What a word rests on, and the salt of a text."""

    basis: Basis
    salt: bytes = b""


def rests_on_text(text: str) -> Rests:
    """A text, which stays here: the log gets its salted digest."""
    salt = secrets.token_bytes(SALT)
    return Rests(Basis(TEXT, hex0x(text_digest(salt, text))), salt)


def rests_on_evaluation(name: str, report: bytes = b"") -> Rests:
    """A named evaluation, with its report where there is one."""
    return Rests(Basis(EVALUATION, hex0x(sha256(report) if report else ZERO32), name))


def rests_on_receipt(receipt_id: str) -> Rests:
    """Another receipt of the same log (0x-hex)."""
    return Rests(Basis(RECEIPT, receipt_id))


def showing(rests: Rests, saved: Dossier, receipt_id: str) -> Rests:
    """The same, with the parameters and input records of a saved receipt beside it, for everybody to read.

    Raises VerificationFailed `other_receipt` unless it is the one of this id, `parameters_mismatch`,
    `inputs_mismatch` where they are not the receipt's.
    """
    if saved.id != receipt_id:
        raise VerificationFailed(
            "other_receipt", "What is to be shown is of another receipt.", "Show the same receipt's file."
        )
    receipt, documents = saved.opened(), saved.documents
    parameters, inputs = documents.parameters or "", documents.inputs
    if parameters and digest_of(Parameters, parameters.encode()) != receipt.parameters:
        raise VerificationFailed(
            "parameters_mismatch", "The parameters are not those that the receipt names.", UNCHANGED
        )
    if inputs and root([leaf_hash(one.encode()) for one in inputs]) != receipt.inputs:
        raise VerificationFailed(
            "inputs_mismatch", "The input records are not those that the receipt names.", UNCHANGED
        )
    shown = msgspec.structs.replace(rests.basis, parameters=parameters, inputs=inputs)
    return Rests(shown, rests.salt)


async def say(
    dossier: Dossier, said: str, rests: Rests, *, key: Key, verifier: Verifier | None, log: str, now: int
) -> Spoken:
    """Sign what `said` is (`right`, `wrong`, `partly`, `withdrawn`) of a receipt, and hand it to the log.

    Raises InvalidInput `bad_word`, `bad_basis`, `no_trust_file`, `no_log`; Unavailable `not_logged_yet`, and
    what the log answers with.
    """
    if said not in WORDS:
        raise InvalidInput("bad_word", f"What is said is one of {', '.join(WORDS)}.", "Choose one of them.")
    check_basis(rests.basis)
    if verifier is None:
        raise InvalidInput(
            "no_trust_file",
            "Without a trust file nobody can say for which chain to sign.",
            "Give the client `trust=`, a path to the network's trust.toml.",
        )
    if not log:
        raise InvalidInput("no_log", "A word goes to the log, and none is named.", "Give its address.")
    if dossier.entry is None:
        raise Unavailable("not_logged_yet", "The receipt does not stand in the log yet.", "Ask again.")
    statement = Outcome(
        verifier.trust.network_id,
        key.address,
        dossier.opened().digest(),
        dossier.entry.index,
        WORDS[said],
        rests.basis.digest(),
        now,
    )
    signature = sign_statement(statement, verifier.trust.chain_id, key)
    entry = Entry(statement, (signature,), (rests.basis.encode(),))
    pool = Pool()
    try:
        place = await LogClient(pool, log).add(entry.encode(), works=True)
    finally:
        await pool.aclose()
    salt = hex0x(rests.salt) if rests.salt else ""
    return Spoken(dossier.id, said, hex0x(key.address), place.index, rests.basis.rests_on, salt)
