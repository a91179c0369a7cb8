"""Signing in by proving a key. There are no passwords and no accounts.

1. `challenge` gives a nonce that counts once, for five minutes, and only here.
2. The key signs `SignIn{network, key, nonce, origin, at}` (EIP-712); it is no entry of the log and nothing
else.
3. `sign_in` gives a new random token. Only its SHA-256 is kept. A token that the browser brought along is
ended:
   nobody can plant one.
4. A session ends a while after sign-in, and sooner when it is not used.
5. What changes something needs the session's CSRF token when the session came by cookie; a Bearer token is
   sent on purpose and needs none.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping
from typing import Annotated, Final

import msgspec

from hallmark.core.document import Hex32, hex0x, unhex
from hallmark.core.errors import HallmarkError, Unauthorized
from hallmark.core.hashing import sha256
from hallmark.core.statements import SignIn
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.services.review.session_store import SessionRow, SessionStore
from hallmark.services.review.settings import Settings
from hallmark.services.review.views import Person

CHALLENGE_MS: Final = 5 * 60_000
SKEW_MS: Final = 5 * 60_000
TOUCH_MS: Final = 60_000
COOKIE: Final = "hallmark-session"
SECURE_COOKIE: Final = "__Host-hallmark-session"
CSRF_HEADER: Final = "x-hallmark-csrf"
CSRF_FIELD: Final = "csrf"


class Challenge(msgspec.Struct, frozen=True):
    """What to sign: the fields of `SignIn` but for key and time, and until when (unix ms)."""

    network: Hex32
    chain_id: int
    nonce: Hex32
    origin: Hex32
    public_url: str
    at: int
    expires: int


class SignInRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A proof: `statement` is the JSON form of `SignIn`, `signature` 65 bytes."""

    statement: dict[str, str | int]
    signature: Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{130}$(?!\n)")]


class Session(msgspec.Struct, frozen=True):
    """A session as its holder knows it. `token` is the secret itself, in this answer alone."""

    token: str
    csrf: str
    person: Person
    expires: int


class SignedIn(msgspec.Struct, frozen=True):
    """Who asks: the person, the CSRF token that belongs to the session, and whether it came by cookie."""

    person: Person
    csrf: str
    by_cookie: bool


