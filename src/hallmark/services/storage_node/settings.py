"""Settings of a storage node."""

from __future__ import annotations

import msgspec

from hallmark.core.document import Hex32
from hallmark.http.serve import Listen
from hallmark.services.hub.settings import GIB, MOST_BLOB


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One storage node: `name` in the file `committee`, with the secret key in `key_file`; slivers are in
    `directory`.

    Nobody may put slivers but who shows a key (`keys`: SHA-256 of the secret that comes as
    `Authorization: Bearer SECRET`), unless `anonymous` is set; everybody may get.

    A blob has at most `most_blob` bytes, and `free` bytes of the disk stay free. So many puts are
    `under_way`; one may stand still for `idle_s`. Every `look_every_s` the node looks through what it has,
    asks the others what it should have, and mends what is missing; 0: never. A peer has `peer_s` for an
    answer.
    """

    listen: Listen
    directory: str
    committee: str
    name: str
    key_file: str
    keys: tuple[Hex32, ...] = ()
    anonymous: bool = False
    most_blob: int = MOST_BLOB
    free: int = GIB
    under_way: int = 16
    idle_s: float = 30.0
    look_every_s: float = 3_600.0
    peer_s: float = 30.0
