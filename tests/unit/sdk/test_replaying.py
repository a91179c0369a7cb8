"""Receipts run again: the same bits, and each planted fault found where it was planted."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from hallmark.apps.cli.main import cli, main
from hallmark.core.answer import sampling_seed
from hallmark.core.document import hex0x
from hallmark.core.documents import Manifest, Parameters
from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.merkle import leaf_hash, root
from hallmark.core.receipt import Mode, Receipt
from hallmark.core.safetensors import StoredTensor, read_tensors, write_tensors
from hallmark.engines import load
from hallmark.engines.integer.language import ExactLanguageEngine
from hallmark.engines.integer.replay import Told, compare, rerun
from hallmark.engines.integer.trace import Tracer
from hallmark.engines.openai_response import Shape, Usage
from hallmark.engines.protocol import ChatRequest, Message, Sampling
from hallmark.hub.artifact import pack_files
from hallmark.services.enclave.app import App
from hallmark.services.sdk.replaying import Papers, Replayed, open_papers, replay
from hallmark.testing.model_scripts import MODELS, model_script
from hallmark.testing.runtime import MemoryRuntime, model_of
from hallmark.verification.answer_parser import open_answer, open_stream
from hallmark.verification.dossier import Dossier

CHAT = "/v1/chat/completions"
NONCES = (b"\x01" * 32, b"\x02" * 32)
SEED = sampling_seed(*NONCES)
WARM = Sampling(max_tokens=20, temperature=2_000_000)


@pytest.fixture(scope="module")
def exact() -> Any:
    """The converter."""
    return model_script("exact")


@pytest.fixture(scope="module")
def files(exact: Any) -> dict[str, bytes]:
    """The files of pydoc in integers."""
    made: dict[str, bytes] = exact.convert("pydoc")
    return made


@pytest.fixture(scope="module")
def artifact(files: dict[str, bytes]) -> bytes:
    """The artifact of pydoc in integers."""
    return pack_files(files)


def engine_of(artifact: bytes) -> ExactLanguageEngine:
    """Its engine."""
    engine = load(artifact, sha256(artifact))
    assert isinstance(engine, ExactLanguageEngine)
    return engine


@pytest.fixture(scope="module")
def engine(artifact: bytes) -> ExactLanguageEngine:
    """The engine of pydoc in integers."""
    return engine_of(artifact)


class Ran(msgspec.Struct):
    """A run as a node makes it: its papers, its leaves and the tokens that it fed."""

    papers: Papers
    leaves: list[bytes]
    prompt: list[int]


def ran(
    engine: ExactLanguageEngine,
    artifact: bytes,
    sampling: Sampling = WARM,
    *,
    seed: int = SEED,
    tokens: Callable[[list[int]], Iterable[int]] | None = None,
) -> Ran:
    """An answer by `engine` under a manifest of `artifact`; `tokens` changes what was chosen."""
    request = ChatRequest((Message("user", "What does json.dumps do?"),))
    prompt = engine.tokenizer.encode(request)
    tracer = Tracer(engine.model.shape.layers, keep=True)
    chosen: Iterable[int] = engine.tokens(prompt, sampling.max_tokens, sampling, seed, tracer=tracer)
    if tokens is not None:
        chosen = list(tokens(list(chosen)))
        tracer = forged(engine, prompt + chosen[:-1])
    deltas = list(engine.told(chosen, len(prompt), sampling.max_tokens, sampling.stop, tracer))
    leaves, last = tracer.leaves or [], deltas[-1]
    text, usage = "".join(delta.text for delta in deltas), Usage(len(prompt), last.tokens_out)
    answer = Shape("x", 1, "pydoc-exact", chat=True).whole(text, last.finish, usage)
    body = {"model": "pydoc-exact", "messages": [{"role": "user", "content": "What does json.dumps do?"}],
            "max_tokens": 20, "temperature": 2.0}  # fmt: skip
    manifest = Manifest("pydoc-exact", "1", hex0x(ZERO32), hex0x(sha256(artifact)), len(artifact),
                        "integer-exact", "chat", hex0x(ZERO32))  # fmt: skip
    parameters = Parameters(
        task="chat", max_tokens=20, temperature=2_000_000, node_nonce=hex0x(NONCES[1]), seed=SEED,
        engine=engine.describe().text(),
    )  # fmt: skip
    papers = Papers(
        receipt(tokens_in=len(prompt), tokens_out=last.tokens_out), parameters, manifest, CHAT,
        json.dumps(body).encode(), answer,
    )  # fmt: skip
    return Ran(committed(papers, leaves), leaves, prompt)


def forged(engine: ExactLanguageEngine, fed: list[int]) -> Tracer:
    """The trace of a model that was fed these tokens."""
    from hallmark.engines.integer.transformer import Cache

    tracer, states = Tracer(engine.model.shape.layers, keep=True), []
    engine.model.forward(
        [(Cache(engine.model.shape), np.array(fed))], lambda _, rows: states.append(rows.copy())
    )
    tracer.add(fed, states)
    return tracer


def receipt(**counts: int) -> Receipt:
    """A receipt with these counts and NONCES."""
    zeros = {field: ZERO32 if cls == "Bytes32" else 0 for field, cls in ANNOTATIONS.items()}
    return Receipt(**(zeros | {"node": bytes(20), "mode": Mode.REPLAY, "client_nonce": NONCES[0]} | counts))


ANNOTATIONS = {
    name: str(kind).rpartition(".")[2] for name, kind in Receipt.__annotations__.items() if name != "NAME"
}


def committed(papers: Papers, leaves: list[bytes]) -> Papers:
    """The papers with a trace of these leaves."""
    made = root([leaf_hash(leaf) for leaf in leaves])
    parameters = msgspec.structs.replace(papers.parameters, trace_root=hex0x(made), trace_leaves=len(leaves))
    return msgspec.structs.replace(papers, parameters=parameters)


def what(done: Replayed) -> str:
    """The code of a difference; empty for the same bits."""
    return done.difference.what if done.difference else ""


def test_an_honest_answer_is_the_same_bits(engine: ExactLanguageEngine, artifact: bytes) -> None:
    """Sampled and greedy answers are made again, with and without the node's leaves."""
    made = ran(engine, artifact)
    done = replay(made.papers, artifact)
    assert (what(done), list(done.leaves)) == ("", made.leaves)
    assert what(replay(made.papers, artifact, made.leaves)) == ""