class Sessions:
    """See the module docstring. `name_of` says how an address is called and whether it is a reviewer's."""

    def __init__(
        self,
        settings: Settings,
        store: SessionStore,
        secret: bytes,
        *,
        network: bytes,
        chain_id: int,
        name_of: Callable[[bytes], Person],
        clock: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self._store, self._secret = store, secret
        self._network, self._chain_id = network, chain_id
        self._name_of, self._clock, self._random = name_of, clock, random
        self._session_ms, self._idle_ms = settings.session_ms, settings.idle_ms
        self.public_url = settings.public_url.rstrip("/")
        self.origin = sha256(self.public_url.encode())
        self.secure = self.public_url.startswith("https://")
        self.cookie_name = SECURE_COOKIE if self.secure else COOKIE

    def challenge(self) -> Challenge:
        """A fresh challenge. Nothing is kept: the nonce carries its own time and proof of origin."""
        now = self._clock()
        head = now.to_bytes(8, "big") + self._random(8)
        nonce = head + self._mac(b"challenge", head)[:16]
        return Challenge(
            hex0x(self._network),
            self._chain_id,
            hex0x(nonce),
            hex0x(self.origin),
            self.public_url,
            now,
            now + CHALLENGE_MS,
        )

    async def sign_in(self, request: SignInRequest, brought: str = "") -> Session:
        """A new session. `brought` is a token that came with the request; it is ended.

        1. The statement is for this network, this origin, about now. 2. The nonce is ours, in time
        and unused.
        3. The key itself signed. Raises Unauthorized `sign_in_refused`, InvalidInput `statement_fields`.
        """
        statement = SignIn.from_json(request.statement)
        now = self._clock()
        if statement.network != self._network or statement.origin != self.origin:
            raise Unauthorized("sign_in_refused", "The proof is for another network or another site.")
        if abs(statement.at - now) > SKEW_MS:
            raise Unauthorized(
                "sign_in_refused", "The proof is not of now.", "Check the clock and ask again."
            )
        self._check_nonce(statement.nonce, now)
        try:
            signer = recover_statement(statement, self._chain_id, unhex(request.signature))
        except HallmarkError as error:
            raise Unauthorized("sign_in_refused", "The signature is not one.") from error
        if not hmac.compare_digest(signer, statement.key):
            raise Unauthorized("sign_in_refused", "The signature is not by that key.")
        token = base64.urlsafe_b64encode(self._random(32)).rstrip(b"=").decode()
        expires = now + self._session_ms
        row = SessionRow(_kept(token), statement.key, now, now, expires)
        if not await self._store.open(row, statement.nonce, now + CHALLENGE_MS, ended=_kept(brought)):
            raise Unauthorized("sign_in_refused", "The challenge was used already.", "Ask for a new one.")
        return Session(token, self.csrf(token), self._name_of(statement.key), expires)

    async def person(self, token: str) -> Person | None:
        """Who holds a token; None when nobody does any more."""
        row = await self._store.get(_kept(token)) if token else None
        now = self._clock()
        if row is None:
            return None
        if now >= row.expires or now >= row.used + self._idle_ms:
            await self._store.close(row.token)
            return None
        if now - row.used >= min(TOUCH_MS, self._idle_ms // 4):
            await self._store.touch(row.token, now)
        return self._name_of(row.address)

    async def who(self, headers: Mapping[str, str]) -> SignedIn | None:
        """Who asks, by `authorization: Bearer` or else by cookie. Header names are lower case."""
        bearer = bearer_of(headers)
        token = bearer or self.cookie_of(headers)
        person = await self.person(token)
        return SignedIn(person, self.csrf(token), not bearer) if person is not None else None

    async def require(self, headers: Mapping[str, str], *, csrf: str = "", changes: bool = True) -> Person:
        """Who asks. Raises Unauthorized `not_signed_in`, and `csrf` when a session by cookie would change
        something without its CSRF token (header `x-hallmark-csrf`, or `csrf`, which a form brings).
        """
        found = await self.who(headers)
        if found is None:
            raise Unauthorized("not_signed_in", "Nobody is signed in.", "Sign in with your key.")
        shown = csrf or headers.get(CSRF_HEADER, "")
        if changes and found.by_cookie and not hmac.compare_digest(shown.encode(), found.csrf.encode()):
            raise Unauthorized("csrf", "The request does not carry this session's token.", "Reload the page.")
        return found.person

    async def sign_out(self, token: str) -> None:
        """End a session."""
        await self._store.close(_kept(token))

    def csrf(self, token: str) -> str:
        """The CSRF token of a session: HMAC-SHA256 of the session token; 64 hex digits."""
        return self._mac(b"csrf", token.encode()).hex()

    def cookie_of(self, headers: Mapping[str, str]) -> str:
        """The session token in the `cookie` header, or ""."""
        for part in headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == self.cookie_name:
                return value
        return ""

    def set_cookie(self, token: str) -> str:
        """The `set-cookie` value that hands a token to a browser; an empty token takes it back."""
        age = self._session_ms // 1000 if token else 0
        secure = "; Secure" if self.secure else ""
        return f"{self.cookie_name}={token}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"

    def _check_nonce(self, nonce: bytes, now: int) -> None:
        head, mac = nonce[:16], nonce[16:]
        issued = int.from_bytes(head[:8], "big")
        if not hmac.compare_digest(mac, self._mac(b"challenge", head)[:16]):
            raise Unauthorized("sign_in_refused", "The challenge is not from here.", "Ask for a new one.")
        if not issued <= now < issued + CHALLENGE_MS:
            raise Unauthorized("sign_in_refused", "The challenge is too old.", "Ask for a new one.")

    def _mac(self, purpose: bytes, data: bytes) -> bytes:
        return hmac.digest(self._secret, b"hallmark/review/" + purpose + b"\0" + data, "sha256")


def bearer_of(headers: Mapping[str, str]) -> str:
    """The token of `authorization: Bearer <token>`, or ""."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _kept(token: str) -> bytes:
    return sha256(b"hallmark/session/v1\0", token.encode()) if token else b""
