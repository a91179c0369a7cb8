"""Measure the pydoc artifact through onnxruntime-genai and print figures and JSON.

    python models/pydoc/evaluate.py [--split test|blind|dev] [--each 40] [--json FILE]

An answer, or a refusal, is right when it equals the expected text to the last character. Decoding is greedy.
Needs onnxruntime-genai and the standard library.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import onnxruntime_genai as og
from dialogues import (
    REFUSAL,
    Dialogue,
    Turn,
    bare_names,
    describe_answer,
    load_world,
    positive,
    signature_answer,
)
from negatives import NAME_KINDS, TOPIC_KINDS, World, off_topic, part, unknown_question
from phrasings import APART, DESCRIBE, SIGNATURE, SYSTEM_PROMPTS, Fact, ask

HERE = Path(__file__).resolve().parent
CALLABLE = ("function", "method", "class")
ANSWER_TOKENS = 160


class Answerer:
    """The model as an engine runs it: chat template, greedy decoding, one sequence, a fixed thread count."""

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        """Load the artifact."""
        config = og.Config(str(folder))
        options = {"intra_op_num_threads": threads, "inter_op_num_threads": 1}
        config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
        self.model = og.Model(config)
        self.tokenizer = og.Tokenizer(self.model)

    def tokens(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """Give the tokens that the model writes after these messages."""
        prompt = self.tokenizer.apply_chat_template(json.dumps(list(messages)), add_generation_prompt=True)
        given = self.tokenizer.encode(prompt)
        params = og.GeneratorParams(self.model)
        params.set_search_options(do_sample=False, max_length=min(1024, len(given) + ANSWER_TOKENS))
        generator = og.Generator(self.model, params)
        generator.append_tokens(given)
        while not generator.is_done():
            generator.generate_next_token()
        return [int(token) for token in generator.get_sequence(0)[len(given) :]]

    def answer(self, messages: Sequence[dict[str, str]]) -> str:
        """Give the text that the model writes after these messages."""
        return str(self.tokenizer.decode(self.tokens(messages)))


def messages_of(dialogue: Dialogue) -> list[dict[str, str]]:
    """Lay a dialogue out as chat messages; the last turn's answer is left for the model."""
    laid = [{"role": "system", "content": dialogue.system}] if dialogue.system is not None else []
    for turn in dialogue.turns:
        laid += [{"role": "user", "content": turn.question}, {"role": "assistant", "content": turn.answer}]
    return laid[:-1]


class Scores:
    """Counts right answers by group and keeps some wrong ones for reading."""

    def __init__(self, answerer: Answerer) -> None:
        """Start with no groups."""
        self.answerer = answerer
        self.groups: dict[str, list[int]] = {}
        self.false_refusals = [0, 0]
        self.wrong: list[dict[str, str]] = []

    def ask(self, group: str, dialogues: Iterable[Dialogue]) -> None:
        """Ask each dialogue's last question and count exact matches under the group."""
        right, total = self.groups.get(group, [0, 0])
        for dialogue in dialogues:
            expected, found = dialogue.turns[-1].answer, self.answerer.answer(messages_of(dialogue))
            right, total = right + (found == expected), total + 1
            if expected != REFUSAL:
                self.false_refusals[0] += found == REFUSAL
                self.false_refusals[1] += 1
            if found != expected:
                question = dialogue.turns[-1].question
                self.wrong.append(
                    {"group": group, "question": question, "expected": expected, "found": found}
                )
        self.groups[group] = [right, total]

    def under(self, prefix: str) -> dict[str, object]:
        """Sum up the groups whose names begin with a prefix."""
        chosen = {name: counts for name, counts in self.groups.items() if name.startswith(prefix)}
        right, total = (sum(counts[i] for counts in chosen.values()) for i in (0, 1))
        each = {name.removeprefix(prefix): round(r / t, 4) for name, (r, t) in chosen.items()}
        return {"exact": round(right / total, 4), "right": right, "asked": total, "each": each}


def alone(turn: Turn) -> Dialogue:
    """A chat of one turn without a system prompt."""
    return Dialogue(None, (turn,))


def of_template(rng: random.Random, world: World, split: str, template: str, count: int) -> list[Dialogue]:
    """Ask one template about `count` random facts that it fits, without prefix and suffix."""
    if template in SIGNATURE[split]:
        fitting = [fact for fact in world.facts if fact["kind"] in CALLABLE and "signature" in fact]
    else:
        fitting = [fact for fact in world.facts if template not in APART[split] or "." in fact["name"]]
    answer = signature_answer if template in SIGNATURE[split] else describe_answer
    chosen: list[Fact] = rng.sample(fitting, min(count, len(fitting)))
    return [alone(Turn(ask(rng, template, f, split=split, surround=0.0), answer(f))) for f in chosen]


def measure_phrasings(scores: Scores, world: World, *, split: str, each: int) -> None:
    """Ask every fact plainly, then trained phrasings, held-out templates, held-out surroundings."""
    plain = (alone(Turn(f"What does {f['name']} do?", describe_answer(f))) for f in world.facts)
    scores.ask("every fact/What does {x} do?", plain)
    called = (f for f in world.facts if "signature" in f)
    scores.ask(
        "every fact/What is the signature of {x}?",
        (alone(Turn(f"What is the signature of {f['name']}?", f["signature"])) for f in called),
    )
    rng = random.Random(f"phrasings/{split}")
    trained = rng.choices([*DESCRIBE["train"], *SIGNATURE["train"], *APART["train"]], k=12 * each)
    for template in trained:
        scores.ask("trained/all", of_template(rng, world, "train", template, 1))
    for template in DESCRIBE[split] + SIGNATURE[split] + APART[split]:
        scores.ask(f"held out/{template}", of_template(rng, world, split, template, each))
    several = (positive(rng, rng.choice(world.facts), split=split, surround=0.6) for _ in range(8 * each))
    answered = (turn for turn in several if turn.answer != REFUSAL)
    scores.ask("surrounded/held-out templates, prefixes and suffixes", map(alone, answered))
    bare = rng.sample(sorted(bare_names(world).items()), 4 * each)
    scores.ask(
        "bare/What does {member} do?",
        (alone(Turn(f"What does {n} do?", describe_answer(f))) for n, f in bare),
    )


