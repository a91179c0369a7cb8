"""Every page without any service: `surfaces(Scene(...))` goes into `apps.web.app.create_app`.

Sessions are the real ones over a store in memory; desk, explorer and acts are a scene's.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from hallmark.apps.web.surfaces import Surfaces
from hallmark.core.document import hex0x
from hallmark.core.hashing import sha256
from hallmark.core.statements import SignIn
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.http.serve import Listen
from hallmark.services.review.session_store import SessionRow, SessionStore
from hallmark.services.review.sessions import Session, Sessions, SignInRequest
from hallmark.services.review.settings import Settings
from hallmark.services.review.views import Person
from hallmark.testing.scene import NOW, Scene, address, digest, marks_of
from hallmark.testing.scene_actions import SceneActions
from hallmark.testing.scene_desk import SceneDesk
from hallmark.testing.scene_explorer import SceneExplorer

CHAIN_ID = 31_337
NETWORK = sha256(b"scene network")
SECRET = sha256(b"scene desk secret")
ORIGIN = "http://127.0.0.1:21500"


class MemorySessions(SessionStore):
    """Rows in a dict."""

    def __init__(self) -> None:
        self.rows: dict[bytes, SessionRow] = {}
        self._nonces: set[bytes] = set()

    async def open(
        self,
        row: SessionRow,
        nonce: bytes,
        until: int,  # noqa: ARG002
        *,
        ended: bytes,
    ) -> bool:
        """As on disk: a nonce counts once."""
        if nonce in self._nonces:
            return False
        self._nonces.add(nonce)
        self.rows.pop(ended, None)
        self.rows[row.token] = row
        return True

    async def get(self, token: bytes) -> SessionRow | None:
        """The session of a token hash."""
        return self.rows.get(token)

    async def touch(self, token: bytes, now: int) -> None:
        """Nothing to note."""

    async def close(self, token: bytes) -> None:
        """End a session."""
        self.rows.pop(token, None)


def reviewer_key(name: str = "ada") -> bytes:
    """A reviewer's 32-byte secret key."""
    return sha256(b"scene reviewer", name.encode())


def person_of(secret: bytes, name: str = "Ada Reviewer", *, reviewer: bool = True) -> Person:
    """The person who holds a key."""
    return Person(hex0x(Key(secret).address), name, reviewer)


def surfaces(scene: Scene, assets: Path | None = None, public_url: str = ORIGIN) -> Surfaces:
    """The parts behind the pages of a scene. Who signs in with a `reviewer_key` is a reviewer."""
    desk = SceneDesk(scene)
    return Surfaces(
        desk,
        SceneActions(desk),
        SceneExplorer(scene),
        sessions(scene, public_url),
        lambda: scene.now,
        assets or Path("/nonexistent"),
        public_url,
        hex0x(NETWORK),
        CHAIN_ID,
    )


def sessions(scene: Scene, public_url: str = ORIGIN) -> Sessions:
    """Real sessions over a store in memory; randomness counts up."""
    count = itertools.count(1)
    reviewers = {
        person.address: person for person in (person_of(reviewer_key(name)) for name in ("ada", "bob"))
    }

    def name_of(key: bytes) -> Person:
        return reviewers.get(hex0x(key), Person(hex0x(key), "", False))

    settings = Settings(
        Listen(0), "http://log", "http://gateway", "trust.toml", "key", "sqlite://", public_url
    )
    return Sessions(
        settings,
        MemorySessions(),
        SECRET,
        network=NETWORK,
        chain_id=CHAIN_ID,
        name_of=name_of,
        clock=lambda: scene.now,
        random=lambda size: sha256(b"scene randomness", next(count).to_bytes(8, "big"))[:size],
    )


def proof_of(sessions: Sessions, secret: bytes) -> SignInRequest:
    """A key's answer to a fresh challenge, as a browser or the CLI makes it."""
    challenge = sessions.challenge()
    statement = SignIn(
        bytes.fromhex(challenge.network[2:]),
        Key(secret).address,
        bytes.fromhex(challenge.nonce[2:]),
        bytes.fromhex(challenge.origin[2:]),
        challenge.at,
    )
    return SignInRequest(
        statement.to_json(), hex0x(sign_statement(statement, challenge.chain_id, Key(secret)))
    )


async def signed_in(surfaces: Surfaces, secret: bytes | None = None) -> Session:
    """A session of a reviewer, for the cookie `sessions.cookie_name`."""
    return await surfaces.sessions.sign_in(proof_of(surfaces.sessions, secret or reviewer_key()))


__all__ = ["NOW", "Scene", "address", "digest", "marks_of", "signed_in", "surfaces"]
