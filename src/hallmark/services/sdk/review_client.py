"""The review desk as a program sees it: the queue, items, and acts of whoever holds a key.

Nothing here can clear an item: a review is signed with the reviewer's own key and goes into the log; the
desk's evaluator decides.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Mapping
from typing import Final, TypeVar
from urllib.parse import urlencode

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.entries import Entry
from hallmark.core.errors import Conflict, Unauthorized
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.statements import Judgement, Review, SignIn, code
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.http.client import Pool, Timeouts
from hallmark.services.review.actions import ReviewRequest, comment_digest
from hallmark.services.review.sessions import Challenge, SignInRequest
from hallmark.services.review.views import (
    AsSeen,
    DryRun,
    Figures,
    ItemPage,
    ItemRow,
    PolicyPage,
    PolicyRow,
    QueuePage,
)
from hallmark.services.sdk.network import error_of

API: Final = "/v1/hallmark/review"
POLICIES: Final = "/v1/hallmark/policies"
MAX_ANSWER: Final = 64 << 20
JUDGEMENTS: Final = {"fit": Judgement.FIT, "unfit": Judgement.UNFIT, "undecided": Judgement.UNDECIDED}

T = TypeVar("T")


class _Token(msgspec.Struct, frozen=True):
    token: str


class ReviewClient:
    """Talks to the desk of one network; with a key it signs in by proving it, once it has to."""

    def __init__(self, base_url: str, key: Key | None = None, *, timeout: float = 30.0) -> None:
        self.base_url = base_url.rstrip("/").removesuffix("/v1")
        self._key = key
        self._token = ""
        self._pool = Pool(timeouts=Timeouts(head=timeout, idle=timeout))

    async def __aenter__(self) -> ReviewClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.aclose()

    async def queue(
        self, filters: Mapping[str, str | int] | None = None, *, cursor: str = "", limit: int = 50
    ) -> QueuePage:
        """Items under a filter, see `DeskView.queue`."""
        asked = {name: value for name, value in (filters or {}).items() if value not in ("", 0)}
        query = urlencode({**asked, "cursor": cursor, "limit": limit})
        return await self._get(f"{API}/items?{query}", QueuePage)

    async def item(self, receipt: str) -> ItemPage:
        """One item."""
        return await self._get(f"{API}/items/{receipt}", ItemPage)

    async def as_seen(self, receipt: str, number: int = 0) -> AsSeen:
        """The screen of a decision, beside today's marks."""
        return await self._get(f"{API}/items/{receipt}/as-seen?number={number}", AsSeen)

    async def figures(self) -> Figures:
        """Aggregates that anyone may see."""
        return await self._get(f"{API}/figures", Figures)

    async def policies(self) -> tuple[PolicyRow, ...]:
        """Every clearing policy."""
        return await self._get(POLICIES, tuple[PolicyRow, ...])

    async def policy(self, name: str) -> PolicyPage:
        """One clearing policy."""
        return await self._get(f"{POLICIES}/{name}", PolicyPage)

    async def dry_run(self, toml: str, since: int) -> DryRun:
        """Try a policy file on past items since a time (unix ms)."""
        return await self._post(f"{POLICIES}/dry-run", {"toml": toml, "since": since}, DryRun)

    async def propose(self, toml: str, text: str = "") -> PolicyRow:
        """Ask the authority to sign a policy file."""
        return await self._act(f"{POLICIES}/propose", {"toml": toml, "text": text}, PolicyRow)

    async def review(
        self,
        receipt: str,
        judgement: str,
        reason: str,
        *,
        comment: str = "",
        internal: str = "",
        opened: bool = False,
    ) -> ItemRow:
        """Sign a review of what the desk shows of this item now, and hand it in.

        `judgement` is fit, unfit or undecided, `reason` a code, `comment` is told to the subject, `internal`
        never is, `opened` says that the answer itself lies open before the reviewer.

        Raises what the desk says; Conflict `item_not_witnessed_yet`.
        """
        page = await self.item(receipt)
        if page.row.index < 0:
            raise Conflict(
                "item_not_witnessed_yet", "No quorum covers this receipt yet.", "Review it once one does."
            )
        challenge, key = await self._challenge(), self._own()
        salt = secrets.token_bytes(32) if comment or internal else ZERO32
        statement = Review(
            unhex(challenge.network),
            key.address,
            unhex(receipt),
            page.row.index,
            JUDGEMENTS[judgement],
            code(reason),
            unhex(page.policy_digest),
            unhex(page.screen_open if opened else page.screen),
            comment_digest(comment, internal, salt) if comment or internal else ZERO32,
            _now(),
        )
        entry = Entry(statement, (sign_statement(statement, challenge.chain_id, key),)).encode()
        request = ReviewRequest(hex0x(entry), comment, internal, hex0x(salt))
        return await self._act(f"{API}/items/{receipt}/review", request, ItemRow)

    async def act(self, receipt: str, verb: str, request: object) -> ItemRow:
        """Any other act on an item, see `hallmark.services.review.actions`."""
        return await self._act(f"{API}/items/{receipt}/{verb}", request, ItemRow)

    async def call(self, method: str, path: str, kind: type[T], request: object = None) -> T:
        """An act that is not on one item: `path` below the review API."""
        await self._sign_in()
        return await self._exchange(method, f"{API}{path}", request, kind)

    async def _act(self, path: str, request: object, kind: type[T]) -> T:
        await self._sign_in()
        return await self._post(path, request, kind)

    async def sign_in_link(self) -> str:
        """An address that signs a browser in as the holder of this key; it counts once, for five minutes."""
        proof = base64.urlsafe_b64encode(msgspec.json.encode(await self._proof())).rstrip(b"=").decode()
        return f"{self.base_url}/sign-in?proof={proof}"

    async def _sign_in(self) -> None:
        if not self._token:
            self._token = (await self._post(f"{API}/sign-in", await self._proof(), _Token)).token

    async def _proof(self) -> SignInRequest:
        challenge, key = await self._challenge(), self._own()
        if unhex(challenge.origin) != sha256(challenge.public_url.encode()):
            raise Unauthorized("sign_in_refused", "The desk's challenge names another site than its own.")
        statement = SignIn(
            unhex(challenge.network), key.address, unhex(challenge.nonce), unhex(challenge.origin), _now()
        )
        signature = sign_statement(statement, challenge.chain_id, key)
        return SignInRequest(statement.to_json(), hex0x(signature))

    async def _challenge(self) -> Challenge:
        return await self._get(f"{API}/challenge", Challenge)

    def _own(self) -> Key:
        if self._key is None:
            raise Unauthorized("not_signed_in", "This needs a key.", "Name one with --as or --key.")
        return self._key

    async def _get(self, path: str, kind: type[T]) -> T:
        return await self._exchange("GET", path, None, kind)

    async def _post(self, path: str, request: object, kind: type[T]) -> T:
        return await self._exchange("POST", path, request, kind)

    async def _exchange(self, method: str, path: str, request: object, kind: type[T]) -> T:
        headers = [(b"accept", b"application/json")]
        body = b""
        if request is not None:
            headers.append((b"content-type", b"application/json"))
            body = msgspec.json.encode(request)
        if self._token:
            headers.append((b"authorization", f"Bearer {self._token}".encode()))
        async with self._pool.request(method, self.base_url + path, headers, body) as response:
            data = await response.read(MAX_ANSWER)
            if not 200 <= response.status < 300:
                raise error_of(response.status, data)
        return msgspec.json.decode(data or b"null", type=kind)


def _now() -> int:
    return time.time_ns() // 1_000_000
