"""Questions that the model must answer with 'I do not know': made-up names and everything off topic.

`train` and `test` share no off-topic sentence and no made-up name: sentences stand in two tables, names are
divided by a checksum. Only the standard library is needed.
"""

from __future__ import annotations

import random
import string
import tomllib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from phrasings import APART, DESCRIBE, SIGNATURE, Fact, ask

_TABLES = tomllib.loads((Path(__file__).resolve().parent / "offtopic.toml").read_text(encoding="utf-8"))
SLOTS: dict[str, list[str]] = _TABLES["slots"]
QUESTIONS: dict[str, list[str]] = _TABLES["questions"]
CHAT: dict[str, list[str]] = _TABLES["chat"]
FOREIGN: dict[str, list[str]] = _TABLES["foreign"]
# Questions about a known name that the sentence of the documentation does not answer.
ABOUT_KNOWN: dict[str, list[str]] = _TABLES["about_known"]
PACKAGES: dict[str, list[str]] = _TABLES["packages"]

VERBS: list[str] = _TABLES["parts"]["verbs"]
THINGS: list[str] = _TABLES["parts"]["things"]
ENDINGS: list[str] = _TABLES["parts"]["endings"]
ONSETS: list[str] = _TABLES["parts"]["onsets"]
VOWELS: list[str] = _TABLES["parts"]["vowels"]
CODAS: list[str] = _TABLES["parts"]["codas"]
# The splits that ask about names and topics which training never saw.
HELD_OUT = ("test", "blind")


@dataclass(frozen=True)
class World:
    """What is known and what is not: the facts, real names left out, and every name that has an answer."""

    facts: Sequence[Fact]
    left_out: Sequence[str]
    known: frozenset[str]

    @classmethod
    def of(cls, facts: Sequence[Fact], left_out: Sequence[str]) -> World:
        """Make the world of a facts file."""
        return cls(
            facts, left_out, frozenset(n for f in facts for n in (f["name"], f["name"].rpartition(".")[2]))
        )


def part(table: Mapping[str, list[str]], split: str) -> list[str]:
    """Choose a table's part; `dev` has held-out phrasings but shares what is asked about with `train`."""
    return table["test" if split in HELD_OUT else "train"]


def in_split(name: str, split: str) -> bool:
    """Tell whether a made-up name belongs to a split: one in four is kept for `test`, by checksum."""
    return (zlib.crc32(name.encode()) % 4 == 0) == (split in HELD_OUT)


def pseudo_word(rng: random.Random) -> str:
    """Make a word that nobody uses."""
    made = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(rng.randint(1, 2))) + rng.choice(
        CODAS
    )
    return made.capitalize() if rng.random() < 0.12 else made


def invented(rng: random.Random, world: World) -> str:
    """Make a name of invented words, in a real module or not."""
    words = [pseudo_word(rng) for _ in range(rng.choice((1, 1, 2)))]
    tail = rng.choice(("_", "")).join(words) if len(words) > 1 else words[0]
    roll = rng.random()
    if roll < 0.35:
        return tail
    head = pseudo_word(rng) if roll < 0.6 else rng.choice(world.facts)["name"].split(".")[0]
    return f"{head}.{tail}"


def plausible(rng: random.Random, world: World) -> str:
    """Make a name that could exist: a verb and a thing, in a real module or alone."""
    tail = rng.choice(("{}_{}", "{}{}", "{}")).format(rng.choice(VERBS), rng.choice(THINGS))
    return tail if rng.random() < 0.3 else f"{rng.choice(world.facts)['name'].split('.')[0]}.{tail}"


def recombined(rng: random.Random, world: World) -> str:
    """Put a real member under a wrong owner (`json.sqrt`)."""
    owner = rng.choice(world.facts)["name"]
    owner = owner.rpartition(".")[0] or owner
    return f"{owner}.{rng.choice(world.facts)['name'].rpartition('.')[2]}"


def edited(rng: random.Random, world: World) -> str:
    """Change one letter of a real name, or give it an ending it does not have (`os.mkfifos`)."""
    name = rng.choice(world.facts)["name"]
    owner, dot, member = name.rpartition(".")
    if rng.random() < 0.3:
        return name + rng.choice(ENDINGS)
    if rng.random() < 0.15:
        return f"{name}.{rng.choice(THINGS)}"
    if rng.random() < 0.2 and dot:
        return f"{owner[:-1] if rng.random() < 0.5 else owner + rng.choice('sx2')}.{member}"
    at, letter = rng.randrange(len(member)), rng.choice(string.ascii_lowercase)
    changed = rng.choice(
        (
            member[:at] + letter + member[at + 1 :],
            member[:at] + letter + member[at:],
            member[:at] + member[at + 1 :],
        )
    )
    return owner + dot + (changed or "zz")


