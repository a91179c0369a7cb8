"""What host and enclave say to each other on the control channel: msgpack maps with a `type` field.

Where the channel is a socket that passes descriptors, `Start` carries one sealed memfd per label, in order,
`Connection` one stream socket, `Dialed` one stream socket when `reason` is empty. On AF_VSOCK the same
messages are length-prefixed and descriptors are separate connections (see `vsock`).
"""

from __future__ import annotations

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.services.enclave.token_messages import HoldWanted as HoldWanted
from hallmark.services.enclave.token_messages import IssuerAnswer as IssuerAnswer
from hallmark.services.enclave.token_messages import TokenKeys as TokenKeys
from hallmark.services.enclave.token_messages import TokensDue as TokensDue
from hallmark.services.enclave.units import MOST as MOST
from hallmark.services.enclave.units import Units as Units
from hallmark.services.enclave.units import read, written

MAX_MESSAGE = 192 * 1024
"""Bytes of one message; an entry has at most 65,527."""
JOURNAL = "/journal"
"""The label of the descriptor that `Start` carries the kept journal of accounts in; no model's label."""


class Start(msgspec.Struct, frozen=True, tag="start"):
    """First message to an enclave, once.

    `configuration` are the exact bytes of an EnclaveConfiguration, `manifests` those of the Manifests that it
    names; `labels` say which descriptor is which artifact. `image` is SHA-384 of the image, which the enclave
    compares with PCR0; empty with `evidence` empty means vanilla: no security module, no evidence.
    `rlimit_memory` (bytes) and `rlimit_tasks` are set from inside where no control group caps them; 0: not.
    """

    configuration: bytes
    manifests: tuple[bytes, ...]
    labels: tuple[str, ...]
    image: bytes
    evidence: str
    epoch: int
    beacon_size: int
    beacon_root: bytes
    rlimit_memory: int = 0
    rlimit_tasks: int = 0


class Connection(msgspec.Struct, frozen=True, tag="connection"):
    """A client has connected; its bytes come through the passed socket."""


class BeaconUpdate(msgspec.Struct, frozen=True, tag="beacon"):
    """A newer checkpoint: size and 32-byte root."""

    size: int
    root: bytes


class Attest(msgspec.Struct, frozen=True, tag="attest"):
    """Make evidence with the nonce of this beacon; answered by `Attested`."""

    beacon_size: int
    beacon_root: bytes


class Stored(msgspec.Struct, frozen=True, tag="stored"):
    """The receipt with this sequence is on disk."""

    sequence: int


class Dialed(msgspec.Struct, frozen=True, tag="dialed"):
    """Answer to `Dial` with the same id: a socket, or a reason code."""

    id: int
    reason: str = ""


class UpstreamKey(msgspec.Struct, frozen=True, tag="upstream_key"):
    """An upstream's API key, sealed to this enclave (see `core/upstreams.py`); empty: there is none any more.
    Answered by `UpstreamKeyTaken`.
    """

    label: str
    sealed: bytes


class UpstreamKeyTaken(msgspec.Struct, frozen=True, tag="upstream_key_taken"):
    """Whether an upstream's key was taken: a reason code when it was not."""

    label: str
    reason: str = ""


class Terms(msgspec.Struct, frozen=True, tag="terms"):
    """The exact log entry of the owner's newest PriceOffer, offer attached; answered by `TermsTaken`.

    `sender` is the 20-byte address that the host sends transactions from, which x402's `upto` names; empty:
    no x402 payment can be settled here. `withdraw_delay` (s) is what a channel's payer must wait for, 0 where
    the chain has no channels, and `permit2` says that it has the contracts of Permit2 and its x402 proxies.
    """

    entry: bytes
    sender: bytes = b""
    withdraw_delay: int = 0
    permit2: bool = False


class FramesKept(msgspec.Struct, frozen=True, tag="frames_kept"):
    """Every frame of the journal up to this position is written; one that asked for it is on disk."""

    position: int


