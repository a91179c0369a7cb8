"""`hallmark steering`: what it prints of a gateway, and the exit code."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from hallmark.apps.cli import steering as command
from hallmark.apps.cli.main import cli
from hallmark.core.documents import Candidates, Exclusion
from hallmark.routing.steering import SENTENCES, Doubt
from hallmark.services.sdk.sync_client import Client
from hallmark.services.sdk.verifying import Verifier
from hallmark.testing.sealed_network import SealedNetwork, only
from hallmark.testing.stub_evidence import verify_stub_evidence

Route = dict[str, Any]


@pytest.fixture
async def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command against a little network, whose gateway may lie."""
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
    async with SealedNetwork() as local:
        local.net.tick(2 * 60_000)

        def client(**options: Any) -> Client:
            verifier = Verifier(local.trust, verify_stub_evidence)
            made = Client(verifier=verifier, privacy=options["privacy"], relay=local.relay_url)
            made._client.way.path._clock = lambda: local.net.now  # type: ignore[attr-defined]
            return made

        monkeypatch.setattr(command, "Client", client)

        async def ran(*options: str, ticket: Callable[[Route], Candidates] | None = None) -> Result:
            if ticket is not None:
                local.directory.ticket = lambda route: local.ticket(ticket(route))
            words = ["--home", str(tmp_path), "steering", "--model", "digits", "--tickets", "2"]
            return await asyncio.to_thread(
                CliRunner().invoke, cli, [*words, "--log", local.log_url, *options]
            )

        yield ran


async def test_an_honest_gateway(run: Any) -> None:
    """What was looked at, how often each node was offered, and no word of praise."""
    done = await run()
    assert done.exit_code == 0, done.output
    assert "2 tickets, held against a log of" in done.output
    assert done.output.count("was offered in 2 of 2 tickets") == 2


async def test_a_gateway_that_is_silent_about_a_node(run: Any) -> None:
    """Each ticket is named with what the log says; exit code 4. As JSON too."""
    done = await run(ticket=only)
    assert done.exit_code == command.STEERED
    words = " ".join(done.output.split())
    assert words.count(SENTENCES[Doubt.UNNAMED]) == 2
    assert "2 of them say what the log denies" in words
    done = await run("--json")
    assert done.exit_code == command.STEERED
    told = json.loads(done.output)
    assert (told["tickets"], told["steered"]) == (2, 2)


async def test_a_gateways_own_word_shows_nothing(run: Any) -> None:
    """It is named, and the exit code stays 0."""

    def busy(route: Route) -> Candidates:
        told = Candidates.decode(route["candidates"].encode())
        left = Exclusion(told.candidates[1].node, "at_capacity")
        return msgspec.structs.replace(only(route), excluded=(left,))

    done = await run(ticket=busy)
    assert done.exit_code == 0, done.output
    words = " ".join(done.output.split())
    assert "the gateway said at_capacity" in words
    assert "of which the log cannot tell all" in words
