"""A client's line to one relay: what it says of itself, and capsules through it.

The relay is believed in nothing. It can refuse, be slow, or lose a capsule; it cannot read one, change one
without that being seen, or answer one itself.
"""

from __future__ import annotations

import base64
import binascii
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
)
from hallmark.services.sealing.refusals import AnswerBroken, Lost, NotReached

STALE: Final = "key_configuration_stale"
GATEWAY: Final = "gateway"
MAX_REFUSAL: Final = 65_536
NOT_BEGUN: Final = frozenset(("connect_failed", "pool_exhausted"))
"""Reasons of our own before which no byte of a capsule has left."""


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
    """See the module docstring. `url` is the relay's base address."""

    def __init__(self, url: str, pool: Pool) -> None:
        self.url = url.rstrip("/").removesuffix(INFO)
        if not self.url.startswith(("http://", "https://")):
            raise InvalidInput("bad_relay", "A relay is an http or https address.")
        self._pool = pool
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
        return Delivery(self._pool.request("POST", self.url + path, headers, capsule, timeouts=timeouts))


class Delivery:
    """One capsule on its way: an async context manager that gives the response with the sealed answer.

    Raises Stale, Undelivered; NotReached `answer_lost`, `relay_refused`; AnswerBroken `sealed_not_an_answer`.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def __aenter__(self) -> Response:
        try:
            response = await self._exchange.__aenter__()
        except HallmarkError as error:
            if error.reason in NOT_BEGUN:
                raise Undelivered(
                    NotReached("relay_unreachable", "The relay cannot be reached.", "Try another relay.")
                ) from error
            gone = Lost("answer_lost", "The relay gave no answer.", "Ask again, or through another relay.")
            raise gone from error
        try:
            await _require(response)
        except BaseException:
            await self._exchange.__aexit__(None, None, None)
            raise
        return response

    async def __aexit__(self, *_: object) -> None:
        await self._exchange.__aexit__(None, None, None)


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
