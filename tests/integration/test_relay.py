"""The relay of a real network: what it says, real enclaves through it, and what it has left afterwards."""

from __future__ import annotations

import re
import sqlite3

import httpx
import msgspec

from hallmark.services.relay.info import RelayInfo
from hallmark.testing.processes import patiently
from hallmark.testing.real_network import Network

QUESTION = "What does os.mkfifo do? Kingfisher-canary-71"


def info_of(url: str) -> RelayInfo:
    """GET /v1/relay."""
    return msgspec.json.decode(httpx.get(f"{url}/v1/relay").content, type=RelayInfo)


def nodes_of(network: Network) -> list[str]:
    """Every node's key."""
    return [one["node"] for one in httpx.get(f"{network.gateway}/v1/hallmark/nodes").json()]


def test_it_names_the_nodes_and_hands_out_the_gateways_keys(network: Network) -> None:
    """The network of the trust file; both enclaves; the very bytes that the gateway shows."""
    url = network.status()["relay"]["url"]
    patiently(lambda: len(info_of(url).nodes) == 2, "the relay knows both nodes")
    info = info_of(url)
    assert {node.node for node in info.nodes} == set(nodes_of(network))
    assert info.keys == httpx.get(f"{network.gateway}/v1/hallmark/ohttp-keys").content
    assert info.network == httpx.get(f"{network.gateway}/v1/hallmark/network").json()["network"]
    place = msgspec.json.decode((network.home / "client.json").read_bytes())
    assert place["relay"] == url


def test_a_real_enclave_answers_through_it_and_nothing_is_left(network: Network) -> None:
    """The answer comes; log, metrics and store of the relay have neither question, nor address, nor node."""
    done = network.run("ask", "--sealed", QUESTION)
    assert "the relay saw your address" in " ".join(done.stdout.split()), done.stdout + done.stderr
    url = network.status()["relay"]["url"]
    metrics = httpx.get(f"{url}/metrics").text
    assert re.search(r'hallmark_relay_capsules_total\{outcome="passed_on"\} [1-9]', metrics)
    assert "hallmark_relay_capsules_odd_total 0.0" in metrics
    folder = network.home / "services" / "relay"
    rows = "\n".join(sqlite3.connect(folder / "store.db").iterdump())
    for text in (metrics, rows, (folder / "log.jsonl").read_text()):
        assert "canary" not in text
        assert "127.0.0.1" not in text
        assert not [node for node in nodes_of(network) if node.removeprefix("0x") in text]
