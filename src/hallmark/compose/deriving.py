"""`hallmark model derived`: the owner of a label says what its newest version was made from."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec

from hallmark.compose.home import Home
from hallmark.compose.keys import load_keys
from hallmark.compose.publishing import history_of, log_entries, running_plan
from hallmark.core.beacon import network_id
from hallmark.core.derivations import Figure, Making, check_making
from hallmark.core.document import hex0x, unhex
from hallmark.core.entries import Entry
from hallmark.core.errors import InvalidInput, NotFound
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.statements import Derivation
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.services.sdk.model_history import ModelHistory
from hallmark.services.sdk.sync_client import Client


class Told(msgspec.Struct, frozen=True):
    """What was said: of which label and version, made from which, both with their manifests' digests."""

    label: str
    version: str
    manifest: str
    made_from: str
    source: str
    tool_digest: str
    making: Making


def read_making(tool: str, version: str, parameters: str, quality: Path) -> Making:
    """With the figures of a JSON file: a list of {name, value, unit, of}, integers. Raises InvalidInput
    `bad_quality_file`, `bad_derivation`.
    """
    try:
        figures = msgspec.json.decode(quality.read_bytes(), type=tuple[Figure, ...])
    except (OSError, msgspec.MsgspecError, UnicodeError, ValueError, RecursionError) as error:
        raise InvalidInput(
            "bad_quality_file",
            f"{quality} is no list of figures.",
            'Such as [{"name": "held-out images told", "value": 448, "unit": "images", "of": 450}].',
        ) from error
    making = Making(tool, version, parameters, tuple(sorted(figures, key=lambda one: one.name)))
    check_making(making)
    return making


def derived(home: Home, made: tuple[str, str], making: Making, tool: bytes, key: Key | None = None) -> Told:
    """Say that the newest version of the second label of `made` was made from that of the first, by a tool
    of these bytes (empty: not named), as the second's owner: `key`, or the home's publisher.

    Raises NotFound `no_network`, `unknown_model`, Unavailable `network_down`, `publication_not_logged`,
    VerificationFailed `history_not_proven`, `publication_objected`.
    """
    plan = running_plan(home)
    owner = key or load_keys(home, plan).publisher
    with Client(home=home.path) as client:
        source, target = (_newest(client, label) for label in made)
    digest = sha256(tool) if tool else ZERO32
    statement = Derivation(
        network_id(plan.origin),
        owner.address,
        unhex(source[1]),
        unhex(target[1]),
        digest,
        making.digest(),
        int(time.time() * 1000),
    )
    signature = sign_statement(statement, plan.chain_id, owner)
    asyncio.run(log_entries(plan, [Entry(statement, (signature,), (making.encode(),))]))
    made_from = f"{made[0]} version {source[0]}"
    return Told(made[1], target[0], target[1], made_from, source[1], hex0x(digest), making)


def _newest(client: Client, label: str) -> tuple[str, str]:
    """Version and manifest's digest of what a label points to."""
    found: ModelHistory | None = history_of(client, label)
    if found is None or not found.versions:
        raise NotFound("unknown_model", f"Nothing is published as {label}.", "Publish it first.")
    return found.versions[-1].version, found.versions[-1].manifest
