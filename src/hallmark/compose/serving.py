"""`hallmark node serve`: nodes of this home begin to serve what a label points to.

What the log proves of the label says which artifact; it is fetched by its blob ID, and blob ID, SHA-256 and
length are computed before it is in its place. Then the owners' offers name it, and one node after the other
starts anew with it, so that the others answer meanwhile. A node that does not come back gets its settings of
before again.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from hallmark.compose.authority import Office
from hallmark.compose.home import Home
from hallmark.compose.images import engines_for
from hallmark.compose.models import Shipped, kept_model
from hallmark.compose.plan import NodePlan, Plan, hub_port, keep_plan
from hallmark.compose.pricing import say_offers, write_offers
from hallmark.compose.publishing import history_of, running_plan
from hallmark.compose.running import statuses
from hallmark.compose.start import measurement_of, money_of, submit_founding
from hallmark.compose.supervisor import snapshot
from hallmark.compose.wiring import Contracts
from hallmark.core.blob_ids import blob_text
from hallmark.core.document import digest_of, hex0x, unhex
from hallmark.core.documents import Manifest
from hallmark.core.entries import decode, split_leaf
from hallmark.core.errors import HallmarkError, InvalidInput, NotFound, Unavailable, VerificationFailed
from hallmark.engines import LOADERS
from hallmark.http.client import Pool
from hallmark.hub.cache import Identity
from hallmark.hub.manifest import verify_content
from hallmark.hub.walrus import blob_id_of_file
from hallmark.services.following.log_client import LogClient
from hallmark.services.hub.client import HubClient
from hallmark.services.node.image_contents import USUAL
from hallmark.services.node.measure import build_image
from hallmark.services.node.settings import ModelFile
from hallmark.services.node.settings import Settings as NodeSettings
from hallmark.services.sdk.model_history import ModelVersion
from hallmark.services.sdk.sync_client import Client

READY_S: Final = 120.0
POLL_S: Final = 0.1
CONTRACTS: Final = ("Anchor", "DevToken", "Vault")
Say = Callable[[str], None]


class Serving(msgspec.Struct, frozen=True):
    """A label, the artifact (blob ID, text) that it means, and the nodes that serve it now."""

    label: str
    version: str
    artifact: str
    nodes: tuple[str, ...]


def serve(
    home: Home, label: str, names: tuple[str, ...] = (), *, store: str = "", say: Say = lambda _: None
) -> Serving:
    """Make the nodes (all of this home, where none is named) serve what the label points to.

    Raises NotFound `no_network`, `model_not_found`, `node_unknown`, `blob_not_found`; Unavailable
    `network_down`, `node_not_ready`; VerificationFailed `history_not_proven`, `blob_id_mismatch` and what
    `verify_content` raises; InvalidInput `no_engine`; Unavailable `engine_not_installed`.
    """
    plan = running_plan(home)
    nodes = _chosen(plan, names)
    with Client(home=home.path) as client:
        newest = _newest(client, label)
        data = asyncio.run(_manifest(plan, newest))
        manifest = Manifest.decode(data)
        if manifest.format not in LOADERS:
            raise InvalidInput(
                "no_engine",
                f"No engine here reads {manifest.format}.",
                f"Weights alone are not run. Save the model as one of: {', '.join(sorted(LOADERS))}.",
            )
        stem = f"{quote(label, safe='')}-{manifest.sha256[2:18]}"
        engines = engines_for({manifest.format})
        say("fetching")
        asyncio.run(_fetch(home, plan, manifest, stem, store))
        home.write(data, "artifacts", f"{stem}.manifest")
        changed = _planned(plan, label, stem, {node.name for node in nodes})
        keep_plan(home, changed)
        _offer(home)
        model = ModelFile(label, *_places(home, stem))
        image = _approved(home, engines) if engines != USUAL else ""

        def exchange(name: str) -> None:
            say(f"{name} starts anew")
            _exchange(home, name, model, image)

        def confirm(name: str, number: int) -> None:
            _until(partial(_serves, client, label, manifest, number), name)

        def keep(done: set[str]) -> None:
            keep_plan(home, _planned(plan, label, stem, done) if done else plan)

        one_after_another([node.name for node in nodes], exchange, confirm, keep)
    return Serving(label, newest.version, blob_text(unhex(newest.artifact)), tuple(n.name for n in nodes))


def one_after_another(
    names: Sequence[str],
    exchange: Callable[[str], None],
    confirm: Callable[[str, int], None],
    keep: Callable[[set[str]], None],
) -> None:
    """Have each node start anew with the model, and see that it is asked (`confirm` is told how many are by
    then). Where that ends early, `keep` plans the next start with the nodes that have it, and no other.
    """
    done = set[str]()
    try:
        for number, name in enumerate(names, start=1):
            exchange(name)
            done.add(name)
            confirm(name, number)
    except HallmarkError:
        keep(done)
        raise


def _chosen(plan: Plan, names: tuple[str, ...]) -> tuple[NodePlan, ...]:
    there = {node.name: node for node in plan.nodes}
    for name in names:
        if name not in there:
            raise NotFound("node_unknown", f"There is no node {name!r}.", f"There are: {', '.join(there)}.")
    return tuple(there[name] for name in dict.fromkeys(names or there))


def _newest(client: Client, label: str) -> ModelVersion:
    known = history_of(client, label)
    if known is None or not known.versions:
        raise NotFound("model_not_found", f"Nobody published {label}.", "See: hallmark models")
    return known.versions[-1]


async def _manifest(plan: Plan, step: ModelVersion) -> bytes:
    """The exact bytes of a manifest whose digest the log proves, from the entry where they stand."""
    pool = Pool()
    try:
        log = LogClient(pool, f"http://127.0.0.1:{plan.log_port}")
        (leaf,) = await log.leaves(step.position, step.position + 1)
    finally:
        await pool.aclose()
    attachments = decode(split_leaf(leaf)[1]).attachments
    if not attachments or hex0x(digest_of(Manifest, attachments[0])) != step.manifest:
        raise VerificationFailed("other_manifest", "The log shows another manifest than it proves.")
    return attachments[0]


async def _fetch(home: Home, plan: Plan, manifest: Manifest, stem: str, store: str) -> None:
    """Put the artifact in its place; one that is there is computed again."""
    target = Path(_places(home, stem)[1])
    if not target.exists():
        pool = Pool()
        try:
            client = HubClient(store or f"http://127.0.0.1:{hub_port(plan)}", pool)
            identifier = blob_text(unhex(manifest.artifact))
            await client.get(identifier, target, _computed, most=manifest.size)
        finally:
            await pool.aclose()
    identity = await asyncio.to_thread(_identity, target)
    try:
        verify_content(manifest, identity)
    except VerificationFailed:
        target.unlink(missing_ok=True)
        raise


async def _computed(path: Path) -> bytes:
    return await asyncio.to_thread(blob_id_of_file, path)


def _identity(path: Path) -> Identity:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return Identity(blob_id_of_file(path), digest, path.stat().st_size)


def _places(home: Home, stem: str) -> tuple[str, str]:
    """The files of the manifest and of the artifact."""
    return str(home.file("artifacts", f"{stem}.manifest")), str(home.file("artifacts", f"{stem}.tar"))


def _planned(plan: Plan, label: str, stem: str, names: set[str]) -> Plan:
    nodes = tuple(
        msgspec.structs.replace(node, models=tuple(dict.fromkeys((*node.models, label))))
        if node.name in names
        else node
        for node in plan.nodes
    )
    return msgspec.structs.replace(plan, nodes=nodes, published={**plan.published, label: stem})


def _offer(home: Home) -> None:
    """Have every owner's offer name what its node serves, and log what is new."""
    office = Office(home)
    plan, founding = office.plan, office.founding
    models = {label: _shipped(home, office, label) for node in plan.nodes for label in node.models}
    contracts = Contracts(
        *(home.file("contract", f"{name}.json") for name in ("Anchor", "DevToken", "Vault"))
    )
    money = money_of(plan, office.keys, contracts)
    if say_offers(founding, office.author, plan, office.keys, models=models, money=money, chosen=None):
        asyncio.run(submit_founding(plan, founding))
    write_offers(home, plan, office.keys, founding)


