"""What host and enclave say to each other on the control channel: msgpack maps with a `type` field.

Where the channel is a socket that passes descriptors, `Start` carries one sealed memfd per label, in order,
`Connection` one stream socket, `Dialed` one stream socket when `reason` is empty. On AF_VSOCK the same
messages are length-prefixed and descriptors are separate connections (see `vsock`).
"""

from __future__ import annotations

import msgspec

from hallmark.core.errors import InvalidInput

MAX_MESSAGE = 192 * 1024
"""Bytes of one message; an entry has at most 65,527."""


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


ToEnclave = Start | Connection | BeaconUpdate | Attest | Stored | Dialed | UpstreamKey
FromEnclave = Attested | Ready | Signed | Dial | Log | Alive | Failed | UpstreamKeyTaken

_encoder = msgspec.msgpack.Encoder()
_to_enclave: msgspec.msgpack.Decoder[ToEnclave] = msgspec.msgpack.Decoder(ToEnclave)
_from_enclave: msgspec.msgpack.Decoder[FromEnclave] = msgspec.msgpack.Decoder(FromEnclave)


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
