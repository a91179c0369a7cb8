"""From a folder to an answer: a model that nobody here trained is published, served and asked."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from hallmark import Client
from hallmark.crypto.secp256k1 import Key
from hallmark.testing.real_network import Network
from hallmark.testing.stock_environments import python_of

pytestmark = pytest.mark.integration

CLIENT = Path(__file__).parent / "magika_client"
SIGNING = Path(__file__).parent / "model_signing_client"
LABEL = "me/file-type"


def oracle(asked: Path) -> dict[str, Any]:
    """What the package itself says of a file, and where it keeps its model."""
    python = python_of("magika-py", CLIENT / "requirements.txt")
    done = subprocess.run([python, CLIENT / "oracle.py", asked], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def versions(network: Network) -> list[dict[str, Any]]:
    """What the label pointed to, each step proven."""
    done = network.run("model", "history", LABEL, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["versions"]
    return found


def asked_of(network: Network, question: Path) -> dict[str, Any]:
    """An answer that a quorum has checked."""
    done = network.run("infer", LABEL, "--input", str(question), "--require", "witnessed", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_model_that_nobody_here_trained(network: Network, tmp_path: Path) -> None:
    """The ONNX file of the package magika gives the label that the package gives, `model` witnessed. What is
    refused, or killed half-way, moves nothing: the copy that is there goes on answering.
    """
    known = oracle(Path(__file__))
    folder, question = tmp_path / "model", tmp_path / "question.json"
    folder.mkdir()
    shutil.copy(known["model"], folder)
    question.write_text(json.dumps({"bytes": [known["input"]]}))
    done = network.run("model", "publish", str(folder), "--label", LABEL, "--license", "apache-2.0", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    published = json.loads(done.stdout)
    served = network.run("node", "serve", LABEL)
    assert served.returncode == 0, served.stdout + served.stderr
    assert published["artifact"] in served.stdout
    verified_by_who_downloads(network, tmp_path / "downloaded", folder)

    with Client(home=network.home) as client:
        card = client.get_json(f"/models/{LABEL}.json")
    assert (card["licence"], card["repository"], card["quality"]) == ("apache-2.0", LABEL, "unknown")

    answer = asked_of(network, question)
    scores = answer["outputs"]["target_label"][0]
    assert known["labels"][scores.index(max(scores))] == known["label"] == "python"
    assert answer["marks"]["model"]["state"] == "witnessed"

    (step,) = versions(network)
    stranger = tmp_path / "stranger.key"
    stranger.write_text(Key.generate().secret.hex())
    refused = network.run("model", "publish", str(folder), "--label", LABEL, "--key-file", str(stranger))
    assert "label_taken" in refused.stderr
    squatted = ("model", "publish", str(folder), "--label", "me/other", "--key-file", str(stranger))
    assert "not_your_namespace" in network.run(*squatted).stderr
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "model.onnx").write_bytes(pickle.dumps([print]))
    assert "pickle_refused" in network.run("model", "publish", str(evil), "--label", LABEL).stderr

    (folder / "README.md").write_text("# The same, with other words\n\nIt tells what a file is.\n")
    killed_while_storing(network, folder)
    assert versions(network) == [{**step, "receipts": 1}]
    assert asked_of(network, question)["outputs"] == answer["outputs"]
    moved_and_served_again(network, tmp_path, answer["outputs"])


def moved_and_served_again(network: Network, tmp_path: Path, outputs: Any) -> None:
    """What was cut off is said again, and the label moves. Until nodes serve what it means now nobody answers
    under it; then its receipts are of the second version, and none of them is the first one's.
    """
    question, published = (
        tmp_path / "question.json",
        network.run("model", "publish", str(tmp_path / "model"), "--label", LABEL, "--json"),
    )
    assert published.returncode == 0, published.stdout + published.stderr
    assert json.loads(published.stdout)["version"] == "2"
    unserved = network.run("infer", LABEL, "--input", str(question))
    assert unserved.returncode != 0
    assert "no_node" in unserved.stderr
    served = network.run("node", "serve", LABEL)
    assert served.returncode == 0, served.stdout + served.stderr
    assert asked_of(network, question)["outputs"] == outputs
    before, now = versions(network)
    assert (before["receipts"], now["receipts"]) == (2, 1)
    assert (now["moved"], now["proven"]) == (True, True)
    done = network.run("model", "verify", str(tmp_path / "downloaded"), "--label", LABEL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "version 1 of" in done.stdout
    assert "has moved since" in done.stdout


def verified_by_who_downloads(network: Network, got: Path, folder: Path) -> None:
    """The hub's files are signed in OpenSSF's form, which its own package verifies too; and by the log they
    are the label's version. Another byte, and neither holds.
    """
    hub = network.status()["hub"]["url"]
    listed = httpx.get(f"{hub}/api/models/{LABEL}").json()["siblings"]
    for name in (one["rfilename"] for one in listed):
        if not name.startswith("."):
            file = got / name
            file.parent.mkdir(parents=True, exist_ok=True)
            found = httpx.get(f"{hub}/{LABEL}/resolve/main/{name}", follow_redirects=True)
            file.write_bytes(found.raise_for_status().content)
    python = python_of("model-signing-py", SIGNING / "requirements.txt")
    check = [python, SIGNING / "verify.py", got]
    assert subprocess.run(check, capture_output=True, text=True, check=True).stdout == "verified\n"
    done = network.run("model", "verify", str(got), "--label", LABEL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"version 1 of {LABEL}" in done.stdout
    assert "points to it now" in done.stdout
    readme = (got / "README.md").read_text()
    (got / "README.md").write_text(readme + "!")
    assert subprocess.run(check, capture_output=True).returncode == 1
    done = network.run("model", "verify", str(got))
    assert (done.returncode, "model_files_differ" in done.stderr) == (4, True), done.stderr
    (got / "README.md").write_text(readme)
    signed_by_nobody = network.run("model", "verify", str(folder))
    assert "no_model_signature" in signed_by_nobody.stderr


def killed_while_storing(network: Network, folder: Path) -> None:
    """Publish, and die when bytes are on their way to the hub."""
    command = [sys.executable, "-m", "hallmark.apps.cli.main", "--home", str(network.home)]
    process = subprocess.Popen(
        [*command, "model", "publish", str(folder), "--label", LABEL],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "160"},
    )
    assert process.stderr is not None
    with process.stderr as said:
        assert any(b"storing" in line for line in said)
        process.kill()
    assert process.wait() != 0


def test_a_model_that_draws_is_published_served_and_asked(network: Network, tmp_path: Path) -> None:
    """From its folder to an image in a file, the receipt witnessed."""
    folder = Path(__file__).parents[2] / "models" / "shapes" / "artifact"
    done = network.run("model", "publish", str(folder), "--label", "me/shapes", "--license", "apache-2.0")
    assert done.returncode == 0, done.stdout + done.stderr
    done = network.run("node", "serve", "me/shapes")
    assert done.returncode == 0, done.stdout + done.stderr
    out = tmp_path / "out.png"
    asked = (
        "draw",
        "a small red circle on white",
        "--model",
        "me/shapes",
        "--size",
        "256x256",
        "-o",
        str(out),
    )
    done = network.run(*asked, "--require", "witnessed", "--timeout", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    assert out.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "a small red circle " in done.stdout
    with Client(home=network.home) as client:
        found = client.get_json("/models.json?modality=image")
    assert "me/shapes" in json.dumps(found)
