"""How people ask: question templates in three splits, decorations of names, and surface noise.

A template belongs to exactly one split. `train` is what the model sees, `dev` served to choose settings,
`test` was written beforehand and is only measured. Nothing here needs more than the standard library.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

Fact = Mapping[str, str]

_TABLES = tomllib.loads((Path(__file__).resolve().parent / "phrasings.toml").read_text(encoding="utf-8"))
DESCRIBE: dict[str, list[str]] = _TABLES["describe"]
SIGNATURE: dict[str, list[str]] = _TABLES["signature"]
# Word orders that take a dotted name apart: {m} is what stands after the last dot, {o} what stands before it.
APART: dict[str, list[str]] = _TABLES["apart"]
PREFIXES: dict[str, list[str]] = _TABLES["prefixes"]
SUFFIXES: dict[str, list[str]] = _TABLES["suffixes"]
SYSTEM_PROMPTS: dict[str, list[str]] = _TABLES["system"]

NOUNS = {
    "function": ("function", "call"),
    "method": ("method", "function"),
    "class": ("class", "type"),
    "exception": ("exception", "error"),
    "module": ("module", "library", "package"),
    "keyword": ("keyword", "statement"),
}


def decorate(rng: random.Random, fact: Fact) -> str:
    """Write a name as people do: plain, called, quoted, or with the noun that fits it."""
    name, roll = fact["name"], rng.random()
    if fact["kind"] in ("function", "method", "class") and rng.random() < 0.22:
        name += "()"
    if roll < 0.62:
        return name
    if roll < 0.80:
        quote = rng.choice(("`{}`", "`{}`", "'{}'", '"{}"', "**{}**", "<{}>"))
        return quote.format(name)
    noun = rng.choice(NOUNS[fact["kind"]])
    form = rng.choice(
        ("the {x} {n}", "the {n} {x}", "{n} {x}", "{x} {n}", "Python's {x}", "python {x}", "the `{x}` {n}")
    )
    return form.format(x=name, n=noun)


def misspell(rng: random.Random, word: str) -> str:
    """Swap, drop or double one letter of a word, as fingers do."""
    if len(word) < 4 or not word.isalpha():
        return word
    at = rng.randrange(len(word) - 1)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return rng.choice((swapped, word[:at] + word[at + 1 :], word[: at + 1] + word[at:]))


def roughen(rng: random.Random, template: str) -> str:
    """Change case, punctuation and spelling of a template; its placeholders stay as they are."""
    words = template.split(" ")
    plain = [i for i, word in enumerate(words) if "{" not in word]
    roll = rng.random()
    if plain and roll < 0.10:
        at = rng.choice(plain)
        words[at] = misspell(rng, words[at])
    elif roll < 0.30:
        words = [word if "{" in word else word.lower() for word in words]
    elif roll < 0.32:
        words = [word if "{" in word else word.upper() for word in words]
    text = " ".join(words)
    if rng.random() < 0.25:
        text = text.rstrip("?.!") + rng.choice(("", "", "", "?", "??", " ?", ".", "!", "..."))
    return text


# Words that say that the arguments are asked for; they are never dropped or replaced.
TELLING = re.compile(
    r"sign|arg|param|call|proto|input|invo|pass|synt|take|expect|default|keyword|paren|suppl|give|accept"
)


def loosen(rng: random.Random, template: str, prose: Callable[[int, int], str]) -> str:
    """Drop words of a template, replace one, or set it among prose, so that no exact wording is needed."""
    words, roll = template.split(" "), rng.random()
    if roll < 0.4:
        words = [w for w in words if "{" in w or TELLING.search(w.lower()) or rng.random() > 0.3]
    elif roll < 0.75:
        for at in rng.sample(range(len(words)), min(len(words), rng.randint(1, 3))):
            if "{" not in words[at] and not TELLING.search(words[at].lower()):
                words[at] = prose(1, 1)
    text = " ".join(words)
    if roll > 0.65:
        before, after = (
            rng.choice(("{p}. {t}", "{p}, {t}", "{p} {t}")),
            rng.choice(("{t} {p}", "{t} {p}.", "{t}, {p}")),
        )
        text = rng.choice((before, before, after)).format(p=prose(2, 10).rstrip(".,:;?!"), t=text)
    return text


def ask(
    rng: random.Random,
    template: str,
    fact: Fact,
    *,
    split: str,
    surround: float,
    prose: Callable[[int, int], str] | None = None,
) -> str:
    """Make one question about a fact; `surround` is the chance of a prefix and of a suffix.

    With `prose`, a source of some words of English, the template is followed loosely at times.
    """
    marked = "." in fact["name"] or "_" in fact["name"] or any(letter.isupper() for letter in fact["name"])
    if prose is not None and rng.random() < (0.7 if marked else 0.35):
        template = loosen(rng, template, prose)
    text = roughen(rng, template)
    if rng.random() < surround:
        text = rng.choice(PREFIXES[split]) + text
    if rng.random() < surround:
        text = text + rng.choice(SUFFIXES[split])
    owner, _, member = fact["name"].rpartition(".")
    return text.replace("{x}", decorate(rng, fact)).replace("{m}", member).replace("{o}", owner)
