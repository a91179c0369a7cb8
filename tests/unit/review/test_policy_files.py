"""Policies as files: strict to read, exact to write, and those that ship mean what they say."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from hallmark.compose.genesis import clearing_policies
from hallmark.core.documents import ClearingPolicy, Requirement
from hallmark.core.errors import InvalidInput
from hallmark.core.marks import LADDER, Question
from hallmark.review.files import duration, milliseconds, per_million, read_policy, share, write_policy
from hallmark.review.policies import loosened
from hallmark.review.wording import policy_sentence, requirement_sentence

POLICIES = Path(__file__).resolve().parents[3] / "policies"
SHIPPED = {str(p.relative_to(POLICIES)): read_policy(p.read_text()) for p in sorted(POLICIES.rglob("*.toml"))}
TEXT = (POLICIES / "payment.toml").read_text()


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_policy_reads_writes_and_reads_the_same(name: str) -> None:
    """What is written down of a policy is the policy, and its file is named as it is."""
    policy = SHIPPED[name]
    assert read_policy(write_policy(policy)) == policy
    assert policy.name == Path(name).stem
    assert policy_sentence(policy).endswith(".")
    assert all(requirement_sentence(need).endswith(".") for need in policy.requires)


def test_a_policy_is_told_in_the_words_and_numbers_of_every_other_page() -> None:
    """Numbers are grouped, and simulated hardware is hardware that is simulated."""
    policy = msgspec.structs.replace(SHIPPED["development/witnessed.toml"], min_value=1_000_000)
    assert "from value 1,000,000 on: asks for ran witnessed, " in policy_sentence(policy)
    (ran,) = [need for need in policy.requires if need.question == "ran"]
    assert requirement_sentence(ran).endswith("on hardware or on simulated hardware.")
    nothing = msgspec.structs.replace(ran, assurance=())
    assert requirement_sentence(nothing).endswith("on no hardware at all.")


def test_only_development_and_what_warns_allow_simulated_hardware() -> None:
    """No enforced policy outside the development folder lets simulated hardware pass."""
    for name, policy in SHIPPED.items():
        ran = next(need for need in policy.requires if need.question == "ran")
        allows = "simulated" in ran.assurance
        assert allows == (name.startswith("development/") or policy.enforcement == "warn"), name


def test_the_shipped_set_tightens_with_value_and_asks_for_four_eyes() -> None:
    """Nothing of more value is under less, and large payments need two people."""
    assert loosened([policy for name, policy in SHIPPED.items() if "/" not in name]) == ()
    reviewed = next(need for need in SHIPPED["payment.toml"].requires if need.question == "reviewed")
    assert (reviewed.count, SHIPPED["payment.toml"].min_value) == (2, 1_000_000)


def test_the_development_network_keeps_its_policies() -> None:
    """`witnessed` and `anchored` ask what they always asked; promises and windows came with the files."""
    witnessed, anchored, payment = clearing_policies()
    assert next(need.count for need in payment.requires if need.question == "reviewed") == 2
    for policy, proved in ((witnessed, "witnessed"), (anchored, "anchored")):
        assert {need.question: need.state for need in policy.requires} == {
            "ran": "witnessed",
            "model": "witnessed",
            "route": "witnessed",
            "proved": proved,
        }
        assert all(need.assurance == ("hardware", "simulated") for need in policy.requires)
        assert all((need.count, need.max_age, need.verifiers) == (0, 0, ()) for need in policy.requires)
        assert policy.not_required == ("inputs", "paid", "reviewed")
        assert policy.name == proved
        assert policy.version > 1


def test_any_sound_policy_survives_its_file() -> None:
    """Reading what was written gives the very same document, for policies of every shape."""
    rng = random.Random(5)
    for number in range(300):
        asked = rng.sample(list(Question), rng.randrange(1, 8))
        policy = ClearingPolicy(
            f"p{number}",
            rng.randrange(1, 9),
            tuple(_need(rng, question) for question in asked),
            tuple(q.value for q in Question if q not in asked),
            rng.choice(("enforce", "warn")),
            rng.choice(((), ("pay",), ("pay", "on-chain"))),
            rng.choice((0, 1, 10**30)),
            rng.choice((0, 1, 90_000, 86_400_000)),
            rng.choice((0, 999, 3_600_000)),
            rng.choice((0, 1, 50_000, 123_456, 1_000_000)),
        )
        assert read_policy(write_policy(policy)).digest() == policy.digest()


def _need(rng: random.Random, question: Question) -> Requirement:
    return Requirement(
        question.value,
        rng.choice(LADDER[1:]).value,
        rng.choice(((), ("3 of 4 full nodes",), ('a "q" \\ \x7f \n é \U0001f600', "b"))),
        rng.choice((0, 1, 7_200_000)),
        rng.choice((("hardware",), ("hardware", "simulated"), ())),
        rng.choice((0, 2)) if question is Question.REVIEWED else 0,
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "payment"', 'name = "Payment"'),
        ('name = "payment"', 'name = "payment\\n"'),
        ('name = "payment"', 'name = "a-name-that-does-not-fit"'),
        ('name = "payment"', ""),
        ("version = 1", "version = 0"),
        ("version = 1", "version = 1.0"),
        ("version = 1", "version = true"),
        ("version = 1", 'version = "1"'),
        ("version = 1", "version = 1\nversion = 2"),
        ("version = 1", 'version = 1\nowner = "me"'),
        ("min_value = 1_000_000", "min_value = -1"),
        ("min_value = 1_000_000", "min_value = 1e6"),
        ('sla = "15m"', "sla = 15"),
        ('sla = "15m"', 'sla = "15"'),
        ('sla = "15m"', 'sla = "15 m"'),
        ('sla = "15m"', 'sla = "1.5h"'),
        ('sla = "15m"', 'sla = "-1m"'),
        ('sla = "15m"', 'sla = "٣m"'),
        ('sla = "15m"', 'sla = "99999d"'),
        ('resample = "10%"', "resample = 10"),
        ('resample = "10%"', 'resample = "101%"'),
        ('resample = "10%"', 'resample = "0.00001%"'),
        ('classes = ["payment"]', 'classes = ["Payment"]'),
        ('classes = ["payment"]', 'classes = ["payment", "payment"]'),
        ('classes = ["payment"]', 'classes = "payment"'),
        ('not_required = ["inputs"]', "not_required = []"),
        ('not_required = ["inputs"]', 'not_required = ["inputs", "inputs"]'),
        ('not_required = ["inputs"]', 'not_required = ["inputs", "taste"]'),
        ('not_required = ["inputs"]', 'not_required = ["inputs", "paid"]'),
        ('question = "paid"', 'question = "proved"'),
        ('question = "paid"', 'question = "taste"'),
        ('state = "witnessed"', 'state = "absent"'),
        ('state = "witnessed"', 'state = "not_required"'),
        ('state = "witnessed"', 'state = "failed"'),
        ('state = "witnessed"', 'state = "approved"'),
        ("count = 2", "count = -2"),
        ("count = 2", "count = 2\nsize = 3"),
        ('assurance = ["hardware"]', 'assurance = ["magic"]'),
        ('assurance = ["hardware"]', "count = 1"),
        ('enforcement = "enforce"', ""),
    ],
)
def test_a_file_that_says_anything_else_is_refused(old: str, new: str) -> None:
    """One change at a time: what is not understood to the letter is no policy."""
    changed = TEXT.replace(old, new, 1)
    if changed == TEXT:
        changed = TEXT.replace("version = 1", 'version = 1\nenforcement = "maybe"')
    with pytest.raises(InvalidInput) as refused:
        read_policy(changed)
    assert refused.value.reason == "bad_policy"
    assert refused.value.hint or "characters" in refused.value.message


def test_what_is_no_toml_or_too_long_is_refused() -> None:
    """Neither binary, nor nesting bombs, nor megabytes are read."""
    for text in ("", "name = ", "\0", "a = " + "[" * 30_000, "#" * 65_537):
        with pytest.raises(InvalidInput, match="bad_policy"):
            read_policy(text)
    with pytest.raises(InvalidInput) as refused:
        read_policy('name = "x"\nversion = 1\nrequires = []\nnot_required = ["ran"]')
    assert "asks for nothing" in refused.value.hint
    assert "neither asks for paid" in refused.value.hint


def test_durations_and_shares_are_exact() -> None:
    """Every duration and every share comes back as it was."""
    for ms in (0, 1, 999, 1_000, 60_000, 3_600_000, 86_400_000, 90_000, 86_400_001):
        assert milliseconds(duration(ms)) == ms
    for parts in (0, 1, 100, 2_500, 50_000, 999_999, 1_000_000):
        assert per_million(share(parts)) == parts
    assert (duration(5_400_000), share(50_000), share(2_500)) == ("90m", "5%", "0.25%")
    assert msgspec.structs.asdict(SHIPPED["payment.toml"])["resample"] == 100_000


@pytest.mark.parametrize("value", ["1" * 5_000, "-" + "9" * 5_000, "1979-13-99T00:00:00Z", "[" * 5_000])
def test_what_the_parser_raises_of_itself_is_no_policy(value: str) -> None:
    """TOML has numbers that the parser's language will not convert: a reason code, never a traceback."""
    with pytest.raises(InvalidInput) as error:
        read_policy(f"name = {value}\n")
    assert error.value.reason == "bad_policy"
