"""The plan of a development network on one machine: names, ports, sizes. Made once, then kept."""

from __future__ import annotations

import secrets
from typing import Literal

import msgspec

from hallmark.compose.home import Home
from hallmark.core.errors import InvalidInput

FIRST_PORT = 21_500
LAST_PORT = 31_500
SPAN = 100

Pricing = Literal["small-free", "paid", "free"]
"""What answers cost where an owner has not said otherwise: nothing for small requests, something for every
request, or nothing at all.
"""


class NodePlan(msgspec.Struct, frozen=True):
    """One inference node: its name, TLS port and health port, and the models that it serves.

    `upstreams` maps a label to an OpenAI-compatible server (`http://host:port/v1`, with `#name` where
    the model has another name there). `mode` is "tee", or "vanilla": no enclave, and every receipt says so.
    """

    name: str
    port: int
    health_port: int
    models: tuple[str, ...]
    capacity: int = 16
    upstreams: dict[str, str] = {}
    mode: str = "tee"


class Plan(msgspec.Struct, frozen=True):
    """Everything that is kept between starts. `models` maps labels to folders outside this checkout,
    `published` labels of the log to the files of theirs in artifacts/, `pricing` is what was chosen last.
    """

    name: str
    origin: str
    chain_id: int
    gateway_port: int
    log_port: int
    anchor_port: int
    chain_port: int
    web_port: int
    full_nodes: tuple[int, ...]
    nodes: tuple[NodePlan, ...]
    anchor_seconds: int = 10
    confirmations: int = 2
    log_database: str = ""
    reviewers: tuple[str, ...] = ("reviewer-1", "reviewer-2")
    models: dict[str, str] = {}
    pricing: Pricing = "small-free"
    published: dict[str, str] = {}


class Offers(msgspec.Struct, frozen=True):
    """What a start adds for good: upstream servers by label, and model folders by label; and what answers
    cost from now on (None: as before).
    """

    upstreams: dict[str, str] = {}
    models: dict[str, str] = {}
    pricing: Pricing | None = None


def known_plan(home: Home) -> Plan | None:
    """The home's plan; None before its first start. Raises InvalidInput `bad_plan`."""
    path = home.path / "network.json"
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "bad_plan", f"{path} cannot be read.", "Restore it, or use a new --home."
        ) from error


def load_plan(home: Home, *, base: int | None = None) -> Plan:
    """The home's plan; made on ports from `base` (default: 21500) and kept if there is none.

    Whether the ports are free is not looked at: `compose.ports` does that. Raises InvalidInput `bad_plan`.
    """
    plan = known_plan(home)
    if plan is None:
        plan = make_plan(base or FIRST_PORT)
        keep_plan(home, plan)
    return plan


def keep_plan(home: Home, plan: Plan) -> None:
    """Write the plan."""
    home.write(msgspec.json.format(msgspec.json.encode(plan), indent=2) + b"\n", "network.json")


def ports_of(plan: Plan) -> dict[int, str]:
    """Every port of the plan with the service that listens there."""
    ports = {
        plan.gateway_port: "gateway",
        plan.log_port: "log",
        plan.anchor_port: "anchor",
        plan.web_port: "web",
        plan.chain_port: "chain",
        plan.chain_port + 1: "the health of chain",
        vault_port(plan): "vault",
        relay_port(plan): "relay",
        issuer_port(plan): "issuer",
        hub_port(plan): "hub",
    }
    ports |= {port: f"fullnode-{number}" for number, port in enumerate(plan.full_nodes, start=1)}
    for node in plan.nodes:
        ports |= {node.port: node.name, node.health_port: f"the health of {node.name}"}
    return ports


def vault_port(plan: Plan) -> int:
    """Where the keeper of the vault says how it is: next to the chain."""
    return plan.chain_port + 2


def relay_port(plan: Plan) -> int:
    """Where the relay takes sealed capsules: next to the pages."""
    return plan.web_port + 1


def hub_port(plan: Plan) -> int:
    """Where the blob store is: behind the relay."""
    return plan.web_port + 2


def issuer_port(plan: Plan) -> int:
    """Where the issuer of tokens listens, where there is one."""
    return plan.chain_port + 3


def has_issuer(plan: Plan) -> bool:
    """Whether there is an issuer of tokens: where everything is free nobody needs any."""
    return plan.pricing != "free"


def with_offers(home: Home, plan: Plan, offers: Offers) -> Plan:
    """The plan with every node offering these upstream servers and models as well, and what answers cost;
    kept.
    """
    nodes = tuple(
        msgspec.structs.replace(
            node,
            upstreams={**node.upstreams, **offers.upstreams},
            models=tuple(dict.fromkeys((*node.models, *offers.models))),
        )
        for node in plan.nodes
    )
    changed = msgspec.structs.replace(
        plan,
        nodes=nodes,
        models={**plan.models, **offers.models},
        pricing=offers.pricing or plan.pricing,
    )
    if changed != plan:
        keep_plan(home, changed)
    return changed


def make_plan(base: int) -> Plan:
    """A development network of two nodes and four full nodes on ports `base` to `base + 99`."""
    unique = secrets.token_hex(4)
    everything = ("digits", "breast-cancer", "pydoc")
    return Plan(
        name=f"development-{unique}",
        origin=f"hallmark.development/{unique}",
        chain_id=31_337,
        gateway_port=base,
        log_port=base + 1,
        anchor_port=base + 2,
        chain_port=base + 45,
        web_port=base + 3,
        full_nodes=tuple(base + 11 + number for number in range(4)),
        nodes=tuple(NodePlan(f"node-{n + 1}", base + 21 + n, base + 31 + n, everything) for n in range(2)),
    )
