"""A client's line to one relay: what it says of itself, and capsules through it.

The relay is believed in nothing. It can refuse, be slow, or lose a capsule; it cannot read one, change one
without that being seen, or answer one itself.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Final

import msgspec

from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.http.client import Exchange, Pool, Timeouts
from hallmark.http.connection import Response
from hallmark.privacy.ohttp import KeyConfiguration, decode_list
from hallmark.services.relay.info import (
    CHUNKED_REQUEST,
    CHUNKED_RESPONSE,
    INFO,
    TO_GATEWAY,
    TO_NODE,
    RelayInfo,
    RelayTokens,
)
from hallmark.services.sealing.refusals import AnswerBroken, Lost, NotReached
from hallmark.services.sealing.relay_tokens import RelayPurse, challenge_in, no_issuer

STALE: Final = "key_configuration_stale"
GATEWAY: Final = "gateway"
MAX_REFUSAL: Final = 65_536
NOT_BEGUN: Final = frozenset(("connect_failed", "pool_exhausted"))
"""Reasons of our own before which no byte of a capsule has left."""
Pairs = tuple[tuple[bytes, bytes], ...]


class Stale(Exception):
    """The key configuration that was sealed to is not one that is taken now."""


class Undelivered(Exception):
    """The capsule has not reached its target, by the relay's word or because the relay is away."""

    def __init__(self, error: NotReached) -> None:
        super().__init__(error.reason)
        self.error = error


class _Said(msgspec.Struct, frozen=True):
    code: str | None = None


class _Refusal(msgspec.Struct, frozen=True):
    error: _Said = _Said()


class RelayLink:
    """See the module docstring. `url` is the relay's base address, `purse` has tokens for a relay that wants
    them.
    """

    def __init__(self, url: str, pool: Pool, purse: RelayPurse | None = None) -> None:
        self.url = url.rstrip("/").removesuffix(INFO)
        if not self.url.startswith(("http://", "https://")):
            raise InvalidInput("bad_relay", "A relay is an http or https address.")
        self._pool, self._purse = pool, purse
        self._info: RelayInfo | None = None

    async def info(self, *, fresh: bool = False) -> RelayInfo:
        """What the relay says of itself. Raises NotReached `relay_unreachable`, `relay_unreadable`."""
        if self._info is None or fresh:
            try:
                async with self._pool.request("GET", self.url + INFO) as response:
                    body = await response.read(1 << 20)
                    if response.status != 200:
                        raise NotReached(
                            "relay_unreachable",
                            "What answers at the relay's address does not say that it is a relay.",
                            "Is the address right? GET /v1/relay shows a relay.",
                        )
            except NotReached:
                raise
            except HallmarkError as error:
                raise NotReached(
                    "relay_unreachable", "The relay cannot be reached.", "Is it up? Else name another one."
                ) from error
            self._info = _read(body)
        return self._info

    async def gateway_keys(self, *, fresh: bool = False) -> tuple[KeyConfiguration, ...]:
        """The gateway's key configurations as the relay hands them to everybody. They are not attested: who
        has their keys sees route requests and receipt ids, from the relay's address. Raises NotReached.
        """
        info = await self.info(fresh=fresh)
        try:
            return tuple(decode_list(base64.b64decode(info.configurations, validate=True)))
        except (HallmarkError, binascii.Error) as error:
            raise NotReached(
                "relay_without_gateway", "The relay knows no keys of the network's gateway."
            ) from error

    def post(self, target: str, capsule: bytes, timeouts: Timeouts) -> Delivery:
        """Hand a capsule in for `target`: GATEWAY, or a node's address in 0x-hex."""
        path = TO_GATEWAY if target == GATEWAY else TO_NODE + target
        headers = (
            (b"content-type", CHUNKED_REQUEST),
            (b"accept", CHUNKED_RESPONSE),
            (b"incremental", b"?1"),
        )

        def request(more: Pairs) -> Exchange:
            pairs = (*headers, *more)
            return self._pool.request("POST", self.url + path, pairs, capsule, timeouts=timeouts)

        return Delivery(self, request)

    async def authorized(self, asked: RelayTokens | None) -> Pairs:
        """The header with a token, where the relay wants one: `asked` for just now, or as it says of itself.
        Raises NotReached `relay_wants_token`, and as `RelayPurse.authorization` does.
        """
        info = self._info
        wanted = asked or (info.tokens if info is not None else None)
        if wanted is None:
            return ()
        if self._purse is None:
            raise no_issuer()
        epoch_s = info.kept.nullifiers_s // 2 if info is not None else 0
        if asked is None and not self._purse.is_everybodys(wanted, epoch_s):
            wanted = (
                await self.info(fresh=True)
            ).tokens or wanted  # what it said is of an epoch that is over
        return ((b"authorization", await self._purse.authorization(wanted, epoch_s)),)


