"""State that was kept under other rules is never read: whoever changes what a fold finds says so."""

from __future__ import annotations

from hallmark.testing.fold_rules import code, plain
from hallmark.verification.state_version import CODE

TOLD = (
    "The source that defines the fold is another than when RULES was last thought about. If a check or a "
    "transition may find something else than before for some log, run "
    "`python -m hallmark.testing.fold_rules`: every service folds its log anew at its next start. If every "
    "log gives the state that it gave (a name, a message, what nothing kept depends on), run it with --same."
)


def test_the_rules_number_was_thought_about() -> None:
    """The digest of the fold's source stands beside the number; see `verification/state_version.py`."""
    assert code() == CODE, TOLD


def test_only_what_is_executed_counts() -> None:
    """Comments, docstrings and blank lines do not; anything else does, indentation too."""
    source = '"""About."""\nA = 1  # one\n\n\ndef f(x):\n    """Do."""\n    if x:\n'
    source += '        x = "# no comment"\n    return x\n'
    bare = 'A = 1\ndef f(x):\n    if x:\n        x = "# no comment"\n    return x'
    assert plain(source) == bare
    assert plain(source.replace("    return", "        return")) != bare
    assert plain(source.replace("# no", "# a")) != bare
    assert plain("RULES: Final = 3\n" + source) == bare
