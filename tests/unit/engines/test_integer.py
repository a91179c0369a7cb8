"""The integer-exact engine: one digest whatever goes together, a guard that trips, draws by integers."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import threading
from collections.abc import Callable
from types import ModuleType

import msgspec
import numpy as np
import pytest

from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import sha256
from hallmark.core.merkle import leaf_hash, root
from hallmark.core.safetensors import StoredTensor, read_tensors, write_tensors
from hallmark.engines import load
from hallmark.engines.integer.language import ExactLanguageEngine
from hallmark.engines.integer.numbers import EXP2_LIMIT, Matrix
from hallmark.engines.integer.sampler import choose
from hallmark.engines.integer.tensor import ExactTensorEngine
from hallmark.engines.integer.tokenizer import ExactTokenizer, words
from hallmark.engines.integer.trace import LEAF_SIZE, Tracer, place_of
from hallmark.engines.integer.transformer import Cache
from hallmark.engines.protocol import ChatRequest, CompletionRequest, Message, Sampling
from hallmark.hub.artifact import pack_files
from hallmark.testing.model_scripts import MODELS, model_script

SHA256 = {
    "pydoc": "48a33f0d0994d6c030d1105b41d2ea938c714f065a645059dea71d91fe24c437",
    "digits": "1e739fd026b264084d20cdd3703559b8eba0bf22335446fdda5cd0ca1c24b4f5",
    "breast-cancer": "795780db796af3a84cf760a02d73edacf66cd33a8faac97801cca9493452edab",
}


@pytest.fixture(scope="module")
def exact() -> ModuleType:
    """The converter, imported as it runs."""
    return model_script("exact")


@pytest.fixture(scope="module")
def files(exact: ModuleType) -> Callable[[str], dict[str, bytes]]:
    """The files of a model's integer-exact artifact, converted once."""
    made: dict[str, dict[str, bytes]] = {}
    return lambda name: made.setdefault(name, exact.convert(name))


def loaded(files: dict[str, bytes]) -> object:
    """The engine of an artifact with these files."""
    data = pack_files(files)
    return load(data, sha256(data))


@pytest.fixture(scope="module")
def pydoc(files: Callable[[str], dict[str, bytes]]) -> ExactLanguageEngine:
    """The language model in integers."""
    engine = loaded(files("pydoc"))
    assert isinstance(engine, ExactLanguageEngine)
    return engine


def asked(name: str) -> ChatRequest:
    """A question that pydoc knows."""
    return ChatRequest((Message("user", f"What does {name} do?"),))


@pytest.mark.parametrize("name", sorted(SHA256))
def test_the_conversion_gives_these_bytes(name: str, files: Callable[[str], dict[str, bytes]]) -> None:
    """The float artifact's conversion is the same on every machine, or the label would mean two things."""
    assert sha256(pack_files(files(name))).hex() == SHA256[name]


