"""Namespaces, repositories, revisions and known contents, as rows beside the blob store's.

1. A revision is written once and never changed. A repository's head moves in the transaction that writes the
   revision that it moves to, after that revision's files are stored: there is no half of a commit.
2. A namespace belongs to whoever made the first repository in it, by the SHA-256 of the key. Names that
   differ in case alone are one name.
3. A tag is another name for one commit of its repository. It can be taken away and made anew elsewhere: what
   fixes bytes is the commit.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from hallmark.core.errors import Conflict, HallmarkError, InvalidInput, NotFound, Unauthorized
from hallmark.core.hashing import sha256
from hallmark.hub.card import Card, summary
from hallmark.hub.revision import COMMIT, Change, FileEntry, Revision, apply
from hallmark.services.hub.huggingface.names import Known, Names
from hallmark.services.hub.writers import NOBODY, OPERATOR
from hallmark.store.raw import RawDatabase, Row, Transaction

KNOWN: Final = 32
README: Final = "README.md"
HOUSE: Final = "hallmark"
"""The namespace in which the hub itself publishes, and nobody else."""
MAIN: Final = ("main", "HEAD", "refs/heads/main")
TAG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.A)
MOST_TAGS: Final = 1_000
AT_ONCE: Final = 500
LATELY_MS: Final = 60_000
COLUMNS: Final = "key, id, created, updated, head, card"


class Forbidden(Unauthorized):
    """We know who asks, and it is not theirs."""

    status = 403


class Repository(msgspec.Struct, frozen=True):
    """A repository: its id (`namespace/name`), when it was made and changed (unix ms), its newest commit, and
    what its card says.
    """

    key: str
    id: str
    created: int
    updated: int
    head: str
    card: Card

    @property
    def namespace(self) -> str:
        """Whose it is."""
        return self.id.partition("/")[0]


class Update(msgspec.Struct, frozen=True):
    """What a commit is made of. `writer` is the SHA-256 of a key; `cards` are the cards of README files by
    their SHA-256; `parent`, where it is given, is what the head must be.
    """

    writer: bytes
    title: str
    at: int
    changes: Sequence[Change]
    cards: Mapping[str, Card]
    parent: str = ""


def _create(transaction: Transaction) -> None:
    for statement in (
        "CREATE TABLE hub_namespaces (key TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, "
        "owner BLOB NOT NULL)",
        "CREATE TABLE hub_repositories (key TEXT NOT NULL PRIMARY KEY, id TEXT NOT NULL, "
        "created INTEGER NOT NULL, updated INTEGER NOT NULL, head TEXT NOT NULL, card TEXT NOT NULL)",
        "CREATE INDEX hub_repositories_by_time ON hub_repositories (updated)",
        "CREATE TABLE hub_revisions (repository TEXT NOT NULL, number INTEGER NOT NULL, "
        "commit_id TEXT NOT NULL, document BLOB NOT NULL, PRIMARY KEY (repository, number))",
        "CREATE UNIQUE INDEX hub_revisions_by_commit ON hub_revisions (repository, commit_id)",
        "CREATE TABLE hub_contents (sha256 TEXT NOT NULL PRIMARY KEY, blob_id TEXT NOT NULL, "
        "size INTEGER NOT NULL, oid TEXT NOT NULL)",
    ):
        transaction.execute(statement)


def _create_tags(transaction: Transaction) -> None:
    transaction.execute(
        "CREATE TABLE hub_tags (repository TEXT NOT NULL, name TEXT NOT NULL, commit_id TEXT NOT NULL, "
        "PRIMARY KEY (repository, name))"
    )


class Rows:
    """See the module docstring."""

    def __init__(self, database: RawDatabase) -> None:
        self._database = database
        self._names, self._looking = Names(), asyncio.Lock()
        self._decoded: OrderedDict[tuple[str, str], Revision] = OrderedDict()
        database.migrate("hub_repositories", (_create, _create_tags))

    async def create(self, repository: str, writer: bytes, at: int) -> Repository:
        """Make an empty repository. Raises Conflict `repository_exists`, Forbidden `not_your_namespace`."""
        key, namespace = repository.lower(), repository.partition("/")[0]

        def work(transaction: Transaction) -> Repository:
            _own(transaction, namespace, writer, claim=True)
            if transaction.fetch("SELECT key FROM hub_repositories WHERE key = ?", (key,)):
                raise Conflict("repository_exists", "There is a repository of this name already.")
            first = Revision(repository, "", "initial commit", at, author_of(writer), {})
            made = Repository(key, repository, at, at, first.commit, {})
            transaction.execute(
                f"INSERT INTO hub_repositories ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 - constant
                (key, repository, at, at, first.commit, "{}"),
            )
            _insert(transaction, key, 0, first)
            return made

        made = await self._database.async_write(work)
        await self._changed(key)
        return made

    async def find(self, namespace: str, name: str) -> Repository:
        """A repository. Raises NotFound `repository_not_found`."""
        key = f"{namespace}/{name}".lower()
        return await self._database.async_read(lambda transaction: _find(transaction, key))

    async def check_owner(self, repository: Repository, writer: bytes) -> None:
        """Raises Forbidden `not_your_namespace` unless the writer's it is."""
        await self._database.async_read(lambda transaction: _own(transaction, repository.namespace, writer))

    async def namespaces(self, writer: bytes) -> list[str]:
        """The namespaces of a writer."""
        rows = await self._database.async_read(
            lambda transaction: transaction.fetch(
                "SELECT name FROM hub_namespaces WHERE owner = ? ORDER BY key LIMIT 100", (writer,)
            )
        )
        return [str(row[0]) for row in rows]

    async def search(
        self, *, text: str, author: str, tags: Sequence[str], limit: int, offset: int
    ) -> list[Repository]:
        """Repositories whose id holds `text` and whose cards have all `tags`, newest change first."""
        async with self._looking:
            # Lately, too: a commit may be written after a later one.
            since = self._names.newest - LATELY_MS if len(self._names) else -1
            await self._look("updated >= ?", since)
            # In a thread: what nothing fits is looked for among all that there is.
            found = await asyncio.to_thread(
                self._names.search, text=text.lower(), author=author, tags=tags, limit=limit, offset=offset
            )

        def work(transaction: Transaction) -> list[Row]:
            rows: list[Row] = []
            for at in range(0, len(found), AT_ONCE):
                keys = found[at : at + AT_ONCE]
                marks = ", ".join("?" * len(keys))
                statement = f"SELECT {COLUMNS} FROM hub_repositories WHERE key IN ({marks})"  # noqa: S608 - constants
                rows += transaction.fetch(statement, tuple(keys))
            return rows

        listed = (
            {str(row[0]): _repository(row) for row in await self._database.async_read(work)} if found else {}
        )
        return [listed[key] for key in found if key in listed]

    async def _changed(self, key: str) -> None:
        """Take in this key, whatever the clock says; nothing while nobody searched."""
        if len(self._names):
            async with self._looking:
                await self._look("key = ?", key)

    async def _look(self, where: str, value: str | int) -> None:
        found = await self._database.async_read(
            lambda transaction: transaction.fetch(
                f"SELECT key, updated, card FROM hub_repositories WHERE {where} "  # noqa: S608 - constants
                "ORDER BY updated, key DESC",
                (value,),
            )
        )
        if len(found) > AT_ONCE:
            await asyncio.to_thread(lambda: self._names.put([_known(row) for row in found]))
        else:
            self._names.put([_known(row) for row in found])

    async def revision(self, repository: Repository, name: str) -> Revision:
        """The revision with this commit or tag, or the newest for `main`. Raises NotFound
        `revision_not_found`.
        """
        commit = repository.head if name in MAIN else name
        if not COMMIT.fullmatch(commit):
            commit = await self._tagged(repository, name.removeprefix("refs/tags/"))
        known = self._decoded.get((repository.key, commit))
        if known is None:
            known = await self._database.async_read(
                lambda transaction: _revision(transaction, repository.key, commit)
            )
            self._decoded[repository.key, commit] = known
            while len(self._decoded) > KNOWN:
                self._decoded.popitem(last=False)
        return known

    async def tag(self, repository: Repository, name: str, commit: str) -> None:
        """Name a commit that there is. Raises InvalidInput `bad_tag`, Conflict `tag_exists`,
        `too_many_tags`.
        """
        if not TAG.fullmatch(name) or name in MAIN or COMMIT.fullmatch(name):
            raise InvalidInput(
                "bad_tag",
                "A tag's name has up to 100 letters, digits, dots, dashes and underscores, and is no commit.",
                "Such as v1.0.",
            )

        def work(transaction: Transaction) -> None:
            known = transaction.fetch("SELECT name FROM hub_tags WHERE repository = ?", (repository.key,))
            if any(row[0] == name for row in known):
                raise Conflict("tag_exists", "The repository has this tag already.", "Delete it first.")
            if len(known) >= MOST_TAGS:
                raise Conflict("too_many_tags", f"A repository has at most {MOST_TAGS} tags.", "Delete some.")
            transaction.execute("INSERT INTO hub_tags VALUES (?, ?, ?)", (repository.key, name, commit))

        await self._database.async_write(work)

    async def untag(self, repository: Repository, name: str) -> None:
        """Take a tag away. Raises NotFound `revision_not_found`."""
        await self._tagged(repository, name)
        await self._database.async_write(
            lambda transaction: transaction.execute(
                "DELETE FROM hub_tags WHERE repository = ? AND name = ?", (repository.key, name)
            )
        )

    async def tags(self, repository: Repository) -> list[tuple[str, str]]:
        """Tags and their commits, by name."""
        rows = await self._database.async_read(
            lambda transaction: transaction.fetch(
                "SELECT name, commit_id FROM hub_tags WHERE repository = ? ORDER BY name", (repository.key,)
            )
        )
        return [(str(row[0]), str(row[1])) for row in rows]

    async def _tagged(self, repository: Repository, name: str) -> str:
        rows = await self._database.async_read(
            lambda transaction: transaction.fetch(
                "SELECT commit_id FROM hub_tags WHERE repository = ? AND name = ?", (repository.key, name)
            )
        )
        if not rows:
            raise _no_revision()
        return str(rows[0][0])

    async def history(self, repository: Repository, commit: str, limit: int, offset: int) -> list[Revision]:
        """A revision and those before it, newest first."""
        rows = await self._database.async_read(
            lambda transaction: transaction.fetch(
                "SELECT document FROM hub_revisions WHERE repository = ? AND number <= "
                "(SELECT number FROM hub_revisions WHERE repository = ? AND commit_id = ?) "
                "ORDER BY number DESC LIMIT ? OFFSET ?",
                (repository.key, repository.key, commit, limit, offset),
            )
        )
        return [Revision.decode(bytes(row[0])) for row in rows]

    async def commit(self, repository: Repository, update: Update) -> Revision:
        """Write the next revision and make it the head; the head as it is where nothing changes.

        Raises Conflict `revision_moved`, `path_is_folder`, NotFound, TooLarge `too_many_files`, Forbidden.
        """
        made = await self._database.async_write(
            lambda transaction: _commit(transaction, repository.key, update)
        )
        await self._changed(repository.key)
        return made

    async def content(self, digest: str) -> FileEntry | None:
        """What is known of the bytes with this SHA-256 (hex), after they were examined."""
        rows = await self._database.async_read(
            lambda transaction: transaction.fetch(
                "SELECT blob_id, size, oid FROM hub_contents WHERE sha256 = ?", (digest,)
            )
        )
        return FileEntry(str(rows[0][0]), digest, int(rows[0][1]), str(rows[0][2])) if rows else None

    async def keep_content(self, entry: FileEntry) -> None:
        """Remember bytes that were examined and stored."""
        await self._database.async_write(
            lambda transaction: transaction.execute(
                "INSERT INTO hub_contents (sha256, blob_id, size, oid) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (sha256) DO UPDATE SET blob_id = excluded.blob_id",
                (entry.sha256, entry.blob, entry.size, entry.oid),
            ),
            brief=True,
        )


