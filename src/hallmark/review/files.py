"""Clearing policies as files: TOML in, TOML out, nothing guessed.

    name = "payment"                 # a-z first, then a-z 0-9 . _ -, at most 23 characters
    version = 1
    enforcement = "enforce"          # or "warn": evaluated and told, gates nothing
    classes = ["payment"]            # none: every class
    min_value = 1000000              # atomic units
    sla = "15m"                      # decide within; a number and ms, s, m, h or d
    dispute_window = "24h"           # CLEAR this long becomes FINAL; left out: never
    resample = "5%"                  # of CLEARs a person looks at again, up to four decimals
    not_required = ["inputs"]        # what it waives, by name

    [[requires]]
    question = "reviewed"
    state = "witnessed"              # the least state
    count = 2                        # reviewed only: distinct reviewers who are no party
    max_age = "30d"                  # left out: any age
    verifiers = []                   # who must have struck it; none: anyone
    assurance = ["hardware"]         # ran only: hardware, simulated, none

A policy names all seven questions, each once: as required or as waived. Whatever else a file says is refused.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import Annotated, Final

import msgspec

from hallmark.core.documents import ClearingPolicy, Requirement
from hallmark.core.errors import InvalidInput
from hallmark.core.marks import Question
from hallmark.review.policies import ENFORCE, unsound

UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
MAX_FILE: Final = 65_536
MAX_MS: Final = 100 * 366 * UNITS["d"]
_DURATION: Final = re.compile(r"(0|[1-9][0-9]{0,14})(ms|s|m|h|d)", re.ASCII)
_SHARE: Final = re.compile(r"(0|[1-9][0-9]{0,2})(?:\.([0-9]{1,4}))?%", re.ASCII)

# `clearing:<name>` has to fit into a code of 32 characters.
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_.-]{0,22}\Z")]
Class = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_.-]{1,32}\Z")]
Verifier = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000)]


class _Need(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    question: str
    state: str
    verifiers: tuple[Verifier, ...] = ()
    max_age: str = "0ms"
    assurance: tuple[str, ...] = ("hardware",)
    count: Count = 0


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Name
    version: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]
    requires: tuple[_Need, ...]
    not_required: tuple[str, ...] = ()
    enforcement: str = ENFORCE
    classes: tuple[Class, ...] = ()
    min_value: Annotated[int, msgspec.Meta(ge=0)] = 0
    sla: str = "0ms"
    dispute_window: str = "0ms"
    resample: str = "5%"


def read_policy(text: str) -> ClearingPolicy:
    """Read a policy file's text. Raises InvalidInput `bad_policy` with every fault in the hint."""
    if len(text) > MAX_FILE:
        raise InvalidInput("bad_policy", "A policy file has at most 65,536 characters.")
    try:
        file = msgspec.convert(tomllib.loads(text), type=_File)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("bad_policy", "This is not a policy file.", str(error)) from error
    policy = ClearingPolicy(
        file.name,
        file.version,
        tuple(_requirement(need) for need in file.requires),
        file.not_required,
        file.enforcement,
        file.classes,
        file.min_value,
        milliseconds(file.sla),
        milliseconds(file.dispute_window),
        per_million(file.resample),
    )
    faults = (*unsound(policy), *_untidy(policy))
    if faults:
        raise InvalidInput("bad_policy", f"The policy {file.name} cannot be applied.", " ".join(faults))
    return policy


def write_policy(policy: ClearingPolicy) -> str:
    """The file of a policy: `read_policy` gives exactly this policy back when it is sound."""
    lines = [f"name = {_text(policy.name)}", f"version = {policy.version}"]
    lines.append(f"enforcement = {_text(policy.enforcement)}")
    if policy.classes:
        lines.append(f"classes = {_texts(policy.classes)}")
    if policy.min_value:
        lines.append(f"min_value = {policy.min_value}")
    if policy.sla:
        lines.append(f"sla = {_text(duration(policy.sla))}")
    if policy.dispute_window:
        lines.append(f"dispute_window = {_text(duration(policy.dispute_window))}")
    lines.append(f"resample = {_text(share(policy.resample))}")
    lines.append(f"not_required = {_texts(policy.not_required)}")
    if not policy.requires:
        lines.append("requires = []")
    return "\n".join(lines) + "\n" + "".join(_table(need) for need in policy.requires)


def milliseconds(text: str) -> int:
    """A duration such as `15m` in ms. Raises InvalidInput `bad_policy`."""
    found = _DURATION.fullmatch(text)
    value = int(found[1]) * UNITS[found[2]] if found else MAX_MS + 1
    if value > MAX_MS:
        raise InvalidInput(
            "bad_policy",
            f"{text[:40]!r} is not a duration.",
            "Write a whole number and ms, s, m, h or d, as in 15m; at most 100 years.",
        )
    return value


def duration(ms: int) -> str:
    """A duration in the largest unit that says it exactly."""
    unit = next(u for u in ("d", "h", "m", "s", "ms") if ms % UNITS[u] == 0)
    return f"{ms // UNITS[unit]}{unit}"


def per_million(text: str) -> int:
    """A share such as `5%` or `0.25%` in parts of a million. Raises InvalidInput `bad_policy`."""
    found = _SHARE.fullmatch(text)
    parts = int(found[1]) * 10_000 + int((found[2] or "").ljust(4, "0")) if found else 1_000_001
    if parts > 1_000_000:
        raise InvalidInput("bad_policy", f"{text[:40]!r} is not a share.", "Write it as in 5% or 0.25%.")
    return parts


def share(parts: int) -> str:
    """Parts of a million as a percentage."""
    whole, rest = divmod(parts, 10_000)
    return f"{whole}.{rest:04}".rstrip("0").rstrip(".") + "%"


def _requirement(need: _Need) -> Requirement:
    age = milliseconds(need.max_age)
    return Requirement(need.question, need.state, need.verifiers, age, need.assurance, need.count)


def _untidy(policy: ClearingPolicy) -> list[str]:
    """What a file may not say although the evaluator would make sense of it."""
    found = []
    if len(set(policy.not_required)) < len(policy.not_required):
        found.append("It waives a question twice.")
    if len(set(policy.classes)) < len(policy.classes):
        found.append("It names a class twice.")
    if not policy.requires:
        found.append("It asks for nothing.")
    named = {need.question for need in policy.requires} | set(policy.not_required)
    found += [
        f"It neither asks for {name} nor waives it."
        for name in (question.value for question in Question)
        if name not in named
    ]
    return found


def _table(need: Requirement) -> str:
    lines = ["", "[[requires]]", f"question = {_text(need.question)}", f"state = {_text(need.state)}"]
    if need.count:
        lines.append(f"count = {need.count}")
    if need.max_age:
        lines.append(f"max_age = {_text(duration(need.max_age))}")
    if need.verifiers:
        lines.append(f"verifiers = {_texts(need.verifiers)}")
    if need.assurance != ("hardware",):
        lines.append(f"assurance = {_texts(need.assurance)}")
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    # JSON's ASCII form is a TOML basic string, but for surrogate pairs and DEL.
    plain = json.dumps(value, ensure_ascii=False)
    return plain.replace("\x7f", "\\u007F")


def _texts(values: tuple[str, ...]) -> str:
    return "[" + ", ".join(map(_text, values)) + "]"