def test_the_text_of_an_answer_is_cut_once(
    engine: ExactLanguageEngine, artifact: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many passes it takes, only the rest of a token is cut anew in each."""
    cut, pieces = engine.tokenizer.text, list[str]()

    def counted(text: str) -> list[int]:
        pieces.append(text)
        return cut(text)

    longest, passes = max(map(len, engine.tokenizer.table.values())), 0
    for seed in range(4):
        sampling = Sampling(max_tokens=60, temperature=3_000_000)
        request = ChatRequest((Message("user", "What does json.dumps do?"),))
        deltas, prompt = list(engine.steps(request, sampling, seed)), engine.encode(request)
        text, last = "".join(delta.text for delta in deltas), deltas[-1]
        assert last.trace is not None
        given = Told(text, last.finish, last.tokens_in, last.tokens_out, last.trace)
        with monkeypatch.context() as patched:
            patched.setattr(engine.tokenizer, "text", counted)
            again = rerun(engine, prompt, sampling, seed, given)
        assert compare(again, given) is None
        assert pieces[0] == text
        assert all(len(piece.encode()) < longest for piece in pieces[1:])
        passes, pieces = passes + again.passes, []
    assert passes > 8


def test_a_forged_token_is_found_at_its_place(engine: ExactLanguageEngine, artifact: bytes) -> None:
    """A node that puts in another token, and goes on from it, is told by the text and by its leaves."""
    made = ran(engine, artifact, tokens=lambda chosen: [*chosen[:5], 77, *chosen[6:]])
    found = replay(made.papers, artifact).difference
    assert found is not None
    assert (found.what, found.position) == ("answer", len(made.prompt) + 5)
    found = replay(made.papers, artifact, made.leaves).difference
    assert found is not None
    assert (found.what, found.position) == ("token", len(made.prompt) + 5)


def test_a_forged_state_is_found_at_token_and_layer(engine: ExactLanguageEngine, artifact: bytes) -> None:
    """One leaf with another state: seen without the leaves, placed with them."""
    made = ran(engine, artifact)
    at = 4 * (len(made.prompt) + 3) + 1
    leaves = [
        *made.leaves[:at],
        made.leaves[at][:-1] + bytes([made.leaves[at][-1] ^ 1]),
        *made.leaves[at + 1 :],
    ]
    papers = committed(made.papers, leaves)
    assert what(replay(papers, artifact)) == "trace"
    found = replay(papers, artifact, leaves).difference
    assert found is not None
    assert (found.what, found.position, found.layer) == ("layer", len(made.prompt) + 3, 2)
    assert what(replay(papers, artifact, made.leaves)) == "other_trace"


@pytest.mark.parametrize("change", [{"seed": SEED + 1}, {"temperature": 300_000}])
def test_a_draw_by_another_seed_or_temperature_is_found(
    change: dict[str, int], engine: ExactLanguageEngine, artifact: bytes
) -> None:
    """A node that draws otherwise than the receipt says gives another answer."""
    seed, temperature = change.get("seed", SEED), change.get("temperature", WARM.temperature)
    made = ran(engine, artifact, Sampling(max_tokens=20, temperature=temperature), seed=seed)
    assert what(replay(made.papers, artifact)) == "answer"


@pytest.mark.parametrize(("name", "value"), [("seed", SEED + 1), ("temperature", 1), ("max_tokens", 19)])
def test_parameters_that_do_not_follow_from_the_request_are_found(
    name: str, value: int, engine: ExactLanguageEngine, artifact: bytes
) -> None:
    """What the receipt says was applied is held against what was asked, and the seed against the nonces."""
    papers = ran(engine, artifact).papers
    parameters = msgspec.structs.replace(papers.parameters, **{name: value})
    assert what(replay(msgspec.structs.replace(papers, parameters=parameters), artifact)) == name


def test_other_weights_are_found(
    engine: ExactLanguageEngine, artifact: bytes, files: dict[str, bytes]
) -> None:
    """One weight of one layer by one unit: no token need change, the states do."""
    tensors = dict(read_tensors(files["weights.safetensors"]))
    old = tensors["layers.3.down"]
    data = np.frombuffer(old.data, "<i2").copy()
    data[7] += 1
    tensors["layers.3.down"] = StoredTensor("I16", old.shape, data.tobytes())
    other = engine_of(pack_files(files | {"weights.safetensors": write_tensors(tensors)}))
    made = ran(other, artifact)
    found = replay(made.papers, artifact, made.leaves).difference
    assert found is not None
    assert (found.what, found.layer) == ("layer", 4)


def test_another_template_is_found(artifact: bytes, files: dict[str, bytes]) -> None:
    """A role mark exchanged in the template: the first position's token is another."""
    described = json.loads(files["exact.json"])
    described["chat"]["roles"]["user"] = 1
    made = ran(engine_of(pack_files(files | {"exact.json": json.dumps(described).encode()})), artifact)
    found = replay(made.papers, artifact, made.leaves).difference
    assert found is not None
    assert (found.what, found.position) == ("token", 0)


def test_a_swapped_artifact_is_refused(
    engine: ExactLanguageEngine, artifact: bytes, files: dict[str, bytes]
) -> None:
    """The artifact that is at hand has to be the manifest's."""
    other = pack_files(files | {"model.json": files["model.json"] + b" "})
    with pytest.raises(VerificationFailed) as caught:
        replay(ran(engine, artifact).papers, other)
    assert caught.value.reason == "artifact_digest_mismatch"


def test_a_truncated_trace_is_found(engine: ExactLanguageEngine, artifact: bytes) -> None:
    """A root over fewer leaves than the run has, with and without them."""
    made = ran(engine, artifact)
    papers = committed(made.papers, made.leaves[:-4])
    assert what(replay(papers, artifact)) == "trace_length"
    assert what(replay(papers, artifact, made.leaves[:-4])) == "trace_length"


def test_an_answer_that_ends_early_and_says_stop_is_found(
    engine: ExactLanguageEngine, artifact: bytes
) -> None:
    """An end that the model did not come to is not taken for one."""
    made = ran(engine, artifact, tokens=lambda chosen: [*chosen[:6], 4])
    assert what(replay(made.papers, artifact)) == "answer"


@pytest.mark.parametrize(
    "forged",
    [
        lambda a: a["choices"][0]["message"].update(tool_calls=[{"function": {"name": "pay"}}]),
        lambda a: a.update(model="another"),
        lambda a: a.update(choices=[1]),
    ],
)
def test_an_answer_that_holds_more_or_is_of_another_form_is_found(
    forged: Callable[[dict[str, Any]], None], engine: ExactLanguageEngine, artifact: bytes
) -> None:
    """The right text beside anything else, for another model or in no choice, is not the same bits."""
    papers = ran(engine, artifact).papers
    answer = json.loads(papers.answer)
    forged(answer)
    papers = msgspec.structs.replace(papers, answer=json.dumps(answer, separators=(",", ":")).encode())
    assert what(replay(papers, artifact)) == "answer"


def test_other_counts_in_the_answer_are_found(engine: ExactLanguageEngine, artifact: bytes) -> None:
    """An answer that counts other tokens than its receipt is not the same bits."""
    papers = ran(engine, artifact).papers
    answer = json.loads(papers.answer)
    answer["usage"] = Usage(1, 1).to_json()
    papers = msgspec.structs.replace(papers, answer=msgspec.json.encode(answer))
    assert what(replay(papers, artifact)) == "counts"


def test_an_answer_that_was_cut_off_is_told_as_such(engine: ExactLanguageEngine, artifact: bytes) -> None:
    """What came of it is the same, and nobody says why it ended."""
    made = ran(engine, artifact, tokens=lambda chosen: chosen[:6])
    shape = Shape("x", 1, "pydoc-exact", chat=True)
    text = json.loads(made.papers.answer)["choices"][0]["message"]["content"]
    request = json.dumps(json.loads(made.papers.request) | {"stream": True}).encode()
    papers = msgspec.structs.replace(made.papers, request=request, answer=shape.first() + shape.text(text))
    done = replay(papers, artifact)
    assert (done.difference, done.cut) == (None, True)
    assert not replay(ran(engine, artifact).papers, artifact).cut


def test_another_engine_cannot_say(engine: ExactLanguageEngine, artifact: bytes) -> None:
    """Of an answer by another version of the arithmetic nothing is said."""
    papers = ran(engine, artifact).papers
    parameters = msgspec.structs.replace(papers.parameters, engine="integer-exact/2 unicode=14.0.0")
    with pytest.raises(InvalidInput) as caught:
        replay(msgspec.structs.replace(papers, parameters=parameters), artifact)
    assert caught.value.reason == "not_replayable"


async def test_answers_of_an_enclave_are_replayed_from_their_saved_receipts(
    exact: Any, artifact: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chats, streams, completions and tensors, from the application to the command: exit code 0 for the same
    bits, 4 for other states, 2 for what is missing.
    """
    packed = {"pydoc-exact": artifact, "digits-exact": pack_files(exact.convert("digits"))}
    models = {label: model_of(label, data, "integer-exact") for label, data in packed.items()}
    engines = {label: load(data, sha256(data)) for label, data in packed.items()}
    transport = httpx.ASGITransport(App(MemoryRuntime(models), engines, {}))
    said = {"model": "pydoc-exact", "messages": [{"role": "user", "content": "What does math.sqrt do?"}]}
    image = json.loads((MODELS / "digits" / "example.json").read_text())
    tensor = StoredTensor("F32", np.shape(image["image"]), np.array(image["image"], "<f4").tobytes())
    stored = base64.b64encode(write_tensors({"image": tensor})).decode()
    asked = [
        (CHAT, said), (CHAT, said | {"stream": True, "temperature": 0.9, "max_tokens": 9, "seed": 5}),
        (CHAT, said | {"stop": ["the"]}),
        ("/v1/completions", {"model": "pydoc-exact", "prompt": "zlib", "max_tokens": 5}),
        ("/v1/hallmark/infer", {"model": "digits-exact", "safetensors": stored}),
        ("/v1/hallmark/infer", {"model": "digits-exact", "inputs": image}),
    ]  # fmt: skip
    folder = tmp_path / "artifacts"
    folder.mkdir()
    for label, data in packed.items():
        (folder / f"{label}.tar").write_bytes(data)
    saved, runner = tmp_path / "r.json", CliRunner()
    async with httpx.AsyncClient(transport=transport, base_url="http://node.invalid") as client:
        for path, body in asked:
            response = await client.post(path, json=body, headers={"hallmark-mode": "replay"})
            assert response.status_code == 200
            opened = (open_stream if body.get("stream") else open_answer)(response.content)
            dossier = opened.dossier(path, response.request.content)
            assert dossier.opened().mode == Mode.REPLAY
            saved.write_bytes(dossier.encode())
            done = runner.invoke(cli, ["--home", str(tmp_path), "replay", str(saved)])
            assert (done.exit_code, done.output[:10]) == (0, "same bits:"), done.output
            assert "not looked at: who signed the receipt" in done.output
    broken = msgspec.structs.replace(dossier, request=msgspec.structs.replace(dossier.request, body="{}"))
    with pytest.raises(VerificationFailed) as caught:
        open_papers(broken)
    assert caught.value.reason == "replay_other_papers"
    with pytest.raises(InvalidInput, match="not_replayable"):
        open_papers(without_trace(dossier))
    papers = open_papers(dossier)
    other = msgspec.structs.replace(papers.parameters, trace_root=hex0x(ZERO32))
    assert what(replay(msgspec.structs.replace(papers, parameters=other), packed["digits-exact"])) == "trace"
    forged = msgspec.structs.replace(papers, answer=papers.answer.replace(b'"labels":["0"', b'"labels":["8"'))
    assert (what(replay(forged, packed["digits-exact"])), forged == papers) == ("answer", False)
    (folder / "digits-exact.tar").unlink()
    command = ["hallmark", "--home", str(tmp_path), "replay", str(saved)]
    assert ended(command, monkeypatch) == 2
    (folder / "digits-exact.tar").write_bytes(packed["digits-exact"])
    assert ended(command, monkeypatch) == 0
    (tmp_path / "leaves").write_bytes(bytes(42))
    assert ended([*command, "--trace", str(tmp_path / "leaves")], monkeypatch) == 4
    done = runner.invoke(cli, [*command[1:], "--trace", str(tmp_path / "leaves")])
    assert done.output.startswith("differs: ")
    assert "same bits" not in done.output
    done = runner.invoke(cli, [*command[1:], "--trace", str(tmp_path / "leaves"), "--json"])
    assert json.loads(done.output)["same"] is False
    with monkeypatch.context() as patched:
        cut = Replayed(None, (b"",), 3, cut=True)
        patched.setattr("hallmark.services.sdk.replaying.replay", lambda *_: cut)
        assert "not why it ended" in runner.invoke(cli, command[1:]).output
    saved.write_bytes(broken.encode())
    assert ended(command, monkeypatch) == 4


def without_trace(dossier: Dossier) -> Dossier:
    """The file as of an engine whose parameters name no trace."""
    said = Parameters.decode((dossier.documents.parameters or "").encode())
    bare = msgspec.structs.replace(said, trace_root=msgspec.UNSET, trace_leaves=msgspec.UNSET)
    documents = msgspec.structs.replace(dossier.documents, parameters=bare.encode().decode())
    receipt = dossier.receipt | {"parameters": hex0x(bare.digest())}
    return msgspec.structs.replace(dossier, receipt=receipt, documents=documents)


def ended(command: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of the program, by its own entry point."""
    with monkeypatch.context() as patched:
        patched.setattr(sys, "argv", command)
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
    return 0