def _shipped(home: Home, office: Office, label: str) -> Shipped:
    if label in office.plan.published:
        return kept_model(home, office.plan.published[label])
    manifest = office.founding.manifest(label)
    assert manifest is not None, label
    return Shipped(None, manifest, home.file("artifacts", f"{label}.tar"))


def _approved(home: Home, engines: tuple[str, ...]) -> str:
    """An image with these engines, whose measurement the authority accepts; its path."""
    built = build_image(home.dir("image"), engines)
    Office(home).approve(measurement_of(built))
    return built.path


def _exchange(home: Home, name: str, model: ModelFile, image: str = "") -> None:
    """Start a node anew with the model, and from `image` where one is named. Raises Unavailable
    `node_not_ready`, after putting back what was.
    """
    path = home.file("services", name, "settings.json")
    before = path.read_bytes()
    settings = msgspec.json.decode(before, type=NodeSettings)
    models = (*(one for one in settings.models if one.label != model.label), model)
    changed = msgspec.structs.replace(settings, models=models, image=image or settings.image)
    after = msgspec.json.encode(changed)
    home.write(msgspec.json.format(after, indent=2) + b"\n", "services", name, "settings.json", mode=0o600)
    try:
        _restart(home, name)
    except HallmarkError:
        home.write(before, "services", name, "settings.json", mode=0o600)
        _end(home, name)
        raise


def _restart(home: Home, name: str) -> None:
    """End the node's process; the supervisor starts it again. Returns when that one is ready."""
    old = _end(home, name)

    def is_back() -> bool:
        found = asyncio.run(statuses(home)).get(name)
        return found is not None and found.pid not in (0, old) and found.state == "ready"

    _until(is_back, name)


def _end(home: Home, name: str) -> int:
    found = snapshot(home)
    pid = found.services[name].pid if found is not None and name in found.services else 0
    if pid:
        os.kill(pid, signal.SIGTERM)
    return pid


def _serves(client: Client, label: str, manifest: Manifest, least: int) -> bool:
    """Whether the gateway sends to so many nodes with this artifact."""
    listed: list[dict[str, Any]] = client.get_json("/v1/models")["data"]
    facts: dict[str, Any] = next((one["hallmark"] for one in listed if one["id"] == label), {})
    return facts.get("artifact") == manifest.artifact and facts.get("nodes", 0) >= least


def _until(true: Callable[[], bool], name: str) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            if true():
                return
        except HallmarkError:
            pass
        time.sleep(POLL_S)
    raise Unavailable(
        "node_not_ready", f"{name} did not become ready with the model.", f"See services/{name}/log.jsonl."
    )
