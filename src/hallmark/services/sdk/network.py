"""The network as a client reaches it: a gateway's address, a trust file, and errors as they come back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from hallmark.core.errors import (
    Conflict,
    HallmarkError,
    Held,
    InvalidInput,
    NotFound,
    TooLarge,
    Unauthorized,
    Unavailable,
    VerificationFailed,
)
from hallmark.core.model_names import NOT_MET, PinNotMet
from hallmark.payments.accounts import PaymentRequired
from hallmark.services.sdk.verifying import Verifier

DEFAULT_HOME: Final = Path("~/.hallmark")
HOME_VARIABLE: Final = "HALLMARK_HOME"
_KINDS: Final[dict[int, type[HallmarkError]]] = {
    400: InvalidInput,
    401: Unauthorized,
    402: PaymentRequired,
    404: NotFound,
    409: Conflict,
    412: Held,
    413: TooLarge,
    422: VerificationFailed,
}


class Chain(msgspec.Struct, frozen=True):
    """Where a network's money is: a chain's JSON-RPC and id, its token, the vault (addresses as 0x-hex).
    `development` says that all of it is worth nothing. `since`: the vault is in no earlier block. `former`
    are vaults that the network had before, of the same token.
    """

    rpc_url: str
    chain_id: int
    token: str
    vault: str
    development: bool = False
    since: int = 0
    former: tuple[str, ...] = ()


class Place(msgspec.Struct, frozen=True):
    """Where a network is: the gateway's base URL without a slash at the end, the path of its trust file, its
    money, the home where a wallet is, and addresses of a relay, of who sells tokens, of the log, of who gives
    tokens for the relay where it wants them (empty: none is known).
    """

    base_url: str
    trust: str | None = None
    chain: Chain | None = None
    home: str = ""
    relay: str = ""
    issuer: str = ""
    log: str = ""
    relay_issuer: str = ""


class _Error(msgspec.Struct, frozen=True):
    message: str = ""
    code: str | None = None
    hint: str = ""


class _Body(msgspec.Struct, frozen=True):
    error: _Error


def find(
    base_url: str | None,
    trust: Path | str | None,
    home: Path | str | None,
    relay: str | None = None,
    relay_issuer: str | None = None,
    *,
    verified: bool = False,
) -> Place:
    """Where to connect: what is given, else what the home directory of a local network says: `home`, or
    that of HALLMARK_HOME as for the command line, or ~/.hallmark. A relay and a
    trust file (or a verifier: `verified`) need no gateway.

    Raises InvalidInput `no_network` when neither is there.
    """
    chosen = str(trust) if trust is not None else None
    folder = Path(home or os.environ.get(HOME_VARIABLE) or DEFAULT_HOME).expanduser()
    if home is None and (base_url is not None or (relay and (chosen or verified))):
        url = _trimmed(base_url or "")
        return Place(url, chosen, home=str(folder), relay=relay or "", relay_issuer=relay_issuer or "")
    path = folder / "client.json"
    try:
        place = msgspec.json.decode(path.read_bytes(), type=Place)
    except OSError as error:
        raise InvalidInput(
            "no_network",
            f"No network is known in {path.parent}.",
            "Start one with `hallmark up`, or give base_url= and trust=.",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(
            "bad_client_file",
            f"{path} does not say where a network is.",
            "`hallmark up` writes it anew; or give base_url= and trust=.",
        ) from error
    # An issuer is one relay's: the home's is for the home's relay alone.
    issuer = relay_issuer or (place.relay_issuer if relay in (None, place.relay) else "")
    return msgspec.structs.replace(
        place,
        base_url=_trimmed(base_url or place.base_url),
        trust=chosen or place.trust,
        home=str(folder),
        relay=relay or place.relay,
        relay_issuer=issuer,
    )


def verifier_of(place: Place) -> Verifier | None:
    """The verifier for the place's trust file; None without one."""
    return Verifier.read(Path(place.trust)) if place.trust is not None else None


def error_of(status: int, body: bytes) -> HallmarkError:
    """The error that a response stands for, with the reason code that it carries."""
    try:
        said = msgspec.json.decode(body, type=_Body).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = _Error()
    reason = said.code or f"http_{status}"
    # The hint stands in the message as well, for clients that show nothing else.
    message = said.message.removesuffix(said.hint).rstrip() or f"The network answered with status {status}."
    if status in (409, 412) and reason in ("held", "policy_not_met"):
        return Held(reason, message, said.hint)
    if status == PinNotMet.status and reason in NOT_MET:
        return PinNotMet(reason, message, said.hint)
    return _KINDS.get(status, Unavailable)(reason, message, said.hint)


def _trimmed(url: str) -> str:
    return url.rstrip("/").removesuffix("/v1")
