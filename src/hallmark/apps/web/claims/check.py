"""The checker: which claims of a surface go beyond the facts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache

import msgspec

from hallmark.apps.web.claims import drawn
from hallmark.apps.web.claims.facts import Facts
from hallmark.apps.web.claims.observed import Observation, Run
from hallmark.apps.web.claims.rule import Rule
from hallmark.apps.web.claims.table import RULES
from hallmark.apps.web.claims.violation import Violation
from hallmark.apps.web.claims.words import DENIED, REACH, WANTED, claimed, clauses, compiled
from hallmark.core.marks import Question, State

__all__ = ["Violation", "violations"]

# Every match of a pattern in a text, and the clause around it: (text, pattern, wanted).
Find = Callable[[str, str, bool], tuple[tuple[str, str], ...]]
# Somebody else's words (an answer, a comment) are theirs; a surface only has to frame them as such. Codes are
# names that programs compare.
OTHERS = ("quoted", "code")
STATE_WORDS: Mapping[str, str] = {
    **{state.value: state.value for state in State},
    "checked here": State.CHECKED.value,
    "not required": State.NOT_REQUIRED.value,
}
PAIR = re.compile(
    rf"\b({'|'.join(q.value for q in Question)})\b[\s:=,]+(?:(?:is|reads|mark|state|now)[\s:=]+)*"
    rf"({'|'.join(sorted(STATE_WORDS, key=len, reverse=True))})\b"
)
ASKED = re.compile(r"\W+(is |are )?(required|asked|needed)")
# "3 of 7" of nothing named, or of marks; what names what it counts ("3 of 7 prompts") is no score.
COUNT = re.compile(
    r"\b(?:\d+|one|two|three|four|five|six|seven|all) (?:of|/|out of) (?:the )?(?:7|seven)\b"
    r"(?! (?:entries|full nodes|items|leaves|nodes|past items|prompts|slots|witnesses)\b)"
    r"|\b\d+ marks? (?:are |is )?(?:met|not met|in order)\b",
    re.IGNORECASE,
)
# Who can be said to see a prompt; "the node's word" is about what was said, not about the node.
PARTY = re.compile(
    r"\b(client|gateway|relay|node|host|operator|enclave|upstream|provider)s?\b"
    r"(?!['\u2019]s (?:word|record))",
    re.IGNORECASE,
)
ADDRESS = re.compile(r"\bhttps?://[^\s\"'<>()]+")
NO_FACTS = Facts(path="", assurance="unknown", states={q.value: "unknown" for q in Question})


def violations(
    facts: Mapping[str, Facts], observation: Observation, rules: Iterable[Rule] = RULES
) -> tuple[Violation, ...]:
    """Everything on a surface that says more than `facts` (by subject id) allow.

    A subject that `facts` does not name may carry no row of marks at all; text about no subject is held to
    the rules that always apply.
    """
    rules = tuple(rules)
    found = [*_worded(facts, observation, rules), *_paired(facts, observation), *_counted(observation)]
    found += drawn.violations(facts, observation)
    return tuple(dict.fromkeys(found))


class _Ruled:
    """Rules, and the words of each with a subject's own label and artifact in them. Hashed by identity."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules
        self._named: dict[tuple[str, str], tuple[tuple[Rule, str, Find], ...]] = {}

    def words(self, label: str, artifact: str) -> tuple[tuple[Rule, str, Find], ...]:
        """Every rule that can apply to a subject of these names, with its pattern and what finds that."""
        found = self._named.get((label, artifact))
        if found is None:
            filled = [(rule, _filled(rule.words, label, artifact)) for rule in self._rules]
            found = tuple((rule, pattern, _finder(rule)) for rule, pattern in filled if pattern)
            self._named[label, artifact] = found
        return found


_ruled = lru_cache(64)(_Ruled)


@lru_cache(65_536)
def _claims(ruled: _Ruled, label: str, artifact: str, text: str) -> tuple[tuple[Rule, str, Find], ...]:
    """The rules whose words a text holds, whatever the facts."""
    return tuple(one for one in ruled.words(label, artifact) if one[2](text, one[1], one[0].wanted))


def _worded(
    facts: Mapping[str, Facts], observation: Observation, rules: tuple[Rule, ...]
) -> Iterator[Violation]:
    ruled = _ruled(rules)
    for run in map(_unaddressed, observation.runs):
        if run.kind in OTHERS:
            continue
        own = facts.get(run.subject, NO_FACTS)
        # Hardly any text claims anything: that is asked first, and remembered.
        for rule, pattern, find in _claims(ruled, own.label, own.artifact[:8], run.text):
            if own is NO_FACTS and rule.scope != "anywhere":
                continue
            if not rule.when.holds(own) or not _applies(rule, run):
                continue
            for said in _of_whom(rule, run, pattern) if rule.about else _said(rule, run, pattern, find):
                yield Violation(observation.surface, rule.name, said, run.text, run.kind, run.where, rule.why)


