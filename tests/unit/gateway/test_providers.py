"""Where a provider answers: a request reaches it once, and what it says comes through."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from hallmark.core.answer import DONE
from hallmark.services.gateway.route_planner import RoutePlan, RoutePlanner
from hallmark.testing.local_network import LocalNetwork
from hallmark.testing.local_node import ANSWER


@pytest.fixture
def provided(local: LocalNetwork, monkeypatch: pytest.MonkeyPatch) -> LocalNetwork:
    """A network whose nodes have `digits` from a provider."""
    plan = RoutePlanner.plan

    def changed(self: RoutePlanner, wanted: Any, paying: Any = None) -> RoutePlan:
        made = plan(self, wanted, paying)
        order = tuple(
            msgspec.structs.replace(node, bundle=msgspec.structs.replace(node.bundle, upstreams=("digits",)))
            for node in made.order
        )
        return msgspec.structs.replace(made, order=order)

    monkeypatch.setattr(RoutePlanner, "plan", changed)
    return local


def asked(local: LocalNetwork) -> int:
    """How many requests reached nodes."""
    return sum(len(node.bodies) for node in local.nodes)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("behaviour", ["die", "hang"])
async def test_what_may_have_reached_a_provider_is_not_sent_again(
    ask: Any, provided: LocalNetwork, behaviour: str, stream: bool
) -> None:
    """A node that is lost after the body left is not replaced, and the client is told not to repeat."""
    for node in provided.nodes:
        node.behaviour = behaviour
    status, headers, body = await ask.chat(stream=stream)
    assert (status, json.loads(body)["error"]["code"]) == (503, "answer_lost")
    assert headers["x-should-retry"] == "false"
    assert asked(provided) == 1


@pytest.mark.parametrize("behaviour", ["busy", "unreachable"])
async def test_what_has_not_left_may_go_to_another_node(
    ask: Any, provided: LocalNetwork, behaviour: str
) -> None:
    """When a node says that no byte of the body has left it, another one is asked."""
    for node in provided.nodes:
        node.behaviour = behaviour
    status, _, body = await ask.chat()
    assert (status, json.loads(body)["error"]["code"]) == (503, "no_node")
    assert asked(provided) == 2


async def test_a_providers_limit_comes_through(ask: Any, provided: LocalNetwork) -> None:
    """429 with its Retry-After stays that, and no other node is asked."""
    for node in provided.nodes:
        node.behaviour = "limited"
    status, headers, body = await ask.chat()
    assert (status, json.loads(body)["error"]["code"]) == (429, "upstream_rate_limited")
    assert headers["retry-after"] == "7"
    assert asked(provided) == 1


async def test_a_stream_that_fails_ends_in_one_error(ask: Any, provided: LocalNetwork) -> None:
    """The enclave's error names the upstream; no second one accuses the node, which did nothing wrong."""
    for node in provided.nodes:
        node.behaviour = "fail_midway"
    status, _, body = await ask.chat(stream=True)
    assert status == 200
    assert ANSWER[0].encode() in body
    assert DONE not in body
    errors = [event for event in body.split(b"\n\n") if b'"error"' in event]
    assert [json.loads(event[6:])["error"]["code"] for event in errors] == ["upstream_failed"]
    assert all(load.avoid_until == 0 for load in provided.gateway.loads.loads.values())
