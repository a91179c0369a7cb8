"""The plan of a development network on one machine: names, ports, sizes. Made once, then kept."""

from __future__ import annotations

import secrets
import socket

import msgspec

from hallmark.compose.home import Home
from hallmark.core.errors import InvalidInput, Unavailable

FIRST_PORT = 21_500
LAST_PORT = 31_500
SPAN = 100


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
    """Everything that is kept between starts. `models` maps labels to folders outside this checkout."""

    name: str
    origin: str
    chain_id: int
    gateway_port: int
    log_port: int
    anchor_port: int
    chain_port: int
    full_nodes: tuple[int, ...]
    nodes: tuple[NodePlan, ...]
    anchor_seconds: int = 10
    confirmations: int = 2
    log_database: str = ""
    web_port: int = 0
    reviewers: tuple[str, ...] = ("reviewer-1", "reviewer-2")
    models: dict[str, str] = {}


class Offers(msgspec.Struct, frozen=True):
    """What a start adds for good: upstream servers by label, and model folders by label."""

    upstreams: dict[str, str] = {}
    models: dict[str, str] = {}


def load_plan(home: Home, *, base: int | None = None) -> Plan:
    """The home's plan, made and kept if it is the first start. Raises InvalidInput `bad_plan`."""
    path = home.file("network.json")
    if path.exists():
        try:
            plan = msgspec.json.decode(path.read_bytes(), type=Plan)
        except msgspec.DecodeError as error:
            raise InvalidInput(
                "bad_plan", f"{path} cannot be read.", "Restore it, or use a new --home."
            ) from error
        # A home from before there were pages.
        return plan if plan.web_port else msgspec.structs.replace(plan, web_port=plan.gateway_port + 3)
    plan = make_plan(base or free_base())
    _keep(home, plan)
    return plan


def _keep(home: Home, plan: Plan) -> None:
    home.write(msgspec.json.format(msgspec.json.encode(plan), indent=2) + b"\n", "network.json")


def with_offers(home: Home, plan: Plan, offers: Offers) -> Plan:
    """The plan with every node offering these upstream servers and models as well, kept."""
    nodes = tuple(
        msgspec.structs.replace(
            node,
            upstreams={**node.upstreams, **offers.upstreams},
            models=tuple(dict.fromkeys((*node.models, *offers.models))),
        )
        for node in plan.nodes
    )
    changed = msgspec.structs.replace(plan, nodes=nodes, models={**plan.models, **offers.models})
    if changed != plan:
        _keep(home, changed)
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


def free_base() -> int:
    """The first port of a hundred that nobody listens on. Raises Unavailable `no_free_ports`."""
    for base in range(FIRST_PORT, LAST_PORT, SPAN):
        if all(_is_free(base + offset) for offset in (0, 1, 2, 3, 11, 12, 13, 14, 21, 22, 31, 32, 45, 46)):
            return base
    raise Unavailable("no_free_ports", f"No hundred ports between {FIRST_PORT} and {LAST_PORT} are free.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