class AccountState(msgspec.Struct, frozen=True, tag="account_state"):
    """Answer to `AccountWanted` and to `LeaseSigned` with the same id: what the chain holds now, or a reason.

    `free` is what a lease can still take from the payer's account, `most` the largest allowance that the
    ceiling lets this key have (the one that was sent, where it is newer than the chain's), less what this
    payee's other keys hold or charged, `allowance` (atomic units, cumulative) and `until` (unix s) of this
    key's lease, `term` for how many seconds a new one should be.
    """

    id: int
    reason: str = ""
    free: Units = Units(0)
    most: Units = Units(0)
    allowance: Units = Units(0)
    until: int = 0
    term: int = 0


class Settle(msgspec.Struct, frozen=True, tag="settle"):
    """Sign for what is charged beyond `settled` (by payer, what the chain holds of this key); answered by
    `SettlementSigned`. `closing` gives back what is left of the leases.
    """

    id: int
    settled: dict[bytes, Units]
    closing: bool = False


class PaymentState(msgspec.Struct, frozen=True, tag="payment_state"):
    """Answer to `PaymentWanted` with the same id: what the chain holds now, or a reason.

    Of `exact` and `upto`: whether the authorization was `used`, and `available`, the least of what its payer
    has and lets be taken (atomic units). Of a channel: its `balance`, all that was `claimed`, since when its
    payer is taking money back (unix s, 0: not), and its refunds' nonce.
    """

    id: int
    reason: str = ""
    used: bool = False
    available: Units = Units(0)
    balance: Units = Units(0)
    claimed: Units = Units(0)
    withdraw_at: int = 0
    refund_nonce: int = 0


class PaymentSettled(msgspec.Struct, frozen=True, tag="payment_settled"):
    """What became of a payment by its name: its transaction (32 bytes) once it is in a block, or the reason
    why the chain refused it.
    """

    name: bytes
    transaction: bytes = b""
    reason: str = ""


class ChannelsClaimed(msgspec.Struct, frozen=True, tag="channels_claimed"):
    """All that was claimed from channels (by their 32-byte ids) as the chain has it, less than before too."""

    claimed: dict[bytes, Units]


class ClaimsWanted(msgspec.Struct, frozen=True, tag="claims_wanted"):
    """Sign for what channels were charged and the chain has no claims of, but for those that are `lost` (by
    their 32-byte ids): their payers took the money back. Answered by `ClaimsSigned`.
    """

    id: int
    lost: tuple[bytes, ...] = ()


class TermsTaken(msgspec.Struct, frozen=True, tag="terms_taken"):
    """The digest of the offer that holds now (32 bytes), or the reason why it was refused."""

    offer: bytes
    reason: str = ""


class Frame(msgspec.Struct, frozen=True, tag="frame"):
    """The next frame of the journal of accounts (`payments.journal`); answered by `FramesKept`, `durable`
    ones once they are on disk. Position 1 begins the journal anew: what was kept before goes, in one step.
    """

    position: int
    frame: bytes
    durable: bool


class AccountWanted(msgspec.Struct, frozen=True, tag="account_wanted"):
    """What does the chain hold for the payer of this packed SpendingCeiling, who signed it? It is put on the
    chain with the next lease when it is newer than what is there.
    """

    id: int
    ceiling: bytes
    signature: bytes


class LeaseSigned(msgspec.Struct, frozen=True, tag="lease_signed"):
    """A signed lease to send to the vault (`core.vault.Lease`), with the ceiling of the `AccountWanted` of
    this id; answered by `AccountState` once it is in a block.
    """

    id: int
    sequence: int
    until: int
    rows: bytes
    signature: bytes


class SettlementSigned(msgspec.Struct, frozen=True, tag="settlement_signed"):
    """A signed settlement to send to the vault (`core.vault.Settlement`); no rows: there is nothing to
    settle.
    """

    id: int
    sequence: int
    rows: bytes
    receipts_root: bytes
    closing: bool
    signature: bytes


