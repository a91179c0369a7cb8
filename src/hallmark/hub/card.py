"""The card of a repository: the YAML between two lines of dashes at the top of its README.md.

It is what its author says, shown as such. Every scalar stays the text that it is: no tags, no dates, no
objects. Aliases, of which a few lines make millions of values, are refused.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

from hallmark.core.errors import InvalidInput

MOST_CARD: Final = 64 << 10
MOST_EVENTS: Final = 10_000
MOST_DEPTH: Final = 20
MOST_TEXT: Final = 200
MOST_TAGS: Final = 100
ONE: Final = ("license", "pipeline_tag", "library_name")
MANY: Final = ("tags", "language", "datasets", "base_model")

Card = dict[str, Any]


def front_matter(readme: bytes) -> str:
    """The YAML at the top of a README; empty where there is none. Raises InvalidInput `bad_card`."""
    try:
        text = readme.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad("README.md is not UTF-8.") from error
    lines = text.splitlines()
    if not lines or lines[0].rstrip() != "---":
        return ""
    for number, line in enumerate(lines[1:], 1):
        if line.rstrip() == "---":
            found = "\n".join(lines[1:number])
            if len(found.encode()) > MOST_CARD:
                raise _bad(f"The card's YAML has at most {MOST_CARD} bytes.")
            return found
    raise _bad("The card's YAML begins with --- and does not end.")


def read_card(readme: bytes) -> Card:
    """The card in a README: `{}` where it has none. Raises InvalidInput `bad_card`."""
    text = front_matter(readme)
    if not text.strip():
        return {}
    try:
        _bound(text)
        card = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - it makes nothing but text, lists, maps
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise _bad("The card's YAML cannot be read.") from error
    if card in (None, ""):
        return {}
    if not isinstance(card, dict) or not all(isinstance(key, str) for key in card):
        raise _bad("The card's YAML is a map with names.")
    for name in (*ONE, *MANY):
        _check(name, card.get(name, ""))
    return card


def summary(card: Card) -> Card:
    """What lists and searches know of a card: its plain members, and all its tags as Hugging Face writes
    them.
    """
    known: Card = {name: card[name] for name in ONE if card.get(name)}
    tags = [str(known[name]) for name in ("library_name", "pipeline_tag") if name in known]
    tags += _texts(card.get("tags")) + _texts(card.get("language"))
    for name, prefix in (("license", "license"), ("base_model", "base_model"), ("datasets", "dataset")):
        tags += [f"{prefix}:{one}" for one in _texts(card.get(name))]
    known["tags"] = list(dict.fromkeys(tags))[:MOST_TAGS]
    return known


def _bound(text: str) -> None:
    """Raises InvalidInput `bad_card` for what would grow, or is too deep or too much."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=yaml.BaseLoader)):
        if isinstance(event, yaml.AliasEvent):
            raise _bad("The card's YAML has aliases.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if number > MOST_EVENTS or depth > MOST_DEPTH:
            raise _bad("The card's YAML has too many or too deeply nested values.")


def _check(name: str, value: object) -> None:
    texts = value if isinstance(value, list) and name in MANY else [value]
    if len(texts) > MOST_TAGS or not all(isinstance(one, str) and len(one) <= MOST_TEXT for one in texts):
        kind = f"a text or a list of at most {MOST_TAGS} texts" if name in MANY else "a text"
        raise _bad(f"{name} is {kind}.")


def _texts(value: object) -> list[str]:
    return [str(one) for one in (value if isinstance(value, list) else [value] if value else [])]


def _bad(message: str) -> InvalidInput:
    return InvalidInput("bad_card", message, "The card is YAML between two lines of --- in README.md.")


def write_card(title: str, front: Card, text: str, tables: dict[str, list[tuple[str, str, str]]]) -> bytes:
    """A README with a card: YAML of what is given, a title, a text, and a table of tensors (name, type,
    shape) for each heading.
    """
    lines = ["---", yaml.safe_dump({k: v for k, v in front.items() if v}, sort_keys=False).strip(), "---"]
    lines += [f"# {title}", "", text, ""]
    for heading, rows in tables.items():
        if rows:
            lines += [f"## {heading}", "", "| name | type | shape |", "|---|---|---|"]
            lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows] + [""]
    return "\n".join(lines).encode()


def plain(text: str) -> str:
    """A stranger's words so that they stay one line of text and end no table."""
    return "".join(c if c.isprintable() and c not in "|`<" else "?" for c in text[:MOST_TEXT])


def _cell(text: str) -> str:
    return f"`{plain(text)}`"