def _unaddressed(run: Run) -> Run:
    """The run without what stands in addresses: "https://tee.example" is where somebody is, and no claim."""
    if "://" not in run.text and "://" not in run.context:
        return run
    text, context = (ADDRESS.sub("address", part) for part in (run.text, run.context))
    return msgspec.structs.replace(run, text=text, context=context)


def _finder(rule: Rule) -> Find:
    """What is said of somebody is a claim however it is put: `_of_whom` looks at every match."""
    return _matches if rule.about else _literally if rule.literal else claimed


def _applies(rule: Rule, run: Run) -> bool:
    if rule.scope in ("anywhere", "subject"):
        return True
    if rule.scope == "control":
        return run.kind == "control"
    return run.question == rule.question and (rule.scope == "mark" or run.kind == "word")


def _beside(rule: Rule, run: Run) -> str:
    # A control has to say it in its own name: who hears it read out does not hear what stands around it.
    return run.text if rule.scope == "control" else f"{run.text} {run.context}"


def _said(rule: Rule, run: Run, pattern: str, find: Find) -> tuple[str, ...]:
    line = _beside(rule, run)
    if rule.beside and all(compiled(part).search(line) for part in rule.beside):
        return ()
    return tuple(
        said
        for said, clause in find(run.text, pattern, rule.wanted)
        if not any(re.search(part, clause, re.IGNORECASE) for part in rule.unless)
    )


def _of_whom(rule: Rule, run: Run, pattern: str) -> tuple[str, ...]:
    """What is said of one of the rule's parties: the one named last before it, or first behind it."""
    line = run.context if run.text in run.context else run.text
    start, found = line.find(run.text), []
    for match in compiled(pattern).finditer(run.text):
        before = [party[1] for party in PARTY.finditer(line, 0, start + match.start())]
        behind = [party[1] for party in PARTY.finditer(line, start + match.end())]
        named = [*behind[:1], *before[-1:]] if match[0].endswith("by") else [*before[-1:], *behind[:1]]
        if named and named[0].lower() in rule.about:
            found.append(match[0])
    return tuple(found)


@lru_cache(65_536)
def _matches(text: str, pattern: str, wanted: bool) -> tuple[tuple[str, str], ...]:
    del wanted
    return tuple((match[0], text) for match in compiled(pattern).finditer(text))


@lru_cache(65_536)
def _literally(text: str, pattern: str, wanted: bool) -> tuple[tuple[str, str], ...]:
    # A sign has no word boundaries; nothing excuses what is literal.
    del wanted
    found = re.compile(pattern) if pattern.startswith("[") else compiled(pattern)
    return tuple((match.group(0), text) for match in found.finditer(text))


def _filled(pattern: str, label: str, artifact: str) -> str:
    """The pattern with the subject's own label and artifact; "" when it has none."""
    for slot, value in (("{label}", label), ("{artifact}", artifact)):
        if slot in pattern:
            if not value:
                return ""
            pattern = pattern.replace(slot, re.escape(value))
    return pattern


def _paired(facts: Mapping[str, Facts], observation: Observation) -> Iterator[Violation]:
    """Where a text says in which state a mark is, it is; a simulated `ran` says so on the same line."""
    for run in observation.runs:
        own = facts.get(run.subject)
        if own is None or run.question or run.kind in OTHERS:
            continue
        for said, question, state in _pairs(run.text.lower()):
            if question == "paid":
                rule, why = "paid: words of others", "A word that `ran` or `proved` uses lends them to money."
            elif own.state(question) != state:
                rule, why = "states as they are", f"{question} is {own.state(question)}."
            elif question == "ran" and own.assurance == "simulated" and "simulated" not in _line(run):
                rule, why = (
                    "simulated stands with the mark",
                    "Simulated hardware is named wherever its mark is.",
                )
            else:
                continue
            yield Violation(observation.surface, rule, said, run.text, run.kind, run.where, why)


@lru_cache(65_536)
def _pairs(text: str) -> tuple[tuple[str, str, str], ...]:
    """Every "proved is witnessed" that is stated, not denied and not asked for: said, question, state."""
    found = []
    for clause in clauses(text):
        for match in PAIR.finditer(clause):
            before = " ".join(clause[: match.start()].split()[-REACH:])
            if not (DENIED.search(before) or WANTED.search(before) or ASKED.match(clause[match.end() :])):
                found.append((match[0], match[1], STATE_WORDS[match[2]]))
    return tuple(found)


def _counted(observation: Observation) -> Iterator[Violation]:
    """Marks are never counted: a number takes a waived mark for a met one, and is a score."""
    for run in observation.runs:
        found = _score(run.text) if run.kind not in OTHERS else ""
        if found:
            rule, why = "marks are not counted", "A number takes a waived mark for a met one: it is a score."
            yield Violation(observation.surface, rule, found, run.text, run.kind, run.where, why)


@lru_cache(65_536)
def _score(text: str) -> str:
    found = COUNT.search(text)
    return found[0] if found else ""


def _line(run: Run) -> str:
    return f"{run.text} {run.context}".lower()
