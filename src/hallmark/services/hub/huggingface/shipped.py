"""The models of a network as repositories `hallmark/LABEL`: the files of each artifact, and its card.

They are published by the hub itself when it starts, beside what it serves; nobody else can publish in that
namespace. What is there already is left as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from hallmark.core.errors import HallmarkError, InvalidInput, NotFound
from hallmark.core.hashing import sha256
from hallmark.hub.artifact import read_artifact
from hallmark.hub.cache import read_blob_ids
from hallmark.hub.card import read_card
from hallmark.hub.revision import Change, FileEntry, check_repository
from hallmark.services.hub.blobs import Blobs
from hallmark.services.hub.huggingface.contents import Contents
from hallmark.services.hub.huggingface.rows import HOUSE, README, Repository, Rows, Update
from hallmark.services.hub.settings import HubModel
from hallmark.services.hub.writers import OPERATOR
from hallmark.telemetry.logs import get_logger

TITLE: Final = "As this network serves it"


class ShippedModels:
    """See the module docstring. `known` is a file of blob IDs by SHA-256 that comes with this release."""

    def __init__(
        self,
        blobs: Blobs,
        rows: Rows,
        contents: Contents,
        *,
        known: str = "",
        now: Callable[[], float] = time.time,
    ) -> None:
        self._blobs, self._rows, self._contents, self._now = blobs, rows, contents, now
        self._known = {digest.hex(): identifier for digest, identifier in read_blob_ids(Path(known)).items()}

    async def publish(self, models: Sequence[HubModel]) -> None:
        """Publish what is not published. What goes wrong is logged: the next start tries again."""
        for model in models:
            try:
                made = await self._publish(model)
            except HallmarkError as error:
                get_logger().warning("model_not_published", label=model.label, reason=error.reason)
            else:
                if made:
                    get_logger().info("model_published", label=model.label, commit=made)

    async def _publish(self, model: HubModel) -> str:
        """The new commit; empty where nothing changed."""
        name = check_repository(HOUSE, model.label)
        files = await asyncio.to_thread(_files, model)
        repository = await self._repository(name)
        head = await self._rows.revision(repository, "main")
        wanted = {path: sha256(data).hex() for path, data in files.items()}
        if wanted == {path: entry.sha256 for path, entry in head.files.items()}:
            return ""
        changes = [Change(path) for path in head.files if path not in files]
        changes += [Change(path, await self._entry(data)) for path, data in files.items()]
        cards = {wanted[README]: read_card(files[README])} if README in files else {}
        update = Update(OPERATOR, TITLE, int(self._now() * 1000), changes, cards)
        return (await self._rows.commit(repository, update)).commit

    async def _repository(self, name: str) -> Repository:
        with contextlib.suppress(NotFound):
            return await self._rows.find(*name.split("/"))
        return await self._rows.create(name, OPERATOR, int(self._now() * 1000))

    async def _entry(self, data: bytes) -> FileEntry:
        with self._blobs.staging.new(len(data)) as staged:
            await staged.write(data)
            await staged.finish()
            return await self._contents.keep(staged, self._known.get(staged.summary.sha256))


def _files(model: HubModel) -> Mapping[str, bytes]:
    try:
        files = read_artifact(Path(model.artifact).read_bytes())
        return {**files, README: Path(model.readme).read_bytes()} if model.readme else files
    except OSError as error:
        raise InvalidInput("model_unreadable", f"The files of {model.label} cannot be read.") from error
