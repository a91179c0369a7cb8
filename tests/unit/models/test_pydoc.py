"""The committed pydoc artifact answers unseen phrasings, refuses what it does not know, repeats itself."""

import importlib
import json
import random
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

PYDOC = Path(__file__).resolve().parents[3] / "models" / "pydoc"

REFUSAL = "I do not know. I only know names of Python's standard library, and not all of them."
MKFIFO = 'os.mkfifo: Create a "fifo" (a POSIX named pipe).'

LEAST_HELD_OUT = 0.8
LEAST_NAMES = 0.7


@pytest.fixture(scope="module")
def evaluate() -> Iterator[ModuleType]:
    """The measuring script, imported as it runs: its siblings stand beside it."""
    sys.path.insert(0, str(PYDOC))
    try:
        yield importlib.import_module("evaluate")
    finally:
        sys.path.remove(str(PYDOC))


@pytest.fixture(scope="module")
def ask(evaluate: ModuleType) -> Callable[..., str]:
    """Ask the artifact one question, or a whole chat."""
    answerer = evaluate.Answerer(PYDOC / "artifact")

    def question(*turns: str, system: str | None = None) -> str:
        roles = ["user" if i % 2 == 0 else "assistant" for i in range(len(turns))]
        messages = [{"role": role, "content": text} for role, text in zip(roles, turns, strict=True)]
        return answerer.answer([{"role": "system", "content": system}] * (system is not None) + messages)

    return question


def facts() -> dict[str, dict[str, str]]:
    """The facts by name."""
    table = json.loads((PYDOC / "facts.json").read_text(encoding="utf-8"))
    return {fact["name"]: fact for fact in table["facts"]}


def test_the_question_of_the_readme(ask: Callable[..., str]) -> None:
    """The question that the README asks is answered from the documentation."""
    assert ask("What does os.mkfifo do?") == MKFIFO


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("How would you describe {}?", "shutil.move"),
        ("Remind me what {} is about.", "json.dumps"),
        ("I forgot what {} does.", "os.path.join"),
        ("My colleague used {}; what is it?", "functools.partial"),
        ("Any idea what {} is?", "threading.Thread"),
        ("whats {}", "itertools.chain"),
        ("Teach me {}", "KeyError"),
        ("{}: meaning?", "zlib"),
    ],
)
def test_unseen_phrasings_are_answered(ask: Callable[..., str], template: str, name: str) -> None:
    """Templates that training never saw get the documented sentence, to the last character."""
    tables = tomllib.loads((PYDOC / "phrasings.toml").read_text(encoding="utf-8"))
    assert template.replace("{}", "{x}") in tables["describe"]["test"]
    assert template.replace("{}", "{x}") not in tables["describe"]["train"]
    assert ask(template.format(name)) == f"{name}: {facts()[name]['text']}"


@pytest.mark.parametrize("name", ["os.mkfifo", "os.makedirs", "math.sqrt", "sorted"])
def test_signatures_are_given(ask: Callable[..., str], name: str) -> None:
    """An unseen question for the arguments gets the signature."""
    assert ask(f"What are the arguments that {name} accepts?") == facts()[name]["signature"]


@pytest.mark.parametrize(
    "question",
    [
        "What is the job of os.blorple?",
        "I forgot what shutil.clean_tree does.",
        "Any idea what frobnicate_all is?",
        "What's polars.DataFrame supposed to do?",
        "Why is the sky blue?",
        "How hot does it get in Paris in July?",
        "Guten Morgen, wie spät ist es?",
        "What is 17 * 23?",
        "Nice to meet you",
        "Write an essay on coffee",
        "",
    ],
)
def test_what_it_does_not_know_is_refused(ask: Callable[..., str], question: str) -> None:
    """Made-up names and everything off topic get the one refusal, not an invention."""
    assert ask(question) == REFUSAL


def test_held_out_phrasings_keep_the_measured_quality(evaluate: ModuleType) -> None:
    """A fixed sample over every held-out template is answered nearly as well as the card states."""
    world, scores = (
        evaluate.load_world(PYDOC / "facts.json"),
        evaluate.Scores(evaluate.Answerer(PYDOC / "artifact")),
    )
    rng = random.Random("unit test")
    for table in (evaluate.DESCRIBE, evaluate.SIGNATURE, evaluate.APART):
        for template in table["test"]:
            scores.ask("held out/all", evaluate.of_template(rng, world, "test", template, 2))
    assert scores.under("held out/")["exact"] >= LEAST_HELD_OUT


def test_refusals_keep_the_measured_quality(evaluate: ModuleType) -> None:
    """Unseen made-up names and off-topic messages are refused nearly as well as the card states."""
    world = evaluate.load_world(PYDOC / "facts.json")
    scores = evaluate.Scores(evaluate.Answerer(PYDOC / "artifact"))
    evaluate.measure_refusals(scores, world, split="test", each=3)
    assert scores.under("names/")["exact"] >= LEAST_NAMES
    learned = [name for name in scores.groups if name.startswith("topics/") and "about-known" not in name]
    assert sum(scores.groups[name][0] for name in learned) >= 0.95 * sum(
        scores.groups[name][1] for name in learned
    )


def test_a_system_prompt_and_earlier_turns_do_not_change_the_answer(ask: Callable[..., str]) -> None:
    """A chat client's system prompt, a long one too, and earlier turns leave the answer as it is."""
    assert ask("What does os.mkfifo do?", system="You are a helpful assistant.") == MKFIFO
    earlier = ("What is zlib?", ask("What is zlib?"), "Hello", REFUSAL)
    assert ask(*earlier, "What does os.mkfifo do?") == MKFIFO


def test_chat_template_marks_every_turn(evaluate: ModuleType) -> None:
    """The runtime's own template rendering gives one marker per turn and opens the assistant's turn."""
    tokenizer = evaluate.Answerer(PYDOC / "artifact").tokenizer
    roles = ("system", "developer", "user", "assistant", "user")
    messages = [{"role": role, "content": f" {role} "} for role in roles]
    text = tokenizer.apply_chat_template(json.dumps(messages), add_generation_prompt=True)
    head = "<|system|>system<|end|><|system|>developer<|end|><|user|>user<|end|>"
    assert text == head + "<|assistant|>assistant<|end|><|user|>user<|end|><|assistant|>"
    assert tokenizer.encode(text).tolist().count(tokenizer.to_token_id("<|end|>")) == len(roles)


def test_greedy_decoding_repeats_itself_exactly(evaluate: ModuleType) -> None:
    """The same chats give the same tokens twice, in another order, and with two threads."""
    world = evaluate.load_world(PYDOC / "facts.json")
    found = evaluate.determinism(PYDOC / "artifact", world, count=6)
    assert found["identical"], found["digests"]


def test_model_json_names_the_files_that_are_there() -> None:
    """model.json states format and task, and lists every other file of the artifact."""
    folder = PYDOC / "artifact"
    described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert (described["format"], described["task"]) == ("onnxruntime-genai", "chat")
    assert sorted([*described["files"], "model.json"]) == sorted(path.name for path in folder.iterdir())
    context = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))["model"][
        "context_length"
    ]
    assert described["context"] == context >= 512
