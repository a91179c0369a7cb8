"""What labels pointed to when a client last had an answer under them, so that a move is noticed.

    HOME/models-seen.json     {"0x<network> LABEL": "0x<blob ID>", ...}

A label is its owner's to move: Tuesday's answer and Thursday's can come from two artifacts under one name,
each with a receipt that holds. `on_model_change` says what a client does about that:

    warn      it warns (ModelMoved), says so on the draft, and knows the new artifact from then on
    refuse    it pins what it asks to the artifact that it knows, so that nothing else runs, until it is told
              to `forget`
    allow     it only remembers

The first answer under a label is taken as it comes. What a provider answers has no artifact: it is another
answer than the known artifact's, each time, and nothing to remember.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

import msgspec

from hallmark.core.blob_ids import blob_text
from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.hashing import ZERO32
from hallmark.core.model_names import ModelName, read_model_name
from hallmark.store.remembered import recall, remember

WARN: Final = "warn"
REFUSE: Final = "refuse"
ALLOW: Final = "allow"
MOST: Final = 20_000


class ModelMoved(UserWarning):
    """A label points to another artifact than when this client last had an answer under it."""


class ModelMove(msgspec.Struct, frozen=True):
    """Which label moved, and its two artifacts (0x-hex); no second one where a provider answers now."""

    label: str
    before: str
    now: str

    @property
    def words(self) -> str:
        """What happened, as people read it."""
        before = blob_text(unhex(self.before))
        if not self.now:
            return f"{self.label} was artifact {before} when you asked last, and a provider answers now"
        now = blob_text(unhex(self.now))
        return f"{self.label} is another artifact than when you asked last: {before} then, {now} now"


class SeenModels:
    """See the module docstring. `network` is the network's id (empty: unknown). Raises InvalidInput
    `bad_on_model_change`.
    """

    def __init__(self, on_change: str, network: bytes, path: Path | None = None) -> None:
        if on_change not in (WARN, REFUSE, ALLOW):
            raise InvalidInput("bad_on_model_change", "on_model_change is warn, refuse or allow.")
        self.on_change = on_change
        self._network, self._path = hex0x(network), path
        self._known = recall(path)

    def named(self, model: str) -> str:
        """`model` as it is to be asked for: pinned to what is known of it where a move is to be refused."""
        name = read_model_name(model)
        known = self._known.get(self._key(name.label), "")
        if self.on_change != REFUSE or name.artifact or not known:
            return model
        return str(ModelName(name.label, known))

    def arrived(self, model: str, artifact: bytes) -> ModelMove | None:
        """An answer of `artifact` (32 bytes; zero: none) came to what was asked for as `model`.

        Raises VerificationFailed `model_pin_mismatch` when that pins another one.
        """
        name, found = read_model_name(model), hex0x(artifact)
        if name.artifact and name.artifact != found:
            raise VerificationFailed(
                "model_pin_mismatch", "The receipt names another artifact than the one that the request pins."
            )
        known = self._known.get(self._key(name.label))
        ran = artifact != ZERO32
        if name.artifact or known == found:
            return None
        if ran:
            self.accept(name.label, found)
        if known is None or self.on_change == ALLOW:
            return None
        move = ModelMove(name.label, known, found if ran else "")
        warnings.warn(ModelMoved(move.words), stacklevel=2)
        return move

    def accept(self, label: str, artifact: str) -> None:
        """Know this artifact (0x-hex) as the label's from now on."""
        key = self._key(label)
        self._known.pop(key, None)
        self._known[key] = artifact
        for old in list(self._known)[: max(0, len(self._known) - MOST)]:
            del self._known[old]
        remember(self._path, self._known)

    def forget(self, label: str) -> None:
        """Take the next answer under the label as it comes."""
        if self._known.pop(self._key(label), None) is not None:
            remember(self._path, self._known)

    def _key(self, label: str) -> str:
        return f"{self._network} {label}"