class PaymentWanted(msgspec.Struct, frozen=True, tag="payment_wanted"):
    """What does the chain hold for this x402 payment (`core.x402_payment.payment_bytes`)? Its name
    (32 bytes) is its own alone.

    The host keeps an `exact` or `upto` one on disk before it answers, until `PaymentDue` tells what becomes
    of it. A deposit into a channel is sent, and answered once it is in a block.
    """

    id: int
    name: bytes
    payment: bytes


class PaymentDue(msgspec.Struct, frozen=True, tag="payment_due"):
    """So much of an x402 payment is to be settled, once and for all; 0: nothing, and it can be forgotten. One
    whose name the host does not keep is settled already. Answered by `PaymentSettled`.
    """

    name: bytes
    amount: Units


class ClaimsSigned(msgspec.Struct, frozen=True, tag="claims_signed"):
    """Claims on channels (`payments.x402.actions.Claims` as an x402 payload), a batch; empty: there are none
    to make. Answered by `ChannelsClaimed` once they are deep enough.
    """

    id: int
    claims: bytes


class Attested(msgspec.Struct, frozen=True, tag="attested"):
    """The key bundle's exact bytes, evidence for it, the packed Registration and the key's signature."""

    bundle: bytes
    evidence: bytes
    statement: bytes
    signature: bytes


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The enclave serves from now on; follows the first `Attested`. `facts` are numbers about confinement."""

    address: bytes
    facts: dict[str, int]


class Signed(msgspec.Struct, frozen=True, tag="signed"):
    """A receipt's log entry, to be stored before its answer ends."""

    sequence: int
    entry: bytes


class Dial(msgspec.Struct, frozen=True, tag="dial"):
    """Connect to the upstream of this name."""

    id: int
    name: str


class Log(msgspec.Struct, frozen=True, tag="log"):
    """One line for the host's log: ids and numbers."""

    event: str
    ids: dict[str, int | str]


class Alive(msgspec.Struct, frozen=True, tag="alive"):
    """Answer to `BeaconUpdate`: the enclave reads its messages."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The enclave refuses to start, or to go on."""

    reason: str
    message: str


ToEnclave = (
    Start
    | Connection
    | BeaconUpdate
    | Attest
    | Stored
    | Dialed
    | UpstreamKey
    | Terms
    | FramesKept
    | AccountState
    | Settle
    | PaymentState
    | PaymentSettled
    | ChannelsClaimed
    | ClaimsWanted
    | TokenKeys
    | IssuerAnswer
)
FromEnclave = (
    Attested
    | Ready
    | Signed
    | Dial
    | Log
    | Alive
    | Failed
    | UpstreamKeyTaken
    | TermsTaken
    | Frame
    | AccountWanted
    | LeaseSigned
    | SettlementSigned
    | PaymentWanted
    | PaymentDue
    | ClaimsSigned
    | HoldWanted
    | TokensDue
)


_encoder = msgspec.msgpack.Encoder(enc_hook=written)
_to_enclave: msgspec.msgpack.Decoder[ToEnclave] = msgspec.msgpack.Decoder(ToEnclave, dec_hook=read)
_from_enclave: msgspec.msgpack.Decoder[FromEnclave] = msgspec.msgpack.Decoder(FromEnclave, dec_hook=read)


def encode(message: ToEnclave | FromEnclave) -> bytes:
    """A message as bytes. Raises InvalidInput `message_too_large`."""
    data = _encoder.encode(message)
    if len(data) > MAX_MESSAGE:
        raise InvalidInput("message_too_large", f"A control message has at most {MAX_MESSAGE} bytes.")
    return data


def decode_to_enclave(data: bytes) -> ToEnclave:
    """Read a message from the host. Raises InvalidInput `bad_message`."""
    try:
        return _to_enclave.decode(data)
    except msgspec.DecodeError as error:
        raise InvalidInput("bad_message", "The host sent something that is not a control message.") from error


def decode_from_enclave(data: bytes) -> FromEnclave:
    """Read a message from an enclave. Raises InvalidInput `bad_message`."""
    try:
        return _from_enclave.decode(data)
    except msgspec.DecodeError as error:
        raise InvalidInput(
            "bad_message", "The enclave sent something that is not a control message."
        ) from error
