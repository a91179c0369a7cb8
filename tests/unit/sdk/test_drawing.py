"""Images through the SDK and `hallmark draw`: what comes back, and what is written when."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from hallmark import AsyncClient, Cleared, Client, Draft
from hallmark.apps.cli import draw as command
from hallmark.apps.cli.main import cli
from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.services.sdk.answers import AnswerHeld
from hallmark.services.sdk.drawing import images_of
from hallmark.services.sdk.verifying import Verifier
from hallmark.testing.local_network import LocalNetwork
from hallmark.testing.stub_evidence import verify_stub_evidence

PNG = b"\x89PNG\r\n\x1a\n one"
SHOWS = "a small red circle in the middle on white"


@pytest.fixture
async def local(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalNetwork]:
    """A network whose nodes answer with as many images as they are asked for."""
    async with LocalNetwork() as network:
        for node in network.nodes:

            async def whole(node: Any = node) -> Any:
                one = {"b64_json": base64.b64encode(PNG).decode(), "revised_prompt": SHOWS}
                number = json.loads(node.bodies[-1]).get("n", 1)
                return msgspec.json.encode(
                    {"created": 1, "data": [one] * number, "size": "seven"}
                ), node._ending()

            monkeypatch.setattr(node, "_whole", whole)
        yield network


def verifier(local: LocalNetwork) -> Verifier:
    """With the network's trust file."""
    return Verifier(local.trust, verify_stub_evidence)


async def test_a_draft_has_the_images_and_their_words(local: LocalNetwork) -> None:
    """The request is OpenAI's, with nothing in it that was not asked; with `require` it is a Cleared."""
    async with AsyncClient(local.url, verifier=verifier(local)) as client:
        draft = await client.draw("a small red circle on white", model="digits", seed=7)
        assert isinstance(draft, Draft)
        assert [(one.data, one.revised_prompt) for one in draft.images] == [(PNG, SHOWS)]
        assert {node.bodies[-1] for node in local.nodes if node.bodies} == {
            b'{"model":"digits","prompt":"a small red circle on white","seed":7}'
        }
        marks = {question.value: mark.state.value for question, mark in draft.receipt.marks().items()}
        assert (marks["ran"], marks["proved"]) == ("checked", "absent")
        cleared = await client.draw("a star", model="digits", n=2, require="witnessed")
        assert isinstance(cleared, Cleared)
        assert len(cleared.images) == 2


async def test_what_is_held_or_does_not_hold_has_no_image(local: LocalNetwork) -> None:
    """Without a quorum `require` raises, and so does an unknown mode; a changed answer in any case."""
    local.log.witnessing = False
    async with AsyncClient(local.url, verifier=verifier(local)) as client:
        with pytest.raises(AnswerHeld):
            await client.draw("a star", model="digits", require="witnessed", timeout=0.05)
        with pytest.raises(InvalidInput):
            await client.draw("a star", model="digits", mode="oil")
        for node in local.nodes:
            node.behaviour = "forge"
        with pytest.raises(VerificationFailed) as caught:
            await client.draw("a star", model="digits")
        assert caught.value.reason == "answer_does_not_hold"


async def test_the_plain_client_draws_too(local: LocalNetwork) -> None:
    """`Client.draw` hands the images on, as a draft and cleared."""

    def asked() -> list[int]:
        with Client(local.url, verifier=verifier(local)) as client:
            draft = client.draw("a star", model="digits")
            cleared = client.draw("a star", model="digits", n=3, require="witnessed")
            return [len(draft.images), len(cleared.images)]

    assert await asyncio.to_thread(asked) == [1, 3]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": []},
        {"data": [{"url": "https://images.invalid/1.png"}]},
        {"data": [{"b64_json": "not base64"}]},
        {"data": [{"b64_json": 7}]},
        {"data": "AAAA"},
    ],
)
def test_what_is_no_image_is_none(body: dict[str, Any]) -> None:
    """Nothing that a node sends ends in another exception."""
    assert images_of(body) == ()


async def run(local: LocalNetwork, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """`hallmark draw` against the network."""
    monkeypatch.setattr(command, "client_for", lambda *_: Client(local.url, verifier=verifier(local)))
    told = ["draw", "a star", "--model", "digits", *arguments]
    return await asyncio.to_thread(CliRunner().invoke, cli, told)


async def test_each_image_becomes_a_file(
    local: LocalNetwork, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One under its name, several numbered; the words stand beside it, and the receipt is saved."""
    out, saved = tmp_path / "out.png", tmp_path / "r.json"
    done = await run(local, monkeypatch, "-o", str(out), "--save", str(saved), "--require", "witnessed")
    assert done.exit_code == 0, done.output
    assert out.read_bytes() == PNG
    assert f"{out}  {SHOWS}" in done.output
    assert "meets witnessed" in done.output
    assert json.loads(saved.read_bytes())["receipt"]
    done = await run(local, monkeypatch, "-o", str(out), "--n", "2", "--json")
    assert done.exit_code == 0, done.output
    files = [one["file"] for one in json.loads(done.output)["images"]]
    assert files == [str(tmp_path / "out-1.png"), str(tmp_path / "out-2.png")]
    assert (tmp_path / "out-2.png").read_bytes() == PNG


async def test_what_is_held_is_not_written(
    local: LocalNetwork, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Exit code 1 and no file; where a file cannot be, nothing is asked."""
    local.log.witnessing = False
    out = tmp_path / "out.png"
    done = await run(local, monkeypatch, "-o", str(out), "--require", "witnessed", "--timeout", "0.05")
    assert (done.exit_code, out.exists()) == (1, False)
    asked = [len(node.bodies) for node in local.nodes]
    done = await run(local, monkeypatch, "-o", str(tmp_path / "away" / "out.png"))
    assert isinstance(done.exception, InvalidInput)
    assert [len(node.bodies) for node in local.nodes] == asked
