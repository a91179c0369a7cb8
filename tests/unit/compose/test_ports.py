"""Two networks of one machine never take the same ports; a taken port is found before anything is written."""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hallmark.compose import ports
from hallmark.compose.home import Home
from hallmark.compose.plan import known_plan, make_plan, ports_of
from hallmark.compose.ports import claim, claim_plan
from hallmark.core.errors import Conflict, InvalidInput


@pytest.fixture(autouse=True)
def base(monkeypatch: pytest.MonkeyPatch) -> int:
    """Only a corner of the ports, another for each test, in which nobody is: this machine may run more."""
    for found in random.sample(range(20_000, 31_000, 300), 36):
        with contextlib.suppress(Conflict):
            claim(dict.fromkeys(range(found, found + 300), "anybody")).close()
            monkeypatch.setattr(ports, "FIRST_PORT", found)
            return found
    pytest.fail("no three hundred ports are free")


@pytest.fixture
def listener(base: int) -> Iterator[int]:
    """Somebody who listens on the log's port of the first hundred."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", base + 1))
        taken.listen()
        yield base + 1


def test_two_first_starts_at_once_get_ports_of_their_own(tmp_path: Path, base: int) -> None:
    """Neither listens yet, and still the second takes the next hundred."""
    first, held = claim_plan(Home(tmp_path / "a"))
    second, other = claim_plan(Home(tmp_path / "b"))
    held.close()
    other.close()
    assert not set(ports_of(first)) & set(ports_of(second))
    assert (first.gateway_port, second.gateway_port) == (base, base + 100)


def test_a_claim_outlives_whoever_made_it_in_a_child(tmp_path: Path, base: int) -> None:
    """What inherits the claim holds it; when that has gone the ports are free again."""
    _, held = claim_plan(Home(tmp_path / "a"))
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=held.descriptors
    )
    held.close()
    with pytest.raises(Conflict) as caught:
        claim(ports_of(make_plan(base)))
    assert caught.value.reason == "port_taken"
    child.communicate(b"\n")
    claim(ports_of(make_plan(base))).close()


def test_a_taken_port_is_named_and_nothing_is_written(tmp_path: Path, listener: int, base: int) -> None:
    """The reason names the port and its service; there is no plan afterwards, and no other port is held."""
    home = Home(tmp_path / "a")
    with pytest.raises(Conflict) as caught:
        claim_plan(home, base)
    assert caught.value.reason == "port_taken"
    assert f"{listener}" in caught.value.message
    assert "log" in caught.value.message
    assert known_plan(home) is None
    claim({base: "gateway"}).close()


def test_a_later_start_finds_a_taken_port_too(tmp_path: Path) -> None:
    """A home keeps its ports: somebody else on one of them is told, not worked around."""
    home = Home(tmp_path / "a")
    plan, held = claim_plan(home)
    with pytest.raises(Conflict) as caught:
        claim_plan(home)
    assert caught.value.reason == "port_taken"
    held.close()
    again, held = claim_plan(home)
    held.close()
    assert again == plan


def test_ports_cannot_be_moved_afterwards(tmp_path: Path, base: int) -> None:
    """`--port` of another start than the first is refused unless it says the same."""
    home = Home(tmp_path / "a")
    claim_plan(home, base)[1].close()
    claim_plan(home, base)[1].close()
    with pytest.raises(InvalidInput) as caught:
        claim_plan(home, base + 200)
    assert caught.value.reason == "ports_fixed"


def test_no_two_services_share_a_port() -> None:
    """Every service of a plan has a port of its own, those that follow from another's too."""
    plan = make_plan(21_500)
    nodes = sum(2 for _ in plan.nodes)
    assert len(ports_of(plan)) == nodes + len(plan.full_nodes) + len(
        ("gateway", "log", "anchor", "web", "chain", "chain's health", "vault", "relay", "issuer", "hub")
    )