def author_of(writer: bytes) -> str:
    """How a revision names its author: enough to tell keys apart, and no help to find one."""
    if writer in (NOBODY, OPERATOR):
        return "hub" if writer == OPERATOR else "anonymous"
    return "key-" + sha256(b"hallmark.hub-author\0", writer).hex()[:12]


def _own(transaction: Transaction, namespace: str, writer: bytes, *, claim: bool = False) -> None:
    key = namespace.lower()
    rows = transaction.fetch("SELECT owner FROM hub_namespaces WHERE key = ?", (key,))
    if not rows and claim and (key != HOUSE or writer == OPERATOR):
        transaction.execute("INSERT INTO hub_namespaces VALUES (?, ?, ?)", (key, namespace, writer))
    elif not rows or bytes(rows[0][0]) != writer:
        raise Forbidden(
            "not_your_namespace",
            "This namespace belongs to another key.",
            "Publish below a name of your own; the first repository in it makes it yours.",
        )


def _commit(transaction: Transaction, key: str, update: Update) -> Revision:
    repository = _find(transaction, key)
    _own(transaction, repository.namespace, update.writer)
    if update.parent and not repository.head.startswith(update.parent):
        raise Conflict(
            "revision_moved",
            "The repository changed since the commit that this one is based on.",
            "Look at what changed, then send it again.",
        )
    before = _revision(transaction, key, repository.head)
    files = apply(before.files, update.changes)
    if files == before.files:
        return before
    author = author_of(update.writer)
    made = Revision(repository.id, repository.head, update.title, update.at, author, files)
    card = repository.card
    if files.get(README) != before.files.get(README):
        found = update.cards.get(files[README].sha256, {}) if README in files else {}
        card = {**found, "_": summary(found)} if found else {}
    number = int(
        transaction.fetch("SELECT MAX(number) FROM hub_revisions WHERE repository = ?", (key,))[0][0]
    )
    _insert(transaction, key, number + 1, made)
    transaction.execute(
        "UPDATE hub_repositories SET head = ?, updated = ?, card = ? WHERE key = ?",
        (made.commit, update.at, msgspec.json.encode(card).decode(), key),
    )
    return made


