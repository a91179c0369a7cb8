"""Settings of a blob store."""

from __future__ import annotations

import msgspec

from hallmark.core.document import Hex32
from hallmark.http.serve import Listen

GIB = 1 << 30
MOST_BLOB = 14_599_533_452
"""The longest blob that Walrus encodes for 1000 shards, in bytes."""


class HubModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model that the hub itself publishes: its label, the file with its artifact, and its card."""

    label: str
    artifact: str
    readme: str = ""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One blob store.

    `directory` holds what is on its way and, where `storage` is empty, the blobs. `storage` is a URL (see
    `storages`), and its secrets are in `storage_key_file`. `database` says what was promised for how long.

    Nobody may put anything but who shows a key (`keys`: SHA-256 of the secret that comes as
    `Authorization: Bearer SECRET`), unless `anonymous` is set; everybody may get.

    A blob has at most `most_blob` bytes, a quilt `most_quilt`, and `free` bytes of the disk stay free. So
    many IDs are computed `at_once`, so many uploads are `under_way`. An upload may stand still for `idle_s`.
    `models` are published as repositories `hallmark/LABEL`; `blob_ids` is a file with the IDs of their files.

    Storage nodes are challenged every `challenge_every_s`, where blobs are on such; 0: never.

    An epoch is `epoch_s` long and counted from 1970; the default is Walrus's own, two weeks. A put may ask
    for `most_epochs`.
    """

    listen: Listen
    directory: str
    database: str
    storage: str = ""
    storage_key_file: str = ""
    keys: tuple[Hex32, ...] = ()
    anonymous: bool = False
    most_blob: int = MOST_BLOB
    most_quilt: int = 64 << 20
    free: int = GIB
    at_once: int = 2
    under_way: int = 64
    idle_s: float = 30.0
    epoch_s: int = 1_209_600
    most_epochs: int = 53
    models: tuple[HubModel, ...] = ()
    blob_ids: str = ""
    challenge_every_s: float = 600.0
