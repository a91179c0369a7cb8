"""From a float model to an answer that anybody makes again: converted, published, served, asked, replayed."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from hallmark.testing.real_network import Network

pytestmark = pytest.mark.integration

MODELS = Path(__file__).resolve().parents[2] / "models"


def test_a_model_in_integers_is_served_and_its_answer_replayed(network: Network, tmp_path: Path) -> None:
    """The artifact is opened in the sandbox and published under its format; an answer asked for in the mode
    replay has that mode on its receipt, is witnessed, and is the same bits when it is run again.
    """
    convert = [sys.executable, str(MODELS / "exact.py"), "digits", "--out", str(tmp_path)]
    subprocess.run(convert, check=True)
    done = network.run("model", "publish", str(tmp_path / "artifact"), "--label", "me/digits-exact")
    assert done.returncode == 0, done.stdout + done.stderr
    _say_what_it_was_made_from(network, tmp_path / "figures.json")
    done = network.run("node", "serve", "me/digits-exact")
    assert done.returncode == 0, done.stdout + done.stderr
    question, saved = MODELS / "digits" / "example.json", tmp_path / "r.json"
    done = network.run(
        "infer", "me/digits-exact", "--input", str(question), "--mode", "replay", "--require", "witnessed",
        "--save", str(saved),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(saved.read_bytes())["receipt"]["mode"] == 2
    (origin,) = httpx.get(f"{network.gateway}/explore/models/me/digits-exact.json", timeout=60).json()[
        "origins"
    ]
    page = httpx.get(f"{network.gateway}/explore/models/me/digits-exact", timeout=60).text
    assert origin["sentence"].startswith("Made from digits version ")
    assert "convert again and compare the bytes" in page
    done = network.run("replay", str(saved))
    told = done.stdout.splitlines()
    assert (done.returncode, told[0]) == (0, "same bits: 4 states of layers"), done.stderr
    assert told[1].startswith("not looked at: who signed")


def _say_what_it_was_made_from(network: Network, figures: Path) -> None:
    """Its owner says so, once; the log takes it, and the model's page shows it as his word."""
    figures.write_text('[{"name": "held-out images told alike", "value": 450, "unit": "images", "of": 450}]')
    said = (
        "model", "derived", "--from", "digits", "--to", "me/digits-exact", "--tool", "models/exact.py",
        "--tool-file", str(MODELS / "exact.py"), "--quality", str(figures),
    )  # fmt: skip
    done = network.run(*said, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["tool_digest"] == "0x" + hashlib.sha256((MODELS / "exact.py").read_bytes()).hexdigest()
    again = network.run(*said)
    assert again.returncode != 0
    assert "derivation_repeated" in again.stderr or "entry_known" in again.stderr
