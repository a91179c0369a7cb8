"""A C2SP witness: it cosigns a log's checkpoints only along one append-only history.

Rules, in the order of `Witness.add_checkpoint`, with the status that c2sp.org/tlog-witness asks for:

1. the body is well formed                                                        400
2. the origin is one of the configured logs                                       404
3. a configured key of that log signed the checkpoint                             403
4. the old size is not above the checkpoint's size                                400
5. the old size is the size that this witness last cosigned, 0 if none            409 and that size
6. equal sizes have equal roots                                                   422
7. the consistency proof leads from what was last cosigned to the checkpoint      422
8. the injected check agrees (a full node's own checks)                           what it raises
9. the new state is durable, compared and swapped, before the cosignature is given; so that both may share one
   transaction, the state's store gets the note with the cosignature on it

Errors are core errors; `http_reply` turns them into the protocol's answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, Self

import msgspec

from hallmark.core.errors import (
    Conflict,
    HallmarkError,
    InvalidInput,
    NotFound,
    Unauthorized,
    VerificationFailed,
)
from hallmark.core.merkle import EMPTY_ROOT, verify_consistency
from hallmark.ledger.checkpoint import Checkpoint, verify_log_signature
from hallmark.ledger.note import COSIGNATURE, Note, SigningKey, VerifierKey
from hallmark.ledger.text import b64, decimal, unb64_hash

MAX_PROOF_LINES = 63
MAX_BODY = 70_000
SIZE_TYPE = "text/x.tlog.size"
TEXT_TYPE = "text/plain; charset=utf-8"

Check = Callable[[int, int, Checkpoint], Awaitable[None]]


class LogSignatureRefused(Unauthorized):
    """No known key of the log signed the checkpoint (403, as C2SP says)."""

    status = 403


class SizeConflict(Conflict):
    """The old size is not what this witness last cosigned; `size` is what it has."""

    def __init__(self, size: int) -> None:
        super().__init__(
            "old_size_differs", f"This witness last cosigned size {size}.", "Send a proof from that size."
        )
        self.size = size


class RootDiffers(VerificationFailed):
    """The log signed another root for a `size` that this witness cosigned: two histories."""

    def __init__(self, size: int) -> None:
        super().__init__("root_differs", f"This witness cosigned another root at size {size}.")
        self.size = size


class State(msgspec.Struct, frozen=True):
    """What a witness last cosigned for one origin. Size 0 stands for nothing."""

    size: int = 0
    root: bytes = EMPTY_ROOT


class WitnessState(Protocol):
    """Durable memory of a witness."""

    async def latest(self, origin: str) -> State:
        """What was last cosigned."""
        ...

    async def advance(self, origin: str, old: State, new: State, cosigned: Note, /) -> None:
        """Replace `old` by `new`, durably, in one step; `cosigned` is the note for which that is done, with
        this witness's line, and may be kept. Raises Conflict `witness_raced` if `old` is gone.
        """
        ...


class AddCheckpoint(msgspec.Struct, frozen=True):
    """An add-checkpoint request: old size, consistency proof, checkpoint note."""

    old_size: int
    proof: tuple[bytes, ...]
    note: Note

    def encode(self) -> bytes:
        """The request's body."""
        lines = (f"old {self.old_size}", *map(b64, self.proof), "", "")
        return "\n".join(lines).encode() + self.note.encode()

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a request's body. Raises InvalidInput `bad_add_checkpoint`."""
        head, separator, note = body.partition(b"\n\n")
        try:
            old, *lines = head.decode("ascii").split("\n")
            if len(body) > MAX_BODY or not separator or not old.startswith("old "):
                raise InvalidInput("bad_add_checkpoint", "The body is malformed.")
            if len(lines) > MAX_PROOF_LINES:
                raise InvalidInput("bad_add_checkpoint", "The proof has more than 63 lines.")
            proof = tuple(unb64_hash(line) for line in lines)
            return cls(decimal(old.removeprefix("old ")), proof, Note.parse(note))
        except (InvalidInput, UnicodeDecodeError) as error:
            raise InvalidInput("bad_add_checkpoint", "The body is not an add-checkpoint request.") from error


