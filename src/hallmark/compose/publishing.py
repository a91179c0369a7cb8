"""`hallmark model publish`: from a folder to a label that points to it.

In this order, so that nothing is half-published whenever it ends: the folder is examined; the model is
opened in the sandbox; every name is computed; the artifact goes to the blob store, and the files to the hub
as one commit; and last the label's owner signs the entry that points the label there. What comes before the
entry moves no label, and bytes that are there already are harmless, so a publication that was cut off is
simply said again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from hallmark.compose.home import Home
from hallmark.compose.images import engines_for
from hallmark.compose.keys import load_keys
from hallmark.compose.models import first_sentence
from hallmark.compose.plan import Plan, hub_port, known_plan
from hallmark.compose.supervisor import snapshot
from hallmark.core.beacon import network_id
from hallmark.core.blob_ids import blob_text
from hallmark.core.document import hex0x
from hallmark.core.documents import Manifest, ModelCard
from hallmark.core.entries import Entry
from hallmark.core.errors import Conflict, NotFound, Unavailable, VerificationFailed
from hallmark.core.gguf import read_gguf
from hallmark.core.hashing import sha256
from hallmark.core.modes import INTEGER_FORMATS
from hallmark.crypto.secp256k1 import Key
from hallmark.http.client import Pool
from hallmark.hub import openssf
from hallmark.hub.artifact import pack_files
from hallmark.hub.cache import BlobIdCache, Identity
from hallmark.hub.card import plain, read_card, write_card
from hallmark.hub.formats import Format
from hallmark.hub.manifest import Network, make_manifest, publish_label, publish_version
from hallmark.hub.model_folder import FILES, MODEL, README, ModelFolder, completed, read_folder
from hallmark.hub.publication import FileList, NamedFile, hub_secret
from hallmark.hub.revision import check_repository
from hallmark.services.enclave.probe_messages import Said, Tensor
from hallmark.services.hub.client import HubClient
from hallmark.services.hub.repository_client import RepositoryClient
from hallmark.services.node import image
from hallmark.services.node.forwarder import LogClient, Placed
from hallmark.services.node.probe import probe
from hallmark.services.sdk.model_history import ModelHistory
from hallmark.services.sdk.sync_client import Client

SEEN_S: Final = 60.0
POLL_S: Final = 0.1
MOST_DESCRIPTION: Final = 500
MOST_ROWS: Final = 200
TASKS: Final[Mapping[Format, str]] = {
    Format.ONNX: "tensor",
    Format.SAFETENSORS: "weights",
    Format.GGUF: "text-generation",
}
INSIDE: Final = INTEGER_FORMATS | {"shapes"}
"""Formats of engines that read safetensors; a model.json says which."""
OPENED: Final = INSIDE | {str(Format.ONNX)}
"""Formats that the usual image loads: such a model is opened before it is published."""
Say = Callable[[str], None]


class _Named(msgspec.Struct, frozen=True):
    format: str = ""
    task: str = ""


class Wish(msgspec.Struct, frozen=True):
    """What is to be published: the folder, its label, and what its card says where there is no README."""

    folder: Path
    label: str
    task: str = ""
    licence: str = ""
    description: str = ""


class Published(msgspec.Struct, frozen=True):
    """A label and what it points to now: blob ID (text), SHA-256 and length of the artifact, digest of the
    manifest, each file's names, and the hub's commit. `moved`: the log has a new version.
    """

    label: str
    version: str
    artifact: str
    sha256: str
    size: int
    manifest: str
    files: dict[str, NamedFile]
    commit: str
    moved: bool
    engine: str = ""


def publish(home: Home, wish: Wish, key: Key | None = None, say: Say = lambda _: None) -> Published:
    """Publish a folder under a label, as the label's owner: `key`, or the home's publisher.

    Raises NotFound `no_network`, Unavailable `network_down`, Conflict `label_taken`, InvalidInput and
    Unavailable of the steps in the module docstring, VerificationFailed `history_not_proven`,
    `publication_objected`.
    """
    plan = running_plan(home)
    check_repository(*_parts(wish.label))
    owner = key or load_keys(home, plan).publisher
    with Client(home=home.path) as client:
        known = history_of(client, wish.label)
        if known is not None and known.owner != hex0x(owner.address):
            raise Conflict(
                "label_taken",
                f"The label {wish.label} belongs to {known.owner}; this key is {hex0x(owner.address)}.",
                "Publish under a label of your own, or name the owner's key with --key-file.",
            )
        publication = _prepared(home, wish, owner, say)
        say("storing")
        commit = asyncio.run(_store(home, plan, publication, owner))
        say("signing and logging")
        return _point(_Desk(client, plan, owner), publication, known, commit)


def running_plan(home: Home) -> Plan:
    """The plan of a network that runs here. Raises NotFound `no_network`, Unavailable `network_down`."""
    plan = known_plan(home)
    if plan is None:
        raise NotFound("no_network", f"No network is known in {home.path}.", "Start one with: hallmark up")
    if snapshot(home) is None:
        raise Unavailable("network_down", "The network does not run.", "Start it with: hallmark up --detach")
    return plan


def history_of(client: Client, label: str) -> ModelHistory | None:
    """What a label pointed to; None where nobody published it. Raises VerificationFailed
    `history_not_proven`: what nobody can show is nothing to build on.
    """
    try:
        found = client.model_history(label)
    except NotFound:
        return None
    if not found.proven:
        raise VerificationFailed(
            "history_not_proven",
            f"The log does not bear out what the network says of {label}.",
            "See `hallmark model history`; ask again when a quorum has cosigned.",
        )
    return found


class _Publication(msgspec.Struct, frozen=True):
    """Everything that is known before anything leaves this machine. `files` are the hub's; `data` is the
    artifact, which holds them without their signature.
    """

    label: str
    task: str
    description: str
    format: str
    files: dict[str, bytes]
    listed: dict[str, NamedFile]
    data: bytes
    identity: Identity
    engine: str


class _Desk(msgspec.Struct, frozen=True):
    """Where the owner signs."""

    client: Client
    plan: Plan
    owner: Key


def _prepared(home: Home, wish: Wish, owner: Key, say: Say) -> _Publication:
    model = read_folder(wish.folder)
    named = _named_inside(model)
    task = wish.task or _said_task(model) or named.task or TASKS[model.weights.format]
    files = completed(model, task)
    engine = named.format or str(model.weights.format)
    said = Said(engine, inputs=tuple(Tensor(*one) for one in model.weights.tensors))
    opens = engine in OPENED
    if model.weights.format is Format.GGUF:
        from hallmark.engines import llama_library  # it brings numpy, which no other publication needs

        said = msgspec.structs.replace(said, facts=read_gguf(model.files[model.main]).facts())
        opens = llama_library.installed()
    if opens:
        say("opening it in the sandbox")
        built = image.build(home.dir("image"), engines=engines_for({said.format}))
        opened = probe(built, pack_files(files), said.format)
        said = msgspec.structs.replace(opened, inputs=opened.inputs or said.inputs)
    readme = model.readme or _readme(wish, model, said, task)
    signing = openssf.signing_key(owner.secret)
    files = {**files, README: readme, openssf.PUBLIC_KEY: signing.public_pem}
    say("computing blob IDs")
    names = BlobIdCache(home.file("artifacts", "blob-ids.json"))
    listed = {path: _named(names, data) for path, data in files.items()}
    files = {**files, FILES: FileList(listed).encode()}
    data = pack_files(files)
    identity = names.identify(data, verify=True)
    digests = {path: bytes.fromhex(one.sha256) for path, one in listed.items()}
    digests[FILES] = sha256(files[FILES])
    signature = openssf.sign_files(signing, _parts(wish.label)[1], digests)
    description = wish.description or first_sentence(readme.decode())
    return _Publication(
        wish.label,
        task,
        description[:MOST_DESCRIPTION],
        said.format,
        {**files, openssf.SIGNATURE: signature},
        listed,
        data,
        identity,
        said.engine,
    )


def _named_inside(model: ModelFolder) -> _Named:
    """What a model.json says of safetensors that an engine reads; nothing where none reads them."""
    if model.weights.format is not Format.SAFETENSORS:
        return _Named()
    try:
        said = msgspec.json.decode(model.files.get(MODEL, b"{}"), type=_Named)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Named()
    return said if said.format in INSIDE else _Named()


def _named(names: BlobIdCache, data: bytes) -> NamedFile:
    found = names.identify(data, verify=True)
    return NamedFile(blob_text(found.blob_id), found.sha256.hex(), found.size)


def _said_task(model: ModelFolder) -> str:
    return str(read_card(model.readme).get("pipeline_tag", ""))


def _readme(wish: Wish, model: ModelFolder, said: Said, task: str) -> bytes:
    """A card from what the model itself says."""
    front = {"license": wish.licence, "library_name": said.format, "pipeline_tag": wish.task}
    name = model.weights.about.get("general.name", "")
    made = f"A model for the task {task}, in the format {said.format}. {plain(name)}".strip()
    text = wish.description or made
    text += "".join(f"\n- {name}: {plain(value)}" for name, value in said.facts)
    inputs = "Inputs" if said.engine and not said.facts else "Tensors"
    tables = {inputs: _rows(said.inputs), "Outputs": _rows(said.outputs)}
    return write_card(wish.label, front, text, tables)


def _rows(tensors: tuple[Tensor, ...]) -> list[tuple[str, str, str]]:
    return [
        (one.name, one.dtype, " x ".join("any" if n is None else str(n) for n in one.shape) or "one value")
        for one in tensors[:MOST_ROWS]
    ]


async def _store(home: Home, plan: Plan, publication: _Publication, owner: Key) -> str:
    """The artifact as a blob, the files as one commit of the hub; the commit."""
    url, secret, pool = f"http://127.0.0.1:{hub_port(plan)}", hub_secret(owner.secret), Pool()
    name = f"{quote(publication.label, safe='')}-{publication.identity.sha256.hex()[:16]}.tar"
    path = home.write(publication.data, "artifacts", "publishing", name)
    try:
        hub = RepositoryClient(url, pool, secret=secret)
        await hub.claim(publication.label)
        identifier = blob_text(publication.identity.blob_id)
        await HubClient(url, pool, secret=secret).put(path, identifier, "epochs=53&permanent=true")
        return await hub.publish(publication.label, publication.files, "Published with its label")
    finally:
        path.unlink(missing_ok=True)
        await pool.aclose()


def _point(desk: _Desk, publication: _Publication, known: ModelHistory | None, commit: str) -> Published:
    """Sign and log what is new; return when a quorum has checked it and the network shows it."""
    owner, identity, label = desk.owner, publication.identity, publication.label
    network, at = Network(network_id(desk.plan.origin), desk.plan.chain_id), int(time.time() * 1000)
    card = ModelCard(label, hex0x(owner.address), publication.task, publication.description)
    if known is not None:
        card = ModelCard(label, known.owner, known.task, known.description)
    newest = known.versions[-1] if known is not None and known.versions else None
    manifest = make_manifest(card, "1", identity, format=publication.format)
    if newest is not None:
        number = str(int(newest.version) + 1) if newest.version.isdecimal() else f"{newest.version}+"
        manifest = msgspec.structs.replace(manifest, version=number, derived_from=newest.manifest)
    moved = newest is None or newest.sha256 != manifest.sha256
    if moved:
        entries = [] if known is not None else [publish_label(card, network, owner, at)]
        asyncio.run(log_entries(desk.plan, [*entries, publish_version(manifest, network, owner, at)]))
        _until_seen(desk.client, manifest)
    digest = newest.manifest if newest is not None and not moved else hex0x(manifest.digest())
    version = newest.version if newest is not None and not moved else manifest.version
    return Published(
        label,
        version,
        blob_text(identity.blob_id),
        manifest.sha256,
        identity.size,
        digest,
        publication.listed,
        commit,
        moved,
        publication.engine,
    )


async def log_entries(plan: Plan, entries: list[Entry]) -> None:
    """Hand them to the home's log. Raises VerificationFailed `publication_objected`, Unavailable
    `publication_not_logged`.
    """
    pool = Pool()
    log = LogClient(pool, f"http://127.0.0.1:{plan.log_port}", plan.origin)
    try:
        for entry in entries:
            (said,) = await log.add([entry.encode()])
            if not isinstance(said, Placed):
                raise Unavailable(
                    "publication_not_logged", f"The log does not take it: {said.code}.", "Publish it again."
                )
            objections = await log.objections(said.index)
            if objections:
                reason = next(iter(objections.values()))
                raise VerificationFailed(
                    "publication_objected",
                    f"Full nodes object to it: {reason}.",
                    "Did somebody else move the label meanwhile? See: hallmark model history LABEL",
                )
    finally:
        await pool.aclose()


def _until_seen(client: Client, manifest: Manifest) -> None:
    digest, deadline = hex0x(manifest.digest()), time.monotonic() + SEEN_S
    while time.monotonic() < deadline:
        try:
            found = client.model_history(manifest.label)
        except NotFound:
            found = None
        if found is not None and found.proven and any(one.manifest == digest for one in found.versions):
            return
        time.sleep(POLL_S)
    raise Unavailable(
        "publication_not_seen",
        "It is logged, but the gateway does not show it yet.",
        "Look again with: hallmark model history LABEL",
    )


def _parts(label: str) -> tuple[str, str]:
    namespace, _, name = label.partition("/")
    return namespace, name
