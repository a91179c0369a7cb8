"""Labels and artifacts in real networks: pins from any client, and what everybody sees when a label moves."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import openai
import pytest

from hallmark import Client, ModelMoved, PinNotMet
from hallmark.core.model_names import pinned
from hallmark.testing.real_network import Network, hallmark, logs, prepare_home

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "models" / "digits" / "example.json"
OTHER = "0x" + "07" * 32
QUESTION = "What does os.mkfifo do?"


def history(network: Network, label: str) -> dict[str, Any]:
    """What `hallmark model history` says, which checked it."""
    done = network.run("model", "history", label, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["proven"]
    return found


def test_a_stock_client_pins_by_the_models_name(network: Network) -> None:
    """The right pin is answered, streamed and whole; a wrong one is refused before anything runs."""
    artifact = history(network, "pydoc")["versions"][-1]["artifact"]
    client = openai.OpenAI(base_url=f"{network.gateway}/v1", api_key="unused", max_retries=0)
    asked: Any = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 8}
    answer = client.chat.completions.create(model=pinned("pydoc", artifact), **asked)
    assert answer.model == "pydoc"
    with client.chat.completions.create(model=pinned("pydoc", artifact), stream=True, **asked) as stream:
        assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
    with pytest.raises(openai.APIStatusError) as refused:
        client.chat.completions.create(model=pinned("pydoc", OTHER), **asked)
    assert (refused.value.status_code, refused.value.code) == (412, "model_moved")
    assert client.models.retrieve(pinned("pydoc", artifact)).id == "pydoc"


@pytest.mark.parametrize("way", [(), ("--sealed",)])
def test_pins_on_either_way(network: Network, way: tuple[str, ...], tmp_path: Path) -> None:
    """Asked plain or sealed, the receipt shows its owner that the pin was kept."""
    name = pinned("pydoc", history(network, "pydoc")["versions"][-1]["artifact"])
    path = tmp_path / "r.json"
    done = network.run("ask", QUESTION, "--model", name, "--max-tokens", "8", "--save", str(path), *way)
    assert done.returncode == 0, done.stdout + done.stderr
    told = network.run("verify", str(path), "--json")
    assert "the request pinned its model to this artifact" in told.stdout
    refused = network.run("ask", QUESTION, "--model", pinned("pydoc", OTHER), *way)
    assert refused.returncode != 0
    assert "model_moved" in refused.stderr


def test_history_of_a_label_that_never_moved(network: Network) -> None:
    """One step, with the receipts that it served; an unknown label is told."""
    network.run("infer", "digits", "--input", str(EXAMPLE), "--json")
    (step,) = history(network, "digits")["versions"]
    assert step["receipts"] > 0
    shown = network.run("model", "history", "digits")
    assert "every step is signed by the owner and stands in the log" in " ".join(shown.stdout.split())
    unknown = network.run("model", "history", "nowhere")
    assert "model_not_found" in unknown.stderr


def test_what_is_said_of_an_answer_makes_its_artifacts_record(network: Network, tmp_path: Path) -> None:
    """A registered reviewer's word makes the record, on parameters too where he shows them; a stranger's, for
    a proof of work, stands beside it. Both are shown by their keys.
    """
    path = tmp_path / "r.json"
    network.run("infer", "digits", "--input", str(EXAMPLE), "--require", "witnessed", "--save", str(path))
    receipt = json.loads(path.read_text())["id"]
    reviewer = ("--as", "reviewer-1", "--show", str(path), "--basis", "evaluation:digits-1000")
    for options in (("--right", *reviewer), ("--wrong", "--basis", "text:It is a four.")):
        done = network.run("outcome", "say", receipt, *options, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
    stranger = json.loads(done.stdout)
    assert len(stranger["salt"]) == 66
    deadline = time.monotonic() + 300
    while True:
        with Client(home=network.home) as client:
            page = client.get_json(f"/explore/receipts/{receipt}.json")["outcomes"]
            card = client.get_json("/models/digits.json")
        if len(page["words"]) == 2:
            break
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert [(one["said"], one["registered"]) for one in page["words"]] == [("wrong", False), ("right", True)]
    assert page["words"][0]["speaker"] == stranger["speaker"]
    found = {row["scope"]: row for row in page["records"]}
    assert {"artifact", "node", "route", "parameters"} <= set(found)
    assert (found["parameters"]["right"], found["parameters"]["others_wrong"]) == (1, 0)
    record = card["records"][0]["record"]
    assert (record["right"], record["wrong"], record["others_wrong"]) == (1, 0, 1)
    assert record["bound"] > 0
    refused = network.run("outcome", "say", receipt, "--wrong", "--basis", "feeling:bad")
    assert "bad_basis" in refused.stderr


def test_a_search_finds_what_can_be_answered_now(network: Network) -> None:
    """By name, mode and price; and what it showed is counted."""
    deadline = time.monotonic() + 300
    while True:
        done = network.run("models", "search", "digits", "--mode", "any", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        page = json.loads(done.stdout)
        if page["rows"]:
            break
        assert time.monotonic() < deadline, page
        time.sleep(0.2)
    (line,) = page["rows"]
    assert (line["row"]["label"], line["modes"]) == ("digits", ["tee"])
    assert "digits" in network.run("models", "search", "digits").stdout
    assert json.loads(network.run("models", "search", "--mode", "zkml", "--json").stdout)["total"] == 0
    with Client(home=network.home) as client:
        exposure = client.get_json("/explore/exposure.json")
    assert next(row["shown"] for row in exposure["rows"] if row["label"] == "digits") >= 2


def test_a_label_that_moves_is_noticed_by_everybody(tmp_path: Path) -> None:
    """Tuesday under one artifact, Thursday under another: refused where a client wants that, said where it
    does not, told apart on page and command line, and the new one inherits no receipts.
    """
    home, folder = tmp_path / "home", tmp_path / "digits"
    network = Network(home)
    shutil.copytree(ROOT / "models" / "digits", folder)

    def up() -> None:
        started = hallmark(home, "up", "--detach", "--no-ask", "--model", f"digits={folder}")
        assert started.returncode == 0, started.stdout + started.stderr + logs(home)

    inputs = json.loads(EXAMPLE.read_text())
    prepare_home(home)
    up()
    try:
        with Client(home=home) as client:
            assert client.infer("digits", inputs, require="witnessed").moved is None
        assert network.run("down").returncode == 0
        about = json.loads((folder / "artifact" / "model.json").read_text())
        (folder / "artifact" / "model.json").write_text(json.dumps(about, indent=3))
        up()
        before, now = history(network, "digits")["versions"]
        assert (before["moved"], now["moved"], before["receipts"], now["receipts"]) == (False, True, 1, 0)
        with Client(home=home, on_model_change="refuse") as client, pytest.raises(PinNotMet) as refused:
            client.infer("digits", inputs)
        assert refused.value.reason == "model_moved"
        done = network.run("infer", "digits", "--input", str(EXAMPLE), "--on-model-change", "refuse")
        assert done.returncode != 0
        assert "model_moved" in done.stderr
        with Client(home=home) as client:
            with pytest.warns(ModelMoved):
                answer = client.infer("digits", inputs, require="witnessed")
            assert answer.moved is not None
            assert (answer.moved.before, answer.moved.now) == (before["artifact"], now["artifact"])
            assert client.infer("digits", inputs).moved is None
        page = Client(home=home).get_json("/explore/models/digits.json")
        assert next(step["receipts"] for step in page["lineage"]) == 1
        assert len({step["artifact"] for step in page["lineage"]}) == 2
    finally:
        assert hallmark(home, "down").returncode == 0