def third_party(rng: random.Random, split: str) -> str:
    """Name something of a package that is not in the standard library."""
    package = rng.choice(part(PACKAGES, split))
    return (
        package
        if rng.random() < 0.3
        else f"{package}.{rng.choice(VERBS + THINGS + ['array', 'DataFrame', 'Client', 'Model'])}"
    )


def unknown_name(rng: random.Random, world: World, *, split: str, kind: str) -> str:
    """Make one name of a kind that no fact is about and that belongs to the split."""
    makers: Mapping[str, Callable[[], str]] = {
        "invented": lambda: invented(rng, world),
        "plausible": lambda: plausible(rng, world),
        "recombined": lambda: recombined(rng, world),
        "edited": lambda: edited(rng, world),
        "third-party": lambda: third_party(rng, split),
        "unlearned": lambda: rng.choice(world.left_out),
    }
    while True:
        name = makers[kind]()
        if name not in world.known and (kind == "third-party" or in_split(name, split)):
            return name


NAME_KINDS = ("invented", "plausible", "recombined", "edited", "third-party", "unlearned")


def unknown_question(
    rng: random.Random,
    world: World,
    *,
    split: str,
    kind: str,
    surround: float,
    prose: Callable[[int, int], str] | None = None,
) -> str:
    """Ask about a name that no fact is about, in the phrasings of the split."""
    name = unknown_name(rng, world, split=split, kind=kind)
    tables = (DESCRIBE, DESCRIBE, SIGNATURE, APART) if "." in name else (DESCRIBE, DESCRIBE, SIGNATURE)
    shape = {
        "name": name,
        "kind": rng.choice(("function", "function", "class", "module", "method")),
        "text": "",
    }
    return ask(rng, rng.choice(rng.choice(tables)[split]), shape, split=split, surround=surround, prose=prose)


# How often each kind is learned: the two that look most like real names twice as often.
LEARNED_NAMES = (*NAME_KINDS, "recombined", "edited")


def fill(rng: random.Random, template: str) -> str:
    """Fill the slots of an off-topic template."""
    while "<" in template:
        start, end = template.index("<"), template.index(">")
        template = template[:start] + rng.choice(SLOTS[template[start + 1 : end]]) + template[end + 1 :]
    return template


def sums(rng: random.Random) -> str:
    """Make an arithmetic question."""
    a, b, op = (
        rng.randint(0, 999),
        rng.randint(1, 99),
        rng.choice(("+", "-", "*", "/", "plus", "times", "minus")),
    )
    return rng.choice(
        ("{} {} {}", "What is {} {} {}?", "calculate {}{}{}", "{} {} {} =", "how much is {} {} {}")
    ).format(a, op, b)


def noise(rng: random.Random) -> str:
    """Make a message that is no language: nothing at all, punctuation, random characters."""
    roll = rng.random()
    if roll < 0.2:
        return rng.choice(
            ("", "", " ", "?", "...", "!", ".", "\n", "()", "??", ":", "_", "{}", "`", "0", "-")
        )
    alphabet = rng.choice(
        (string.ascii_lowercase, string.ascii_letters + string.digits, string.printable[:94], string.digits)
    )
    words = ("".join(rng.choices(alphabet, k=rng.randint(1, 10))) for _ in range(rng.randint(1, 5)))
    return " ".join(words)


def off_topic(rng: random.Random, world: World, *, split: str, kind: str) -> str:
    """Make one off-topic message of a kind, from the tables of the split."""
    if kind == "question":
        text = fill(rng, rng.choice(part(QUESTIONS, split)))
    elif kind == "chat":
        text = rng.choice(part(CHAT, split))
    elif kind == "foreign":
        text = rng.choice(part(FOREIGN, split))
    elif kind == "sums":
        return sums(rng)
    elif kind == "about-known":
        return ask(
            rng, rng.choice(part(ABOUT_KNOWN, split)), rng.choice(world.facts), split=split, surround=0.1
        )
    else:
        return noise(rng)
    roll = rng.random()
    text = text.lower() if roll < 0.25 else text
    return text.rstrip("?.!") + rng.choice(("", "?", ".", "!")) if rng.random() < 0.2 else text


TOPIC_KINDS = ("question", "chat", "foreign", "sums", "noise", "about-known")
