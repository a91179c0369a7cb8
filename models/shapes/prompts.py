"""Prompts with what they mean, made up by rule: what the network is trained on. No others' data."""

from __future__ import annotations

import random

from hallmark.engines.scene import COLOURS, MORE, NONE, OPEN, POSITIONS, SEVERAL, SHAPES, SIZES, SOME

SHAPE_WORDS = {
    "circle": ("circle", "disc", "disk", "dot", "ball"),
    "ring": ("ring", "hoop", "donut", "doughnut"),
    "square": ("square", "box", "block"),
    "triangle": ("triangle",),
    "diamond": ("diamond", "rhombus", "lozenge"),
    "pentagon": ("pentagon",),
    "hexagon": ("hexagon",),
    "star": ("star",),
    "cross": ("cross", "plus", "plus sign"),
    "heart": ("heart",),
}
COLOUR_WORDS = {name: (name,) for name in COLOURS} | {
    "red": ("red", "red", "scarlet", "crimson"),
    "purple": ("purple", "purple", "violet"),
    "grey": ("grey", "gray"),
    "blue": ("blue", "blue", "azure"),
    "yellow": ("yellow", "yellow", "golden"),
}
SIZE_WORDS = {
    "small": ("small", "tiny", "little", "mini"),
    "medium": ("medium", "medium sized", "mid sized", "middling"),
    "large": ("large", "big", "huge", "giant"),
}
EDGES = {"top": ("top", "upper"), "bottom": ("bottom", "lower")}
COUNT_WORDS = {
    "2": ("two", "2", "a pair of", "a couple of"),
    "3": ("three", "3", "a trio of"),
    "4": ("four", "4"),
}
SOME_WORDS = ("", "", "some", "several", "a few")
MORE_WORDS = (
    "five", "six", "seven", "ten", "twelve", "hundred", "5", "6", "8", "9", "12", "20", "100", "many",
    "a dozen",
)  # fmt: skip
BEFORE = (
    "", "", "", "draw", "draw me", "please draw", "show", "an image of", "a picture of", "i want", "make",
    "paint", "create", "generate an image with", "can you draw", "a drawing of", "an icon with", "please",
    "render",
)  # fmt: skip
OTHER = [
    "cat", "dog", "horse", "house", "tree", "car", "boat", "man", "woman", "child", "flower", "mountain",
    "river", "sunset", "city", "street", "castle", "dragon", "robot", "portrait", "photograph", "photo",
    "landscape", "bird", "fish", "lion", "tiger", "elephant", "apple", "banana", "bread", "cup", "table",
    "chair", "lamp", "phone", "computer", "book", "letter", "logo", "map", "flag", "ship", "plane", "train",
    "bus", "bridge", "road", "lake", "sea", "ocean", "beach", "forest", "garden", "rose", "cloud", "rain",
    "snow", "fire", "moon", "sun", "planet", "rocket", "astronaut", "king", "queen", "knight", "wizard",
    "clown", "dancer", "guitar", "piano", "violin", "drum", "hat", "shoe", "coat", "dress", "bag", "face",
    "hand", "eye", "smile", "skull", "bone", "ghost", "monster", "cake", "pizza", "coffee", "wine",
    "bottle", "glass", "window", "door", "roof", "wall", "tower", "church", "cathedral", "octagon", "cube",
    "sphere", "pyramid", "cylinder", "spiral", "arrow", "line", "wave", "leaf", "butterfly", "bee",
    "spider", "snake", "frog", "mouse", "rabbit", "anything", "something", "nothing", "poem", "story",
    "sentence", "answer", "question", "number", "word", "idea", "dream", "music", "color", "colour",
    "shape",
]  # fmt: skip

VERBS = [
    "hello", "write", "tell", "explain", "about", "the", "a", "an", "of", "in", "on", "with", "and",
    "giving", "running", "reading", "sitting", "standing", "what", "why", "how", "is", "are", "was", "were",
    "he", "she", "they", "we", "you", "who", "where", "when", "summarise", "translate", "sing", "play",
    "red", "blue", "green", "big", "small", "new", "old",
]  # fmt: skip


def plural(word: str) -> str:
    """More than one of it."""
    if word == "plus sign":
        return "plus signs"
    if word == "rhombus":
        return "rhombuses"
    return word + ("es" if word.endswith(("s", "x")) else "s")


def misspelt(word: str, chance: random.Random) -> str:
    """One letter left out, doubled or swapped."""
    at = chance.randrange(1, len(word) - 1)
    return chance.choice((word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:],
                          word[:at] + word[at + 1] + word[at] + word[at + 2 :]))  # fmt: skip