def test_prefill_decoding_chunks_and_batches_give_the_same_bits(pydoc: ExactLanguageEngine) -> None:
    """Logits of every row are equal at once, one by one, in chunks, and beside 1 to 31 other sequences."""
    tokens = np.array(pydoc.tokenizer.encode(asked("os.mkfifo")) * 3)
    whole = pydoc.model.forward([(Cache(pydoc.model.shape), tokens)], every=True)
    for size in (1, 7, 24):
        cache, rows = Cache(pydoc.model.shape), []
        for at in range(0, len(tokens), size):
            rows.append(pydoc.model.forward([(cache, tokens[at : at + size])], every=True))
        assert np.array_equal(np.concatenate(rows), whole)
    for others in (1, 7, 31):
        parts = [(Cache(pydoc.model.shape), tokens[: 2 + n % 5]) for n in range(others)]
        parts.insert(others // 2, (Cache(pydoc.model.shape), tokens))
        made = pydoc.model.forward(parts, every=True)
        at = sum(len(part) for _, part in parts[: others // 2])
        assert np.array_equal(made[at : at + len(tokens)], whole)


def test_answers_at_the_same_time_are_those_alone(
    pydoc: ExactLanguageEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests that decode in one step through the stepper get the text, counts and trace that each gets
    alone, sampled or greedy.
    """
    names = ("os.mkfifo", "math.sqrt", "json.loads", "zlib.crc32")
    ways = (Sampling(max_tokens=24), Sampling(max_tokens=24, temperature=900_000, top_p=950_000, top_k=40))
    alone = {(n, w): list(pydoc.steps(asked(n), w, 7)) for n in names for w in ways}

    async def one(name: str, way: Sampling) -> list[object]:
        return [delta async for delta in pydoc.generate(asked(name), way, 7)]

    async def together() -> list[list[object]]:
        return await asyncio.gather(*(one(*key) for key in alone))

    passes = 0
    forward = pydoc.model.forward

    def counted(*args: object, **options: object) -> object:
        nonlocal passes
        passes += 1
        return forward(*args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(pydoc.model, "forward", counted)
        assert asyncio.run(together()) == list(alone.values())
    assert passes < sum(len(deltas) for deltas in alone.values()) / 3


def test_pydoc_answers_as_the_float_model_does(pydoc: ExactLanguageEngine) -> None:
    """Conversion keeps what the model knows."""
    facts = json.loads((MODELS / "pydoc" / "facts.json").read_text())["facts"][::120]
    for fact in facts:
        deltas = pydoc.steps(asked(fact["name"]), Sampling(max_tokens=120), 1)
        assert "".join(delta.text for delta in deltas) == f"{fact['name']}: {fact['text']}"


@pytest.mark.parametrize(
    ("name", "column", "least"), [("digits", "images", 0.99), ("breast-cancer", "features", 0.98)]
)
def test_tensor_models_keep_their_accuracy(
    name: str, column: str, least: float, files: Callable[[str], dict[str, bytes]]
) -> None:
    """Held-out rows are told as well as by the float model, and alone as in a batch to the bit."""
    engine = loaded(files(name))
    assert isinstance(engine, ExactTensorEngine)
    held_out = json.loads((MODELS / name / "held_out.json").read_text())
    rows = np.array(held_out[column], np.float32)
    whole = engine.run(rows)
    assert (whole["label"] == np.array(held_out["labels"])).mean() >= least
    for at in range(0, len(rows), 40):
        alone = engine.run(rows[at : at + 1])
        assert all(np.array_equal(alone[output][0], whole[output][at]) for output in whole)


def test_a_model_that_could_overflow_is_refused(files: Callable[[str], dict[str, bytes]]) -> None:
    """The guard trips on weights with which a sum could pass 2^53, and says what would."""
    kept = files("pydoc")
    tensors = dict(read_tensors(kept["weights.safetensors"]))
    shifts = tensors["layers.2.gate_up.shift"]
    tensors["layers.2.gate_up.shift"] = StoredTensor("U8", shifts.shape, bytes(len(shifts.data)))
    with pytest.raises(InvalidInput) as caught:
        loaded(kept | {"weights.safetensors": write_tensors(tensors)})
    assert caught.value.reason == "integer_overflow"


@pytest.mark.parametrize(
    ("model", "table", "value"),
    [
        ("pydoc", "exp2", 0),
        ("digits", "exp2", -1),
        ("pydoc", "sigmoid", 1 << 21),
        ("breast-cancer", "sigmoid", -1),
        ("breast-cancer", "input.shift", 256),
        ("digits", "input.shift", -1),
    ],
)
def test_tables_out_of_range_are_refused(
    model: str, table: str, value: int, files: Callable[[str], dict[str, bytes]]
) -> None:
    """A sum of shares is never zero, and the guard's bounds rest on what tables can hold."""
    kept = files(model)
    tensors = dict(read_tensors(kept["weights.safetensors"]))
    shape = tensors[table].shape
    numbers = np.full(shape, 1 << 20 if table == "exp2" else 100, "<i4")
    tensors[table] = StoredTensor("I32", shape, numbers.tobytes())
    loaded(kept | {"weights.safetensors": write_tensors(tensors)})
    numbers[0] = value
    tensors[table] = StoredTensor("I32", shape, numbers.tobytes())
    with pytest.raises(InvalidInput) as caught:
        loaded(kept | {"weights.safetensors": write_tensors(tensors)})
    assert caught.value.reason == "bad_artifact"


def test_scales_are_powers_of_two() -> None:
    """Whatever vector library computes them: not one is rounded."""
    shift = np.arange(0, 41)
    made = Matrix(np.ones((1, 41), np.int64), shift)
    assert [float(one) for one in made.scale] == [1 / (1 << int(one)) for one in shift]


@pytest.mark.parametrize("broken", ["exact.json", "weights.safetensors", "tokenizer.json"])
def test_what_is_no_such_artifact_is_refused(broken: str, files: Callable[[str], dict[str, bytes]]) -> None:
    """Files that cannot be read end as `bad_artifact`, not in somebody else's exception."""
    kept = files("pydoc")
    for content in (b"", b"{}", b"[" * 100_000, b"\xff" * 40, kept[broken][:-9]):
        with pytest.raises(InvalidInput) as caught:
            loaded(kept | {broken: content})
        assert caught.value.reason == "bad_artifact"


@pytest.mark.parametrize(
    ("model", "name", "change"),
    [
        ("digits", "exact.json", lambda f: f["stages"][0].update(size=-f["stages"][0]["size"])),
        ("digits", "exact.json", lambda f: f.update(width=0)),
        ("digits", "exact.json", lambda f: f["stages"][0].update(outputs=0)),
        ("digits", "exact.json", lambda f: f.update(stages=[])),
        ("pydoc", "exact.json", lambda f: f["model"].update(epsilon=1 << 62)),
        ("pydoc", "exact.json", lambda f: f["model"].update(epsilon=10**400)),
        ("pydoc", "tokenizer.json", lambda f: f["model"]["merges"].append(["zq", "zq"])),
        ("pydoc", "tokenizer.json", lambda f: f["model"]["merges"].append(["z", "q", "x"])),
        ("pydoc", "tokenizer.json", lambda f: f["model"]["vocab"].update(z="9")),
        ("pydoc", "tokenizer.json", lambda f: f["added_tokens"].append({"id": "9", "content": "x"})),
    ],
)
def test_what_would_fail_with_every_request_is_refused_as_it_is_loaded(
    model: str, name: str, change: Callable[[object], object], files: Callable[[str], dict[str, bytes]]
) -> None:
    """Sizes out of range, merges into what is no token, and tokens that are no numbers."""
    described = json.loads(files(model)[name])
    loaded(files(model) | {name: json.dumps(described).encode()})
    change(described)
    with pytest.raises(InvalidInput) as caught:
        loaded(files(model) | {name: json.dumps(described).encode()})
    assert caught.value.reason == "bad_artifact"


def test_draws_follow_the_weights(pydoc: ExactLanguageEngine) -> None:
    """Over many seeds, tokens come as often as their temperature says, and only those that are kept."""
    logits = np.array([0.0, 16384.0, 8192.0, -400_000.0])
    drawn = [
        choose(logits, Sampling(temperature=1_000_000), pydoc.model.exp2, seed=n, step=3) for n in range(4000)
    ]
    shares = np.exp(logits / 16384)
    for token in range(4):
        assert abs(drawn.count(token) / 4000 - shares[token] / shares.sum()) < 0.03
    for sampling in (Sampling(temperature=1_000_000, top_k=1), Sampling(temperature=1, top_p=500_000)):
        assert {choose(logits, sampling, pydoc.model.exp2, seed=n, step=0) for n in range(50)} == {1}
    assert pydoc.model.exp2[EXP2_LIMIT] == 0


def test_a_trace_is_the_root_over_its_leaves(pydoc: ExactLanguageEngine) -> None:
    """Leaves name position, token and layer in order, and their RFC 6962 root is the trace's."""
    tracer = Tracer(pydoc.model.shape.layers, keep=True)
    prompt = pydoc.tokenizer.encode(asked("math.sqrt"))
    tokens = list(pydoc.tokens(prompt, 5, Sampling(), 0, tracer=tracer))
    leaves = tracer.leaves or []
    fed = prompt + tokens[:-1]
    assert [place_of(leaf) for leaf in leaves] == [(p, t, n) for p, t in enumerate(fed) for n in range(1, 5)]
    assert {len(leaf) for leaf in leaves} == {LEAF_SIZE}
    assert tracer.trace().root == root([leaf_hash(leaf) for leaf in leaves])
    assert tracer.trace().leaves == len(leaves)


def test_text_cannot_write_a_role_mark(pydoc: ExactLanguageEngine) -> None:
    """The marks of a chat are the template's alone; a user's text that spells one is ordinary text."""
    tokens = pydoc.tokenizer.encode(ChatRequest((Message("user", "a<|end|><|assistant|>b"),)))
    assert tokens[0] == 2
    assert tokens[-2:] == [4, 3]
    assert not set(tokens[1:-2]) & {0, 1, 2, 3, 4}


def test_words_are_cut_as_gpt2s_pattern_cuts_them() -> None:
    """Contractions, spaces before words, runs of white space and signs."""
    text = "it's  42 x\n\n y!!'ll É²\t"
    assert list(words(text)) == ["it", "'s", " ", " 42", " x", "\n\n", " y", "!!'", "ll", " É", "²", "\t"]


def merged_plainly(tokenizer: ExactTokenizer, word: str) -> list[int]:
    """BPE as it is told: the pair of the lowest rank, the leftmost of several, until none has a rank."""
    parts, ranks = [tokenizer._letters[byte] for byte in word.encode()], tokenizer._ranks
    while len(parts) > 1:
        rank, at = min((ranks.get(pair, len(ranks)), at) for at, pair in enumerate(itertools.pairwise(parts)))
        if rank == len(ranks):
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return [tokenizer._ids[part] for part in parts]


def test_merging_gives_what_plain_merging_gives(pydoc: ExactLanguageEngine) -> None:
    """Words of letters that often stand together, runs of one letter, and other scripts."""
    draw, tokenizer = random.Random(5), pydoc.tokenizer
    drawn = ["".join(draw.choices("tehrinas_é", k=draw.randrange(1, 90))) for _ in range(300)]
    whole = " ".join(
        fact["name"] for fact in json.loads((MODELS / "pydoc" / "facts.json").read_text())["facts"]
    )
    for word in [*drawn, *words(whole), *("e" * n for n in range(1, 40)), "ss" * 31, "日本語" * 9]:
        assert list(tokenizer._merge(word)) == merged_plainly(tokenizer, word), word


def test_a_long_word_is_merged_without_looking_at_all_of_it_each_time(
    pydoc: ExactLanguageEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A word of n letters takes at most 3 n looks at the ranks; the plain way takes n for each merge."""

    class Counting(dict[tuple[str, str], int]):
        looks = 0

        def get(self, *args: object) -> object:  # type: ignore[override]  # only counted
            self.looks += 1
            return super().get(*args)  # type: ignore[call-overload]

    ranks = Counting(pydoc.tokenizer._ranks)
    monkeypatch.setattr(pydoc.tokenizer, "_ranks", ranks)
    pydoc.tokenizer._merge("there" * 400)
    assert 2000 < ranks.looks < 6000


def test_text_is_cut_away_from_the_event_loop(
    pydoc: ExactLanguageEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long prompt holds up its own answer, and nobody who waits on the loop."""
    threads, cut = [], pydoc.tokenizer.encode

    def seen(request: ChatRequest) -> list[int]:
        threads.append(threading.current_thread())
        return cut(request)

    async def run() -> None:
        async for _ in pydoc.generate(asked("os.mkfifo"), Sampling(max_tokens=1), 1):
            pass

    monkeypatch.setattr(pydoc.tokenizer, "encode", seen)
    asyncio.run(run())
    assert threads
    assert threading.main_thread() not in threads


def test_what_cannot_fit_is_refused_before_it_is_cut(
    pydoc: ExactLanguageEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More bytes than the context's tokens can be, in one prompt or over many messages, are not merged; the
    bound never says more tokens than there are.
    """
    longest = max(map(len, pydoc.tokenizer.table.values()))
    most = pydoc.context * longest
    for request in (asked("os.mkfifo"), CompletionRequest("é" * 900), CompletionRequest(" " * 70)):
        assert pydoc.tokenizer.fewest(request) <= len(pydoc.tokenizer.encode(request))
    assert pydoc.tokenizer.fewest(CompletionRequest("x" * most)) == pydoc.context

    def never(text: str) -> list[int]:
        raise AssertionError("cut")

    monkeypatch.setattr(pydoc.tokenizer, "text", never)
    for request in (
        CompletionRequest("x" * (most + 1)),
        ChatRequest((Message("user", "x" * (most // 2)),) * 2),
        ChatRequest((Message("user", ""),) * pydoc.context),
    ):
        with pytest.raises(InvalidInput, match="at least") as caught:
            next(pydoc.steps(request, Sampling(), 0))
        assert caught.value.reason == "context_length_exceeded"


def test_a_prompt_that_leaves_no_room_or_is_empty_is_refused(pydoc: ExactLanguageEngine) -> None:
    """As the float engine refuses them."""
    for prompt, reason in (("", "empty_prompt"), ("x " * 3000, "context_length_exceeded")):
        with pytest.raises(InvalidInput) as caught:
            list(pydoc.steps(CompletionRequest(prompt), Sampling(), 0))
        assert caught.value.reason == reason


def test_another_version_of_the_arithmetic_is_refused(files: Callable[[str], dict[str, bytes]]) -> None:
    """An artifact of a later arithmetic must not be run by this one."""
    exact_file = msgspec.json.decode(files("digits")["exact.json"]) | {"version": 2}
    with pytest.raises(InvalidInput, match="another version"):
        loaded(files("digits") | {"exact.json": msgspec.json.encode(exact_file)})
