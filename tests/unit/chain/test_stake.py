"""The delays of a stake contract add up, and stake has no way into routing."""

from __future__ import annotations

from pathlib import Path

import pytest

import hallmark
from hallmark.core.errors import InvalidInput
from hallmark.services.chain.stake import DAY, StakeDelays

SOURCE = Path(hallmark.__file__).parent
DECIDES = ("routing", "discovery", "services/gateway")


def test_the_usual_delays_leave_time_to_show_a_fault() -> None:
    """Unbonding outlasts audit, dispute, referee and log, one after the other."""
    usual = StakeDelays()
    assert usual.unbonding > usual.audit + usual.dispute + usual.referee + usual.log
    assert usual.appeal > usual.log


@pytest.mark.parametrize(
    "changed",
    [{"unbonding": 7 * DAY}, {"dispute": 10 * DAY}, {"appeal": DAY}, {"log": 0}, {"unbonding": 181 * DAY},
     {"audit": -1}],
)  # fmt: skip
def test_delays_that_do_not_add_up_are_refused(changed: dict[str, int]) -> None:
    """As the contract refuses them, before anything is deployed."""
    with pytest.raises(InvalidInput) as error:
        StakeDelays(**changed)
    assert error.value.reason == "bad_stake_delays"


@pytest.mark.parametrize("package", DECIDES)
def test_stake_never_touches_routing(package: str) -> None:
    """Whoever decides who is asked or shown does not so much as name stake."""
    files = sorted((SOURCE / package).rglob("*.py"))
    assert files
    naming = [str(file) for file in files if "stake" in file.read_text().lower().replace("mistake", "")]
    assert naming == []


def test_nothing_deploys_it_while_the_pages_say_so() -> None:
    """What `hallmark fault list` and the documents say holds while nothing but tests has the contract."""
    using = [
        str(file.relative_to(SOURCE))
        for file in sorted(SOURCE.rglob("*.py"))
        if "chain.stake" in file.read_text() or "chain import stake" in file.read_text()
    ]
    assert using == ["testing/stakes.py"]
    docs = Path(__file__).parents[3] / "docs"
    for name, words in {"stake": "No network deploys it yet", "faults": "no network deploys it"}.items():
        assert words in (docs / f"{name}.md").read_text()