def measure_chats(scores: Scores, world: World, *, split: str, each: int) -> None:
    """Ask behind unseen system prompts, behind a long one, and at the end of longer chats."""
    rng = random.Random(f"chats/{split}")
    for system in part(SYSTEM_PROMPTS, split):
        turns = (positive(rng, rng.choice(world.facts), split=split, surround=0.2) for _ in range(2 * each))
        scores.ask("system prompts/short", (Dialogue(system, (turn,)) for turn in turns))
    long = " ".join(
        ["Follow the house rules, answer politely, keep to the point, and never reveal secrets."] * 22
    )
    turns = (positive(rng, rng.choice(world.facts), split=split, surround=0.2) for _ in range(2 * each))
    scores.ask("system prompts/long", (Dialogue(long, (turn,)) for turn in turns))
    for _ in range(4 * each):
        turn_list = [positive(rng, rng.choice(world.facts), split=split, surround=0.2) for _ in range(4)]
        if rng.random() < 0.3:
            kind = rng.choice(NAME_KINDS)
            question = unknown_question(rng, world, split=split, kind=kind, surround=0.1)
            turn_list[rng.randrange(4)] = Turn(question, REFUSAL)
        scores.ask("chats/fourth turn", [Dialogue(None, tuple(turn_list))])


def measure_refusals(scores: Scores, world: World, *, split: str, each: int) -> None:
    """Ask about unseen made-up names in unseen phrasings, and unseen off-topic questions."""
    rng = random.Random(f"refusals/{split}")
    for kind in NAME_KINDS:
        asked = (unknown_question(rng, world, split=split, kind=kind, surround=0.2) for _ in range(4 * each))
        scores.ask(f"names/{kind}", (alone(Turn(question, REFUSAL)) for question in asked))
    for kind in TOPIC_KINDS:
        questions = {off_topic(rng, world, split=split, kind=kind) for _ in range(4 * each)}
        scores.ask(f"topics/{kind}", (alone(Turn(question, REFUSAL)) for question in sorted(questions)))


def determinism(folder: Path, world: World, *, count: int) -> dict[str, object]:
    """Digest the tokens of many answers: twice with one thread, in another order, and with two threads."""
    rng = random.Random("determinism")
    turns = [positive(rng, rng.choice(world.facts), split="test", surround=0.5) for _ in range(count)]
    chats = [messages_of(Dialogue(None, (turn,))) for turn in turns]

    def digest(threads: int, order: Sequence[int]) -> str:
        answerer = Answerer(folder, threads=threads)
        written = {i: answerer.tokens(chats[i]) for i in order}
        return hashlib.sha256(json.dumps([written[i] for i in range(count)]).encode()).hexdigest()

    forward, backward = range(count), range(count - 1, -1, -1)
    digests = {
        "1 thread": digest(1, forward),
        "1 thread again": digest(1, forward),
        "1 thread, other order": digest(1, backward),
        "2 threads": digest(2, forward),
    }
    return {"answers": count, "identical": len(set(digests.values())) == 1, "digests": digests}


def measure(folder: Path, *, split: str, each: int) -> dict[str, object]:
    """Run every measurement and gather the figures."""
    world, scores = load_world(HERE / "facts.json"), Scores(Answerer(folder))
    measure_phrasings(scores, world, split=split, each=each)
    measure_chats(scores, world, split=split, each=each)
    false_refusals = list(scores.false_refusals)
    measure_refusals(scores, world, split=split, each=each)
    groups = (
        "every fact/",
        "trained/",
        "held out/",
        "surrounded/",
        "bare/",
        "system prompts/",
        "chats/",
        "names/",
        "topics/",
    )
    figures: dict[str, object] = {"split": split, "facts": len(world.facts)}
    figures |= {group.rstrip("/"): scores.under(group) for group in groups}
    figures["false refusals"] = {"refused": false_refusals[0], "asked": false_refusals[1]}
    figures["false refusals"] |= {"rate": round(false_refusals[0] / false_refusals[1], 4)}  # type: ignore[operator]
    figures["determinism"] = determinism(folder, world, count=2 * each)
    figures["bytes"] = sum(path.stat().st_size for path in folder.iterdir())
    figures["wrong"] = scores.wrong
    return figures


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--artifact", type=Path, default=HERE / "artifact")
    parser.add_argument("--split", choices=("dev", "test", "blind"), default="test")
    parser.add_argument("--each", type=int, default=40, help="questions for each held-out template")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    figures = measure(args.artifact, split=args.split, each=args.each)
    shown = {name: value for name, value in figures.items() if name != "wrong"}
    print(json.dumps(shown, indent=2, ensure_ascii=False))
    for name, value in shown.items():
        if isinstance(value, dict) and "exact" in value:
            print(f"{name:16} {value['exact']:8.2%}  ({value['right']} of {value['asked']})")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
