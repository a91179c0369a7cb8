"""A whole network as its users meet it: command line, OpenAI clients, the SDK, a stranger with a file."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

import hallmark as product
from hallmark.core.marks import Question, State
from hallmark.testing.real_network import Network

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.integration

QUESTION = "What does os.mkfifo do?"
HELLO = {"model": "pydoc", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 4}
SEVEN = [question.value for question in Question]


@pytest.fixture(scope="module")
def saved(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A receipt that `ask --save` wrote."""
    path = tmp_path_factory.mktemp("saved") / "r.json"
    done = network.run("ask", QUESTION, "--save", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    return path


def test_status_names_every_service_with_state_and_address(network: Network) -> None:
    """Two nodes, four full nodes and all that stands beside them are ready, each with a url."""
    status = network.status()
    expected = {"chain", "log", "gateway", "anchor", "vault", "web", "relay", "issuer", "node-1", "node-2"}
    expected |= {"hub", *(f"fullnode-{n}" for n in range(1, 5))}
    assert set(status) == expected
    assert {service["state"] for service in status.values()} == {"ready"}
    assert all(service["url"].startswith("http") for service in status.values())


def test_everything_is_inside_the_home(network: Network) -> None:
    """Each service has a store of its own there, for its owner only, whatever the home is called."""
    assert [path.name for path in network.home.parent.iterdir()] == [network.home.name]
    stores = sorted(network.home.glob("services/*/store.db"))
    assert len(stores) == 13
    assert {path.stat().st_mode & 0o777 for path in stores} == {0o600}


def test_a_second_network_from_one_home_is_refused(network: Network) -> None:
    """The home is held; the refusal has a reason, a sentence and a hint."""
    again = network.run("up", "--detach")
    assert again.returncode == 2
    assert again.stderr.startswith("already_running: ")
    assert "hallmark down" in again.stderr


def test_ask_shows_the_answer_then_seven_marks(network: Network) -> None:
    """The answer streams; all seven marks stand below it; `simulated` is always said."""
    done = network.run("ask", QUESTION)
    assert done.returncode == 0, done.stderr
    assert "fifo" in done.stdout
    for question in SEVEN:
        assert question in done.stdout
    assert "witnessed, simulated" in done.stdout
    assert "meets witnessed" in done.stdout


def test_infer_as_json(network: Network) -> None:
    """`infer --json` gives outputs, id, seven marks and the decision."""
    done = network.run("infer", "digits", "--input", str(ROOT / "models/digits/example.json"), "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert list(answer["marks"]) == SEVEN
    assert answer["decision"]["outcome"] == "CLEAR"
    assert answer["marks"]["proved"]["state"] in ("witnessed", "anchored")
    assert answer["marks"]["paid"]["state"] == "not_required"
    assert len(answer["outputs"]["label"]) == 1


def test_require_withholds_until_clear(network: Network) -> None:
    """`--require witnessed` prints an answer that meets the policy."""
    done = network.run("ask", QUESTION, "--require", "witnessed")
    assert done.returncode == 0, done.stderr
    assert "meets witnessed" in done.stdout


def test_an_unknown_policy_and_model_are_refused_with_reasons(network: Network) -> None:
    """Reason code, sentence, hint; exit code 2."""
    done = network.run("ask", QUESTION, "--require", "perfect")
    assert done.returncode == 2
    assert done.stderr.startswith("policy_unknown: ")
    done = network.run("ask", QUESTION, "--model", "gpt-12")
    assert done.returncode != 0
    assert done.stderr.startswith("model_not_found: ")


def test_a_saved_receipt_verifies_without_any_network(network: Network, saved: Path) -> None:
    """In a namespace without even loopback, two files are enough."""
    command = [
        sys.executable,
        "-m",
        "hallmark.apps.cli.main",
        "verify",
        str(saved),
        "--trust",
        str(network.trust),
    ]
    if os.geteuid() == 0 and shutil.which("unshare"):
        command = ["unshare", "--net", *command]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "160"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "meets witnessed" in done.stdout
    for question in SEVEN:
        assert question in done.stdout


def test_one_changed_character_is_noticed(network: Network, saved: Path, tmp_path: Path) -> None:
    """Twenty seeded single-character changes, each in a value: none meets the policy."""
    text, rng = saved.read_text(), random.Random(7)
    places = [i for i, c in enumerate(text) if c.isalnum()]
    for place in rng.sample(places, 20):
        changed = "0" if text[place] != "0" else "1"
        path = tmp_path / "changed.json"
        path.write_text(text[:place] + changed + text[place + 1 :])
        done = network.run("verify", str(path))
        assert done.returncode in (1, 2), f"character {place}: {text[place - 30 : place + 30]!r}"


def test_a_stranger_checks_it_by_reading(network: Network, saved: Path, tmp_path: Path) -> None:
    """examples/verify_receipt.py imports nothing of ours and says yes to the file, no to a changed one."""
    script = ROOT / "examples" / "verify_receipt.py"
    assert "hallmark." not in "".join(
        line for line in script.read_text().splitlines() if line.lstrip().startswith(("import", "from"))
    )
    command = [sys.executable, "-I", str(script), str(saved), str(network.trust)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    changed = tmp_path / "changed.json"
    receipt = json.loads(saved.read_text())
    receipt["receipt"]["tokensOut"] += 1
    changed.write_text(json.dumps(receipt))
    command[3] = str(changed)
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_the_openai_client_works_unchanged(network: Network) -> None:
    """Models, chat, completions, streaming, usage and errors through the OpenAI Python SDK."""
    client = openai.OpenAI(base_url=f"{network.gateway}/v1", api_key="unused", max_retries=0)
    assert {"pydoc", "digits", "breast-cancer"} <= {model.id for model in client.models.list()}
    messages = [{"role": "user", "content": QUESTION}]
    raw = client.chat.completions.with_raw_response.create(model="pydoc", messages=messages)  # type: ignore[call-overload]
    answer = raw.parse()
    assert "fifo" in answer.choices[0].message.content
    assert answer.usage.completion_tokens > 0
    assert raw.headers["Hallmark-Receipt"] == answer.model_extra["hallmark"]["id"]
    stream = client.chat.completions.create(  # type: ignore[call-overload]
        model="pydoc", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == answer.choices[0].message.content
    # The receipt's event stands before the usage, which is told once and last.
    assert chunks[-2].model_extra["hallmark"]["id"].startswith("0x")
    assert [c.usage.completion_tokens for c in chunks if c.usage] == [answer.usage.completion_tokens]
    assert chunks[-1].usage
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="nothing", messages=messages)  # type: ignore[call-overload]
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="pydoc", messages=[])


def test_the_policy_header_holds_until_clear(network: Network) -> None:
    """`Hallmark-Policy: witnessed` gives an answer whose marks meet it."""
    body = {"model": "pydoc", "messages": [{"role": "user", "content": QUESTION}]}
    url = f"{network.gateway}/v1/chat/completions"
    answer = httpx.post(url, json=body, headers={"Hallmark-Policy": "witnessed"}, timeout=60)
    assert answer.status_code == 200, answer.text
    marks = answer.json()["hallmark"]["marks"]
    states = {name: mark["state"] if isinstance(mark, dict) else mark for name, mark in marks.items()}
    assert states["proved"] in ("witnessed", "anchored")


def test_the_sdk_tells_drafts_from_cleared_answers(network: Network) -> None:
    """A draft waits for its marks; a cleared answer has them; both are derived here."""
    with product.Client(home=network.home) as client:
        draft = client.ask(QUESTION)
        assert isinstance(draft, product.Draft)
        assert draft.receipt.marks()[Question.PROVED].state is State.ABSENT
        verified = draft.receipt.wait("witnessed")
        assert verified.marks[Question.PROVED].state.reaches(State.WITNESSED)
        cleared = client.ask(QUESTION, require="witnessed")
        assert isinstance(cleared, product.Cleared)
        assert "fifo" in cleared.text


def test_checkpoints_reach_the_chain(network: Network, saved: Path, tmp_path: Path) -> None:
    """Given a chain of the user's choosing, the `proved` mark reads anchored; without one it never does."""
    receipt_id = json.loads(saved.read_text())["id"]
    rpc = network.status()["chain"]["url"]
    deadline = time.monotonic() + 240
    while True:
        with product.Client(home=network.home) as client:
            handle = client.receipt(receipt_id)
            handle.refresh("anchored", 5_000)
            path = handle.save(tmp_path / "anchored.json")
        done = network.run("verify", str(path), "--policy", "anchored", "--rpc", rpc, "--json")
        if done.returncode == 0:
            break
        assert time.monotonic() < deadline, done.stdout + done.stderr
    assert json.loads(done.stdout)["marks"]["proved"]["state"] == "anchored"
    offline = network.run("verify", str(path), "--json")
    assert json.loads(offline.stdout)["marks"]["proved"]["state"] == "witnessed"


def test_without_a_quorum_nothing_moves_past_hold(network: Network) -> None:
    """With two of four full nodes stopped, an answer comes and is held; with them back it clears."""
    pids = [network.status()[f"fullnode-{n}"]["pid"] for n in (1, 2)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        with product.Client(home=network.home) as client:
            draft = client.ask(QUESTION)
            with pytest.raises(product.Held) as caught:
                draft.receipt.wait("witnessed", timeout=1.5)
            assert "proved" in str(caught.value)
            assert not draft.receipt.marks()[Question.PROVED].state.reaches(State.WITNESSED)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    with product.Client(home=network.home) as client:
        assert client.ask(QUESTION, require="witnessed", timeout=60).decision.missing == ()


def until(holds: Callable[[], bool], within_s: float = 120.0) -> bool:
    """Whether something comes to hold in time."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.5)
    return False


def page_of(network: Network) -> dict[str, Any]:
    """The network page's twin."""
    found: dict[str, Any] = httpx.get(f"{network.gateway}/network.json", timeout=20).json()
    return found


def test_whoever_stops_is_told_alike_everywhere(network: Network) -> None:
    """Nodes stopped: no slot, by gateway, status, metrics and page. Full nodes stopped: the log says who."""
    gateway, states = network.gateway, network.status()
    for stopped, service, reason in (
        (("node-1", "node-2"), "gateway", "no_node_answers"),
        (("fullnode-1", "fullnode-2", "fullnode-3"), "log", "quorum_missing"),
    ):
        url = states[service]["url"]
        pids = [states[name]["pid"] for name in stopped]
        if service == "log":
            httpx.post(f"{gateway}/v1/chat/completions", json=HELLO, timeout=60).raise_for_status()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            if service == "log":
                httpx.post(f"{gateway}/v1/chat/completions", json=HELLO, timeout=60).raise_for_status()
            assert until(lambda: httpx.get(f"{url}/healthz", timeout=30).json()["reason"] == reason), reason  # noqa: B023
            said = network.status()
            assert (said[service]["state"], said[service]["reason"]) == ("degraded", reason)
            assert said[service]["since"] > 0
            assert said[service]["next"]
            assert {said[name]["state"] for name in stopped} == {"silent"}
            metrics = httpx.get(f"{url}/metrics", timeout=30).text
            assert f'hallmark_health{{reason="{reason}",state="degraded"}} 1.0' in metrics
            page = page_of(network)
            parties = {party["name"]: party for party in page["parties"]}
            assert (parties[service]["state"], parties[service]["reason"]) == ("degraded", reason)
            if service == "gateway":
                assert page["sentence"].startswith("0 of ")
                assert all(row["idle"] == 0 for row in page["slots"])
                assert {p["state"] for p in page["parties"] if p["role"] == "node"} == {"silent"}
            else:
                found = {one["name"]: one["newest"] for one in page["full_nodes"]}
                assert {name for name, newest in found.items() if newest} == {"fullnode-4"}
                assert all(parties[name]["state"] == "silent" for name in stopped)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        assert until(lambda: {one["state"] for one in network.status().values()} == {"ready"})
    calm = "Every party that was asked says that it is ready."
    assert until(lambda: page_of(network)["trouble"] == calm), page_of(network)["trouble"]


def test_content_reaches_no_file(network: Network) -> None:
    """A marked prompt and its answer are in no log, database, WAL or metric of any service."""
    canary = "canary-7f3a9e1c55"
    with product.Client(home=network.home) as client:
        client.ask(f"What does {canary} do?", require="witnessed")
        client.infer("digits", {"image": [[7.125] * 64]})
    httpx.post(f"{network.gateway}/v1/chat/completions", content=f'{{"model": "{canary}', timeout=30)
    body = {"model": canary, "messages": [{"role": canary, "content": canary}]}
    httpx.post(f"{network.gateway}/v1/chat/completions", json=body, timeout=30)
    found = [
        str(path)
        for path in network.home.rglob("*")
        if path.is_file() and path.suffix not in (".img",) and canary.encode() in path.read_bytes()
    ]
    assert found == []
    for service in network.status().values():
        if service["url"].startswith("http://"):
            assert canary not in httpx.get(service["url"] + "/metrics", timeout=30).text
