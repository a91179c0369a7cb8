"""An issuer's key set, read: tokens of it verify here, for payers, enclaves and full nodes alike."""

from __future__ import annotations

from hallmark.core.document import unhex
from hallmark.core.errors import VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.core.tokens import IssuerKeys, Token, TokenSpend, challenge, check_issuer_keys, token_input
from hallmark.crypto.blind_rsa import BlindPublicKey


class KeySet:
    """`document` with its keys ready for use; `digest` is the document's. Raises InvalidInput
    `issuer_keys_unsound`, `bad_token_key`.
    """

    def __init__(self, document: IssuerKeys) -> None:
        check_issuer_keys(document)
        self.document = document
        self.digest = document.digest()
        self.keys = tuple(BlindPublicKey.from_spki(unhex(key)) for key in document.keys)
        self.challenge_digest = sha256(challenge(document))

    def message(self, value: int, nonce: bytes) -> bytes:
        """What the authenticator of a token is a signature of; 98 bytes."""
        return token_input(nonce, self.challenge_digest, self.keys[value].key_id)

    def token(self, token: Token) -> bytes:
        """The token as RFC 9577 has it; 354 bytes."""
        return self.message(token.value, token.nonce) + token.authenticator

    def nullifier(self, token: Token) -> bytes:
        """What the log knows a spent token by: SHA-256 of it; 32 bytes."""
        return sha256(self.token(token))

    def verify(self, token: Token) -> None:
        """Raises VerificationFailed `token_invalid` unless the issuer signed it, for this value and epoch."""
        self.keys[token.value].verify(self.message(token.value, token.nonce), token.authenticator)

    def verify_spend(self, spend: TokenSpend) -> int:
        """What tokens are worth, in atomic units, when all of them are this issuer's.

        Raises VerificationFailed `token_keys_other`, `token_invalid`.
        """
        if spend.keys != self.digest:
            raise VerificationFailed("token_keys_other", "The tokens are of another key set.")
        for token in spend.tokens:
            self.verify(token)
        return spend.units * self.document.unit