def _insert(transaction: Transaction, key: str, number: int, revision: Revision) -> None:
    transaction.execute(
        "INSERT INTO hub_revisions (repository, number, commit_id, document) VALUES (?, ?, ?, ?)",
        (key, number, revision.commit, revision.encode()),
    )


def _find(transaction: Transaction, key: str) -> Repository:
    rows = transaction.fetch(f"SELECT {COLUMNS} FROM hub_repositories WHERE key = ?", (key,))  # noqa: S608 - constant
    if not rows:
        raise NotFound("repository_not_found", "There is no repository of this name here.", "Is it right?")
    return _repository(rows[0])


def _revision(transaction: Transaction, key: str, commit: str) -> Revision:
    rows = transaction.fetch(
        "SELECT document FROM hub_revisions WHERE repository = ? AND commit_id = ?", (key, commit)
    )
    if not rows:
        raise _no_revision()
    return Revision.decode(bytes(rows[0][0]))


def _no_revision() -> HallmarkError:
    return NotFound(
        "revision_not_found",
        "The repository has no such revision.",
        "A revision is main, a tag or a whole commit.",
    )


def _repository(row: Row) -> Repository:
    key, identifier, created, updated, head, card = row
    read: Callable[[str], Any] = msgspec.json.decode
    return Repository(str(key), str(identifier), int(created), int(updated), str(head), read(str(card)))


def _known(row: Row) -> Known:
    card = msgspec.json.decode(str(row[2]))
    return Known(str(row[0]), int(row[1]), frozenset(map(str, card.get("_", {}).get("tags", ()))))