class Witness:
    """The state machine of one witness key. One request per origin is worked on at a time."""

    def __init__(
        self,
        key: SigningKey,
        logs: Sequence[VerifierKey],
        state: WitnessState,
        check: Check | None = None,
    ) -> None:
        if key.verifier.kind != COSIGNATURE:
            raise InvalidInput("wrong_key_type", "A witness signs with a cosignature key (type 0x04).")
        self._key = key
        self._state = state
        self._check = check
        self._logs: dict[str, tuple[VerifierKey, ...]] = {}
        for log in logs:
            self._logs[log.name] = (*self._logs.get(log.name, ()), log)
        self._locks = {origin: asyncio.Lock() for origin in self._logs}

    @property
    def vkey(self) -> str:
        """The witness's C2SP vkey."""
        return self._key.vkey

    async def add_checkpoint(self, body: bytes, now: Callable[[], int], check: Check | None = None) -> bytes:
        """Take an add-checkpoint body; returns the cosignature line, made at `now()` (unix ms). `check`
        stands in for the witness's own this once.

        Raises as the module docstring says: InvalidInput `bad_add_checkpoint`, `bad_checkpoint`,
        `old_size_above`; NotFound `unknown_log`; LogSignatureRefused `log_signature_missing`,
        `note_signature`; SizeConflict `old_size_differs`; RootDiffers `root_differs`; VerificationFailed
        `consistency_proof`, `empty_root`, `checkpoint_extension`; and what the check raises.
        """
        request = AddCheckpoint.parse(body)
        origin = Checkpoint.parse(request.note.text).origin
        if origin not in self._logs:
            raise NotFound("unknown_log", "This witness does not know a log of that origin.")
        checkpoint = self._log_signed(request.note, origin)
        if request.old_size > checkpoint.size:
            raise InvalidInput("old_size_above", "The old size is above the checkpoint's size.")
        async with self._locks[origin]:
            seen = await self._extended(request, checkpoint, check or self._check)
            note, line = request.note, self._key.cosign(request.note.text, now())
            new = State(checkpoint.size, checkpoint.root)
            if new != seen:
                cosigned = Note(note.text, (*note.signatures, line))
                await self._state.advance(origin, seen, new, cosigned)
            return line.line()

    def _log_signed(self, note: Note, origin: str) -> Checkpoint:
        try:
            return verify_log_signature(note, self._logs[origin]).checkpoint
        except VerificationFailed as error:
            if error.reason == "checkpoint_extension":
                raise
            raise LogSignatureRefused(error.reason, error.message) from error

    async def _extended(self, request: AddCheckpoint, checkpoint: Checkpoint, check: Check | None) -> State:
        """Rules 5 to 8; what was cosigned last."""
        seen = await self._state.latest(checkpoint.origin)
        if request.old_size != seen.size:
            raise SizeConflict(seen.size)
        if checkpoint.size == seen.size and seen.size and checkpoint.root != seen.root:
            raise RootDiffers(seen.size)
        verify_consistency(
            seen.size, checkpoint.size, request.proof, old_root=seen.root, new_root=checkpoint.root
        )
        if check is not None and (checkpoint.size, checkpoint.root) != (seen.size, seen.root):
            await check(seen.size, checkpoint.size, checkpoint)
        return seen


def http_reply(error: HallmarkError) -> tuple[int, str, bytes]:
    """Status, content type and body of the protocol's answer to an error of `Witness.add_checkpoint`."""
    if isinstance(error, SizeConflict):
        return error.status, SIZE_TYPE, f"{error.size}\n".encode()
    return error.status, TEXT_TYPE, f"{error.reason}: {error.message}\n".encode()
