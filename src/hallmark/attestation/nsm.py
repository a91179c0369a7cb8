"""The Nitro security module's wire format (CBOR, as aws-nitro-enclaves-nsm-api's `Request` and `Response`).

Operations without arguments are a text string (`"DescribeNSM"`), others a map of one pair
(`{"ExtendPCR": {"index": 16, "data": h'..'}}`); an error is `{"Error": "InvalidIndex"}`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any

import cbor2

from hallmark.core.errors import InvalidInput, Unavailable

MAX_REQUEST = 0x1000
MAX_RESPONSE = 0x3000
PCR_COUNT = 32

Transport = Callable[[bytes], bytes]
"""Sends one encoded request to the module and returns its encoded response."""


class ErrorCode(enum.StrEnum):
    """The module's error codes."""

    INVALID_ARGUMENT = "InvalidArgument"
    INVALID_INDEX = "InvalidIndex"
    READ_ONLY_INDEX = "ReadOnlyIndex"
    INVALID_OPERATION = "InvalidOperation"
    INPUT_TOO_LARGE = "InputTooLarge"
    INTERNAL_ERROR = "InternalError"


def encode(operation: str, arguments: Mapping[str, object] | None = None) -> bytes:
    """Encode a request, or a response: text alone without arguments, else a map of one pair."""
    return cbor2.dumps(operation if arguments is None else {operation: dict(arguments)})


def encode_error(code: ErrorCode) -> bytes:
    """Encode an error response."""
    return cbor2.dumps({"Error": code.value})


def decode(data: bytes) -> tuple[str, Any]:
    """Operation and arguments (None for text alone) of an encoded request or response.

    Raises InvalidInput `bad_nsm_message`.
    """
    try:
        value = cbor2.loads(data, max_depth=4, allow_duplicate_keys=False)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError) as error:
        raise InvalidInput("bad_nsm_message", "A security module message is not CBOR.") from error
    if type(value) is str:
        return value, None
    if type(value) is dict and len(value) == 1:
        (operation, arguments), *_ = value.items()
        if type(operation) is str:
            return operation, arguments
    raise InvalidInput("bad_nsm_message", "A security module message is a text or a map of one pair.")


class Client:
    """Asks a security module. Every method raises Unavailable `nsm_error` when the module refuses."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def attestation(self, user_data: bytes | None, nonce: bytes | None, public_key: bytes | None) -> bytes:
        """A signed document over the locked registers and the given values."""
        wanted = {"user_data": user_data, "nonce": nonce, "public_key": public_key}
        return self._field("Attestation", wanted, "document")

    def describe_pcr(self, index: int) -> bytes:
        """The value of a register, 48 bytes."""
        return self._field("DescribePCR", {"index": index}, "data")

    def extend_pcr(self, index: int, data: bytes) -> bytes:
        """Extend a register; its new value, 48 bytes."""
        return self._field("ExtendPCR", {"index": index, "data": data}, "data")

    def lock_pcr(self, index: int) -> None:
        """Make a register read-only; from now on documents carry it."""
        self._ask("LockPCR", {"index": index})

    def random(self) -> bytes:
        """Fresh random bytes (256 from the emulated module)."""
        return self._field("GetRandom", None, "random")

    def sealing_secret(self) -> bytes:
        """32 bytes that every start of the same image under the same platform gets, and nothing else.

        The emulated module alone answers this; a Nitro module refuses, because there a key service releases
        such a secret against evidence.
        """
        return self._field("DevelopmentSealingSecret", None, "secret")

    def describe(self) -> Mapping[str, object]:
        """Version, module id, number of registers, which are locked, digest."""
        answer = self._ask("DescribeNSM", None)
        if type(answer) is not dict:
            raise _unexpected()
        return answer

    def _field(self, operation: str, arguments: Mapping[str, object] | None, name: str) -> bytes:
        answer = self._ask(operation, arguments)
        value = answer.get(name) if type(answer) is dict else None
        if type(value) is not bytes:
            raise _unexpected()
        return value

    def _ask(self, operation: str, arguments: Mapping[str, object] | None) -> Any:
        kind, answer = decode(self._transport(encode(operation, arguments)))
        if kind == "Error":
            raise Unavailable("nsm_error", f"The security module refused {operation}: {answer}.")
        if kind != operation:
            raise _unexpected()
        return answer


def _unexpected() -> Unavailable:
    return Unavailable("nsm_error", "The security module answered something else than it was asked.")
