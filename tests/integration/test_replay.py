"""From a float model to an answer that anybody makes again: converted, published, served, asked, replayed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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
    done = network.run("node", "serve", "me/digits-exact")
    assert done.returncode == 0, done.stdout + done.stderr
    question, saved = MODELS / "digits" / "example.json", tmp_path / "r.json"
    done = network.run(
        "infer", "me/digits-exact", "--input", str(question), "--mode", "replay", "--require", "witnessed",
        "--save", str(saved),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(saved.read_bytes())["receipt"]["mode"] == 2
    done = network.run("replay", str(saved))
    assert (done.returncode, done.stdout.strip()) == (0, "same bits: 4 states of layers"), done.stderr
