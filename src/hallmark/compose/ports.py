"""Which ports a network of this machine holds, so that two networks never end up on the same ones.

Looking whether a port is free and listening on it later leaves time for somebody else. So every port of a
plan is claimed before anything is written: one abstract Unix socket a port, which the kernel gives to one
process only and takes back when the last process that holds it has gone. The supervisor inherits the claim
and keeps it while it runs.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping

from hallmark.compose.home import Home
from hallmark.compose.plan import (
    FIRST_PORT,
    LAST_PORT,
    SPAN,
    Plan,
    keep_plan,
    known_plan,
    make_plan,
    ports_of,
)
from hallmark.core.errors import Conflict, InvalidInput, Unavailable

# So long may the services of a supervisor that was killed take to follow it.
PATIENCE_S = 12.0
PAUSE_S = 0.1


class Claim:
    """Ports that are this process's, and of whoever inherits `descriptors`. `close` lets go."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self._sockets = sockets

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a child must inherit to hold the claim as well."""
        return tuple(one.fileno() for one in self._sockets)

    def close(self) -> None:
        """Let go; whoever inherited the claim still has it."""
        for one in self._sockets:
            one.close()


def claim(ports: Mapping[int, str], *, patience_s: float = 0.0) -> Claim:
    """Claim every port, named by the service that is to listen there.

    A port that somebody listens on counts as taken, and so does one that another network claimed. Raises
    Conflict `port_taken` naming the first, when it is not free after `patience_s` seconds.
    """
    sockets: list[socket.socket] = []
    deadline = time.monotonic() + patience_s
    try:
        for port, service in ports.items():
            sockets.append(_take(port, service, deadline))
    except BaseException:
        Claim(sockets).close()
        raise
    return Claim(sockets)


def claim_plan(home: Home, base: int | None = None, *, patience_s: float = 0.0) -> tuple[Plan, Claim]:
    """The home's plan with its ports claimed; at the first start it is made and, once they are, kept.

    Raises Conflict `port_taken`; InvalidInput `bad_plan`, `ports_fixed` when `base` is not the plan's;
    Unavailable `no_free_ports`.
    """
    plan = known_plan(home)
    if plan is not None:
        if base is not None and base != plan.gateway_port:
            raise InvalidInput(
                "ports_fixed",
                f"The ports of {home.path} begin at {plan.gateway_port} since its first start.",
                "Leave --port out, or make another network with --home.",
            )
        return plan, claim(ports_of(plan), patience_s=patience_s)
    plan, held = _first(base)
    try:
        keep_plan(home, plan)
    except BaseException:
        held.close()
        raise
    return plan, held


def _first(base: int | None) -> tuple[Plan, Claim]:
    if base is not None:
        plan = make_plan(base)
        return plan, claim(ports_of(plan))
    for candidate in range(FIRST_PORT, LAST_PORT, SPAN):
        plan = make_plan(candidate)
        try:
            return plan, claim(ports_of(plan))
        except Conflict:
            continue
    raise Unavailable("no_free_ports", f"No hundred ports between {FIRST_PORT} and {LAST_PORT} are free.")


def _take(port: int, service: str, deadline: float) -> socket.socket:
    """The claim of one free port."""
    while (held := _claimed(port)) is None:
        if time.monotonic() >= deadline:
            raise Conflict(
                "port_taken",
                f"Port {port}, where {service} is to listen, is taken.",
                "Stop what listens there (ss -ltnp shows it), or make a new network: --home and --port.",
            )
        time.sleep(PAUSE_S)
    return held


def _claimed(port: int) -> socket.socket | None:
    """The port's abstract socket, unless somebody has it or listens on the port."""
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        held.bind(f"\0hallmark/port/{port}")
    except OSError:
        held.close()
        return None
    if _is_free(port):
        return held
    held.close()
    return None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