class Delivery:
    """One capsule on its way: an async context manager that gives the response with the sealed answer.

    A relay that asks for another token than the one that it got, as after an epoch, gets that, once.

    Raises Stale, Undelivered; NotReached `answer_lost`, `relay_refused`, and as `RelayLink.authorized`;
    AnswerBroken `sealed_not_an_answer`.
    """

    def __init__(self, link: RelayLink, request: Callable[[Pairs], Exchange]) -> None:
        self._link, self._request = link, request
        self._exchange: Exchange | None = None

    async def __aenter__(self) -> Response:
        response = await self._sent(None)
        asked = challenge_in(response.header(b"www-authenticate")) if response.status == 401 else None
        if asked is not None:
            await self.__aexit__()
            response = await self._sent(asked)
        try:
            await _require(response)
        except BaseException:
            await self.__aexit__()
            raise
        return response

    async def __aexit__(self, *_: object) -> None:
        if self._exchange is not None:
            await self._exchange.__aexit__(None, None, None)
            self._exchange = None

    async def _sent(self, asked: RelayTokens | None) -> Response:
        exchange = self._request(await self._link.authorized(asked))
        try:
            response = await exchange.__aenter__()
        except HallmarkError as error:
            if error.reason in NOT_BEGUN:
                raise Undelivered(
                    NotReached("relay_unreachable", "The relay cannot be reached.", "Try another relay.")
                ) from error
            gone = Lost("answer_lost", "The relay gave no answer.", "Ask again, or through another relay.")
            raise gone from error
        self._exchange = exchange
        return response


async def _require(response: Response) -> None:
    """A sealed answer, or why there is none."""
    kind = (response.header(b"content-type") or b"").split(b";")[0].strip()
    if response.status == 200 and kind == CHUNKED_RESPONSE:
        return
    if response.status == 200:
        raise AnswerBroken("sealed_not_an_answer", "What came back is not a sealed answer.")
    try:
        told = msgspec.json.decode(await response.read(MAX_REFUSAL), type=_Refusal).error.code or ""
    except (HallmarkError, msgspec.DecodeError, UnicodeDecodeError):
        told = ""
    if told == STALE:
        raise Stale
    if told in UNDELIVERED:
        raise Undelivered(
            NotReached("relay_undelivered", "The relay says that it could not deliver the question.")
        )
    if told == "sealed_unreadable":
        raise AnswerBroken(
            "sealed_unreadable",
            "The enclave could not read what reached it.",
            "Somebody changed it on the way.",
        )
    if told == "relay_peer_silent":
        raise Lost("answer_lost", "The relay got no answer from the node.", "Ask again.")
    raise NotReached(
        "relay_refused",
        f"The relay answered with status {response.status} ({_code(told)}) and no sealed answer.",
        "Ask again later, or through another relay.",
    )


def _code(told: str) -> str:
    return told if told.replace("_", "").isalnum() and len(told) < 64 and told.isascii() else "no reason"


UNDELIVERED: Final = frozenset(("relay_unknown_node", "relay_node_plain", "relay_peer_away"))
"""Reasons with which a relay says that nothing of a capsule has reached its node."""


def _read(body: bytes) -> RelayInfo:
    try:
        return msgspec.json.decode(body, type=RelayInfo)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotReached("relay_unreadable", "What the relay says of itself cannot be read.") from error