def place(position: str, chance: random.Random) -> str:
    """Words for one of POSITIONS."""
    down, right = position.split()
    if down == "middle" and right == "centre":
        return chance.choice(("in the middle", "in the centre", "in the center", "centered", "at the centre"))
    if down == "middle":
        return chance.choice(
            (f"on the {right}", f"at the {right}", f"on the {right} side", f"to the {right}")
        )
    edge = chance.choice(EDGES[down])
    if right == "centre":
        return chance.choice(
            (f"at the {down}", f"near the {down}", f"at the very {down}", f"in the {edge} part")
        )
    return chance.choice((f"at the {down} {right}", f"in the {edge} {right} corner", f"in the {down} {right}",
                          f"in the {edge} {right}", f"{edge} {right}"))  # fmt: skip


def prompt(chance: random.Random) -> tuple[str, dict[str, str]]:
    """A prompt and a class of each of `HEADS`."""
    means = {
        "shape": chance.choice(SHAPES),
        "colour": OPEN,
        "background": OPEN,
        "size": OPEN,
        "position": OPEN,
    }
    if chance.random() < 0.06:
        return _sentence(chance), means | {"shape": NONE, "count": "1"}
    means["count"] = chance.choices(("1", "2", "3", "4", SOME, MORE), (8, 2, 2, 2, 1, 1))[0]
    what = chance.choice(SHAPE_WORDS[means["shape"]])
    if chance.random() < 0.05:
        what = misspelt(what, chance)
    if chance.random() < 0.12:
        means["shape"], what = NONE, _other(chance)
    if means["count"] != "1":
        what = plural(what)
    words = []
    if chance.random() < 0.6:
        means["size"] = chance.choice(SIZES)
        words.append(chance.choice(SIZE_WORDS[means["size"]]))
    if chance.random() < 0.75:
        means["colour"] = chance.choice(list(COLOURS))
        words.append(chance.choice(COLOUR_WORDS[means["colour"]]))
    if chance.random() < 0.15:
        chance.shuffle(words)
    if chance.random() < 0.1:
        words.insert(0, chance.choice(("flat", "nice", "simple", "beautiful", "plain", "single", "perfect")))
    number = {"1": ("a", "one", "", "a single", "the"), SOME: SOME_WORDS, MORE: MORE_WORDS} | COUNT_WORDS
    after = [words.pop() for _ in range(len(words)) if chance.random() < 0.12]
    thing = " ".join((chance.choice(number[means["count"]]), *words, what))
    for word in after:
        thing += " " + (f"in {word}" if means["colour"] != OPEN and word in COLOUR_WORDS[means["colour"]] and
                        chance.random() < 0.5 else word)  # fmt: skip
    if means["shape"] != NONE and chance.random() < 0.08:
        means["shape"] = SEVERAL
        thing += f" {chance.choice(('and', 'next to', 'with', 'beside', 'and'))} {_another(chance, what)}"
    return _whole(thing, means, chance), means


def _whole(thing: str, means: dict[str, str], chance: random.Random) -> str:
    parts = [thing]
    if chance.random() < 0.5:
        means["position"] = chance.choice(POSITIONS)
        where = place(means["position"], chance)
        parts = [where, ",", thing] if chance.random() < 0.1 else [thing, where]
    if chance.random() < 0.65:
        means["background"] = chance.choice(list(COLOURS))
        word = chance.choice(COLOUR_WORDS[means["background"]])
        behind = chance.choice(
            (
                f"on {word}",
                f"on a {word} background",
                f"on {word} background",
                f"{word} background",
                f"with a {word} background",
                f"against {word}",
                f"over {word}",
                f"in front of {word}",
                f"against a {word} backdrop",
                f"the background is {word}",
                f"on a {word} canvas",
                f"background {word}",
                f"on {word} paper",
                f"over a {word} field",
            )
        )
        if chance.random() < 0.2:
            parts = [
                chance.choice((f"on {word}", f"on a {word} background", f"{word} background")),
                ",",
                *parts,
            ]
        elif len(parts) == 2 and chance.random() < 0.3:
            parts = [parts[0], behind, parts[1]]
        else:
            parts.append(behind)
    return " ".join(" ".join((chance.choice(BEFORE), *parts)).split())


def _other(chance: random.Random) -> str:
    if chance.random() < 0.3:
        return "".join(chance.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(chance.randrange(3, 10)))
    return chance.choice(OTHER)


def _sentence(chance: random.Random) -> str:
    """Words that name no shape."""
    return " ".join(
        chance.choice(OTHER + VERBS) if chance.random() < 0.6 else _other(chance)
        for _ in range(chance.randrange(1, 8))
    )


def _another(chance: random.Random, first: str) -> str:
    kinds = [word for words in SHAPE_WORDS.values() for word in words if word[:3] != first[:3]]
    colour = chance.choice(("", *COLOURS))
    return " ".join(("a", colour, chance.choice(kinds)))
